//! JSON types, and whether a member is always written.

use std::fmt;
use std::str::FromStr;

/// A type of JSON values, other than null.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum JsonType {
    /// A string.
    String,
    /// A number.
    Number,
    /// `true` or `false`.
    Boolean,
    /// An object.
    Object,
    /// An array.
    Array,
}

impl JsonType {
    const fn bit(self) -> u8 {
        1 << self as u8
    }
}

/// A set of JSON types.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TypeSet(u8);

impl TypeSet {
    /// No type: what a value may be is not known.
    pub const UNKNOWN: Self = Self(0);
    /// Strings, numbers and booleans.
    pub const SCALARS: Self = Self(0).with(JsonType::String).with(JsonType::Number).with(JsonType::Boolean);
    /// Every type.
    pub const ALL: Self = Self::SCALARS.with(JsonType::Object).with(JsonType::Array);

    /// This set and one more type.
    #[must_use]
    pub const fn with(self, one: JsonType) -> Self {
        Self(self.0 | one.bit())
    }

    /// Whether a type is in the set.
    pub const fn contains(self, one: JsonType) -> bool {
        self.0 & one.bit() != 0
    }

    /// Whether the set is empty.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The set as a number, for [`TypeSet::of_bits`].
    pub(super) const fn bits(self) -> u8 {
        self.0
    }

    /// The set that [`TypeSet::bits`] returned as a number.
    pub(super) const fn of_bits(bits: u8) -> Self {
        Self(bits & Self::ALL.0)
    }
}

/// The error for a text that is not a list of types.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownType;

impl fmt::Display for UnknownType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("expected string, integer, number, boolean, object, array or any, with `|` between several")
    }
}

impl std::error::Error for UnknownType {}

impl FromStr for TypeSet {
    type Err = UnknownType;

    /// Reads names of types with `|` between them, such as `array|string`.
    fn from_str(text: &str) -> Result<Self, UnknownType> {
        text.split('|').try_fold(Self::UNKNOWN, |types, name| {
            Ok(match name {
                "string" | "map-key" => types.with(JsonType::String),
                "integer" | "number" => types.with(JsonType::Number),
                "boolean" => types.with(JsonType::Boolean),
                "object" => types.with(JsonType::Object),
                "array" => types.with(JsonType::Array),
                "any" => Self::ALL,
                _ => return Err(UnknownType),
            })
        })
    }
}

/// Whether whoever writes the documents always writes a member.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Presence {
    /// In every object of its kind, whatever the value.
    Always,
    /// Only sometimes, or it is not known. Whether it is there then says something about its value.
    #[default]
    Sometimes,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_parse() {
        assert_eq!("array|string".parse(), Ok(TypeSet::default().with(JsonType::Array).with(JsonType::String)));
        assert_eq!("integer".parse::<TypeSet>(), "number".parse());
        assert_eq!("any".parse(), Ok(TypeSet::ALL));
        for text in ["", "text", "string|", "String", "array, string"] {
            assert_eq!(text.parse::<TypeSet>(), Err(UnknownType), "{text}");
        }
    }

    #[test]
    fn a_set_holds_what_was_put_in() {
        let types = TypeSet::UNKNOWN.with(JsonType::Number);
        assert!(types.contains(JsonType::Number) && !types.contains(JsonType::String) && !types.is_empty());
        assert!(TypeSet::UNKNOWN.is_empty() && !TypeSet::SCALARS.contains(JsonType::Object));
    }
}
