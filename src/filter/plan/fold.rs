//! Go's case folding.
//!
//! `encoding/json` of Go matches a key to a struct field without regard to case, so a reader written in Go takes another
//! spelling of a hidden name for that name. It folds each character by itself (`unicode.SimpleFold`).

/// Folds a name: names that such a reader takes for one fold to the same text.
pub(crate) fn fold(name: &str) -> String {
    name.chars().map(fold_char).collect()
}

/// Whether two names fold to the same text.
pub(in crate::filter) fn equal_folded(one: &str, other: &str) -> bool {
    one.chars().map(fold_char).eq(other.chars().map(fold_char))
}

/// Whether `name` folds to `folded`, which is folded already.
pub(in crate::filter) fn equals_folded_name(name: &str, folded: &str) -> bool {
    if name.is_ascii() {
        return name.eq_ignore_ascii_case(folded);
    }
    name.chars().map(fold_char).eq(folded.chars())
}

fn fold_char(c: char) -> char {
    match c {
        // The Kelvin sign and the long s, which have ASCII letters as their other case.
        '\u{212A}' => 'k',
        '\u{017F}' => 's',
        _ if c.is_ascii() => c.to_ascii_lowercase(),
        _ => {
            // Upper case first: it brings characters together that share one capital letter, such as both small sigmas.
            let mut upper = c.to_uppercase();
            let c = if upper.len() == 1 { upper.next().unwrap_or(c) } else { c };
            let mut lower = c.to_lowercase();
            if lower.len() == 1 { lower.next().unwrap_or(c) } else { c }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_go_takes_for_one_fold_to_one() {
        for (one, other) in [
            ("Secret", "SECRET"),
            ("Kind", "\u{212A}ind"),
            ("status", "\u{017F}tatu\u{017F}"),
            ("Σ", "ς"),
            ("ς", "σ"),
            ("É", "é"),
        ] {
            assert!(equal_folded(one, other) && fold(one) == fold(other), "{one} {other}");
            assert!(equals_folded_name(one, &fold(other)) && equals_folded_name(other, &fold(one)), "{one} {other}");
        }
        for (one, other) in [("a", "b"), ("ß", "ss"), ("a", "aa"), ("K", "x")] {
            assert!(!equal_folded(one, other) && !equals_folded_name(one, &fold(other)), "{one} {other}");
        }
    }
}
