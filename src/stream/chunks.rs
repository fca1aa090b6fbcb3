//! Decodes a message body: separates its data from the chunk framing.

/// The position in a chunked body.
///
/// Extensions and trailers are refused: no engine sends any, and no client needs them.
///
/// Source: RFC 9112 §7.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ChunkState {
    /// In the size, after this many digits.
    Size {
        size: u64,
        digits: u8,
    },
    /// After the size: a line feed.
    SizeLf(u64),
    /// In the data, with this many bytes left.
    Data(u64),
    /// After the data: carriage return, line feed.
    DataCr,
    DataLf,
    /// After the last chunk: carriage return, line feed.
    EndCr,
    EndLf,
    /// After the body.
    End,
}

impl ChunkState {
    /// Before the first chunk.
    pub(super) const START: Self = Self::Size { size: 0, digits: 0 };

    /// The position after one byte of framing; `None` if the byte does not belong here.
    fn after(self, byte: u8) -> Option<Self> {
        Some(match (self, byte) {
            (Self::Size { size, digits }, byte) if byte.is_ascii_hexdigit() && digits < 15 => {
                let digit = (byte as char).to_digit(16)?;
                Self::Size { size: size << 4 | u64::from(digit), digits: digits + 1 }
            }
            (Self::Size { size, digits: 1.. }, b'\r') => Self::SizeLf(size),
            (Self::SizeLf(0), b'\n') => Self::EndCr,
            (Self::SizeLf(size), b'\n') => Self::Data(size),
            (Self::DataCr, b'\r') => Self::DataLf,
            (Self::DataLf, b'\n') => Self::START,
            (Self::EndCr, b'\r') => Self::EndLf,
            (Self::EndLf, b'\n') => Self::End,
            (
                Self::Size { .. }
                | Self::SizeLf(_)
                | Self::Data(_)
                | Self::DataCr
                | Self::DataLf
                | Self::EndCr
                | Self::EndLf
                | Self::End,
                _,
            ) => return None,
        })
    }

    /// The position before the next data or after the body. Takes the framing before it from the front of `bytes`, as far as that has
    /// arrived; `None` if it is malformed.
    #[inline]
    pub(super) fn after_framing(mut self, bytes: &mut &[u8]) -> Option<Self> {
        // Between two chunks of a stream, all of it has arrived, as a rule.
        if let (Self::DataCr, [b'\r', b'\n', line @ ..]) = (self, *bytes)
            && let Some((size, data)) = size_line(line)
        {
            *bytes = data;
            return Some(Self::Data(size));
        }
        while !matches!(self, Self::Data(_) | Self::End) {
            let Some((byte, behind)) = bytes.split_first() else { break };
            self = self.after(*byte)?;
            *bytes = behind;
        }
        Some(self)
    }

    /// The position after `taken` of the `left` bytes of data.
    #[inline]
    pub(super) fn after_data(left: u64, taken: usize) -> Self {
        match left.saturating_sub(taken as u64) {
            0 => Self::DataCr,
            left => Self::Data(left),
        }
    }
}

/// The size of a chunk that is not the last one, and what comes behind its line; `None` if that is not all here.
#[inline]
fn size_line(line: &[u8]) -> Option<(u64, &[u8])> {
    let mut size = 0;
    for (digits, byte) in line.iter().enumerate().take(16) {
        let digit = match byte {
            b'0'..=b'9' => byte - b'0',
            b'a'..=b'f' => byte - b'a' + 10,
            b'A'..=b'F' => byte - b'A' + 10,
            _ if digits > 0 && size > 0 => return Some((size, line.get(digits..)?.strip_prefix(b"\r\n")?)),
            _ => return None,
        };
        size = size << 4 | u64::from(digit);
    }
    None
}

/// Takes the data of a chunk of `size` bytes and the framing behind it from the front of `bytes`, again and again, as long as that is
/// the `framing` before it: the next chunk is as large. A stream often has chunks of one size. Where the next one is need not be read
/// from the last one then, which costs more than to compare it.
#[inline]
fn skip_alike(bytes: &mut &[u8], size: u64, framing: &[u8]) {
    let mut word = [0; 8];
    let (Ok(size), Some(start)) = (usize::try_from(size), word.get_mut(..framing.len())) else { return };
    start.copy_from_slice(framing);
    let (word, mask) = (u64::from_le_bytes(word), u64::MAX >> (64 - 8 * framing.len().max(1)));
    while let Some(next) = bytes.get(size..).and_then(|next| next.first_chunk())
        && u64::from_le_bytes(*next) & mask == word
    {
        *bytes = bytes.get(size + framing.len()..).unwrap_or_default();
    }
}

/// The smaller of `left` bytes to come and `length` bytes in memory.
#[inline]
pub fn shorter(left: u64, length: usize) -> usize {
    usize::try_from(left).unwrap_or(usize::MAX).min(length)
}

/// Follows the framing of a body and returns its data.
#[derive(Debug)]
pub struct BodyDecoder(Remaining);

