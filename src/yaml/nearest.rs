//! Suggestions for misspelt names.

use crate::quoting;

/// The error text for an unknown name: suggests the nearest known one, or lists them all.
///
/// `what` is the kind of name, such as `profile`.
pub fn unknown<'n>(what: &str, name: &str, known: impl IntoIterator<Item = &'n str>) -> String {
    let known: Vec<&str> = known.into_iter().map(quoting::name).collect();
    unknown_or(what, name, known.iter().copied(), &format!("one of {}", known.join(", ")))
}

/// As [`unknown`], for a list that is too long to print: `expected` describes it.
pub fn unknown_or<'n>(what: &str, name: &str, known: impl IntoIterator<Item = &'n str>, expected: &str) -> String {
    let found = quoting::value(name);
    match nearest(name, known) {
        Some(near) => format!("unknown {what} {found:?}, did you mean {near:?}?"),
        None => format!("unknown {what} {found:?}, expected {expected}"),
    }
}

/// The name in `names` that is closest to `text`, if one is close enough to be what its author meant.
pub fn nearest<'n>(text: &str, names: impl IntoIterator<Item = &'n str>) -> Option<&'n str> {
    let text = text.to_lowercase();
    let limit = 1 + text.chars().count() / 4;
    names
        .into_iter()
        .map(|name| (strsim::levenshtein(&text, &name.to_lowercase()), name))
        .filter(|(distance, _)| *distance <= limit)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_near_names_are_suggested() {
        assert_eq!(nearest("ContainerLst", ["ImageList", "ContainerList"]), Some("ContainerList"));
        assert_eq!(nearest("containerlist", ["ImageList", "ContainerList"]), Some("ContainerList"));
        assert_eq!(nearest("Everything", ["ImageList", "ContainerList"]), None);
    }
}
