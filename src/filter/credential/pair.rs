//! Names with values inside a text: `name=value`, `name: value`, `"name": "value"`, `<name>value</name>`,
//! `("name", "value")`, and the same in the query of a URL.

use std::ops::Range;

use super::name::{self, Kind};

/// The most spaces between a name, its separator and its value.
const SPACES_LIMIT: usize = 64;

/// Names that name a credential in the query of a URL only.
const QUERY_NAMES: &[&str] = &["key", "sig", "signature", "code", "apitoken", "appid"];

/// Names whose value is the name of a value, and names of that value.
const NAME_KEYS: &[&str] = &["name", "key", "id", "variable"];
const VALUE_KEYS: &[&str] = &["value", "val"];

/// Names of the setting before `p=`, if that is a password.
const USER_NAMES: &[&str] = &["u", "user", "usr", "uid", "username", "user id", "login"];

/// Finds the values of all names that name a credential.
pub(super) fn find(text: &str, spans: &mut Vec<Range<usize>>) {
    let text = Text(text);
    let mut quotes = Quotes::default();
    let mut announced = None;
    let mut at = 0;
    while let Some(separator) = text.next_separator(at) {
        let found = Separator::at(text, separator, &mut announced).and_then(|found| {
            quotes.advance(text, found.value);
            found.credential(text, &quotes)
        });
        at = separator + 1;
        if let Some(span) = found {
            at = at.max(text.last_separator(&span).unwrap_or(span.end));
            spans.push(span);
        }
    }
}

/// A text, looked at byte by byte. Everything that is compared is ASCII, so no range cuts a character.
#[derive(Clone, Copy)]
struct Text<'t>(&'t str);

impl<'t> Text<'t> {
    fn byte(self, at: usize) -> Option<u8> {
        self.0.as_bytes().get(at).copied()
    }

    /// The byte before `at`.
    fn before(self, at: usize) -> Option<u8> {
        self.byte(at.checked_sub(1)?)
    }

    fn get(self, range: Range<usize>) -> &'t str {
        self.0.get(range).unwrap_or_default()
    }

    fn from(self, at: usize) -> &'t [u8] {
        self.0.as_bytes().get(at..).unwrap_or_default()
    }

    fn next_separator(self, at: usize) -> Option<usize> {
        let found = self.from(at).iter().position(|byte| matches!(byte, b'=' | b':' | b'>' | b',' | b'%'))?;
        Some(at + found)
    }

    /// The separator at the end of a value with white space behind it: the value may be a name itself, as in `otp=auth: x`.
    fn last_separator(self, value: &Range<usize>) -> Option<usize> {
        self.byte(value.end).filter(u8::is_ascii_whitespace)?;
        let start = self.start_of(value.end, |byte| matches!(byte, b'=' | b':' | b'>'));
        (start < value.end).then_some(start.max(value.start))
    }

    /// The end of the run of bytes that `test` accepts, from `at`.
    fn end_of(self, at: usize, test: impl Fn(u8) -> bool) -> usize {
        at + self.from(at).iter().take_while(|byte| test(**byte)).count()
    }

    /// The start of the run of bytes that `test` accepts, back from `at`.
    fn start_of(self, at: usize, test: impl Fn(u8) -> bool) -> usize {
        let before = self.0.as_bytes().get(..at).unwrap_or_default();
        at - before.iter().rev().take_while(|byte| test(**byte)).count()
    }

    /// The position after the spaces at `at`, or before those that end at `at`.
    fn skip_spaces(self, at: usize) -> usize {
        self.end_of(at, is_space).min(at + SPACES_LIMIT)
    }
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

fn is_quote(byte: u8) -> bool {
    matches!(byte, b'"' | b'\'' | b'`')
}

/// What can stand behind a quote that closes, and begins few passwords.
fn ends_value(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n' | b',' | b';' | b')' | b']' | b'}' | b'<' | b'&')
}

fn is_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.' | b'[' | b']' | b'$')
}

/// Which quotes are open before a position.
#[derive(Default)]
struct Quotes {
    at: usize,
    open: [bool; 3],
}

