//! What the readers of configuration share: members by name, and a list of mistakes that grows while they read on.

use super::{Diagnostic, Key, Node, Value};

/// The mistakes found so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Diagnostics(Vec<Diagnostic>);

impl Diagnostics {
    /// One more.
    pub fn push(&mut self, diagnostic: Diagnostic) {
        self.0.push(diagnostic);
    }

    /// Some more.
    pub fn extend(&mut self, diagnostics: impl IntoIterator<Item = Diagnostic>) {
        self.0.extend(diagnostics);
    }

    /// The value, or nothing when there was a mistake in its stead.
    pub fn keep<T>(&mut self, result: Result<T, Diagnostic>) -> Option<T> {
        result.map_err(|diagnostic| self.0.push(diagnostic)).ok()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// `value` if there are none.
    ///
    /// # Errors
    /// All of them, in the order of their places, each once.
    pub fn or_value<T>(mut self, value: T) -> Result<T, Vec<Diagnostic>> {
        if self.0.is_empty() {
            return Ok(value);
        }
        self.0.sort();
        self.0.dedup();
        Err(self.0)
    }

    /// The members of a mapping whose keys are to be among `names`; every other key is a mistake.
    pub fn members<'n>(&mut self, node: &'n Node, what: &str, names: &[&str]) -> Option<Members<'n>> {
        let entries = self.keep(node.mapping(what))?;
        for (key, _) in entries {
            if !names.contains(&key.name.as_str()) {
                let expected = match nearest(&key.name, names.iter().copied()) {
                    Some(near) => format!("did you mean {near:?}?"),
                    None => format!("expected one of {}", names.join(", ")),
                };
                self.push(Diagnostic::new(&key.location, format!("unknown key {:?}, {expected}", key.name)));
            }
        }
        Some(Members { entries })
    }

    /// The texts of a list, each with its node.
    pub fn texts<'n>(&mut self, node: &'n Node, what: &str) -> Vec<(&'n str, &'n Node)> {
        let items = self.keep(node.list(&format!("a list of {what}"))).unwrap_or_default();
        let each = format!("one of a list of {what}");
        items.iter().filter_map(|item| self.keep(item.text(&each)).map(|text| (text, item))).collect()
    }
}

/// The members of one mapping. A member without a value counts as absent.
#[derive(Clone, Copy, Debug)]
pub struct Members<'n> {
    entries: &'n [(Key, Node)],
}

impl<'n> Members<'n> {
    /// The value of the member called `name`.
    pub fn get(&self, name: &str) -> Option<&'n Node> {
        self.entry(name).map(|(_, node)| node)
    }

    /// Key and value of the member called `name`.
    pub fn entry(&self, name: &str) -> Option<(&'n Key, &'n Node)> {
        self.entries
            .iter()
            .find(|(key, node)| key.name == name && node.value != Value::Null)
            .map(|(key, node)| (key, node))
    }
}

/// The one of `names` that a person who wrote `text` probably meant, if any is near.
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

/// How many characters to insert, remove or change between two texts.
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
    use crate::yaml::parse;

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

    #[test]
    fn unknown_keys_are_all_mistakes() {
        let node = parse("f.yaml", "one: 1\nonne: 2\nother: 3\nthree:\n").unwrap();
        let mut diagnostics = Diagnostics::default();
        let members = diagnostics.members(&node, "numbers", &["one", "three"]).unwrap();
        assert!(members.get("one").is_some() && members.get("three").is_none());
        let found: Vec<String> = diagnostics.or_value(()).unwrap_err().iter().map(ToString::to_string).collect();
        assert_eq!(
            found,
            [
                "f.yaml:2:1: unknown key \"onne\", did you mean \"one\"?",
                "f.yaml:3:1: unknown key \"other\", expected one of one, three",
            ]
        );
    }
}
