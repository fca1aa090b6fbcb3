//! Certificates and lists of revoked certificates that stop being good at a time that they name.

use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use super::{Config, Listener};
use crate::endpoint::EngineEndpoint;
use crate::quoting;

/// How long before its end a file is warned of.
const WARNING_TIME: Duration = Duration::from_secs(14 * DAY);
/// How often a file is warned of.
const INTERVAL: Duration = Duration::from_secs(DAY);
/// The seconds of a day, and of an hour.
const DAY: u64 = 24 * HOUR;
const HOUR: u64 = 60 * 60;

/// When something in a file of TLS stops being good. Authorities are not among them: what they have issued is good as long as they
/// are trusted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expiry {
    /// The address of the listener or of the engine.
    pub address: String,
    /// What stops being good.
    pub what: Expiring,
    /// When.
    pub at: SystemTime,
}

/// What stops being good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expiring {
    /// The certificate of a listener, or one that leads to its authority.
    Certificate,
    /// A list of revoked certificates, in this file.
    Crl(PathBuf),
    /// The certificate that we prove ourselves to an engine with.
    EngineCertificate,
}

impl Expiring {
    /// The key of the configuration that names the file: a label of metrics.
    pub fn key(&self) -> &'static str {
        match self {
            Self::Certificate => "certificate",
            Self::Crl(_) => "crl",
            Self::EngineCertificate => "cert",
        }
    }
}

impl Expiry {
    /// What there is to warn of at this time, if anything.
    pub fn warning(&self, now: SystemTime) -> Option<String> {
        let end = match self.at.duration_since(now) {
            Ok(left) if left > WARNING_TIME => return None,
            Ok(left) => format!("expires in {}", in_words(left)),
            Err(_) => "has expired".to_owned(),
        };
        let address = &self.address;
        Some(match &self.what {
            Expiring::Certificate => {
                format!("the certificate of {address} {end}: clients refuse it until there is a new one")
            }
            Expiring::Crl(file) => {
                let file = quoting::path(file);
                format!(
                    "the list of revoked certificates {file} at {address} {end}: clients of its authority are refused until there \
                     is a new one"
                )
            }
            Expiring::EngineCertificate => {
                format!("our certificate for {address} {end}: the engine refuses it until there is a new one")
            }
        })
    }
}

/// A time in words that say enough.
fn in_words(left: Duration) -> String {
    match left.as_secs() {
        seconds if seconds >= 2 * DAY => format!("{} days", seconds / DAY),
        seconds if seconds >= 2 * HOUR => format!("{} hours", seconds / HOUR),
        seconds => format!("{} minutes", seconds / 60),
    }
}

/// After how long these are to be looked at again: when the next one expires or is soon to, and each day. `None` if there are none.
pub fn next_look(expiries: &[Expiry], now: SystemTime) -> Option<Duration> {
    let changes = expiries.iter().flat_map(|expiry| [Some(expiry.at), expiry.at.checked_sub(WARNING_TIME)]).flatten();
    // A moment later, it has happened.
    let waits = changes.filter_map(|at| at.duration_since(now).ok()).map(|wait| wait + Duration::from_secs(1));
    (!expiries.is_empty()).then(|| waits.fold(INTERVAL, Duration::min))
}

impl Listener {
    /// What stops being good of its TLS.
    pub fn expiries(&self) -> Vec<Expiry> {
        let Some(tls) = &self.tls else { return Vec::new() };
        let certificate = tls.expires().map(|at| (Expiring::Certificate, at));
        let lists =
            tls.revoked().iter().filter_map(|list| Some((Expiring::Crl(list.file().to_owned()), list.expires()?)));
        let expiry = |(what, at)| Expiry { address: self.address.to_string(), what, at };
        certificate.into_iter().chain(lists).map(expiry).collect()
    }
}

impl Config {
    /// What stops being good of the TLS of its engines.
    pub fn expiries_of_engines(&self) -> Vec<Expiry> {
        let expiry = |engine: &EngineEndpoint| {
            let at = engine.tls.as_ref()?.tls.expires()?;
            Some(Expiry { address: engine.address.to_string(), what: Expiring::EngineCertificate, at })
        };
        self.engines().into_iter().filter_map(expiry).collect()
    }

    /// What stops being good of its listeners and its engines.
    pub fn expiries(&self) -> Vec<Expiry> {
        let of_listeners = self.listeners.iter().flat_map(Listener::expiries);
        of_listeners.chain(self.expiries_of_engines()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_warned_of_from_two_weeks_before_its_end_on() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000 * DAY);
        let at = |seconds: i64| {
            let wait = Duration::from_secs(seconds.unsigned_abs());
            if seconds < 0 { now - wait } else { now + wait }
        };
        let day = i64::try_from(DAY).unwrap();
        for (seconds, expected) in [
            (15 * day, None),
            (14 * day + 1, None),
            (14 * day, Some("expires in 14 days: ")),
            (3 * day - 1, Some("expires in 2 days: ")),
            (2 * day - 1, Some("expires in 47 hours: ")),
            (7_199, Some("expires in 119 minutes: ")),
            (1, Some("expires in 0 minutes: ")),
            (-1, Some("has expired: ")),
            (-400 * day, Some("has expired: ")),
        ] {
            for what in [Expiring::Certificate, Expiring::Crl("/a/crl.pem".into()), Expiring::EngineCertificate] {
                let expiry = Expiry { address: "tcp://a:1".to_owned(), what, at: at(seconds) };
                let found = expiry.warning(now);
                assert_eq!(found.is_some(), expected.is_some(), "{seconds}: {found:?}");
                let text = found.unwrap_or_default();
                assert!(text.contains(expected.unwrap_or_default()), "{seconds}: {text}");
                assert!(text.is_empty() || text.contains("tcp://a:1"), "{text}");
            }
        }
    }

    #[test]
    fn files_are_looked_at_each_day_and_when_something_happens() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000 * DAY);
        let at = |seconds: u64| Expiry {
            address: String::new(),
            what: Expiring::Certificate,
            at: now + Duration::from_secs(seconds),
        };
        assert_eq!(next_look(&[], now), None);
        let gone = Expiry { at: now - Duration::from_secs(60), ..at(0) };
        for (expiries, expected) in [
            (vec![gone.clone()], DAY),
            (vec![at(100 * DAY)], DAY),
            (vec![at(100 * DAY), gone, at(60)], 61),
            (vec![at(14 * DAY + 5)], 6),
        ] {
            assert_eq!(next_look(&expiries, now), Some(Duration::from_secs(expected)), "{expiries:?}");
        }
    }
}