impl Quotes {
    fn advance(&mut self, text: Text<'_>, to: usize) {
        let passed = text.0.as_bytes().get(self.at..to).unwrap_or_default();
        for (offset, byte) in passed.iter().enumerate() {
            match byte {
                b'"' => self.toggle(0),
                b'\'' if !is_apostrophe(text, self.at + offset) => self.toggle(1),
                b'`' => self.toggle(2),
                _ => {}
            }
        }
        self.at = self.at.max(to);
    }

    fn toggle(&mut self, index: usize) {
        if let Some(open) = self.open.get_mut(index) {
            *open = !*open;
        }
    }

    /// Whether the byte at `at` closes a quote that was open before.
    fn close(&self, text: Text<'_>, at: usize) -> bool {
        let [double, single, back] = self.open;
        match text.byte(at) {
            Some(b'"') => double,
            Some(b'\'') => single && !is_apostrophe(text, at),
            Some(b'`') => back,
            Some(_) | None => false,
        }
    }
}

/// Whether the single quote at `at` is part of a word.
fn is_apostrophe(text: Text<'_>, at: usize) -> bool {
    let is_letter = |byte: Option<u8>| byte.is_some_and(|byte| byte.is_ascii_alphanumeric());
    is_letter(text.before(at)) && is_letter(text.byte(at + 1))
}

/// What stands between a name and its value.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    /// `=`, and anything with it.
    Equals,
    /// `:` with a space after it.
    Colon,
    /// `:` after a name in quotes.
    Json,
    /// `:` between two bare words, as in `host:port`.
    TightColon,
    /// `,` between quoted words.
    Comma,
    /// `>` after the name of an XML element.
    Element,
    /// `:` with a value on the next line, as YAML may have it.
    Below,
}

/// A name with its separator.
struct Separator {
    form: Form,
    kind: Kind,
    /// Whether the name says password: no host has such a name.
    is_password: bool,
    /// Whether the name stands in the query of a URL.
    in_query: bool,
    /// Whether this is the header `Cookie`.
    is_cookie: bool,
    /// Whether the name stands behind a semicolon.
    in_settings: bool,
    /// The start of the value.
    value: usize,
}

/// The name before a separator.
struct PairName<'t> {
    name: &'t str,
    is_quoted: bool,
    /// The byte before the name and its quote.
    preceding: Option<u8>,
}

impl Form {
    /// What the separator at `at` means after a name, and where the value begins, spaces before it included.
    fn at(text: Text<'_>, at: usize, found: PairName<'_>) -> Option<(Self, usize)> {
        let byte = text.byte(at)?;
        Some(match byte {
            b'=' => (Self::Equals, text.end_of(at, |byte| matches!(byte, b'=' | b'>' | b'~')).min(at + 3)),
            b'%' if matches!(text.from(at), [_, b'3', b'd' | b'D', ..]) => (Self::Equals, at + 3),
            b'%' if matches!(text.from(at), [_, b'3', b'a' | b'A', ..]) => (Self::Colon, at + 3),
            b':' => match text.from(at + 1) {
                [b':', ..] | [b'/', b'/', ..] => return None,
                [b'=', ..] => (Self::Equals, at + 2),
                _ if found.is_quoted => (Self::Json, at + 1),
                [b' ' | b'\t' | b'\r' | b'\n', ..] => (Self::Colon, at + 1),
                _ if found.preceding == Some(b'/') => return None,
                _ => (Self::TightColon, at + 1),
            },
            b',' => match (found.is_quoted, found.preceding) {
                (true, Some(b'(' | b'[')) => (Self::Comma, at + 1),
                (true, _) if found.name.starts_with('-') => (Self::Comma, at + 1),
                _ => return None,
            },
            b'>' if found.preceding == Some(b'<') => (Self::Element, at + 1),
            _ => return None,
        })
    }
}

