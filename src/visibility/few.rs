//! Lists and maps in the engine's documents that are read only if they have few entries.
//!
//! Each entry takes many times the memory of its text, and whoever makes an object says how many labels it has. An object with
//! more than [`MOST`] of anything that visibility depends on cannot be read, so it is hidden.

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};

/// How many entries are read of one list or map.
pub(super) const MOST: usize = 1024;

/// A map of at most [`MOST`] entries.
#[derive(Debug)]
pub(super) struct FewEntries<V>(pub(super) BTreeMap<String, V>);

/// A list of at most [`MOST`] elements.
#[derive(Debug)]
pub(super) struct FewElements<T>(pub(super) Vec<T>);

// By hand: a derived one asks for the default of what is in it.
impl<V> Default for FewEntries<V> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<T> Default for FewElements<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<'d, V: Deserialize<'d>> Deserialize<'d> for FewEntries<V> {
    fn deserialize<D: Deserializer<'d>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_map(FewVisitor::<BTreeMap<String, V>>(PhantomData)).map(Self)
    }
}

impl<'d, T: Deserialize<'d>> Deserialize<'d> for FewElements<T> {
    fn deserialize<D: Deserializer<'d>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_seq(FewVisitor::<Vec<T>>(PhantomData)).map(Self)
    }
}

struct FewVisitor<C>(PhantomData<C>);

impl<'d, V: Deserialize<'d>> Visitor<'d> for FewVisitor<BTreeMap<String, V>> {
    type Value = BTreeMap<String, V>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a map of at most {MOST} entries")
    }

    fn visit_map<A: MapAccess<'d>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let (mut entries, mut read) = (BTreeMap::new(), 0);
        while let Some((key, value)) = map.next_entry()? {
            read += 1;
            if read > MOST {
                return Err(A::Error::invalid_length(read, &self));
            }
            entries.insert(key, value);
        }
        Ok(entries)
    }
}

impl<'d, T: Deserialize<'d>> Visitor<'d> for FewVisitor<Vec<T>> {
    type Value = Vec<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a list of at most {MOST} elements")
    }

    fn visit_seq<A: SeqAccess<'d>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        let mut elements = Vec::new();
        while let Some(element) = list.next_element()? {
            if elements.len() == MOST {
                return Err(A::Error::invalid_length(MOST + 1, &self));
            }
            elements.push(element);
        }
        Ok(elements)
    }
}

#[cfg(test)]
mod tests {
    use serde::de::IgnoredAny;

    use super::*;

    #[test]
    fn as_many_as_allowed_are_read_and_no_more() {
        for (count, is_read) in [(0, true), (1, true), (MOST, true), (MOST + 1, false)] {
            let map: Vec<String> = (0..count).map(|number| format!("\"{number}\":1")).collect();
            let map = serde_json::from_str::<FewEntries<u8>>(&format!("{{{}}}", map.join(",")));
            assert_eq!(map.ok().map(|map| map.0.len()), is_read.then_some(count), "{count}");
            let list = serde_json::from_str::<FewElements<IgnoredAny>>(&format!("[{}]", vec!["1"; count].join(",")));
            assert_eq!(list.ok().map(|list| list.0.len()), is_read.then_some(count), "{count}");
        }
        let same = format!("{{{}}}", vec!["\"a\":1"; MOST + 1].join(","));
        assert!(serde_json::from_str::<FewEntries<u8>>(&same).is_err());
        assert!(serde_json::from_str::<Option<FewEntries<u8>>>("null").unwrap().is_none());
    }
}
