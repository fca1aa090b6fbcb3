//! The values that other proxies read, in the form that they read them. An error is what was expected.

use std::path::PathBuf;
use std::time::Duration;

use crate::cli::LogLevel;
use crate::config::LONGEST_TIMEOUT;
use crate::socket::Address;

/// Whether HAProxy reads a text as on (`env() -m bool`): it starts with an integer that is not zero. So `true` is off, and
/// `1x` is on. `fixtures/haproxy-bool.tsv` has what HAProxy itself answers.
pub(super) fn is_on(text: &str) -> bool {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    digits.bytes().take_while(u8::is_ascii_digit).any(|digit| digit != b'0')
}

/// How the author of a text that [`is_on`] denies may have meant it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Meant {
    /// Off: nothing, a zero, or a word that says so.
    Off,
    /// On: a word that says so, or a one in quotes or behind a space.
    On,
    /// Anything else, and perhaps a secret: it may not be for this variable at all.
    Unknown,
}

/// What a text that is off was probably meant to say.
pub(super) fn meant(text: &str) -> Meant {
    let is_mark = |c: char| c.is_whitespace() || matches!(c, '"' | '\'');
    match text.trim_matches(is_mark).to_ascii_lowercase().as_str() {
        "" | "0" | "00" | "false" | "no" | "off" | "n" | "f" | "none" | "disabled" => Meant::Off,
        "1" | "true" | "yes" | "on" | "y" | "t" | "enabled" | "enable" => Meant::On,
        _ => Meant::Unknown,
    }
}

/// Whether a text is what people write for a switch, on or off.
pub(super) fn is_switch(text: &str) -> bool {
    is_on(text) || meant(text) != Meant::Unknown
}

/// The engine: a path, or an address as HAProxy reads it.
pub(super) fn engine(text: &str) -> Result<Address, &'static str> {
    const WHAT: &str = "the path of a socket, or host:port";
    let url = match text.strip_prefix("unix@").unwrap_or(text) {
        path if path.starts_with('/') => format!("unix://{path}"),
        url if url.contains("://") => url.to_owned(),
        address => format!("tcp://{address}"),
    };
    url.parse().map_err(|_| WHAT)
}

/// A folder, without slashes at the end.
pub(super) fn folder(text: &str) -> Result<PathBuf, &'static str> {
    const WHAT: &str = "the absolute path of a folder, short enough for a socket in it";
    let path = text.trim_end_matches('/');
    // A socket address holds 107 bytes.
    if !text.starts_with('/') || path.len() > 107 - "/docker.sock".len() {
        return Err(WHAT);
    }
    Ok(PathBuf::from(if path.is_empty() { "/" } else { path }))
}

/// The number of a user or a group.
pub(super) fn number(text: &str) -> Result<u32, &'static str> {
    // System calls read the highest number as "none".
    text.parse().ok().filter(|number| *number != u32::MAX).ok_or("a number such as 1000")
}

/// A port.
pub(super) fn port(text: &str) -> Result<u16, &'static str> {
    text.parse().ok().filter(|port| *port != 0).ok_or("a port such as 2375")
}

/// A time as Go writes it: `30s`, `1m30s`, `1.5h`.
pub(super) fn go_duration(text: &str) -> Result<Duration, &'static str> {
    const WHAT: &str = "a time such as 500ms, 30s or 1m30s";
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    let mut rest = text;
    let mut seconds = 0.0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or(WHAT)?;
        let (number, behind) = rest.split_at(digits);
        let end = behind.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(behind.len());
        let (unit, behind) = behind.split_at(end);
        let unit = match unit {
            "ns" => 1e-9,
            "us" | "µs" => 1e-6,
            "ms" => 1e-3,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            _ => return Err(WHAT),
        };
        seconds += number.parse::<f64>().map_err(|_| WHAT)? * unit;
        rest = behind;
    }
    match Duration::try_from_secs_f64(seconds) {
        Ok(time) if !text.is_empty() && time <= LONGEST_TIMEOUT => Ok(time),
        Ok(_) | Err(_) => Err(WHAT),
    }
}

/// The log level that corresponds to one of HAProxy.
pub(super) fn severity(text: &str) -> Result<LogLevel, &'static str> {
    match text {
        "emerg" | "alert" | "crit" | "err" => Ok(LogLevel::Error),
        "warning" | "notice" => Ok(LogLevel::Warn),
        "info" => Ok(LogLevel::Info),
        "debug" => Ok(LogLevel::Debug),
        _ => Err("one of emerg, alert, crit, err, warning, notice, info, debug"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_switch_is_on_where_haproxy_reads_a_number() {
        for text in ["1", "2", "-1", "+1", "01", "1x", "1 # needed", "1.0", "99999999999999999999999"] {
            assert!(is_on(text) && is_switch(text), "{text:?}");
        }
        for (text, guess) in [
            ("", Meant::Off),
            ("-0", Meant::Unknown),
            ("0", Meant::Off),
            ("False", Meant::Off),
            ("TRUE", Meant::On),
            ("yes", Meant::On),
            (" 1", Meant::On),
            ("\"1\"", Meant::On),
            ("--1", Meant::Unknown),
            ("hunter2", Meant::Unknown),
            ("\u{ff11}", Meant::Unknown),
        ] {
            assert_eq!((is_on(text), meant(text)), (false, guess), "{text:?}");
        }
        assert!(is_switch("off") && !is_switch("hunter2"));
    }

    #[test]
    fn durations_are_those_of_go() {
        for (text, milliseconds) in [
            ("30s", 30_000),
            ("1m30s", 90_000),
            ("500ms", 500),
            ("1.5h", 5_400_000),
            ("0", 0),
            ("0s", 0),
            ("2h", 7_200_000),
        ] {
            assert_eq!(go_duration(text), Ok(Duration::from_millis(milliseconds)), "{text}");
        }
        for text in ["", "30", "s", "1.2.3s", "10 s", "1d", "-1s", "9999h"] {
            assert!(go_duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn an_engine_is_a_path_or_an_address() {
        for (text, url) in [
            ("/var/run/docker.sock", "unix:///var/run/docker.sock"),
            ("unix@/run/docker.sock", "unix:///run/docker.sock"),
            ("engine:2375", "tcp://engine:2375"),
            ("tcp://engine:2375", "tcp://engine:2375"),
        ] {
            assert_eq!(engine(text).unwrap().to_string(), url);
        }
        assert!(engine("docker.sock").is_err());
    }

    #[test]
    fn a_folder_is_absolute() {
        assert_eq!(folder("/run/proxy//"), Ok("/run/proxy".into()));
        assert_eq!(folder("/"), Ok("/".into()));
        assert!(folder("run").is_err() && folder("").is_err() && folder(&format!("/{}", "a".repeat(107))).is_err());
    }

    #[test]
    fn users_are_numbers() {
        assert_eq!(number("1000"), Ok(1000));
        for text in ["", "root", "-1", "4294967295"] {
            assert!(number(text).is_err(), "{text}");
        }
    }
}