impl Separator {
    /// Reads the separator at `at`. Returns `None` unless the name of a credential stands before it.
    ///
    /// `announced` is the kind of the last name that was a value itself, as in `{"name": "TOKEN", "value": …}`.
    fn at(text: Text<'_>, at: usize, announced: &mut Option<Kind>) -> Option<Self> {
        let byte = text.byte(at)?;
        let name_end = match byte {
            b'=' | b':' => {
                let start = text.start_of(at, is_space);
                if at - start > SPACES_LIMIT { return None } else { start }
            }
            _ => at,
        };
        let quoted = text.before(name_end).filter(|byte| is_quote(*byte));
        let (name, before) = match quoted {
            Some(quote) => quoted_name(text, name_end, quote)?,
            None => bare_name(text, name_end)?,
        };
        // As in the options of Windows: the slash is no part of a path.
        let preceding = text.before(before).filter(|_| !is_switch(text, before, name, at));
        let (form, value) = Form::at(text, at, PairName { name, is_quoted: quoted.is_some(), preceding })?;
        let is_one_of = |names: &[&str]| names.iter().any(|known| name.eq_ignore_ascii_case(known));
        if is_one_of(NAME_KEYS) {
            *announced = announced_kind(text, value);
        }
        let in_query = matches!(preceding, Some(b'?' | b'&')) || (before == 0 && name == "sig");
        let kind = match name::kind(name.as_bytes()) {
            None if is_short_password(text, name, before) => Kind::Secret,
            Some(Kind::Doubtful) | None if in_query && is_one_of(QUERY_NAMES) => Kind::Secret,
            // The word before an option is another argument, or the program.
            Some(Kind::Doubtful) if !name.starts_with('-') => {
                name::kind(with_word_before(text, before, name_end).as_bytes()).unwrap_or(Kind::Doubtful)
            }
            Some(kind) => kind,
            None if is_one_of(VALUE_KEYS) => announced.take()?,
            None => return None,
        };
        let value = text.skip_spaces(value);
        let is_colon = matches!(form, Form::Colon | Form::Json | Form::TightColon);
        let below = if is_colon { below(text, name, before, value) } else { None };
        let below = below.filter(|below| form != Form::Json || is_quoted_at(text, *below));
        let (form, value) = below.map_or((form, value), |below| (Form::Below, below));
        // As in `{"secret": {"value": …}}`.
        if kind == Kind::Secret && text.byte(value) == Some(b'{') {
            *announced = Some(kind);
        }
        let lower = name.to_ascii_lowercase();
        let is_cookie = form == Form::Colon && lower.ends_with("cookie");
        let is_password = ["pass", "pwd", "kennwort"].iter().any(|word| lower.contains(word));
        let in_settings = preceding == Some(b';');
        Some(Self { form, kind, is_password, is_cookie, in_query, in_settings, value })
    }

    /// The part of the value that is a credential.
    fn credential(&self, text: Text<'_>, quotes: &Quotes) -> Option<Range<usize>> {
        // First what can be told from the start of the value: its end may be far, and is looked for once.
        let value = text.from(self.value);
        let is_tag = self.form == Form::TightColon && (is_state(value) || (!self.is_password && is_port_or_tag(value)));
        let is_directory = self.kind == Kind::Directory && text.byte(self.value) == Some(b'/');
        if is_tag || is_directory {
            return None;
        }
        let range = self.value(text, quotes)?;
        let range = after_scheme(text, range, self.kind);
        name::is_credential(self.kind, text.get(range.clone())).then_some(range)
    }