#[derive(Debug)]
enum Remaining {
    Length(u64),
    Chunked(ChunkState),
}

/// A chunked body that is malformed, or has extensions or trailers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadChunk;

impl BodyDecoder {
    /// A body of this many bytes.
    pub fn of_length(length: u64) -> Self {
        Self(Remaining::Length(length))
    }

    /// A chunked body.
    pub fn chunked() -> Self {
        Self(Remaining::Chunked(ChunkState::START))
    }

    /// Takes the next run of data from the front of `bytes`. `None` if `bytes` or the body has no more data.
    ///
    /// # Errors
    /// [`BadChunk`]; the decoder cannot be used after it.
    pub fn data<'b>(&mut self, bytes: &mut &'b [u8]) -> Result<Option<&'b [u8]>, BadChunk> {
        loop {
            match self.0 {
                Remaining::Length(left) => {
                    let data = take(bytes, left);
                    self.0 = Remaining::Length(left.saturating_sub(data.len() as u64));
                    return Ok(Some(data).filter(|data| !data.is_empty()));
                }
                Remaining::Chunked(ChunkState::End) => return Ok(None),
                Remaining::Chunked(ChunkState::Data(left)) => {
                    let data = take(bytes, left);
                    if data.is_empty() {
                        return Ok(None);
                    }
                    self.0 = Remaining::Chunked(ChunkState::after_data(left, data.len()));
                    return Ok(Some(data));
                }
                Remaining::Chunked(_) if bytes.is_empty() => return Ok(None),
                Remaining::Chunked(chunk) => {
                    self.0 = Remaining::Chunked(chunk.after_framing(bytes).ok_or(BadChunk)?);
                }
            }
        }
    }

    /// Follows `bytes`; returns how many bytes at their front belong to the body, framing included.
    ///
    /// # Errors
    /// [`BadChunk`]; the decoder cannot be used after it.
    pub fn follow(&mut self, bytes: &[u8]) -> Result<usize, BadChunk> {
        let mut behind = bytes;
        let Remaining::Chunked(mut chunk) = self.0 else {
            while self.data(&mut behind)?.is_some() {}
            return Ok(bytes.len() - behind.len());
        };
        // The position stays in registers. A stream may have a chunk for every few bytes.
        while chunk != ChunkState::End && !behind.is_empty() {
            chunk = if let ChunkState::Data(left) = chunk {
                ChunkState::after_data(left, take(&mut behind, left).len())
            } else {
                let before = behind;
                let next = chunk.after_framing(&mut behind).ok_or(BadChunk)?;
                if let (ChunkState::DataCr, ChunkState::Data(size)) = (chunk, next) {
                    let framing = before.get(..before.len() - behind.len()).unwrap_or_default();
                    skip_alike(&mut behind, size, framing);
                }
                next
            };
        }
        self.0 = Remaining::Chunked(chunk);
        Ok(bytes.len() - behind.len())
    }

    /// How many bytes of data are to come, if that is known.
    pub fn left(&self) -> Option<u64> {
        match self.0 {
            Remaining::Length(left) => Some(left),
            Remaining::Chunked(_) => None,
        }
    }

    /// How many bytes of data come next, without framing between them.
    pub fn unframed(&self) -> u64 {
        match self.0 {
            Remaining::Length(left) | Remaining::Chunked(ChunkState::Data(left)) => left,
            Remaining::Chunked(_) => 0,
        }
    }

    /// Passes over `count` bytes of data, which are no more than [`Self::unframed`].
    pub fn skip(&mut self, count: usize) {
        match &mut self.0 {
            Remaining::Length(left) => *left = left.saturating_sub(count as u64),
            Remaining::Chunked(chunk) => {
                if let ChunkState::Data(left) = *chunk {
                    *chunk = ChunkState::after_data(left, count);
                }
            }
        }
    }

    /// Whether the body has ended.
    pub fn has_ended(&self) -> bool {
        matches!(self.0, Remaining::Length(0) | Remaining::Chunked(ChunkState::End))
    }
}

