//! Query parameters.

use std::sync::LazyLock;

use super::Outcome;
use crate::api::{ApiVersion, OPERATIONS, Parameter, ParameterKind, RequestBody};
use crate::policy::{Decision, Policy};
use crate::profile::Profiles;
use crate::route::{Route, find};

/// Keys of profiles that allow every operation: all of it, what known clients send, and only the first parameter of each.
const PROFILES: [(&str, Parameters); 3] = [
    ("show: all\n", Parameters::All),
    ("show: [identity, state]\nlabels: [app]\nevents: filtered\n", Parameters::Usual),
    ("show: [identity]\nevents: filtered\nstats: filtered\n", Parameters::First),
];

/// Which parameters a profile allows.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Parameters {
    All,
    Usual,
    First,
}

/// The policies of the profiles.
static POLICIES: LazyLock<Vec<Policy>> = LazyLock::new(|| {
    let Ok(catalogue) = crate::api::catalogue::built_in() else { return Vec::new() };
    let policy = |(keys, parameters): &(&str, Parameters)| {
        let ids: Vec<&str> = OPERATIONS.iter().map(|one| one.id).filter(|id| *id != "SystemPingHead").collect();
        let taken = OPERATIONS.iter().filter(|one| !one.query.is_empty()).map(|one| match parameters {
            Parameters::All => format!("  {}: all\n", one.id),
            Parameters::Usual => String::new(),
            Parameters::First => format!("  {}: [{}]\n", one.id, one.query.first().map_or("", |known| known.name)),
        });
        let taken: String = taken.collect();
        let key = if taken.is_empty() { "" } else { "parameters:\n" };
        let text = format!("profile: p\n{keys}allow: [{}]\n{key}{taken}", ids.join(", "));
        let profiles = Profiles::parse(&[("p.yaml", &text)], &catalogue).ok()?;
        Policy::compile(profiles.get("p")?, &catalogue).ok()
    };
    PROFILES.iter().filter_map(policy).collect()
});

/// The input is a method, a space and a target. What goes up of its query, if the policy allows it, is what was decided upon:
/// each parameter is one that the operation has and that the profile allows, with the values that Docker reads of the
/// client's, and for readers that ignore the case of names or take the last value it is the same. The policy decides the same
/// about what goes up. A parameter that is dropped was superfluous; an unknown one of a write without a body is refused.
///
/// # Panics
/// If that is not so.
pub(super) fn what_goes_up_was_decided_upon(bytes: &[u8]) -> Outcome {
    assert_eq!(POLICIES.len(), PROFILES.len(), "the profiles have no errors");
    let Ok(text) = str::from_utf8(bytes) else { return Outcome::Unusable };
    let Some((method, target)) = text.strip_suffix('\n').unwrap_or(text).split_once(' ') else {
        return Outcome::Unusable;
    };
    let Ok(Some(route)) = find(method, target) else { return Outcome::Refused };
    let asked = Pairs::of(target);
    check_unknown(&route, &asked);
    let mut outcome = Outcome::Refused;
    for policy in POLICIES.iter() {
        let mut trimmed = route.clone();
        policy.trim(&mut trimmed);
        if matches!(policy.decide(&trimmed), Decision::Deny(_)) {
            continue;
        }
        check(method, &route, &trimmed, policy, &asked);
        outcome = Outcome::Accepted;
    }
    outcome
}

/// Checks that no parameter of a write without a body was dropped that an engine could know.
fn check_unknown(route: &Route, asked: &Pairs) {
    let operation = route.operation;
    if !operation.mutating || operation.body != RequestBody::None {
        return;
    }
    for (name, _) in &asked.0 {
        let is_known = operation.query.iter().any(|known| known.name.as_bytes() == name);
        let is_unread = [&b"abortSignal"[..], b"stream"].contains(&name.as_slice());
        assert!(is_known || is_unread, "an unknown parameter of {}", operation.id);
    }
}

fn check(method: &str, route: &Route, trimmed: &Route, policy: &Policy, asked: &Pairs) {
    let operation = trimmed.operation;
    let mut written = String::new();
    trimmed.upstream_target(ApiVersion::NEWEST, &mut written);
    let up = Pairs::of(&written);
    let contents = policy.profile().contents(operation);
    for (name, _) in &up.0 {
        let known = operation.query.iter().find(|known| known.name.as_bytes() == name);
        let Some(known) = known else { panic!("{} has no such parameter: {written}", operation.id) };
        assert!(contents.has_parameter(known.name), "the profile does not allow {} of {}", known.name, operation.id);
        assert_eq!(up.first(name), asked.first(name), "the first value of {} goes up", known.name);
        if known.kind == ParameterKind::List {
            assert_eq!(up.all(name), asked.all(name), "every value of {} goes up", known.name);
        } else {
            // Podman takes the last value of a name in any case.
            assert_eq!(up.in_any_case(name).len(), 1, "{} goes up once: {written}", known.name);
        }
    }
    for known in operation.query.iter().filter(|known| up.first(known.name.as_bytes()).is_none()) {
        let value = asked.first(known.name.as_bytes());
        assert!(value.is_none_or(|value| is_superfluous(known, value, policy, route)), "{} is dropped", known.name);
    }
    // A target that escapes make too long does not go up.
    let Ok(Some(mut again)) = find(method, &written) else { return };
    again.version = trimmed.version;
    assert_eq!(&again, trimmed, "the same is read again: {written}");
    policy.trim(&mut again);
    assert_eq!(&again, trimmed, "nothing more is dropped: {written}");
    assert!(!matches!(policy.decide(&again), Decision::Deny(_)), "the same is decided again: {written}");
}