    /// The whole value.
    fn value(&self, text: Text<'_>, quotes: &Quotes) -> Option<Range<usize>> {
        let start = self.value;
        if self.form == Form::Element {
            return Some(start..text.end_of(start, |byte| byte != b'<'));
        }
        let escapes = text.end_of(start, |byte| byte == b'\\');
        if text.byte(escapes).is_some_and(is_quote) {
            // A quote here may close one that the name and its separator are in. Then there is no value.
            let closes = escapes == start && quotes.close(text, escapes);
            let next = text.byte(escapes + 1);
            let is_colon = matches!(self.form, Form::Colon | Form::TightColon | Form::Below);
            if closes && is_colon && next.is_none_or(ends_value) {
                return word_behind(text, escapes + 1);
            }
            let is_empty = closes && self.form == Form::Equals && !next.is_some_and(is_name);
            let quote = text.byte(escapes)?;
            return (!is_empty).then(|| quoted(text, escapes + 1, quote, escapes - start));
        }
        if self.in_query {
            return Some(start..text.end_of(start, |byte| !b" \t\r\n&#\"'`<>".contains(&byte)));
        }
        if self.kind == Kind::Doubtful {
            let end = text.end_of(start, |byte| byte.is_ascii_alphanumeric() || b"+/_-".contains(&byte));
            return Some(start..text.end_of(end, |byte| byte == b'='));
        }
        let is_apart = text.before(start).is_some_and(is_space);
        match (self.form, text.from(start)) {
            (Form::Below, _) => Some(start..end_of_line(text, start)),
            (Form::Comma, _) | (_, [] | [b'\r' | b'\n', ..]) => None,
            // The next argument, not a value.
            (_, [b'-', b'-', ..]) | (Form::Equals, [b'-', ..]) if is_apart => None,
            (_, [b'{', b'{', ..]) => Some(start..bare(text, through(text, start, b'}'), quotes)),
            // An object, whose members are looked at by themselves.
            (Form::Json | Form::TightColon, [b'{', ..]) => None,
            (_, [b'{', b'"' | b'\'' | b'\\' | b' ' | b'\r' | b'\n' | b'}', ..]) => None,
            (Form::Colon, [b'{', ..]) if matches!(self.kind, Kind::Scheme | Kind::Forward) => None,
            // What a command prints.
            (Form::Equals, [b'$', b'(', ..]) => {
                Some(start..self.with_spaces(text, bare(text, through(text, start, b')'), quotes), quotes))
            }
            // ODBC puts a value into braces.
            (Form::Equals, [b'{', ..]) => Some(start..bare(text, through(text, start, b'}'), quotes)),
            (Form::Json, [b'[', ..]) => Some(start..json(text, through(text, start, b']'))),
            (Form::Json, _) => Some(start..json(text, start)),
            (_, [b'[', ..]) => Some(start..bare(text, through(text, start, b']'), quotes)),
            (Form::Colon, [b'|' | b'>', ..]) if begins_block(text, start) => Some(block(text, start)),
            _ => {
                let first = if self.form == Form::Colon { behind_mark(text, start) } else { start };
                Some(start..self.with_spaces(text, bare(text, first, quotes), quotes))
            }
        }
    }

    /// The end of a bare value that seems to end at `end`. Between semicolons, a value may have spaces.
    fn with_spaces(&self, text: Text<'_>, end: usize, quotes: &Quotes) -> usize {
        // Its value is a list between semicolons.
        if self.is_cookie {
            return text.end_of(end, |byte| byte != b'\n' && !is_quote(byte));
        }
        if self.form != Form::Equals || !text.byte(end).is_some_and(is_space) {
            return end;
        }
        let stops = |byte: u8| matches!(byte, b';' | b'=' | b'\r' | b'\n' | b'"' | b'\'' | b'`');
        let stop = text.end_of(end, |byte| !stops(byte));
        match text.byte(stop) {
            Some(b';') => stop,
            None if self.in_settings => stop,
            Some(_) if self.in_settings && quotes.close(text, stop) => stop,
            Some(_) | None => end,
        }
    }
}

/// Whether a name, which is not in quotes, is the `p` of `u=name;p=password`, or of the same in a query.
fn is_short_password(text: Text<'_>, name: &str, start: usize) -> bool {
    let is_separator = |byte: u8| matches!(byte, b';' | b'&');
    let is_bare = matches!(text.byte(start), Some(b'p' | b'P')) && name.len() == 1;
    if !is_bare || !text.before(start).is_some_and(is_separator) {
        return false;
    }
    let end = start - 1;
    let is_inside = |byte: u8| !is_separator(byte) && !matches!(byte, b'?' | b' ' | b'"' | b'\'' | b'\n');
    let before = text.get(text.start_of(end, is_inside)..end);
    before.split_once('=').is_some_and(|(name, _)| USER_NAMES.iter().any(|user| name.eq_ignore_ascii_case(user)))
}

