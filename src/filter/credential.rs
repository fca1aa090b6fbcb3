//! Masks credentials in texts that are shown.
//!
//! This is an extra, not a mechanism: a text is hidden by its class. Only where a profile shows a text does this take out
//! what is a credential by its name or its shape. A password without a telling name that looks like a word stays.
//!
//! # By name
//!
//! A value has a name if it is a member (its key), an element `NAME=value` (a variable), or part of a text: `name=value`,
//! `name: value`, `"name": "value"`, `--name value`, `<name>value</name>`, `?name=value`. [`name`] splits the name into
//! words at everything but letters and digits, and where camel case begins a word. The last word decides (`password`,
//! `token`, `secret`, `auth`, `webhook` …), or the last two (`api key`, `webhook url` …). Digits at the end do not count,
//! nor do words like `old` and `base64`. So `db.password`, `DB_PASSWORD_2` and `dbPassword` name a credential, and
//! `auth.type`, `token.ttl`, `PASSWORD_FILE` and `bypass` do not.
//!
//! Some values stay all the same: an empty value, `true`, `off` and other switches, whole numbers below 1000, references
//! like `${NAME}`, paths of files, and the way of authentication (`auth=basic`). If the name ends in `key` behind an unknown
//! word, as `sort-key` does, or in a few other words, the value is masked only if it looks random: 16 or more letters and digits in one word.
//!
//! # By shape
//!
//! [`token`] has the prefixes of the tokens that forges, clouds and registries issue. [`userinfo`] finds what stands before
//! the `@` of an address, [`encoded`] looks into base64, [`command`] knows the options of some programs. [`pattern`] has a
//! regular expression for each shape that is left.
//!
//! # Cost
//!
//! Nearly every text has none of these shapes. [`scan`] tells in one pass which of them a text can have, and only those are
//! looked for. It must not miss any: a test compares the results with and without it.

mod command;
mod encoded;
mod name;
mod pair;
mod pattern;
mod scan;
mod token;
mod userinfo;

use std::borrow::Cow;
use std::ops::Range;
use std::sync::LazyLock;

pub(super) use command::Arguments;
use name::Kind;
use pattern::{Compiled, PATTERNS};
use scan::Candidates;
pub(in crate::filter) use scan::is_short_word;

/// What replaces a credential.
pub(super) const MASK: &str = "[redacted]";

/// How often a masked text is masked again until nothing changes. After that it is masked as a whole.
const ROUNDS: usize = 4;

/// The longest text that is searched, in bytes. A longer one that may hold a credential is masked as a whole: that bounds the
/// time that one text takes.
const TEXT_LIMIT: usize = 256 * 1024;

/// The patterns; `None` if one of them does not compile.
static COMPILED: LazyLock<Option<Compiled>> = LazyLock::new(|| Compiled::new(PATTERNS));

/// Whether some value of a member may be masked because of the member's name.
pub(super) fn may_name_credential(name: &[u8]) -> bool {
    name::kind(name).is_some()
}

/// Whether a value certainly stays as it is, unless its name says otherwise. Cheap. If false, [`mask`] decides.
#[inline]
pub(super) fn is_clean(text: &[u8]) -> bool {
    scan::candidates(text) == Candidates::NONE
}

/// Masks the credentials in a value, given its name. Returns the value itself if it has none.
pub(super) fn mask<'t>(name: &str, text: &'t str) -> Cow<'t, str> {
    if is_named(name, text) { Cow::Owned(MASK.to_owned()) } else { mask_shapes(text) }
}

/// Masks the credentials in the next element of an array: a variable `NAME=value`, or an argument of a command.
pub(super) fn mask_element<'t>(arguments: &mut Arguments, text: &'t str) -> Cow<'t, str> {
    if let Some(span) = arguments.next(text) {
        return Cow::Owned(mask_shapes(&replace(text, vec![span])).into_owned());
    }
    let is_name = |name: &str| name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte));
    match text.split_once('=').filter(|(name, _)| is_name(name)) {
        Some((name, value)) => match mask(name, value) {
            Cow::Owned(masked) => Cow::Owned(format!("{name}={masked}")),
            Cow::Borrowed(_) => Cow::Borrowed(text),
        },
        None => mask_shapes(text),
    }
}

