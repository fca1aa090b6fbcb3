//! Credentials among the arguments of a command: `--password …`, and what `-p`, `-a`, `-u` mean to programs that are known.

use std::ops::Range;

use super::name::{self, Kind};
use super::scan::end;

/// What the next argument is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expected {
    /// Anything.
    Anything,
    /// A credential, because of a name of this kind.
    Credential(Kind),
    /// The same, because of the name of an option.
    Named(Kind),
    /// A credential after this many other words, and any options. The second says whether there was an option.
    Word(u8, bool),
    /// A user, a slash, and a credential, after any options. Within a sentence, what they are for stands behind an `@`.
    Connection { in_sentence: bool },
    /// A user, this separator, and a credential.
    User(u8),
}

/// What the short options of a program take.
struct Program {
    names: &'static [&'static str],
    /// A word that must be among the arguments too.
    subcommand: Option<&'static str>,
    /// The word that must stand before that.
    group: Option<&'static str>,
    /// Options that take a credential.
    credential: &'static [&'static str],
    /// Options with the credential in the same word: `-pabc`.
    joined: &'static [&'static str],
    /// Options that take a user and a credential, with `separator` between them.
    user: &'static [&'static str],
    separator: u8,
    /// Which word behind the subcommand is a credential, from one; zero if none is.
    position: u8,
    /// Whether the word behind the program is a user and a credential.
    connects: bool,
}

const PROGRAM: Program = Program {
    names: &[],
    subcommand: None,
    group: None,
    credential: &[],
    joined: &[],
    user: &[],
    separator: b':',
    position: 0,
    connects: false,
};

/// The programs, in lower case.
const PROGRAMS: &[Program] = &[
    Program {
        names: &[
            "mysql",
            "mysqldump",
            "mysqladmin",
            "mysqlimport",
            "mysqlcheck",
            "mysqlshow",
            "mysqlsh",
            "mysqlbinlog",
            "mariadb",
            "mariadb-dump",
            "mariadb-admin",
            "mariadb-import",
            "mariadb-check",
            "mariadb-backup",
            "sshpass",
        ],
        credential: &["-p"],
        joined: &["-p"],
        ..PROGRAM
    },
    Program {
        names: &[
            "mongo",
            "mongosh",
            "mongodump",
            "mongorestore",
            "mongoexport",
            "mongoimport",
            "cqlsh",
            "rabbitmqadmin",
        ],
        credential: &["-p"],
        ..PROGRAM
    },
    Program { names: &["redis-cli", "valkey-cli", "keydb-cli"], credential: &["-a"], ..PROGRAM },
    Program {
        names: &["docker", "podman", "nerdctl", "buildah", "skopeo", "helm", "oras", "crane", "regctl"],
        subcommand: Some("login"),
        credential: &["-p"],
        ..PROGRAM
    },
    Program { names: &["az"], subcommand: Some("login"), credential: &["-p"], joined: &["-p"], ..PROGRAM },
    Program { names: &["vault", "bao"], subcommand: Some("login"), position: 1, ..PROGRAM },
    Program { names: &["vault", "bao"], group: Some("operator"), subcommand: Some("unseal"), position: 1, ..PROGRAM },
    Program { names: &["vault", "bao"], group: Some("operator"), subcommand: Some("rekey"), position: 1, ..PROGRAM },
    Program {
        names: &["vault", "bao"],
        group: Some("operator"),
        subcommand: Some("generate-root"),
        position: 1,
        ..PROGRAM
    },
    // Its name, its address and its user stand before it.
    Program { names: &["mc", "mcli"], group: Some("alias"), subcommand: Some("set"), position: 4, ..PROGRAM },
    Program { names: &["consul", "nomad"], credential: &["-encrypt", "--encrypt"], ..PROGRAM },
    Program { names: &["sqlplus", "sqlldr", "expdp", "impdp"], connects: true, ..PROGRAM },
    Program { names: &["skopeo", "buildah", "podman"], user: &["--creds", "--src-creds", "--dest-creds"], ..PROGRAM },
    Program { names: &["curl"], user: &["-u", "--user", "-U", "--proxy-user"], joined: &["-u"], ..PROGRAM },
    Program { names: &["httpie", "xh"], user: &["-a"], ..PROGRAM },
    Program { names: &["lftp"], user: &["-u"], separator: b',', ..PROGRAM },
    Program { names: &["smbclient", "rpcclient"], user: &["-U"], separator: b'%', ..PROGRAM },
    Program {
        names: &["ldapsearch", "ldapadd", "ldapmodify", "ldapdelete", "ldapwhoami", "ldappasswd"],
        credential: &["-w"],
        ..PROGRAM
    },
    Program { names: &["sqlcmd", "bcp", "tsql", "ipmitool", "zip", "unzip"], credential: &["-P"], ..PROGRAM },
    Program { names: &["mosquitto_pub", "mosquitto_sub", "mosquitto_rr"], credential: &["-P"], ..PROGRAM },
    Program { names: &["7z", "7za", "7zr", "rar", "unrar"], joined: &["-p"], ..PROGRAM },
    Program { names: &["openssl"], credential: &["-k", "-K"], ..PROGRAM },
];