/// Whether the name of a password, with its separator at `separator`, is an option of Windows: `/password:abc`. What stands before
/// another slash is the folder of a mount.
fn is_switch(text: Text<'_>, start: usize, name: &str, separator: usize) -> bool {
    let Some(slash) = start.checked_sub(1).filter(|slash| text.byte(*slash) == Some(b'/')) else { return false };
    let begins = |byte: u8| is_quote(byte) || byte.is_ascii_whitespace();
    text.before(slash).is_none_or(begins)
        && !matches!(text.byte(separator + 1), Some(b'/' | b'\\'))
        && name::kind(name.as_bytes()) == Some(Kind::Secret)
        && !is_mounted(text, separator + 1)
}

/// What stands behind the folder of a mount.
const MOUNT_OPTIONS: &[&str] = &[
    "ro",
    "rw",
    "z",
    "Z",
    "U",
    "O",
    "nocopy",
    "cached",
    "delegated",
    "consistent",
    "private",
    "rprivate",
    "shared",
    "rshared",
    "slave",
    "rslave",
    "noexec",
    "nosuid",
    "nodev",
    "idmap",
];

/// Whether a value from `start` is a list of [`MOUNT_OPTIONS`], and nothing else.
fn is_mounted(text: Text<'_>, start: usize) -> bool {
    let end = text.end_of(start, |byte| byte.is_ascii_alphabetic() || byte == b',');
    text.byte(end).is_none_or(|byte| is_quote(byte) || byte.is_ascii_whitespace())
        && text.get(start..end).split(',').all(|option| MOUNT_OPTIONS.contains(&option))
}

/// The value of YAML on the line below a name, if nothing but spaces is between them: a word, or what is in quotes, that stands further
/// right than the name, and is no list, no comment and no other name with a value. `at` is where the name begins, `end` where its
/// line ends; there is nothing else on that line. What is called a phrase has words.
fn below(text: Text<'_>, name: &str, at: usize, end: usize) -> Option<usize> {
    let end = behind_comment(text, end);
    let mut start = next_line(text, end)?;
    let mut value = text.skip_spaces(start);
    // Lines without anything, which end as the first one does.
    while text.byte(value) == text.byte(end)
        && let Some(next) = next_line(text, value)
    {
        start = next;
        value = text.skip_spaces(start);
    }
    let margin = text.start_of(at, |byte| byte == b' ' || byte == b'-');
    let is_alone = text.before(margin).is_none_or(|byte| matches!(byte, b'\n' | b'\\' | b'{') || is_quote(byte))
        || text.get(0..margin).ends_with("\\n");
    let line = text.get(value..end_of_line(text, value));
    let is_quoted = is_quoted_at(text, value);
    let is_name = if is_quoted {
        line.contains("\":") || line.contains("':")
    } else {
        line.contains(": ") || line.trim_end().ends_with(':')
    };
    // A mask is none of these.
    let is_other = !line.starts_with(super::MASK)
        && (line.starts_with(['#', '[', ']', '{', '}', '|', '>', '&', '*']) || line.starts_with("- ") || line == "-");
    let is_word = is_quoted || !line.trim_end().contains(' ') || name.to_ascii_lowercase().ends_with("phrase");
    (value - start > at - margin && is_alone && is_word && !line.is_empty() && !is_name && !is_other).then_some(value)
}

/// The longest comment that may stand between a name and its value.
const COMMENT_LIMIT: usize = 256;

/// The end of the comment of YAML at `at`, or `at` if there is none.
fn behind_comment(text: Text<'_>, at: usize) -> usize {
    let rest = text.from(at);
    let is_comment = rest.starts_with(b"# ") && text.before(at).is_some_and(is_space);
    let in_line = rest.iter().take(COMMENT_LIMIT).take_while(|byte| !matches!(byte, b'\r' | b'\n' | b'\\'));
    if is_comment { at + in_line.count() } else { at }
}

/// The start of the line behind the line feed at `at`, which may be an escape.
fn next_line(text: Text<'_>, at: usize) -> Option<usize> {
    match text.from(at) {
        [b'\n', ..] => Some(at + 1),
        [b'\r', b'\n', ..] | [b'\\', b'n', ..] => Some(at + 2),
        [b'\\', b'r', b'\\', b'n', ..] => Some(at + 4),
        _ => None,
    }
}

