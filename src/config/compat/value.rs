//! The values that other proxies read, in the form that they read them. An error is what was expected.

use std::path::PathBuf;
use std::time::Duration;

use crate::cli::LogLevel;
use crate::config::LONGEST_TIMEOUT;
use crate::socket::Address;

/// Whether something is on.
pub(super) fn switch(text: &str) -> Result<bool, &'static str> {
    match text.trim().to_ascii_lowercase().as_str() {
        "1" | "true" => Ok(true),
        "0" | "false" | "" => Ok(false),
        _ => Err("1, 0, true or false"),
    }
}

/// As [`switch`], with `yes` and `no`.
pub(super) fn switch_or_word(text: &str) -> Result<bool, &'static str> {
    match text.trim().to_ascii_lowercase().as_str() {
        "yes" => Ok(true),
        "no" => Ok(false),
        other => switch(other),
    }
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
    fn a_switch_is_1_0_true_or_false() {
        for (text, on) in [("1", true), ("true", true), ("TRUE", true), ("0", false), ("False", false), ("", false)] {
            assert_eq!((switch(text), switch_or_word(text)), (Ok(on), Ok(on)), "{text}");
        }
        for text in ["2", "-1", "yes", "on", "1x", "tru"] {
            assert!(switch(text).is_err(), "{text}");
        }
        assert_eq!((switch_or_word("yes"), switch_or_word("no")), (Ok(true), Ok(false)));
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
