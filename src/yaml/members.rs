//! The members of a mapping by name, and the texts of a list.

use super::{Diagnostics, Key, Node, Value, unknown};

/// How many keys an error names where there is no mapping.
const EXAMPLES: usize = 3;

impl Diagnostics {
    /// The members of the mapping `node`; a key that is not in `names` is an error. `what` describes the mapping.
    pub fn members<'n>(&mut self, node: &'n Node, what: &str, names: &[&str]) -> Option<Members<'n>> {
        let Value::Mapping(entries) = &node.value else {
            let such = names.iter().take(EXAMPLES).copied().collect::<Vec<_>>().join(", ");
            self.push(node.expected(&format!("{what}: a mapping with keys such as {such}")));
            return None;
        };
        for (key, _) in entries.iter().filter(|(key, _)| !names.contains(&key.name.as_str())) {
            self.report(&key.location, unknown("key", &key.name, names.iter().copied()));
        }
        Some(Members { entries })
    }

    /// The texts in the list `node`, each with its node. `what` describes the elements, in the plural.
    pub fn texts<'n>(&mut self, node: &'n Node, what: &str) -> Vec<(&'n str, &'n Node)> {
        let items = self.ok(node.list(&format!("a list of {what}"))).unwrap_or_default();
        let each = format!("one of a list of {what}");
        items.iter().filter_map(|item| self.ok(item.text(&each)).map(|text| (text, item))).collect()
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
        self.find(name).filter(|(_, node)| node.value != Value::Null)
    }

    /// The value of the member called `name`, even if it is empty.
    pub fn get_or_empty(&self, name: &str) -> Option<&'n Node> {
        self.find(name).map(|(_, node)| node)
    }

    /// Key and value of the member called `name`, even if the value is empty.
    fn find(&self, name: &str) -> Option<(&'n Key, &'n Node)> {
        self.entries.iter().find(|(key, _)| key.name == name).map(|(key, node)| (key, node))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::yaml::parse;

    #[test]
    fn every_unknown_key_is_reported() {
        let node = parse("f.yaml", "one: 1\nonne: 2\nother: 3\nthree:\n").unwrap();
        let mut diagnostics = Diagnostics::default();
        let members = diagnostics.members(&node, "numbers", &["one", "three"]).unwrap();
        assert!(members.get("one").is_some() && members.get("three").is_none());
        assert!(members.get_or_empty("three").is_some() && members.get_or_empty("four").is_none());
        let found: Vec<String> = diagnostics.finish(()).unwrap_err().iter().map(ToString::to_string).collect();
        assert_eq!(
            found,
            [
                "f.yaml:2:1: unknown key \"onne\", did you mean \"one\"?",
                "f.yaml:3:1: unknown key \"other\", expected one of one, three",
            ]
        );
    }
}
