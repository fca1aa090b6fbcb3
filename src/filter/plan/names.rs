//! A hash table of names, each found by its exact bytes.

use std::sync::atomic::{AtomicU32, Ordering};

use wide::u8x16;

use crate::filter::credential;

/// Names by their exact bytes: open addressing with linear probing.
#[derive(Clone, Debug, Default)]
pub(in crate::filter) struct Names {
    names: Vec<Name>,
    /// One more than the index of a name, or zero. The length is a power of two, and at least half of the slots are zero.
    slots: Vec<u32>,
    followers: Followers,
}

#[derive(Clone, Debug)]
struct Name {
    digest: KeyDigest,
    name: String,
    /// The name as an engine writes it; `None` if that has escapes.
    key: Option<KeyText>,
    /// Whether it may be the name of a credential.
    is_sensitive: bool,
}

/// The name that followed each name in the last document. Engines write the members of similar objects in one order.
///
/// The first entry is for the start of an object, and each other entry for one name. An entry is the index of a name plus one, or
/// zero if nothing is known.
///
/// An entry is a guess: the name is compared with the text before it is used. So every walk may change entries at any time.
#[derive(Debug, Default)]
struct Followers(Vec<AtomicU32>);

impl Clone for Followers {
    fn clone(&self) -> Self {
        Self(self.0.iter().map(|_| AtomicU32::new(0)).collect())
    }
}

impl Names {
    /// A table of `names`. Of equal names the first is found.
    pub(super) fn new(names: Vec<String>) -> Self {
        if names.is_empty() {
            return Self::default();
        }
        let names: Vec<Name> = names.into_iter().map(Name::new).collect();
        let mut slots = vec![0_u32; (names.len() * 4).next_power_of_two()];
        let mask = slots.len().wrapping_sub(1);
        for (number, name) in (1_u32..).zip(&names) {
            let mut probe = name.digest.hash();
            while let Some(slot) = slots.get_mut(probe & mask) {
                if *slot == 0 {
                    *slot = number;
                    break;
                }
                probe = probe.wrapping_add(1);
            }
        }
        let followers = Followers((0..=names.len()).map(|_| AtomicU32::new(0)).collect());
        Self { names, slots, followers }
    }

    /// The names, in their order.
    pub(super) fn iter(&self) -> impl Iterator<Item = &str> {
        self.names.iter().map(|name| name.name.as_str())
    }

    /// The number of names.
    pub(in crate::filter) fn len(&self) -> usize {
        self.names.len()
    }

    /// The index of `key` among the names.
    #[inline]
    pub(in crate::filter) fn find(&self, key: &[u8]) -> Option<usize> {
        self.find_digest(KeyDigest::of(key), key)
    }

    /// The index of `key`, which has this digest, among the names.
    #[inline]
    pub(in crate::filter) fn find_digest(&self, digest: KeyDigest, key: &[u8]) -> Option<usize> {
        let mask = self.slots.len().checked_sub(1)?;
        let mut probe = digest.hash();
        loop {
            let index = (*self.slots.get(probe & mask)? as usize).checked_sub(1)?;
            let known = self.names.get(index)?;
            if known.digest == digest && (digest.is_whole_key() || known.name.as_bytes() == key) {
                return Some(index);
            }
            probe = probe.wrapping_add(1);
        }
    }
}

impl Names {
    /// The name that came after the one with the index `last - 1` the last time: its index, and the key. If `last` is zero, the
    /// one that came first.
    #[inline]
    pub(in crate::filter) fn follower(&self, last: usize) -> Option<(usize, &KeyText)> {
        let follower = self.followers.0.get(last)?.load(Ordering::Relaxed);
        let index = (follower as usize).checked_sub(1)?;
        Some((index, self.names.get(index)?.key.as_ref()?))
    }

    /// Whether the name with this index may be that of a credential.
    #[inline]
    pub(in crate::filter) fn is_sensitive(&self, index: usize) -> bool {
        self.names.get(index).is_none_or(|name| name.is_sensitive)
    }

