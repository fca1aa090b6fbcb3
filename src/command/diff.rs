//! What a filter changed, path by path. Old values are never printed.

use serde_json::Value;

/// The number of pairs of elements that may be compared to find the removed elements of an array.
const PAIR_LIMIT: usize = 1 << 16;

/// A line for each difference: `~ path = new value`, `- path` for what was removed, `+ path = value` for what was added.
///
/// Paths are those of the document before, so the remaining elements of an array keep their indexes.
pub fn diff(before: &Value, after: &Value) -> Vec<String> {
    let mut lines = Vec::new();
    compare("$", before, after, &mut lines);
    lines
}

/// Appends the differences of two values at `path`.
fn compare(path: &str, before: &Value, after: &Value, lines: &mut Vec<String>) {
    match (before, after) {
        (before, after) if before == after => {}
        // If nothing is left inside, one line says so.
        (Value::Object(before), Value::Object(after)) if !after.is_empty() => {
            for (name, old) in before {
                let path = format!("{path}{}", step(name));
                match after.get(name) {
                    Some(new) => compare(&path, old, new, lines),
                    None => lines.push(format!("- {path}")),
                }
            }
            for (name, new) in after.iter().filter(|(name, _)| !before.contains_key(*name)) {
                lines.push(format!("+ {path}{} = {new}", step(name)));
            }
        }
        (Value::Array(before), Value::Array(after)) if !after.is_empty() => elements(path, before, after, lines),
        (_, after) => lines.push(format!("~ {path} = {after}")),
    }
}

/// Appends the differences of two arrays at `path`.
fn elements(path: &str, before: &[Value], after: &[Value], lines: &mut Vec<String>) {
    let Some(removed) = removed(before, after) else {
        let count = before.len() - after.len();
        return lines.push(format!("- {path}: {count} of {} elements, too many to tell which", before.len()));
    };
    let mut left = after.iter();
    for (index, old) in before.iter().enumerate() {
        let path = format!("{path}[{index}]");
        if removed.contains(&index) {
            lines.push(format!("- {path}"));
        } else if let Some(new) = left.next() {
            compare(&path, old, new, lines);
        }
    }
    for (index, new) in left.enumerate() {
        lines.push(format!("+ {path}[{}] = {new}", before.len() + index));
    }
}

/// The indexes of the removed elements: those without which `before` differs least from `after`.
///
/// Where two choices are equal, the later element counts as removed. `None` if there are too many to compare.
fn removed(before: &[Value], after: &[Value]) -> Option<Vec<usize>> {
    let excess = before.len().saturating_sub(after.len());
    if excess == 0 {
        return Some(Vec::new());
    }
    // Most elements at the start and at the end are equal.
    let same = |pairs: &mut dyn Iterator<Item = (&Value, &Value)>| pairs.take_while(|(old, new)| old == new).count();
    let start = same(&mut before.iter().zip(after));
    let (old, new) = (before.get(start..)?, after.get(start..)?);
    let end = same(&mut old.iter().rev().zip(new.iter().rev()));
    let (old, new) = (old.get(..old.len() - end)?, new.get(..new.len() - end)?);
    let width = excess + 1;
    if new.len().checked_mul(width)? > PAIR_LIMIT {
        return None;
    }
    // `costs[j][k]` is the difference of the elements of `new` from `j` on, if `k` elements of `old` are removed before
    // them.
    let mut costs = vec![vec![0; width]; new.len() + 1];
    for (j, element) in new.iter().enumerate().rev() {
        for k in (0..width).rev() {
            let here = old.get(j + k).map_or(u32::MAX, |old| distance(old, element));
            let kept = here.saturating_add(*costs.get(j + 1)?.get(k)?);
            let skipped = costs.get(j)?.get(k + 1).copied().unwrap_or(u32::MAX);
            *costs.get_mut(j)?.get_mut(k)? = kept.min(skipped);
        }
    }
    let kept = |j: usize, k: usize| {
        let kept = distance(old.get(j + k)?, new.get(j)?).saturating_add(*costs.get(j + 1)?.get(k)?);
        Some(kept == *costs.get(j)?.get(k)?)
    };
    let (mut removed, mut k) = (Vec::new(), 0);
    for j in 0..new.len() {
        while !kept(j, k)? {
            removed.push(start + j + k);
            k += 1;
        }
    }
    removed.extend(start + new.len() + k..start + old.len());
    Some(removed)
}

