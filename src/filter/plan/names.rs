//! A hash table of names, each found by its exact bytes.

/// Names by their exact bytes. Immutable; open addressing with linear probing.
#[derive(Clone, Debug, Default)]
pub(in crate::filter) struct Names {
    names: Vec<(KeyDigest, String)>,
    /// One more than the index of a name, or zero. The length is a power of two, and at least half of the slots are zero.
    slots: Vec<u32>,
}

impl Names {
    /// A table of `names`, which are all different.
    pub(super) fn new(names: Vec<String>) -> Self {
        if names.is_empty() {
            return Self::default();
        }
        let names: Vec<(KeyDigest, String)> =
            names.into_iter().map(|name| (KeyDigest::of(name.as_bytes()), name)).collect();
        let mut slots = vec![0_u32; (names.len() * 4).next_power_of_two()];
        let mask = slots.len().wrapping_sub(1);
        for (number, (digest, _)) in (1_u32..).zip(&names) {
            let mut probe = digest.hash();
            while let Some(slot) = slots.get_mut(probe & mask) {
                if *slot == 0 {
                    *slot = number;
                    break;
                }
                probe = probe.wrapping_add(1);
            }
        }
        Self { names, slots }
    }

    /// The number of names.
    pub(in crate::filter) fn len(&self) -> usize {
        self.names.len()
    }

    /// The index of `key` among the names.
    #[inline]
    pub(in crate::filter) fn find(&self, key: &[u8]) -> Option<usize> {
        let mask = self.slots.len().checked_sub(1)?;
        let digest = KeyDigest::of(key);
        let mut probe = digest.hash();
        loop {
            let index = (*self.slots.get(probe & mask)? as usize).checked_sub(1)?;
            let (known, name) = self.names.get(index)?;
            if *known == digest && (digest.is_whole_key() || name.as_bytes() == key) {
                return Some(index);
            }
            probe = probe.wrapping_add(1);
        }
    }
}

/// A digest of a key: its length, its first and its last eight bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::filter) struct KeyDigest {
    length: usize,
    first: u64,
    last: u64,
}

impl KeyDigest {
    /// The digest of `key`.
    #[inline]
    pub(in crate::filter) fn of(key: &[u8]) -> Self {
        let (first, last) = match (key.first_chunk::<8>(), key.last_chunk::<8>()) {
            (Some(first), Some(last)) => (u64::from_le_bytes(*first), u64::from_le_bytes(*last)),
            _ => match (key.first_chunk::<4>(), key.last_chunk::<4>()) {
                (Some(first), Some(last)) => {
                    (u64::from(u32::from_le_bytes(*first)), u64::from(u32::from_le_bytes(*last)))
                }
                _ => (key.iter().fold(0, |all, byte| all << 8 | u64::from(*byte)), 0),
            },
        };
        Self { length: key.len(), first, last }
    }

    /// Whether equal digests mean equal keys.
    #[inline]
    fn is_whole_key(self) -> bool {
        self.length <= 16
    }

    /// A hash. Not for use where whoever writes the keys profits from collisions.
    #[inline]
    pub(in crate::filter) fn hash(self) -> usize {
        const MULTIPLIER: u64 = 0x9e37_79b9_7f4a_7c15;
        let mixed = (self.first ^ self.last.rotate_left(23) ^ self.length as u64).wrapping_mul(MULTIPLIER);
        // The upper half is the better mixed one.
        (mixed >> 32) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_found_by_its_exact_bytes() {
        let long = "a name of more than sixteen bytes";
        let names: Vec<String> = (0..300).map(|number| format!("name{number}")).chain([long.to_owned()]).collect();
        let table = Names::new(names.clone());
        for (index, name) in names.iter().enumerate() {
            assert_eq!(table.find(name.as_bytes()), Some(index));
        }
        for other in ["", "name", "Name1", "name300", "a name of more thAn sixteen bytes"] {
            assert_eq!(table.find(other.as_bytes()), None, "{other}");
        }
        assert_eq!(Names::default().find(b""), None);
    }
}