/// Options that take the next word, and stand before a word that is counted. Without dashes.
const VALUED: &[&str] = &[
    "address",
    "agent-address",
    "api",
    "ca-cert",
    "ca-path",
    "client-cert",
    "client-key",
    "field",
    "format",
    "header",
    "log-format",
    "log-level",
    "method",
    "mfa",
    "namespace",
    "nonce",
    "ns",
    "path",
    "tls-server-name",
    "wrap-ttl",
];

/// Options with fingerprints, which no key follows from.
const FINGERPRINTS: &[&str] = &["--recv-keys", "--recv-key", "--receive-keys"];

/// Words that begin a command, or stand before one.
const BEGINNERS: &[&str] = &[
    "exec",
    "sudo",
    "do",
    "then",
    "else",
    "until",
    "while",
    "if",
    "!",
    "time",
    "nohup",
    "RUN",
    "CMD",
    "CMD-SHELL",
    "-c",
];

/// Words without a dash that take a credential: of Redis and ngrok.
const BARE: &[&str] = &["requirepass", "masterauth", "authtoken", "add-authtoken"];

/// Words that take the name of a variable and its value.
const SETTERS: &[&str] = &["env", "arg", "set", "setenv", "setx"];

/// The anchors of what [`find`] finds without a name. In lower case. Of long names these are the ends: `tpie` stands in fewer texts
/// than what `httpie` begins with. A subcommand stands in fewer texts than the programs that have it.
pub(super) fn anchors() -> impl Iterator<Item = &'static str> {
    let words = PROGRAMS.iter().flat_map(Program::telling).chain(BARE.iter().copied());
    words.map(|word| end(word, 4.max(word.len().saturating_sub(2))))
}

impl Program {
    /// Words of which one stands in every text with this program.
    fn telling(&self) -> impl Iterator<Item = &'static str> + use<> {
        // A short one stands in more texts than its group.
        let told = self.subcommand.filter(|subcommand| subcommand.len() > 3).or(self.group);
        let names = if told.is_none() { self.names } else { &[] };
        told.into_iter().chain(names.iter().copied())
    }
}

/// The arguments of a command so far.
#[derive(Clone, Debug)]
pub(in crate::filter) struct Arguments {
    expected: Expected,
    /// The programs among them, a bit for each in [`PROGRAMS`].
    programs: u32,
    /// The programs whose subcommand is among them, as the same bits.
    subcommands: u32,
    /// The programs whose group was the last word, as the same bits.
    groups: u32,
    /// Whether the last word was one of [`SETTERS`].
    sets: bool,
    /// Whether the next word stands within a text, and begins no command there.
    in_sentence: bool,
}

impl Default for Arguments {
    fn default() -> Self {
        Self { expected: Expected::Anything, programs: 0, subcommands: 0, groups: 0, sets: false, in_sentence: false }
    }
}

