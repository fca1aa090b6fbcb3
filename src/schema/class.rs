//! Classes: how sensitive a field is.

use crate::quoting;
use std::fmt;
use std::str::FromStr;

/// How sensitive a field is, from the most to the least. A field that fits two classes belongs to the earlier one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// Credentials, and values that often contain them.
    Secret,
    /// Command lines, arguments, health checks, build steps.
    Command,
    /// Labels, annotations, errors, descriptions, output: any text that a person or a program wrote.
    FreeText,
    /// File system paths, on the host or inside a container.
    HostPath,
    /// Addresses, ports, host names, networks and their members.
    Topology,
    /// The kernel, hardware, configuration of the engine, drivers, capabilities.
    Host,
    /// Ids, names, image references, digests, certificates.
    Identity,
    /// Status, counters, sizes, limits, times, enumerations.
    State,
}

impl Class {
    /// Every class, the most sensitive first.
    pub const ALL: [Self; 8] = [
        Self::Secret,
        Self::Command,
        Self::FreeText,
        Self::HostPath,
        Self::Topology,
        Self::Host,
        Self::Identity,
        Self::State,
    ];

    /// The name of the class, in files and on the command line.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Secret => "secret",
            Self::Command => "command",
            Self::FreeText => "free-text",
            Self::HostPath => "host-path",
            Self::Topology => "topology",
            Self::Host => "host",
            Self::Identity => "identity",
            Self::State => "state",
        }
    }

    /// Whether a text of this class can contain credentials among other words. If it is shown, they are masked.
    pub const fn may_hold_credentials(self) -> bool {
        match self {
            Self::Command | Self::FreeText => true,
            Self::Secret | Self::HostPath | Self::Topology | Self::Host | Self::Identity | Self::State => false,
        }
    }

    /// The index of the class in [`Class::ALL`].
    pub fn index(self) -> usize {
        self as usize
    }

    /// The bit of the class in a [`ClassSet`].
    const fn bit(self) -> u8 {
        match self {
            Self::Secret => 1,
            Self::Command => 1 << 1,
            Self::FreeText => 1 << 2,
            Self::HostPath => 1 << 3,
            Self::Topology => 1 << 4,
            Self::Host => 1 << 5,
            Self::Identity => 1 << 6,
            Self::State => 1 << 7,
        }
    }
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Class {
    type Err = UnknownClass;

    fn from_str(text: &str) -> Result<Self, UnknownClass> {
        Self::ALL
            .into_iter()
            .find(|class| class.as_str() == text)
            .ok_or_else(|| UnknownClass { found: text.to_owned() })
    }
}

/// The error for a text that is not the name of a class.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownClass {
    found: String,
}

impl fmt::Display for UnknownClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "unknown class {:?}, expected one of", quoting::value(&self.found))?;
        for (index, class) in Class::ALL.into_iter().enumerate() {
            write!(f, "{} {class}", if index == 0 { "" } else { "," })?;
        }
        Ok(())
    }
}

impl std::error::Error for UnknownClass {}

/// A set of classes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct ClassSet(u8);

impl ClassSet {
    /// No class.
    pub const EMPTY: Self = Self(0);
    /// Every class.
    pub const ALL: Self = Self(u8::MAX);

    /// Adds `class` to the set.
    #[must_use]
    pub const fn with(self, class: Class) -> Self {
        Self(self.0 | class.bit())
    }

    /// Whether `class` is in the set.
    pub const fn contains(self, class: Class) -> bool {
        self.0 & class.bit() != 0
    }

    /// The classes in the set, the most sensitive first.
    pub fn iter(self) -> impl Iterator<Item = Class> {
        Class::ALL.into_iter().filter(move |class| self.contains(*class))
    }
}

impl FromIterator<Class> for ClassSet {
    fn from_iter<I: IntoIterator<Item = Class>>(classes: I) -> Self {
        classes.into_iter().fold(Self::EMPTY, Self::with)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_parses_back() {
        for class in Class::ALL {
            assert_eq!(class.as_str().parse(), Ok(class));
        }
    }

    #[test]
    fn the_error_for_an_unknown_class_lists_the_known_ones() {
        assert_eq!(
            "Secret".parse::<Class>().map_err(|error| error.to_string()),
            Err("unknown class \"Secret\", expected one of secret, command, free-text, host-path, topology, host, \
                 identity, state"
                .to_owned())
        );
    }

    #[test]
    fn a_set_contains_what_was_added() {
        let set: ClassSet = [Class::State, Class::Secret].into_iter().collect();
        assert_eq!(set.iter().collect::<Vec<_>>(), [Class::Secret, Class::State]);
        assert_eq!(ClassSet::ALL.iter().count(), 8);
        assert_eq!(ClassSet::EMPTY.iter().count(), 0);
    }
}
