//! The header fields of a head, in one buffer.
//!
//! A map with a value of its own for each field costs more than everything else that is done with a short head: to make it, to
//! look into it, and to take it apart. Few fields are ever looked up.

/// Header fields in their order. Their names are in lower case.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HeaderFields {
    /// The names and the values, one behind the other.
    text: Vec<u8>,
    /// Where the name and the value of each field end.
    ends: Vec<(usize, usize)>,
}

impl HeaderFields {
    /// None yet, with room for so many fields of so many bytes in all.
    pub fn with_capacity(fields: usize, bytes: usize) -> Self {
        Self { text: Vec::with_capacity(bytes), ends: Vec::with_capacity(fields) }
    }

    /// Adds a field, whether or not there is one of that name.
    pub fn push(&mut self, name: &[u8], value: &[u8]) {
        let start = self.text.len();
        self.text.extend_from_slice(name);
        let end = self.text.len();
        self.text.get_mut(start..).unwrap_or_default().make_ascii_lowercase();
        self.text.extend_from_slice(value);
        self.ends.push((end, self.text.len()));
    }

    /// Adds a field in place of those of that name, which is in lower case.
    pub fn set(&mut self, name: &str, value: &[u8]) {
        if self.has(name) {
            let others = self.iter().filter(|(other, _)| *other != name.as_bytes());
            let mut kept = Self::with_capacity(self.ends.len(), self.text.len());
            others.for_each(|(name, value)| kept.push(name, value));
            *self = kept;
        }
        self.push(name.as_bytes(), value);
    }

    /// The names and the values.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        let mut start = 0;
        self.ends.iter().map(move |(name, value)| {
            let field = (self.text.get(start..*name), self.text.get(*name..*value));
            start = *value;
            (field.0.unwrap_or_default(), field.1.unwrap_or_default())
        })
    }

    /// The values of the fields of this name, which is in lower case.
    pub fn all<'f>(&'f self, name: &'f str) -> impl Iterator<Item = &'f [u8]> {
        self.iter().filter(move |(other, _)| *other == name.as_bytes()).map(|(_, value)| value)
    }

    /// The first value of this name, which is in lower case.
    pub fn first(&self, name: &str) -> Option<&[u8]> {
        let mut start = 0;
        for (end, value) in &self.ends {
            if end - start == name.len() && self.text.get(start..*end) == Some(name.as_bytes()) {
                return self.text.get(*end..*value);
            }
            start = *value;
        }
        None
    }

    /// The same, if it is visible ASCII.
    pub fn text(&self, name: &str) -> Option<&str> {
        visible(self.first(name)?)
    }

    /// Whether there is a field of this name, which is in lower case.
    pub fn has(&self, name: &str) -> bool {
        self.first(name).is_some()
    }
}

/// The value of a field as text, if it is visible ASCII with spaces and tabs.
pub fn visible(value: &[u8]) -> Option<&str> {
    let is_visible = |byte: &u8| matches!(byte, b' '..=b'~' | b'\t');
    str::from_utf8(value).ok().filter(|_| value.iter().all(is_visible))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(list: &[(&str, &str)]) -> HeaderFields {
        let mut fields = HeaderFields::default();
        list.iter().for_each(|(name, value)| fields.push(name.as_bytes(), value.as_bytes()));
        fields
    }

    fn listed(fields: &HeaderFields) -> Vec<(String, String)> {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        fields.iter().map(|(name, value)| (text(name), text(value))).collect()
    }

    #[test]
    fn fields_are_found_by_their_names_and_keep_their_order() {
        let found = fields(&[("Host", "d"), ("A", "1"), ("ab", ""), ("a", "2")]);
        assert_eq!((found.first("a"), found.text("host")), (Some(&b"1"[..]), Some("d")));
        assert_eq!(found.all("a").collect::<Vec<_>>(), [b"1", b"2"]);
        assert!(found.has("ab"));
        // No name is found in two fields together, or in a part of one.
        for absent in ["b", "hostd", "abc", "", "d", "1"] {
            assert!(!found.has(absent), "{absent}");
        }
    }

    #[test]
    fn a_field_that_is_set_has_one_value() {
        let mut found = fields(&[("a", "1"), ("b", "2"), ("a", "3")]);
        found.set("a", b"4");
        found.set("c", b"5");
        assert_eq!(found, fields(&[("b", "2"), ("a", "4"), ("c", "5")]));
        assert_eq!(listed(&found).len(), 3);
    }

    #[test]
    fn text_is_visible_ascii() {
        for (value, expected) in [("a b\tc", true), ("", true), ("a\u{7f}", false), ("é", false), ("a\u{1}", false)] {
            assert_eq!(visible(value.as_bytes()).is_some(), expected, "{value:?}");
        }
    }
}