/// Whether a parameter may be dropped: the profile does not allow it, and the request asks for nothing more with it.
fn is_superfluous(known: &Parameter, value: &[u8], policy: &Policy, route: &Route) -> bool {
    let value = String::from_utf8_lossy(value).trim().to_ascii_lowercase();
    let is_false = ["", "0", "no", "false", "none"].contains(&value.as_str());
    let says_nothing = match known.kind {
        ParameterKind::Text => value.is_empty(),
        ParameterKind::Flag => is_false,
        ParameterKind::Switch => !is_false,
        ParameterKind::List => false,
    };
    let is_allowed = policy.profile().contents(route.operation).has_parameter(known.name);
    !is_allowed && (known.adds || says_nothing)
}

/// The parameters of a query as Go's `url.ParseQuery` reads them, in order, with names and values of any bytes.
struct Pairs(Vec<(Vec<u8>, Vec<u8>)>);

impl Pairs {
    /// Those of a target.
    fn of(target: &str) -> Self {
        let query = target.split_once('?').map_or("", |(_, query)| query);
        let pairs = query.split('&').filter(|pair| !pair.is_empty());
        Self(
            pairs
                .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
                .map(|(a, b)| (decoded(a), decoded(b)))
                .collect(),
        )
    }

    fn all(&self, name: &[u8]) -> Vec<&[u8]> {
        self.0.iter().filter(|(known, _)| known == name).map(|(_, value)| value.as_slice()).collect()
    }

    fn first(&self, name: &[u8]) -> Option<&[u8]> {
        self.all(name).first().copied()
    }

    fn in_any_case(&self, name: &[u8]) -> Vec<&[u8]> {
        let named = self.0.iter().filter(|(known, _)| known.eq_ignore_ascii_case(name));
        named.map(|(_, value)| value.as_slice()).collect()
    }
}

/// Decodes escapes and pluses. What is no escape has been refused.
fn decoded(text: &str) -> Vec<u8> {
    super::target::decoded_bytes(text, true).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Pseudo-random numbers (xorshift), the same in every run.
    struct Xorshift(u64);

    impl Xorshift {
        fn below(&mut self, end: usize) -> usize {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            usize::try_from(self.0 >> 33).unwrap() % end
        }
    }

    /// One way to write a name.
    fn spelled(name: &str, random: &mut Xorshift) -> String {
        match random.below(9) {
            0 => name.to_uppercase(),
            1 => name.bytes().map(|byte| format!("%{byte:02x}")).collect(),
            2 => format!("{name}[]"),
            3 => format!("{name}%00"),
            4 => format!("+{name}"),
            _ => name.to_owned(),
        }
    }

    /// Every operation of the catalogue, with queries of its own parameters and of others.
    #[test]
    fn generated_queries_go_up_as_they_were_decided_upon() {
        const VALUES: [&str; 16] = [
            "",
            "0",
            "1",
            "True",
            "no",
            "a",
            "-",
            "%FF",
            "%0A",
            "a%26all=1",
            "%7B%7D",
            "2&x=1",
            "{\"label\":[\"app=1\"]}",
            "{\"label\":[\"token=1\"]}",
            "{\"name\":{\"a\":true}}",
            "10&t=20",
        ];
        let mut random = Xorshift(0x2545_F491_4F6C_DD1D);
        let (mut accepted, mut refused) = (0, 0);
        for operation in OPERATIONS {
            let path = operation.template.replace("{id}", &"ab".repeat(32)).replace(['{', '}'], "");
            let mut names: Vec<&str> = operation.query.iter().map(|known| known.name).collect();
            // Most are its own.
            names.extend(names.clone());
            names.extend(["filters", "all", "force", "later", "abortSignal"]);
            for _ in 0..20 {
                let pair = |random: &mut Xorshift| {
                    let name = spelled(names[random.below(names.len())], random);
                    format!("{name}={}", VALUES[random.below(VALUES.len())])
                };
                let query: Vec<String> = (0..random.below(5)).map(|_| pair(&mut random)).collect();
                let request = format!("{} {path}?{}", operation.method.as_str(), query.join("&"));
                match what_goes_up_was_decided_upon(request.as_bytes()) {
                    Outcome::Accepted => accepted += 1,
                    Outcome::Refused => refused += 1,
                    Outcome::Unusable => panic!("{request}"),
                }
            }
        }
        assert!(accepted > 1000 && refused > 200, "{accepted} {refused}");
    }
}
