//! How the bytes of an input may arrive, and how an input with several parts is written.

/// How many cuts in two are tried of one input.
const CUTS: usize = 32;

/// Calls `check` with the pieces of every arrival that is tried: whole, byte by byte, in pieces of a few sizes, and cut
/// in two, at every place if the input is short.
pub(super) fn for_each_arrival(bytes: &[u8], mut check: impl FnMut(&[&[u8]])) {
    check(&[bytes]);
    for size in [1, 2, 3, 7, 64] {
        let pieces: Vec<&[u8]> = bytes.chunks(size).collect();
        check(&pieces);
    }
    let step = bytes.len().div_ceil(CUTS).max(1);
    for at in (0..=bytes.len()).step_by(step) {
        let (before, behind) = bytes.split_at_checked(at).unwrap_or_default();
        check(&[before, behind]);
    }
}

/// Splits an input into `N` sections, which lines of three dashes separate; the last one has all that is left.
pub(super) fn sections<const N: usize>(bytes: &[u8]) -> Option<[&[u8]; N]> {
    const SEPARATOR: &[u8] = b"\n---\n";
    let mut sections = [bytes; N];
    let mut rest = bytes;
    let last = N.checked_sub(1)?;
    for section in sections.iter_mut().take(last) {
        // A section without lines is only its separator.
        if let Some(behind) = rest.strip_prefix(b"---\n") {
            (*section, rest) = (b"", behind);
            continue;
        }
        let at = rest.windows(SEPARATOR.len()).position(|window| window == SEPARATOR)?;
        *section = rest.get(..=at)?;
        rest = rest.get(at + SEPARATOR.len()..)?;
    }
    if let Some(section) = sections.last_mut() {
        *section = rest;
    }
    Some(sections)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sections_are_what_the_dashes_separate() {
        assert_eq!(sections::<2>(b"a\nb\n---\nc\n---\nd"), Some([&b"a\nb\n"[..], b"c\n---\nd"]));
        assert_eq!(sections::<3>(b"---\n---\nc"), Some([&b""[..], b"", b"c"]));
        assert_eq!(sections::<2>(b"a --- b"), None);
    }

    #[test]
    fn every_arrival_has_all_the_bytes() {
        let bytes: Vec<u8> = (0..100).collect();
        let mut arrivals = 0;
        for_each_arrival(&bytes, |pieces| {
            assert_eq!(pieces.concat(), bytes);
            arrivals += 1;
        });
        assert!(arrivals > CUTS - 10, "{arrivals}");
    }
}
