//! The data of a body, told apart from what frames it.

/// Where one is in a chunked body.
///
/// Extensions and trailers are refused: no engine sends any, and no client has a reason to.
///
/// Source: RFC 9112 §7.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Chunk {
    /// In the size, with as many digits seen.
    Size {
        size: u64,
        digits: u8,
    },
    /// Behind the size: a line feed.
    SizeLf(u64),
    /// In the data, with this many bytes to come.
    Data(u64),
    /// Behind the data: carriage return, line feed.
    DataCr,
    DataLf,
    /// Behind the last chunk: carriage return, line feed.
    EndCr,
    EndLf,
    /// Behind all of it.
    End,
}

impl Chunk {
    /// Before the first chunk.
    pub(super) const START: Self = Self::Size { size: 0, digits: 0 };

    /// Behind one byte of framing; `None` if it is not the one that belongs here.
    pub(super) fn after(self, byte: u8) -> Option<Self> {
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

    /// Behind `taken` bytes of data, of which there were `left`.
    pub(super) fn after_data(left: u64, taken: usize) -> Self {
        match left.saturating_sub(taken as u64) {
            0 => Self::DataCr,
            left => Self::Data(left),
        }
    }
}

/// The smaller of a count of bytes to come and a length in memory.
pub(super) fn shorter(left: u64, length: usize) -> usize {
    usize::try_from(left).unwrap_or(usize::MAX).min(length)
}

/// Follows a body and answers its data.
#[derive(Debug)]
pub struct Body(State);

#[derive(Debug)]
enum State {
    Length(u64),
    Chunked(Chunk),
}

/// A chunked body that is not plainly chunked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadChunk;

impl Body {
    /// A body of this many bytes.
    pub fn of_length(length: u64) -> Self {
        Self(State::Length(length))
    }

    /// A chunked body.
    pub fn chunked() -> Self {
        Self(State::Chunked(Chunk::START))
    }

    /// Takes the next run of data from the front of `bytes`; `None` when they, or the body, have no more of it.
    ///
    /// # Errors
    /// [`BadChunk`]; the body is then of no more use.
    pub fn data<'b>(&mut self, bytes: &mut &'b [u8]) -> Result<Option<&'b [u8]>, BadChunk> {
        loop {
            match self.0 {
                State::Length(left) => {
                    let data = take(bytes, left);
                    self.0 = State::Length(left.saturating_sub(data.len() as u64));
                    return Ok(Some(data).filter(|data| !data.is_empty()));
                }
                State::Chunked(Chunk::End) => return Ok(None),
                State::Chunked(Chunk::Data(left)) => {
                    let data = take(bytes, left);
                    if data.is_empty() {
                        return Ok(None);
                    }
                    self.0 = State::Chunked(Chunk::after_data(left, data.len()));
                    return Ok(Some(data));
                }
                State::Chunked(chunk) => {
                    let Some((byte, behind)) = bytes.split_first() else { return Ok(None) };
                    self.0 = State::Chunked(chunk.after(*byte).ok_or(BadChunk)?);
                    *bytes = behind;
                }
            }
        }
    }

    /// Whether it has come to its end.
    pub fn has_ended(&self) -> bool {
        matches!(self.0, State::Length(0) | State::Chunked(Chunk::End))
    }
}

/// Takes up to `count` bytes from the front.
fn take<'b>(bytes: &mut &'b [u8], count: u64) -> &'b [u8] {
    let (taken, behind) = bytes.split_at_checked(shorter(count, bytes.len())).unwrap_or_default();
    *bytes = behind;
    taken
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The data of a body that arrives in pieces of this size, and whether it has ended.
    fn data(mut body: Body, text: &str, size: usize) -> Result<(String, bool), BadChunk> {
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
    fn check(body: fn() -> Body, text: &str, expected: Result<(&str, bool), BadChunk>) {
        for size in 1..=text.len().max(1) {
            let found = data(body(), text, size);
            assert_eq!(found, expected.map(|(data, ended)| (data.to_owned(), ended)), "{text:?} in pieces of {size}");
        }
    }

    #[test]
    fn a_chunked_body_is_its_data() {
        check(Body::chunked, "3\r\nabc\r\n1\r\nd\r\n0\r\n\r\n", Ok(("abcd", true)));
        check(Body::chunked, "00a\r\n0123456789\r\n", Ok(("0123456789", false)));
        check(Body::chunked, "0\r\n\r\nbehind", Ok(("", true)));
        check(Body::chunked, "5\r\nab", Ok(("ab", false)));
        check(Body::chunked, "", Ok(("", false)));
    }

    #[test]
    fn a_body_of_a_length_is_as_long() {
        check(|| Body::of_length(3), "abcd", Ok(("abc", true)));
        check(|| Body::of_length(3), "ab", Ok(("ab", false)));
        check(|| Body::of_length(0), "a", Ok(("", true)));
    }

    #[test]
    fn what_is_not_plainly_chunked_is_refused() {
        for text in
            ["x", "\r\n", "3;a=b\r\nabc\r\n", "3\nabc\n", "3\r\nabcd\r\n", "0\r\nA: b\r\n\r\n", "1000000000000000\r\n"]
        {
            check(Body::chunked, text, Err(BadChunk));
        }
    }
}
