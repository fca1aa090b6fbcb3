//! What a filter changed, path by path, in new values only.

use serde_json::Value;

/// One line for each place that differs: `~ path = new value`, `- path` for what is gone, `+ path = value` for what is new.
///
/// Old values are never in it. An array that has become shorter is told by the elements that are gone at its end,
/// unless it is empty now, which is told once.
pub fn diff(before: &Value, after: &Value) -> Vec<String> {
    let mut lines = Vec::new();
    compare("$", before, after, &mut lines);
    lines
}

fn compare(path: &str, before: &Value, after: &Value, lines: &mut Vec<String>) {
    match (before, after) {
        (Value::Object(before), Value::Object(after)) if !after.is_empty() || before.is_empty() => {
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
        (Value::Array(before), Value::Array(after)) if !after.is_empty() || before.is_empty() => {
            for (index, old) in before.iter().enumerate() {
                let path = format!("{path}[{index}]");
                match after.get(index) {
                    Some(new) => compare(&path, old, new, lines),
                    None => lines.push(format!("- {path}")),
                }
            }
            for (index, new) in after.iter().enumerate().skip(before.len()) {
                lines.push(format!("+ {path}[{index}] = {new}"));
            }
        }
        (before, after) if before == after => {}
        (_, after) => lines.push(format!("~ {path} = {after}")),
    }
}

/// A step to a member, as JSONPath writes it.
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
    fn changes_are_told_by_path_and_new_value() {
        check(&json!({"a": 1, "b": {"c": "x"}}), &json!({"a": 1, "b": {"c": ""}}), &["~ $.b.c = \"\""]);
        check(&json!({"a": ["x", "y"]}), &json!({"a": ["x"]}), &["- $.a[1]"]);
        check(&json!({"a": ["x", "y"]}), &json!({"a": []}), &["~ $.a = []"]);
        check(&json!({"a.b": 1}), &json!({}), &["~ $ = {}"]);
        check(&json!({"a.b": 1, "c": 1}), &json!({"c": 1}), &["- $[\"a.b\"]"]);
        check(&json!([1]), &json!([1]), &[]);
    }
}
