//! What a listener and each of its clients may have: connections, streams, and requests in a time.

use std::fmt;
use std::ops::RangeInclusive;

use super::raw::{CONNECTIONS, number};
use crate::quoting;
use crate::yaml::{Diagnostic, Diagnostics, Members, Node, Value};

/// How many requests a limit may allow, in a unit of time or at once.
const REQUESTS: RangeInclusive<usize> = 1..=1_000_000;
/// What a rate looks like.
const RATE: &str = "a rate such as 20/s, 600/m or 1000/h";

/// What the clients of a listener may have at a time, besides connections.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ListenerLimits {
    /// Streams of all clients together; as many as connections if `None`.
    pub streams: Option<usize>,
    /// Requests of all clients together; any number if `None`.
    pub requests: Option<RateLimit>,
    /// What each client may have. A line of `clients` may say something else of its own clients.
    pub per_client: ClientLimits,
}

impl ListenerLimits {
    /// The keys that set them.
    pub(super) const KEYS: [&str; 3] = ["streams", "requests", "per_client"];

    /// Reads them. A key without a value is an error: it would be no limit.
    pub(super) fn read(members: &Members<'_>, diagnostics: &mut Diagnostics) -> Self {
        let of_all = ClientLimits::read(members, &Self::KEYS, diagnostics);
        let per_client = members.get_or_empty("per_client");
        let of_each =
            per_client.and_then(|node| diagnostics.members(node, "limits of each client", &ClientLimits::KEYS));
        let per_client = of_each.map(|members| ClientLimits::read(&members, &ClientLimits::KEYS, diagnostics));
        Self { streams: of_all.streams, requests: of_all.requests, per_client: per_client.unwrap_or_default() }
    }
}

/// What one client may have at a time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ClientLimits {
    /// Connections; as many as the listener may have if `None`.
    pub connections: Option<usize>,
    /// Streams; one for each connection if `None`.
    pub streams: Option<usize>,
    /// Requests; any number if `None`.
    pub requests: Option<RateLimit>,
}

impl ClientLimits {
    /// The keys that set them.
    pub(super) const KEYS: [&str; 3] = ["connections", "streams", "requests"];

    /// Reads those of `keys`. A key without a value is an error: it would be no limit.
    pub(super) fn read(members: &Members<'_>, keys: &[&str], diagnostics: &mut Diagnostics) -> Self {
        let node = |name: &str| members.get_or_empty(name).filter(|_| keys.contains(&name));
        let mut limit = |name| node(name).and_then(|node| diagnostics.ok(number(node, CONNECTIONS)));
        let (connections, streams) = (limit("connections"), limit("streams"));
        Self { connections, streams, requests: node("requests").and_then(|node| requests(node, diagnostics)) }
    }

    /// These, with those of `others` in place of what they do not say.
    pub fn or(self, others: Self) -> Self {
        Self {
            connections: self.connections.or(others.connections),
            streams: self.streams.or(others.streams),
            requests: self.requests.or(others.requests),
        }
    }
}

/// As in the summary: `8 connections at most, 20/s requests at most`; nothing if there are none.
impl fmt::Display for ClientLimits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { connections, streams, requests } = self;
        let said = [
            connections.map(|count| format!("{count} connections at most")),
            streams.map(|count| format!("{count} streams at most")),
            requests.map(|rate| format!("{rate} requests at most")),
        ];
        f.write_str(&said.into_iter().flatten().collect::<Vec<_>>().join(", "))
    }
}

/// How many requests may come on average, and how many of them at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateLimit {
    /// How many in each unit of time.
    count: u32,
    unit: TimeUnit,
    /// How many at once.
    burst: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum TimeUnit {
    Second,
    Minute,
    Hour,
}

impl TimeUnit {
    const ALL: [Self; 3] = [Self::Second, Self::Minute, Self::Hour];