impl Arguments {
    /// The part of the next argument that is a credential.
    pub(super) fn next(&mut self, argument: &str) -> Option<Range<usize>> {
        let expected = std::mem::replace(&mut self.expected, Expected::Anything);
        let is_option = argument.starts_with('-');
        match expected {
            Expected::Credential(kind) if !is_option => {
                let is_credential = name::is_credential(kind, argument) && !is_port_mapping(argument);
                return is_credential.then_some(0..argument.len());
            }
            Expected::Named(kind) if !is_option || is_dashed_value(kind, argument) => {
                // It may be an option all the same.
                if is_option {
                    self.option(argument);
                }
                let is_credential = name::is_credential(kind, argument) && !is_port_mapping(argument);
                return is_credential.then_some(0..argument.len());
            }
            Expected::User(separator) => return behind(argument, separator),
            Expected::Word(before, has_option) if !is_option => return self.counted(before, has_option, argument),
            Expected::Connection { in_sentence } if !is_option => {
                let found = self.word(argument);
                let is_told = !in_sentence || argument.contains('@');
                return connection(argument).filter(|_| is_told).or(found);
            }
            Expected::Word(before, _) => {
                let found = self.option(argument);
                self.expect(Expected::Word(before.saturating_add(is_valued(argument).into()), true));
                return found;
            }
            Expected::Connection { .. } => {
                let found = self.option(argument);
                // No sentence has options.
                self.expect(Expected::Connection { in_sentence: false });
                return found;
            }
            Expected::Credential(_) | Expected::Named(_) | Expected::Anything => {}
        }
        if is_option { self.option(argument) } else { self.word(argument) }
    }

    /// Expects something of the next argument, unless that is known already.
    fn expect(&mut self, expected: Expected) {
        if self.expected == Expected::Anything {
            self.expected = expected;
        }
    }

    /// Expects no more words: the command is over.
    fn end(&mut self) {
        if matches!(self.expected, Expected::Word(..) | Expected::Connection { .. }) {
            self.expected = Expected::Anything;
        }
    }

    /// A word with `before` others between it and the credential, or the credential.
    fn counted(&mut self, before: u8, has_option: bool, word: &str) -> Option<Range<usize>> {
        // Behind an option, a name with a value is no credential as a whole; see `pair`. Base64 ends in `=`.
        let is_pair = has_option && word.trim_end_matches('=').contains('=');
        let left = if is_pair { before } else { before.saturating_sub(1) };
        // It may be a program all the same.
        let found = self.word(word);
        if before == 0 && !is_pair {
            return name::is_credential(Kind::Secret, word).then_some(0..word.len());
        }
        self.expect(Expected::Word(left, has_option));
        found
    }

    /// An option. Returns the credential that is joined to it.
    fn option(&mut self, option: &str) -> Option<Range<usize>> {
        for program in self.running() {
            if program.credential.contains(&option) {
                self.expected = Expected::Credential(Kind::Secret);
                return None;
            }
            let joined = option.split_once('=').filter(|(name, _)| program.credential.contains(name));
            if let Some((name, value)) = joined {
                return name::is_credential(Kind::Secret, value).then_some(name.len() + 1..option.len());
            }
            if program.user.contains(&option) {
                self.expected = Expected::User(program.separator);
                return None;
            }
            for joined in program.joined {
                match option.strip_prefix(joined) {
                    Some(value) if program.user.is_empty() && !value.is_empty() => {
                        return (!is_port_mapping(value)).then_some(2..option.len());
                    }
                    Some(value) if !value.is_empty() => {
                        return behind(value, program.separator).map(|span| span.start + 2..span.end + 2);
                    }
                    Some(_) | None => {}
                }
            }
        }
        // What has a value with it is a name with a value; see `pair`.
        if !option.contains(['=', ':', ' '])
            && !FINGERPRINTS.contains(&option)
            && let Some(kind) = name::kind(option.as_bytes())
        {
            self.expected = Expected::Named(kind);
        }
        None
    }