/// Whether there is a quote at `at`, or an escaped one.
fn is_quoted_at(text: Text<'_>, at: usize) -> bool {
    matches!(text.from(at), [b'"' | b'\'', ..] | [b'\\', b'"', ..])
}

/// The end of a line that begins with spaces before `start`. If an escape begins it, one ends it, or the quote that it is in.
fn end_of_line(text: Text<'_>, start: usize) -> usize {
    let is_escaped = text.get(0..text.start_of(start, is_space)).ends_with("\\n");
    let ends = |at: &usize| match text.from(*at) {
        [b'"', ..] | [b'\\', b'n' | b'r', ..] => is_escaped,
        [b'\r' | b'\n', ..] => true,
        _ => false,
    };
    (start..text.0.len()).find(ends).unwrap_or(text.0.len())
}

/// The kind of the name in quotes that is the value at `start`.
fn announced_kind(text: Text<'_>, start: usize) -> Option<Kind> {
    let quote = text.end_of(text.skip_spaces(start), |byte| byte == b'\\');
    let name = quote + 1;
    let is_quoted = text.byte(quote).is_some_and(is_quote);
    let kind = name::kind(text.get(name..text.end_of(name, is_name)).as_bytes())?;
    (is_quoted && kind != Kind::Doubtful).then_some(kind)
}

/// A bare name that ends at `end`: the name, and its start.
fn bare_name(text: Text<'_>, end: usize) -> Option<(&str, usize)> {
    let start = text.start_of(end, is_name);
    let name = text.get(start..end);
    // A property of Java's, or a variable of CMake's.
    let name = name.strip_prefix("-D").or_else(|| name.strip_prefix("-P")).unwrap_or(name);
    (start < end).then_some((name, start))
}

/// A name in quotes that end at `end`: the name, and the start of the opening quote with its backslashes.
fn quoted_name(text: Text<'_>, end: usize, quote: u8) -> Option<(&str, usize)> {
    let is_escape = |byte| byte == b'\\';
    let name_end = text.start_of(end - 1, is_escape);
    let start = text.start_of(name_end, |byte| is_name(byte) || byte == b' ');
    let is_opened = start < name_end && text.before(start) == Some(quote);
    is_opened.then(|| (text.get(start..name_end), text.start_of(start - 1, is_escape)))
}

/// A name with the word before it, as in `API key`.
fn with_word_before(text: Text<'_>, start: usize, end: usize) -> &str {
    match text.before(start) {
        Some(b' ') => text.get(text.start_of(start - 1, |byte| byte.is_ascii_alphanumeric())..end),
        _ => text.get(start..end),
    }
}

/// Values that are states: what stands before the colon is then the name of something that has to reach them.
const STATES: [&[u8]; 3] = [b"service_started", b"service_healthy", b"service_completed_successfully"];

/// Tags without a version.
const TAGS: [&[u8]; 5] = [b"latest", b"stable", b"main", b"edge", b"alpine"];

/// What stands behind the number of a tag, besides more numbers.
const VARIANTS: [&[u8]; 22] = [
    b"alpha",
    b"apache",
    b"beta",
    b"bookworm",
    b"bullseye",
    b"buster",
    b"debian",
    b"dev",
    b"focal",
    b"fpm",
    b"jammy",
    b"jdk",
    b"jre",
    b"lts",
    b"management",
    b"minimal",
    b"noble",
    b"perl",
    b"rc",
    b"slim",
    b"trixie",
    b"ubuntu",
];

/// The longest port or tag, with what belongs to it.
const TAG_LIMIT: usize = 128;

/// Whether what stands after a bare colon is one of [`STATES`], with nothing behind it but whether it is required.
fn is_state(value: &[u8]) -> bool {
    STATES.iter().any(|state| {
        let Some(rest) = value.strip_prefix(*state) else { return false };
        let rest = rest.strip_prefix(b":true").or_else(|| rest.strip_prefix(b":false")).unwrap_or(rest);
        match rest {
            [b',' | b';' | b'&', next @ ..] => next.is_empty() || begins_next(next),
            [next, ..] => next.is_ascii_whitespace() || is_quote(*next),
            [] => true,
        }
    })
}