    /// Notes that the name with this index came after the one with the index `last - 1`, or first.
    #[inline]
    pub(in crate::filter) fn follows(&self, last: usize, index: usize) {
        if let (Some(slot), Ok(number)) = (self.followers.0.get(last), u32::try_from(index + 1)) {
            slot.store(number, Ordering::Relaxed);
        }
    }
}

impl Name {
    fn new(name: String) -> Self {
        let digest = KeyDigest::of(name.as_bytes());
        let needs_escape = |byte: u8| matches!(byte, 0..0x20 | b'"' | b'\\');
        let key = (!name.bytes().any(needs_escape)).then(|| KeyText::new(&name));
        let is_sensitive = credential::may_name_credential(name.as_bytes());
        Self { digest, is_sensitive, name, key }
    }
}

/// A key with its quotes and its colon, ready to be compared with a text: mostly in one or two comparisons of sixteen bytes.
#[derive(Clone, Debug)]
pub(in crate::filter) struct KeyText {
    key: Box<[u8]>,
    /// Its first sixteen bytes. Zeros are behind a shorter key.
    first: [u8; KEY_CHUNK],
    /// The bytes of `first` that belong to the key, a bit each.
    mask: u32,
    /// How many bytes come before its last sixteen; zero if it has no more than these.
    before: usize,
    /// Its last sixteen bytes, if it has as many.
    last: [u8; KEY_CHUNK],
}

/// How many bytes of a key are compared at a time.
const KEY_CHUNK: usize = 16;

impl KeyText {
    /// The key `name`, which needs no escapes.
    fn new(name: &str) -> Self {
        let key: Box<[u8]> = [b"\"", name.as_bytes(), b"\":"].concat().into();
        let mut first = [0; KEY_CHUNK];
        first.iter_mut().zip(&key).for_each(|(slot, byte)| *slot = *byte);
        let mask = key.iter().take(KEY_CHUNK).fold(0, |mask, _| mask << 1 | 1);
        let (before, last) = (key.len().saturating_sub(KEY_CHUNK), key.last_chunk().copied().unwrap_or_default());
        Self { key, first, mask, before, last }
    }

    /// The number of bytes of the key, with its quotes and its colon.
    #[inline]
    pub(in crate::filter) fn len(&self) -> usize {
        self.key.len()
    }

    /// Whether `text` begins with the key.
    #[inline]
    pub(in crate::filter) fn begins(&self, text: &[u8]) -> bool {
        let Some(first) = text.first_chunk() else { return text.starts_with(&self.key) };
        if same_bytes(first, &self.first) & self.mask != self.mask {
            return false;
        }
        self.before == 0 || self.goes_on(text)
    }

    /// Whether a text that begins with the first sixteen bytes of the key begins with all of it.
    #[inline]
    fn goes_on(&self, text: &[u8]) -> bool {
        let Some(last) = text.get(self.before..).and_then(<[u8]>::first_chunk) else { return false };
        let has_last = same_bytes(last, &self.last) == u32::from(u16::MAX);
        let between = KEY_CHUNK..self.before;
        has_last && (between.is_empty() || text.get(between.clone()) == self.key.get(between))
    }
}

/// The bytes in which two chunks agree, a bit each.
#[inline(always)]
fn same_bytes(one: &[u8; KEY_CHUNK], other: &[u8; KEY_CHUNK]) -> u32 {
    u8x16::new(*one).simd_eq(u8x16::new(*other)).to_bitmask()
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

    #[test]
    fn a_key_is_compared_to_its_last_byte() {
        for length in 0..70 {
            let name: String = ('a'..='z').cycle().take(length).collect();
            let (key, text) = (KeyText::new(&name), format!("\"{name}\":"));
            assert_eq!(key.len(), text.len());
            for behind in ["", "1", "\"a text that is longer than one chunk\""] {
                let mut whole = format!("{text}{behind}").into_bytes();
                assert!(key.begins(&whole), "{text}");
                for at in 0..text.len() {
                    assert!(!key.begins(&whole[..at]), "{text} to {at}");
                    for other in [0, b'"', b':', b'a' + 32] {
                        let byte = std::mem::replace(&mut whole[at], other);
                        assert_eq!(key.begins(&whole), byte == other, "{text} with {other} at {at}");
                        whole[at] = byte;
                    }
                }
            }
        }
    }
}
