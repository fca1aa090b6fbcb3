//! The host name that a request is addressed to.

use std::net::Ipv6Addr;

/// What a client reads whose request names a host that the listener does not answer to.
pub const NO_SUCH_HOST: &str = "denied by policy: this listener does not answer to that host name";

/// Whether a listener with these `hosts` answers to `name`, a host with or without a port. A listener without any answers to
/// every name.
pub fn answers_to(hosts: &[String], name: &str) -> bool {
    let name = without_port(name);
    // An IPv6 address has many forms, and the list has the shortest.
    let address = name.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')?.parse::<Ipv6Addr>().ok());
    let shortest = address.map(|address| format!("[{address}]"));
    let name = shortest.as_deref().unwrap_or(name);
    hosts.is_empty() || hosts.iter().any(|allowed| allowed.eq_ignore_ascii_case(name))
}

/// A host without its port. An IPv6 address keeps its brackets.
pub fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        Some(_) | None => host,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_compared_without_its_port() {
        for (host, name) in [
            ("dockveil:2375", "dockveil"),
            ("dockveil", "dockveil"),
            ("[::1]:80", "[::1]"),
            ("[::1]", "[::1]"),
            ("", ""),
        ] {
            assert_eq!(without_port(host), name);
        }
    }

    #[test]
    fn a_listener_without_hosts_answers_to_every_name() {
        let hosts = ["Proxy".to_owned(), "[::1]".to_owned()];
        for (name, is_answered) in [
            ("proxy", true),
            ("PROXY:2375", true),
            ("[::1]:80", true),
            ("[0:0::0001]:80", true),
            ("[::2]", false),
            ("::1", false),
            ("proxy.evil", false),
            ("", false),
        ] {
            assert_eq!(answers_to(&hosts, name), is_answered, "{name}");
            assert!(answers_to(&[], name), "{name}");
        }
    }
}