/// Whether what stands after a bare colon is a port, a version or a tag, and the name before it a host or a package.
fn is_port_or_tag(value: &[u8]) -> bool {
    let digits = |from: usize| value.iter().skip(from).take(6).take_while(|byte| byte.is_ascii_digit()).count();
    let ends = |byte: &u8| byte.is_ascii_whitespace() || b"/:?,-;&\"'`".contains(byte);
    let is_port = (1..=5).contains(&digits(0)) && value.get(digits(0)).is_none_or(ends);
    let start = usize::from(value.starts_with(b"v"));
    let major = digits(start);
    let is_version =
        (1..=4).contains(&major) && value.get(start + major) == Some(&b'.') && digits(start + major + 1) > 0;
    let is_tag = TAGS.iter().any(|tag| value.starts_with(tag));
    (is_port || is_version || is_tag) && goes_on_as_tag(value, is_port)
}

/// Whether what begins like a port or a tag is one to its end: a credential may begin so, too.
fn goes_on_as_tag(value: &[u8], is_port: bool) -> bool {
    let is_part = |byte: &&u8| !byte.is_ascii_whitespace() && !b",;&\"'`()[]{}<>|\\".contains(byte);
    let length = value.iter().take(TAG_LIMIT + 1).take_while(is_part).count();
    let (whole, behind) = value.split_at(length);
    let ends = match behind {
        [b',' | b';' | b'&'] => true,
        [b',' | b';' | b'&', rest @ ..] => begins_next(rest),
        _ => length <= TAG_LIMIT,
    };
    let tag = whole.split(|byte| b"/:?@".contains(byte)).next().unwrap_or_default();
    // Any other word could be a password.
    let is_known = tag.strip_prefix(b"v").unwrap_or(tag).split(|byte| b".-_+".contains(byte)).all(|part| {
        let letters = part.iter().take_while(|byte| byte.is_ascii_lowercase()).count();
        let (name, number) = part.split_at(letters);
        (name.is_empty() || VARIANTS.contains(&name) || TAGS.contains(&name)) && number.iter().all(u8::is_ascii_digit)
    });
    // A path behind a port, or another port.
    let rest = whole.get(tag.len()..).unwrap_or_default();
    let is_path = match rest {
        [] | [b'?', ..] => true,
        [b'/', ..] => is_port && !rest.iter().any(u8::is_ascii_uppercase),
        [b':', other @ ..] => {
            is_port
                && other.first().is_some_and(u8::is_ascii_digit)
                && other.iter().all(|byte| byte.is_ascii_digit() || b":./-tcpud".contains(byte))
        }
        _ => false,
    };
    ends && is_known && is_path
}

/// The word behind the quote that closes a name and its colon, as in `echo "password:" x`. `None` if that is a name with a value of its
/// own, or if something else stands there.
fn word_behind(text: Text<'_>, at: usize) -> Option<Range<usize>> {
    let start = text.skip_spaces(at);
    let quote = text.byte(start).filter(|byte| start > at && !byte.is_ascii_whitespace())?;
    if is_quote(quote) {
        return Some(quoted(text, start + 1, quote, 0));
    }
    let word = start..text.end_of(start, |byte| !byte.is_ascii_whitespace());
    let is_pair = text.get(word.clone()).trim_end_matches('=').contains(['=', ':', '"', '\'', '`', '<']);
    (!is_pair).then_some(word)
}

/// A value in quotes from `start`, whose opening quote has `escapes` backslashes before it.
fn quoted(text: Text<'_>, start: usize, quote: u8, escapes: usize) -> Range<usize> {
    let mut run = 0;
    for (offset, byte) in text.from(start).iter().enumerate() {
        if *byte == quote && (run < escapes || ((run - escapes) / (escapes + 1)).is_multiple_of(2)) {
            return start..start + offset - run.min(escapes);
        }
        run = if *byte == b'\\' { run + 1 } else { 0 };
    }
    start..text.0.len()
}

