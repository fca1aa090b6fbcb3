//! Suggestions for misspelt names.

/// The error text for an unknown name: suggests the nearest known one, or lists them all.
///
/// `what` is the kind of name, such as `profile`.
pub fn unknown<'n>(what: &str, name: &str, known: impl IntoIterator<Item = &'n str>) -> String {
    let known: Vec<&str> = known.into_iter().collect();
    unknown_or(what, name, known.iter().copied(), &format!("one of {}", known.join(", ")))
}

/// As [`unknown`], for a list that is too long to print: `expected` describes it.
pub fn unknown_or<'n>(what: &str, name: &str, known: impl IntoIterator<Item = &'n str>, expected: &str) -> String {
    match nearest(name, known) {
        Some(near) => format!("unknown {what} {name:?}, did you mean {near:?}?"),
        None => format!("unknown {what} {name:?}, expected {expected}"),
    }
}

/// The name in `names` that is closest to `text`, if one is close enough to be what its author meant.
pub fn nearest<'n>(text: &str, names: impl IntoIterator<Item = &'n str>) -> Option<&'n str> {
    let text = text.to_lowercase();
    let limit = 1 + text.chars().count() / 4;
    names
        .into_iter()
        .map(|name| (distance(&text, &name.to_lowercase()), name))
        .filter(|(distance, _)| *distance <= limit)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

/// The number of characters to insert, remove or change to get from one text to the other (Levenshtein distance).
fn distance(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (index, from) in one.chars().enumerate() {
        let mut next = vec![index + 1];
        for (window, to) in row.windows(2).zip(&other) {
            let [diagonal, above] = window else { continue };
            let left = next.last().copied().unwrap_or_default();
            next.push((diagonal + usize::from(from != *to)).min(above + 1).min(left + 1));
        }
        row = next;
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_distance_of_two_words() {
        for (one, other, expected) in [("", "", 0), ("a", "", 1), ("kitten", "sitting", 3), ("same", "same", 0)] {
            assert_eq!(distance(one, other), expected, "{one} {other}");
        }
    }

    #[test]
    fn only_near_names_are_suggested() {
        assert_eq!(nearest("ContainerLst", ["ImageList", "ContainerList"]), Some("ContainerList"));
        assert_eq!(nearest("containerlist", ["ImageList", "ContainerList"]), Some("ContainerList"));
        assert_eq!(nearest("Everything", ["ImageList", "ContainerList"]), None);
    }
}
