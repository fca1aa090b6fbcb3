//! A compact binary form of the tables inside the program. `build.rs` writes it, and the program reads it in one pass.
//!
//! It has no version and no names: both sides are built from the same source. Each type that is packed has its two halves side by
//! side, in the module of the type.

/// Writes the compact form.
#[derive(Debug, Default)]
pub struct Packer {
    bytes: Vec<u8>,
}

impl Packer {
    /// Writes a number, seven bits to a byte, the lowest first.
    pub fn number(&mut self, mut number: u32) {
        while number > 0x7f {
            self.bytes.push(number.to_le_bytes()[0] | 0x80);
            number >>= 7;
        }
        self.bytes.push(number.to_le_bytes()[0]);
    }

    /// Writes the number of something in memory.
    pub fn count(&mut self, count: usize) {
        // Nothing that a program holds built in comes near this.
        self.number(u32::try_from(count).unwrap_or(u32::MAX));
    }

    /// Writes a text, with its length before it.
    pub fn text(&mut self, text: &str) {
        self.raw(text.as_bytes());
    }

    /// Writes bytes, with their number before them.
    pub fn raw(&mut self, bytes: &[u8]) {
        self.count(bytes.len());
        self.bytes.extend_from_slice(bytes);
    }

    /// Writes a list, with its length before it.
    pub fn list<T>(&mut self, items: impl ExactSizeIterator<Item = T>, mut write: impl FnMut(&mut Self, T)) {
        self.count(items.len());
        items.for_each(|item| write(self, item));
    }

    /// Everything that was written.
    pub fn finish(self) -> Vec<u8> {
        self.bytes
    }
}

/// Reads the compact form. Every method returns `None` if the bytes are not what a [`Packer`] writes.
#[derive(Clone, Debug)]
pub struct Unpacker<'p> {
    rest: &'p [u8],
}

impl<'p> Unpacker<'p> {
    /// Starts at the first byte.
    pub fn new(packed: &'p [u8]) -> Self {
        Self { rest: packed }
    }

    /// Reads a number.
    #[inline]
    pub fn number(&mut self) -> Option<u32> {
        let mut number = 0;
        for shift in (0..u32::BITS).step_by(7) {
            let (byte, rest) = self.rest.split_first()?;
            self.rest = rest;
            number |= u32::from(byte & 0x7f) << shift;
            if *byte < 0x80 {
                return Some(number);
            }
        }
        None
    }

    /// Reads the number of something in memory.
    pub fn count(&mut self) -> Option<usize> {
        usize::try_from(self.number()?).ok()
    }

    /// Reads a text.
    pub fn text(&mut self) -> Option<&'p str> {
        str::from_utf8(self.raw()?).ok()
    }

    /// Reads bytes that have their number before them.
    pub fn raw(&mut self) -> Option<&'p [u8]> {
        let length = self.count()?;
        let (bytes, rest) = self.rest.split_at_checked(length)?;
        self.rest = rest;
        Some(bytes)
    }

    /// Reads a list.
    pub fn list<T>(&mut self, mut read: impl FnMut(&mut Self) -> Option<T>) -> Option<Vec<T>> {
        let count = self.count()?;
        // An item takes a byte at least.
        let mut items = Vec::with_capacity(count.min(self.rest.len()));
        for _ in 0..count {
            items.push(read(self)?);
        }
        Some(items)
    }

    /// Returns a value that was read, if it was the last one.
    pub fn finish<T>(&self, value: T) -> Option<T> {
        self.rest.is_empty().then_some(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_packed_is_unpacked() {
        let numbers = [0, 1, 0x7f, 0x80, 0x3fff, 0x4000, u32::MAX - 1, u32::MAX];
        let texts = ["", "a", "é", &"long ".repeat(100)];
        let mut packer = Packer::default();
        packer.list(numbers.iter(), |packer, number| packer.number(*number));
        packer.list(texts.iter(), |packer, text| packer.text(text));
        let packed = packer.finish();
        let mut unpacker = Unpacker::new(&packed);
        assert_eq!(unpacker.list(Unpacker::number).unwrap(), numbers);
        assert!(unpacker.finish(()).is_none());
        assert_eq!(unpacker.list(Unpacker::text).unwrap(), texts);
        assert!(unpacker.finish(()).is_some());
    }

    #[test]
    fn what_no_packer_writes_is_refused() {
        assert_eq!(Unpacker::new(&[0xff; 8]).number(), None);
        assert_eq!(Unpacker::new(&[0x80]).number(), None);
        assert_eq!(Unpacker::new(&[2, b'a']).text(), None);
        assert_eq!(Unpacker::new(&[1, 0xff]).text(), None);
        assert_eq!(Unpacker::new(&[0xff, 0xff, 0xff, 0xff, 0x0f, 0]).list(Unpacker::number), None);
    }
}