/// The end of a bare value: a space, a quote that closes what was open before, or where the next `name=` begins.
fn bare(text: Text<'_>, start: usize, quotes: &Quotes) -> usize {
    for (offset, byte) in text.from(start).iter().enumerate() {
        let at = start + offset;
        match byte {
            b' ' | b'\t' | b'\r' | b'\n' => return at,
            // The backslashes of an escaped quote are not part of the value.
            b'"' | b'\'' | b'`' if quotes.close(text, at) => {
                return text.start_of(at, |byte| byte == b'\\').max(start);
            }
            b'&' | b';' | b',' if begins_next(text.from(at + 1)) => return at,
            b';' if at + 1 == text.0.len() => return at,
            _ => {}
        }
    }
    text.0.len()
}

/// The end of a value of JSON without quotes.
fn json(text: Text<'_>, start: usize) -> usize {
    text.end_of(start, |byte| !b" \t\r\n,}]".contains(&byte))
}

/// Whether a text begins with the next name with a value, or with a space.
fn begins_next(rest: &[u8]) -> bool {
    let name = rest.iter().take(NEXT_NAME_LIMIT).take_while(|byte| is_name(**byte)).count();
    match rest.get(name) {
        Some(b'=' | b':') => name > 0,
        Some(b' ' | b'"' | b'\n') => name == 0,
        Some(_) | None => false,
    }
}

/// The longest name that is looked for behind a value.
const NEXT_NAME_LIMIT: usize = 64;

/// The end of a value in brackets from `start`: behind the first `closing`, or of the whole text.
fn through(text: Text<'_>, start: usize, closing: u8) -> usize {
    let end = text.end_of(start, |byte| byte != closing);
    (end + 1).min(text.0.len())
}

/// The start of the value behind the anchor or the tag of YAML at `at`: `&name value`, `!!str value`. Else `at`.
fn behind_mark(text: Text<'_>, at: usize) -> usize {
    let is_mark = matches!(text.byte(at), Some(b'&' | b'!'));
    let end = text.end_of(at + 1, |byte| byte.is_ascii_alphanumeric() || b"!_-.:/".contains(&byte));
    if is_mark && end > at + 1 && text.byte(end).is_some_and(is_space) { text.skip_spaces(end) } else { at }
}

/// Whether the indicator of a YAML block at `indicator` ends its line, whatever it says of spaces and line ends. A comment may be behind it.
fn begins_block(text: Text<'_>, indicator: usize) -> bool {
    let end = text.end_of(indicator + 1, |byte| matches!(byte, b'-' | b'+' | b'0'..=b'9'));
    let next = text.skip_spaces(end);
    matches!(text.byte(next), Some(b'\r' | b'\n')) || (next > end && text.byte(next) == Some(b'#'))
}

/// The lines of a YAML block whose indicator is at `indicator`.
fn block(text: Text<'_>, indicator: usize) -> Range<usize> {
    let start = text.end_of(text.end_of(indicator, |byte| byte != b'\n'), |byte| matches!(byte, b'\n' | b' ' | b'\t'));
    let mut end = start;
    loop {
        end = text.end_of(end, |byte| byte != b'\n');
        match text.from(end) {
            [_, b' ' | b'\t' | b'\n', ..] => end += 1,
            _ => return start..end,
        }
    }
}

/// The value without the scheme before it: `Bearer …`, `Basic …`.
fn after_scheme(text: Text<'_>, range: Range<usize>, kind: Kind) -> Range<usize> {
    if !matches!(kind, Kind::Scheme | Kind::Forward) {
        return range;
    }
    let value = text.get(range.clone());
    let word = value.split([' ', '\t', '"', '\'', '`']).next().unwrap_or_default();
    let word_end = range.start + word.len();
    if !name::SCHEMES.iter().any(|scheme| word.eq_ignore_ascii_case(scheme)) {
        return range;
    }
    let start = text.skip_spaces(word_end);
    let end = if range.end > start {
        range.end
    } else if word.eq_ignore_ascii_case("digest") {
        text.end_of(start, |byte| byte != b'\n')
    } else {
        text.end_of(start, |byte| !matches!(byte, b' ' | b'\t' | b'\r' | b'\n') && !is_quote(byte))
    };
    start..end.max(start)
}
