//! Mutations of inputs.

/// How long an input may become, in bytes.
const LENGTH_LIMIT: usize = 4096;

/// Numbers that are near a limit of something.
const NUMBERS: [&str; 12] = [
    "0",
    "1",
    "-1",
    "007",
    "64",
    "127",
    "128",
    "65536",
    "4294967296",
    "9223372036854775807",
    "18446744073709551616",
    "1e999",
];

/// Numbers that look random and are the same for the same seed (SplitMix64).
pub(crate) struct Random(u64);

impl Random {
    /// The numbers of a seed.
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `limit`, or zero.
    pub(crate) fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next() >> 1).unwrap_or_default().checked_rem(limit).unwrap_or_default()
    }

    /// One of `all`.
    pub(crate) fn pick<'a, T>(&mut self, all: &'a [T]) -> Option<&'a T> {
        all.get(self.below(all.len()))
    }
}

/// A mutation of an input that is picked from `pool`: one change or a few.
pub(crate) fn mutation(random: &mut Random, pool: &[Vec<u8>], words: &[Vec<u8>]) -> Vec<u8> {
    let mut input = random.pick(pool).cloned().unwrap_or_default();
    for _ in 0..=random.below(3) {
        change(random, &mut input, pool, words);
    }
    input.truncate(LENGTH_LIMIT);
    input
}

fn change(random: &mut Random, input: &mut Vec<u8>, pool: &[Vec<u8>], words: &[Vec<u8>]) {
    match random.below(15) {
        0 => {
            let at = random.below(input.len());
            let bit = 1 << random.below(8);
            if let Some(byte) = input.get_mut(at) {
                *byte ^= bit;
            }
        }
        1 => {
            let range = range(random, input, 8);
            input.drain(range);
        }
        2 => {
            let range = range(random, input, 64);
            input.drain(range);
        }
        3 => {
            // A part again, right behind itself or elsewhere.
            let range = range(random, input, 64);
            let part = input.get(range).unwrap_or_default().to_vec();
            insert(random, input, &part);
        }
        4 => {
            let byte = u8::try_from(random.below(256)).unwrap_or_default();
            insert(random, input, &[byte]);
        }
        5 => {
            let word = random_word(random, words);
            insert(random, input, word);
        }
        6 => {
            let word = random_word(random, words);
            let range = range(random, input, 16);
            input.splice(range, word.iter().copied());
        }
        7 => {
            // The start of this input and the end of another.
            let end = random.below(input.len() + 1);
            let other = random.pick(pool).map(Vec::as_slice).unwrap_or_default();
            let start = random.below(other.len() + 1);
            input.truncate(end);
            input.extend_from_slice(other.get(start..).unwrap_or_default());
        }
        8 => {
            let other = random.pick(pool).map(Vec::as_slice).unwrap_or_default();
            let part = other.get(range(random, other, 64)).unwrap_or_default();
            insert(random, input, part);
        }
        9 => {
            // A number near a limit in place of a number.
            let from = random.below(input.len());
            let number = random.pick(&NUMBERS).copied().unwrap_or_default();
            let digit = |byte: &u8| byte.is_ascii_digit();
            if let Some(at) = input.iter().skip(from).position(digit).map(|at| at + from) {
                let length = input.iter().skip(at).take_while(|byte| digit(byte)).count();
                input.splice(at..at + length, number.bytes());
            }
        }
        10 => lines(random, input),
        11..14 => {
            // A value in place of a value.
            let other = random.pick(pool).map(Vec::as_slice).unwrap_or_default();
            let from = value(random, other);
            let value_here = value(random, input);
            input.splice(value_here, other.get(from).unwrap_or_default().iter().copied());
        }
        _ => {
            let end = random.below(input.len() + 1);
            input.truncate(end);
        }
    }
}

fn random_word<'w>(random: &mut Random, words: &'w [Vec<u8>]) -> &'w [u8] {
    random.pick(words).map(Vec::as_slice).unwrap_or(b"\n")
}

/// A line removed, twice, or in place of another.
fn lines(random: &mut Random, input: &mut Vec<u8>) {
    let mut lines: Vec<Vec<u8>> = input.split_inclusive(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect();
    let (from, to) = (random.below(lines.len()), random.below(lines.len()));
    let Some(line) = lines.get(from).cloned() else { return };
    match random.below(3) {
        0 => _ = lines.remove(from),
        1 => lines.insert(to, line),
        _ => lines.swap(from, to),
    }
    *input = lines.concat();
}

/// The place of a value as JSON and YAML have it: in brackets, in quotes, or one word.
fn value(random: &mut Random, input: &[u8]) -> std::ops::Range<usize> {
    let start = random.below(input.len());
    let is_start = |byte: &u8| b"{[\"'".contains(byte) || byte.is_ascii_alphanumeric();
    let Some(start) = input.iter().skip(start).position(is_start).map(|at| at + start) else { return 0..0 };
    let rest = input.get(start..).unwrap_or_default();
    let (mut depth, mut quote, mut escaped) = (0_usize, None, false);
    for (at, byte) in rest.iter().enumerate() {
        let end = start + at + 1;
        match (quote, byte) {
            (Some(_), _) if escaped => escaped = false,
            (Some(_), b'\\') => escaped = true,
            (Some(open), byte) if *byte == open => {
                quote = None;
                if depth == 0 {
                    return start..end;
                }
            }
            (Some(_), _) => {}
            (None, b'"' | b'\'') => quote = Some(*byte),
            (None, b'{' | b'[') => depth += 1,
            (None, b'}' | b']') if depth <= 1 => return start..end,
            (None, b'}' | b']') => depth -= 1,
            (None, byte) if depth == 0 && !byte.is_ascii_alphanumeric() && !b"._-$".contains(byte) => {
                return start..end - 1;
            }
            (None, _) => {}
        }
    }
    start..input.len()
}

fn insert(random: &mut Random, input: &mut Vec<u8>, part: &[u8]) {
    let at = random.below(input.len() + 1);
    input.splice(at..at, part.iter().copied());
}

/// A range of `input`, at most `longest` bytes long.
fn range(random: &mut Random, input: &[u8], longest: usize) -> std::ops::Range<usize> {
    let start = random.below(input.len() + 1);
    let length = 1 + random.below(longest);
    start..(start + length).min(input.len())
}