/// Whether `text` may be masked as the value of the member `name`, or in the element `name=text`.
///
/// This is true of every value if the name alone says that it is a credential.
pub fn looks_like_credential(name: &str, text: &str) -> bool {
    let is_certain = name::kind(name.as_bytes()).is_some_and(|kind| kind != Kind::Doubtful);
    let is_masked = |masked: Cow<'_, str>| matches!(masked, Cow::Owned(_));
    is_certain || is_masked(mask(name, text)) || is_masked(mask_shapes(&format!("{name}={text}")))
}

/// Whether nothing in a text has the shape of a credential.
pub(super) fn has_no_credential(text: &str) -> bool {
    matches!(mask_shapes(text), Cow::Borrowed(_))
}

/// Whether a value is a credential because of its name.
fn is_named(name: &str, text: &str) -> bool {
    name::kind(name.as_bytes()).is_some_and(|kind| name::is_credential(kind, text))
}

/// Masks what has the shape of a credential.
fn mask_shapes(text: &str) -> Cow<'_, str> {
    mask_with(COMPILED.as_ref(), text, scan::candidates)
}

/// [`mask_shapes`] with other patterns and another scan. Without patterns, everything is masked.
fn mask_with<'t>(
    patterns: Option<&Compiled>,
    text: &'t str,
    candidates: impl Fn(&[u8]) -> Candidates + Copy,
) -> Cow<'t, str> {
    let Some(patterns) = patterns else { return Cow::Owned(MASK.to_owned()) };
    let mut masked = Cow::Borrowed(text);
    for _ in 0..ROUNDS {
        // A mask can be longer than what it replaces.
        if masked.len() > TEXT_LIMIT && candidates(masked.as_bytes()) != Candidates::NONE {
            break;
        }
        let spans = find(patterns, &masked, candidates, true);
        if spans.is_empty() {
            return masked;
        }
        let next = replace(&masked, spans);
        // What was found may be a mask.
        if next == *masked {
            return masked;
        }
        masked = Cow::Owned(next);
    }
    Cow::Owned(MASK.to_owned())
}

/// Finds what has the shape of a credential. `decodes` says whether to look into base64.
fn find(
    patterns: &Compiled,
    text: &str,
    candidates: impl Fn(&[u8]) -> Candidates + Copy,
    decodes: bool,
) -> Vec<Range<usize>> {
    let found = candidates(text.as_bytes());
    let mut spans = Vec::new();
    if found == Candidates::NONE {
        return spans;
    }
    if found.has(Candidates::TOKEN) {
        scan::tokens(text, &mut spans);
    }
    if found.has(Candidates::PAIR) {
        pair::find(text, &mut spans);
    }
    if found.has(Candidates::USERINFO) {
        userinfo::find(text, &mut spans);
    }
    if found.has(Candidates::COMMAND) {
        command::find(text, &mut spans);
    }
    if found.has(Candidates::ENCODED) && decodes {
        encoded::find(text, &mut spans, |decoded| !find(patterns, decoded, candidates, false).is_empty());
    }
    if found.has(Candidates::WHOLE) && scan::is_credential(text.as_bytes()) {
        spans.push(0..text.len());
    }
    if found.has(Candidates::DIGEST) {
        spans.extend(pattern::digests(text.as_bytes()));
    }
    if found.has(Candidates::BOT) {
        spans.extend(pattern::bots(text.as_bytes()));
    }
    if found.has(Candidates::PADDED) {
        spans.extend(pattern::padded(text.as_bytes()));
    }
    if found.has(Candidates::LONG) {
        spans.extend(pattern::long_words(text.as_bytes()));
    }
    for index in (0..PATTERNS.len()).filter(|index| found.has(Candidates::pattern(*index))) {
        patterns.find(index, text, &mut spans);
    }
    spans
}

/// Replaces each span with a mask. Spans that touch get one mask, together with masks that they touch.
fn replace(text: &str, mut spans: Vec<Range<usize>>) -> String {
    spans.retain(|span| span.start < span.end);
    spans.extend(text.match_indices(MASK).map(|(start, mask)| start..start + mask.len()));
    spans.sort_unstable_by_key(|span| span.start);
    let mut out = String::with_capacity(text.len());
    let mut end = 0;
    for (index, span) in spans.iter().enumerate() {
        if index == 0 || span.start > end {
            out.push_str(text.get(end..span.start).unwrap_or_default());
            out.push_str(MASK);
        }
        end = end.max(span.end);
    }
    out.push_str(text.get(end..).unwrap_or_default());
    out
}

#[cfg(test)]
mod tests;