/// How different two values are; small if a filter could make `after` of `before`.
fn distance(before: &Value, after: &Value) -> u32 {
    match (before, after) {
        (before, after) if before == after => 0,
        (Value::String(before), Value::String(after)) => {
            let name = |text: &str| text.split_once('=').map(|(name, _)| name.to_owned());
            let same_name = name(before).is_some_and(|before| name(after) == Some(before));
            if same_name { 1 } else { 2 }
        }
        (Value::Object(before), Value::Object(after)) => {
            let differing = before.iter().map(|(name, old)| after.get(name).map_or(1, |new| distance(old, new)));
            let added = after.keys().filter(|name| !before.contains_key(*name)).count();
            differing.sum::<u32>().saturating_add(4 * u32::try_from(added).unwrap_or(u32::MAX / 4))
        }
        (Value::Array(before), Value::Array(after)) => {
            let excess = u32::try_from(before.len().abs_diff(after.len())).unwrap_or(u32::MAX);
            before.iter().zip(after).map(|(old, new)| distance(old, new)).sum::<u32>().saturating_add(excess)
        }
        (Value::Null, _) => 4,
        (_, Value::String(_)) => 3,
        (Value::Bool(_), Value::Bool(_)) | (Value::Number(_), Value::Number(_)) => 2,
        (Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) | Value::Object(_), _) => 4,
    }
}

/// A step to a member, in JSONPath.
fn step(name: &str) -> String {
    let plain = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    if plain { format!(".{name}") } else { format!("[{}]", Value::from(name)) }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[track_caller]
    fn check(before: &Value, after: &Value, expected: &[&str]) {
        assert_eq!(diff(before, after), expected);
    }

    #[test]
    fn a_change_has_its_path_and_its_new_value() {
        check(&json!({"a": 1, "b": {"c": "x"}}), &json!({"a": 1, "b": {"c": ""}}), &["~ $.b.c = \"\""]);
        check(&json!({"a": ["x", "y"]}), &json!({"a": ["x"]}), &["- $.a[1]"]);
        check(&json!({"a": ["x", "y"]}), &json!({"a": []}), &["~ $.a = []"]);
        check(&json!({"a.b": 1}), &json!({}), &["~ $ = {}"]);
        check(&json!({"a.b": 1, "c": 1}), &json!({"c": 1}), &["- $[\"a.b\"]"]);
        check(&json!([1]), &json!([1]), &[]);
        check(&json!([]), &json!([1]), &["+ $[0] = 1"]);
        check(&json!({}), &json!({"a": 1}), &["+ $.a = 1"]);
        check(&json!({"a": [1]}), &json!({"a": {}}), &["~ $.a = {}"]);
    }

    /// An array of words before and after.
    #[track_caller]
    fn check_words(before: &str, after: &str, expected: &[&str]) {
        let words = |text: &str| text.split_whitespace().map(Value::from).collect::<Value>();
        check(&words(before), &words(after), expected);
    }

    #[test]
    fn removed_elements_have_their_old_indexes() {
        check_words("a b c", "b c", &["- $[0]"]);
        check_words("a b c", "a c", &["- $[1]"]);
        check_words("a b c d e", "b d", &["- $[0]", "- $[2]", "- $[4]"]);
        check_words("A=1 TZ=UTC B=2", "TZ=UTC", &["- $[0]", "- $[2]"]);
        check_words("A=1 B=2 C=3", "A=x C=x", &["~ $[0] = \"A=x\"", "- $[1]", "~ $[2] = \"C=x\""]);
        check_words("a a a", "a", &["- $[1]", "- $[2]"]);
        check_words("a b", "a b c", &["+ $[2] = \"c\""]);
    }

    #[test]
    fn changed_elements_and_removed_ones_are_distinguished() {
        let before = json!([{"Type": "bind", "Source": "/a"}, {"Type": "volume", "Name": "v", "Source": "/b"}, {"Type": "tmpfs", "Source": ""}]);
        let after = json!([{"Type": "volume", "Name": "v", "Source": ""}, {"Type": "tmpfs", "Source": ""}]);
        check(&before, &after, &["- $[0]", "~ $[1].Source = \"\""]);
    }

    #[test]
    fn if_there_are_too_many_elements_none_is_named() {
        let before: Value = (0..2_000).map(Value::from).collect();
        let after: Value = (0..1_000).map(|n| Value::from(format!("x{n}"))).collect();
        check(&before, &after, &["- $: 1000 of 2000 elements, too many to tell which"]);
        let after: Value = (1..2_000).map(Value::from).collect();
        check(&before, &after, &["- $[0]"]);
    }
}