    /// The programs whose options count.
    fn running(&self) -> impl Iterator<Item = &'static Program> + use<> {
        let Self { programs, subcommands, .. } = *self;
        let bits = (0..PROGRAMS.len()).map(|index| 1_u32 << index);
        PROGRAMS.iter().zip(bits).filter_map(move |(program, bit)| {
            let is_complete = program.subcommand.is_none() || subcommands & bit != 0;
            (programs & bit != 0 && is_complete).then_some(program)
        })
    }

    /// An argument that is no option.
    fn word(&mut self, word: &str) -> Option<Range<usize>> {
        let name = word.rsplit('/').next().unwrap_or(word);
        let is_set = std::mem::replace(&mut self.sets, SETTERS.iter().any(|setter| word.eq_ignore_ascii_case(setter)));
        // A variable after its setter, and npm's settings of a registry: `//registry/:_authToken`.
        let is_variable = is_set && !word.bytes().any(|byte| byte.is_ascii_lowercase());
        let named = if is_variable { Some(word) } else { word.split_once(":_").map(|(_, setting)| setting) };
        let is_named = |named: &str| !named.contains('=') && name::kind(named.as_bytes()) == Some(Kind::Secret);
        if BARE.contains(&name) || named.is_some_and(is_named) {
            self.expected = Expected::Credential(Kind::Secret);
            return None;
        }
        let groups = std::mem::take(&mut self.groups);
        for (index, program) in PROGRAMS.iter().enumerate() {
            let is_program = program.names.iter().any(|known| name.eq_ignore_ascii_case(known));
            self.programs |= u32::from(is_program) << index;
            self.groups |= u32::from(program.group == Some(name)) << index;
            if is_program && program.connects {
                self.expected = Expected::Connection { in_sentence: self.in_sentence };
            }
            let is_grouped = program.group.is_none() || groups & 1 << index != 0;
            if program.subcommand == Some(name) && is_grouped {
                self.subcommands |= 1 << index;
                let before = program.position.checked_sub(1).filter(|_| self.programs & 1 << index != 0);
                self.expected = before.map_or(self.expected, |before| Expected::Word(before, false));
            }
        }
        None
    }
}

/// Whether what begins with a dash behind an option is the value of that: a digit, a capital or a mark in it says so, unless it is a
/// short option with a number or an address (`-h127.0.0.1`), or has a value of its own.
fn is_dashed_value(kind: Kind, argument: &str) -> bool {
    let Some(word) = argument.strip_prefix('-').filter(|word| !word.starts_with('-')) else { return false };
    let has_name = word
        .split_once(['=', ':'])
        .is_some_and(|(name, _)| name.bytes().all(|byte| byte.is_ascii_alphabetic() || b"-_.".contains(&byte)));
    let is_number = word.bytes().skip(1).all(|byte| byte.is_ascii_digit() || byte == b'.');
    let is_word = word.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-');
    matches!(kind, Kind::Secret | Kind::Plural) && word.len() >= 4 && !has_name && !is_number && !is_word
}

/// The password of `user/password@database`, as the programs of Oracle take it.
fn connection(argument: &str) -> Option<Range<usize>> {
    let slash = argument.find('/').filter(|slash| *slash > 0 && !argument.starts_with(['@', '.', '~']))?;
    let start = slash + 1;
    let rest = argument.get(start..)?;
    let end = rest.rfind('@').or_else(|| rest.find(' ')).map_or(argument.len(), |found| start + found);
    let is_address = argument.get(..slash).is_some_and(|user| user.ends_with(':'));
    (!is_address && name::is_credential(Kind::Secret, argument.get(start..end)?)).then_some(start..end)
}

/// Whether a value is a mapping of ports: `-p 3306:3306` is an option of what runs the program.
fn is_port_mapping(value: &str) -> bool {
    let is_part = |byte: u8| byte.is_ascii_digit() || b":.-/tcpud".contains(&byte);
    value.contains(':') && value.starts_with(|c: char| c.is_ascii_digit()) && value.bytes().all(is_part)
}

/// What stands behind a separator, if it is no number: `-u 1000:1000` is a user and a group.
fn behind(text: &str, separator: u8) -> Option<Range<usize>> {
    let at = text.find(char::from(separator))? + 1;
    name::is_credential(Kind::Secret, text.get(at..)?).then_some(at..text.len())
}

/// Finds the credentials among the words of a text.
pub(super) fn find(text: &str, spans: &mut Vec<Range<usize>>) {
    let mut arguments = Arguments::default();
    let mut at = 0;
    while let Some(word) = next_word(text, at, arguments.expected != Expected::Anything) {
        at = word.end;
        let argument = text.get(word.clone()).unwrap_or_default();
        // The command goes on in the next line.
        if argument == "\\" {
            continue;
        }
        let trimmed = argument.trim_start_matches(is_wrapping);
        let start = word.start + argument.len() - trimmed.len();
        // What is quoted begins a command, too.
        arguments.in_sentence &= start == word.start;
        let trimmed = trimmed.trim_end_matches(is_wrapping);
        spans.extend(arguments.next(trimmed).map(|span| span.start + start..span.end + start));
        let is_end = ends_command(argument, text.get(at..).unwrap_or_default());
        if is_end {
            arguments.end();
        }
        // `&&` begins a command, and so does what runs one.
        let begins =
            is_end || BEGINNERS.contains(&trimmed) || trimmed.ends_with(['&', '|', '$', ':']) || is_assignment(trimmed);
        arguments.in_sentence = !begins;
    }
}