    const fn letter(self) -> &'static str {
        match self {
            Self::Second => "s",
            Self::Minute => "m",
            Self::Hour => "h",
        }
    }

    const fn seconds(self) -> f64 {
        match self {
            Self::Second => 1.0,
            Self::Minute => 60.0,
            Self::Hour => 3600.0,
        }
    }
}

impl RateLimit {
    /// As many as `rate` says, such as `20/s`, with `burst` of them at once; with all of one unit of time if `None`.
    pub fn parse(rate: &str, burst: Option<u32>) -> Option<Self> {
        let (count, unit) = rate.split_once('/')?;
        let unit = TimeUnit::ALL.into_iter().find(|known| known.letter() == unit.trim())?;
        let count = count.trim();
        let count: u32 = count.parse().ok().filter(|_| count.bytes().all(|byte| byte.is_ascii_digit()))?;
        let is_possible = |count: u32| usize::try_from(count).is_ok_and(|count| REQUESTS.contains(&count));
        let burst = burst.unwrap_or(count);
        (is_possible(count) && is_possible(burst)).then_some(Self { count, unit, burst })
    }

    /// How many in each second, on average.
    pub fn per_second(self) -> f64 {
        f64::from(self.count) / self.unit.seconds()
    }

    /// How many at once.
    pub fn burst(self) -> u32 {
        self.burst
    }
}

/// As in a configuration: `20/s`, or `20/s and 100 at once`.
impl fmt::Display for RateLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.count, self.unit.letter())?;
        if self.burst == self.count { Ok(()) } else { write!(f, " and {} at once", self.burst) }
    }
}

/// Reads `requests`: a rate, or a mapping with `rate` and `burst`.
fn requests(node: &Node, diagnostics: &mut Diagnostics) -> Option<RateLimit> {
    if !matches!(node.value, Value::Mapping(_)) {
        return diagnostics.ok(rate(node, None));
    }
    let members = diagnostics.members(node, "a rate", &["rate", "burst"])?;
    let burst = members.get_or_empty("burst").map(|node| diagnostics.ok(number(node, REQUESTS)));
    let Some(rate_node) = members.get("rate") else {
        diagnostics.push(node.diagnostic(format!("expected `rate` with {RATE}")));
        return None;
    };
    let burst = burst.map(|burst| burst.and_then(|burst| u32::try_from(burst).ok()));
    let rate = diagnostics.ok(rate(rate_node, burst.flatten()));
    // One with an error has been reported.
    rate.filter(|_| burst != Some(None))
}

/// Reads a rate.
fn rate(node: &Node, burst: Option<u32>) -> Result<RateLimit, Diagnostic> {
    let text = node.text(RATE)?;
    RateLimit::parse(text, burst)
        .ok_or_else(|| node.diagnostic(format!("found {:?}, expected {RATE}", quoting::value(text))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_a_number_and_a_unit() {
        let said = |text: &str, burst| RateLimit::parse(text, burst).map(|limit| limit.to_string());
        for (text, burst, expected) in [
            ("20/s", None, Some("20/s")),
            (" 600 / m ", None, Some("600/m")),
            ("1/h", Some(5), Some("1/h and 5 at once")),
            ("20/s", Some(20), Some("20/s")),
            ("1000000/s", Some(1_000_000), Some("1000000/s")),
            ("1000001/s", None, None),
            ("20/s", Some(0), None),
            ("20/s", Some(1_000_001), None),
            ("0/s", None, None),
            ("-1/s", None, None),
            ("+1/s", None, None),
            ("1.5/s", None, None),
            ("20", None, None),
            ("20/d", None, None),
            ("20/", None, None),
            ("/s", None, None),
            ("20/s/s", None, None),
        ] {
            assert_eq!(said(text, burst).as_deref(), expected, "{text:?} {burst:?}");
        }
        let per_second = |text: &str| RateLimit::parse(text, None).map(RateLimit::per_second);
        assert_eq!(["20/s", "600/m", "1800/h"].map(per_second), [Some(20.0), Some(10.0), Some(0.5)]);
    }
}