/// Takes up to `count` bytes from the front.
#[inline]
fn take<'b>(bytes: &mut &'b [u8], count: u64) -> &'b [u8] {
    let (taken, behind) = bytes.split_at_checked(shorter(count, bytes.len())).unwrap_or_default();
    *bytes = behind;
    taken
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The data of a body that arrives in pieces of this size, and whether the body has ended.
    fn data(mut body: BodyDecoder, text: &str, size: usize) -> Result<(String, bool), BadChunk> {
        let mut found = Vec::new();
        for mut piece in text.as_bytes().chunks(size) {
            while let Some(data) = body.data(&mut piece)? {
                assert!(!data.is_empty());
                found.extend_from_slice(data);
            }
        }
        Ok((String::from_utf8(found).unwrap(), body.has_ended()))
    }

    #[track_caller]
    fn check(body: fn() -> BodyDecoder, text: &str, expected: Result<(&str, bool), BadChunk>) {
        for size in 1..=text.len().max(1) {
            let found = data(body(), text, size);
            assert_eq!(found, expected.map(|(data, ended)| (data.to_owned(), ended)), "{text:?} in pieces of {size}");
        }
    }

    #[test]
    fn the_data_of_a_chunked_body_is_returned() {
        check(BodyDecoder::chunked, "3\r\nabc\r\n1\r\nd\r\n0\r\n\r\n", Ok(("abcd", true)));
        check(BodyDecoder::chunked, "00a\r\n0123456789\r\n", Ok(("0123456789", false)));
        check(BodyDecoder::chunked, "0\r\n\r\nbehind", Ok(("", true)));
        check(BodyDecoder::chunked, "5\r\nab", Ok(("ab", false)));
        check(BodyDecoder::chunked, "", Ok(("", false)));
    }

    #[test]
    fn a_body_with_a_length_ends_there() {
        check(|| BodyDecoder::of_length(3), "abcd", Ok(("abc", true)));
        check(|| BodyDecoder::of_length(3), "ab", Ok(("ab", false)));
        check(|| BodyDecoder::of_length(0), "a", Ok(("", true)));
    }

    #[test]
    fn bytes_after_a_body_do_not_belong_to_it() {
        for (mut body, text, length) in [
            (BodyDecoder::chunked(), "3\r\nabc\r\n0\r\n\r\nbehind", 13),
            (BodyDecoder::chunked(), "3\r\nab", 5),
            (BodyDecoder::of_length(3), "abcd", 3),
        ] {
            assert_eq!(body.follow(text.as_bytes()), Ok(length), "{text:?}");
        }
        assert_eq!(BodyDecoder::chunked().follow(b"3;\0\r\nabc\r\n"), Err(BadChunk));
    }

    #[test]
    fn data_that_is_passed_over_counts_as_data_that_is_followed() {
        let text = "3\r\nabc\r\n10\r\n0123456789abcdef\r\n0\r\n\r\n";
        for size in 1..=text.len() {
            let (mut followed, mut skipped) = (BodyDecoder::chunked(), BodyDecoder::chunked());
            let mut rest = text.as_bytes();
            while !rest.is_empty() {
                let count = match skipped.unframed() {
                    0 => {
                        let piece = rest.get(..size).unwrap_or(rest);
                        skipped.follow(piece).unwrap()
                    }
                    data => {
                        let count = shorter(data, size);
                        skipped.skip(count);
                        count
                    }
                };
                let (piece, behind) = rest.split_at(count);
                assert_eq!(followed.follow(piece), Ok(count), "{size}: {rest:?}");
                assert_eq!(format!("{followed:?}"), format!("{skipped:?}"), "{size}: {rest:?}");
                rest = behind;
            }
            assert!(skipped.has_ended(), "{size}");
        }
        let mut body = BodyDecoder::of_length(3);
        assert_eq!(body.unframed(), 3);
        body.skip(2);
        assert!(!body.has_ended());
        body.skip(1);
        assert!(body.has_ended());
    }

    #[test]
    fn chunks_of_one_size_are_followed_as_others_are() {
        let alike = |size: usize| format!("{size:x}\r\n{}\r\n", "a".repeat(size));
        for size in [1, 2, 9, 10, 15, 16, 0x88, 0xfff, 0x1000] {
            let chunks = alike(size).repeat(5);
            for last in [
                "0\r\n\r\nbehind",
                "0\r\n\r\n5\r\n",
                "0\r\nA: b\r\n\r\n",
                "",
                &format!("{size:x}\r\nab"),
                &format!("{size:x}\r;{}\r\n", "a".repeat(size)),
                &format!("{size:X};\r\nab\r\n"),
                &format!("0{size:x}\r\n{}\r\n0\r\n\r\n", "a".repeat(size)),
                &format!("{size:x}\r\n{}\n\r0\r\n\r\n", "a".repeat(size)),
                &format!("{size:x}0\r\n{}\r\n0\r\n\r\n", "\r\n1\r\n".repeat(size).get(..16 * size).unwrap_or_default()),
            ] {
                let text = format!("{chunks}{last}");
                let (mut whole, mut single) = (BodyDecoder::chunked(), BodyDecoder::chunked());
                // Of a single byte, nothing can be compared.
                let bytes = text.as_bytes().chunks(1);
                let length = bytes.map(|byte| single.follow(byte)).sum::<Result<usize, BadChunk>>();
                assert_eq!(whole.follow(text.as_bytes()), length, "chunks of {size}, then {last:?}");
                assert_eq!(whole.has_ended(), single.has_ended(), "chunks of {size}, then {last:?}");
            }
        }
    }

    #[test]
    fn a_malformed_chunk_is_refused() {
        for text in
            ["x", "\r\n", "3;a=b\r\nabc\r\n", "3\nabc\n", "3\r\nabcd\r\n", "0\r\nA: b\r\n\r\n", "1000000000000000\r\n"]
        {
            check(BodyDecoder::chunked, text, Err(BadChunk));
        }
    }
}