/// Whether a command ends behind a word, with `rest` behind that: at a mark of the shell, or at the end of a line, if the next one is no
/// part of a list and more than a word.
fn ends_command(word: &str, rest: &str) -> bool {
    let next = rest.trim_ascii_start();
    let has_end = rest.bytes().take(rest.len() - next.len()).any(|byte| byte == b'\n');
    let is_line = has_end
        && !word.ends_with(['\\', ','])
        && !next.starts_with('-')
        && next.lines().next().is_some_and(|line| before_comment(line).trim_ascii_end().contains(' '));
    let behind = word.get(word.trim_end_matches(is_wrapping).len()..).unwrap_or_default();
    // What is before the quote that closes the word is no mark of the shell.
    let opened = word.chars().next().filter(|c| matches!(c, '"' | '\''));
    let behind = opened.and_then(|quote| behind.rsplit_once(quote)).map_or(behind, |(_, behind)| behind);
    let after = next.trim_start_matches([';', '&', '|']);
    let is_mark = after.len() < next.len() && !after.starts_with(|c: char| !c.is_ascii_whitespace());
    is_line || is_mark || behind.contains(';')
}

/// Whether an option takes the next word.
fn is_valued(option: &str) -> bool {
    VALUED.contains(&option.trim_start_matches('-'))
}

/// Whether a word sets a variable for the command behind it: `NAME=value`.
fn is_assignment(word: &str) -> bool {
    let is_name =
        |name: &str| !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    word.split_once('=').is_some_and(|(name, _)| is_name(name))
}

/// A line without the comment behind it.
fn before_comment(line: &str) -> &str {
    line.split_once(" #").map_or(line, |(before, _)| before)
}

/// What stands between two elements of JSON without a space.
const JOINT: &str = "\",\"";

/// Whether a character around a word is part of the shell or of JSON rather than of the word.
fn is_wrapping(c: char) -> bool {
    matches!(c, '"' | '\'' | '`' | '(' | ')' | '[' | ']' | ',' | ';' | '\\')
}

/// The next word from `at`, behind spaces or the comma between two elements of JSON. If `is_value`, a text in quotes is one word, up to
/// the end if they do not close.
fn next_word(text: &str, at: usize, is_value: bool) -> Option<Range<usize>> {
    let start = at + text.get(at..)?.find(|c: char| !c.is_ascii_whitespace())?;
    let rest = text.get(start..)?;
    // The first element of a list, or one behind another.
    let is_element = rest.starts_with("[\"") || (start == at && text.get(..at)?.ends_with("\","));
    let quote = rest.chars().next().filter(|c| is_value && matches!(c, '"' | '\''));
    let length = match quote {
        Some(quote) => {
            let inside = rest.get(1..)?;
            let ends = |at: &usize| !inside.as_bytes().get(at + 1).is_some_and(u8::is_ascii_alphanumeric);
            let close = inside.match_indices(quote).map(|(at, _)| at).find(ends);
            let length = close.map_or(rest.len(), |close| close + 2);
            // With the comma before the next element.
            length + usize::from(is_element && rest.get(length - 1..).is_some_and(|rest| rest.starts_with(JOINT)))
        }
        None => {
            let is_joint =
                |at: usize| is_element && at > 0 && rest.get(at..).is_some_and(|rest| rest.starts_with(JOINT));
            let end = rest.char_indices().find(|(at, c)| c.is_ascii_whitespace() || (*c == '"' && is_joint(*at)));
            end.map_or(rest.len(), |(at, c)| if c == '"' { at + 2 } else { at })
        }
    };
    Some(start..start + length)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// For each program, the words of which one is in every text with it. The words that take a credential are such.
    pub(in crate::filter::credential) fn programs() -> impl Iterator<Item = &'static str> {
        PROGRAMS.iter().flat_map(Program::telling).chain(BARE.iter().copied())
    }
}
