//! The certificates that a line of `clients` names.

use std::fmt;

use crate::tls::{CertificateNames, KeyPin};

/// Certificates by what they say. All of it must be true; a selector that says nothing names none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CertificateSelector {
    /// The common name of the subject.
    pub cn: Option<String>,
    /// One of the DNS names, whatever the case of its letters.
    pub dns: Option<String>,
    /// One of the URIs.
    pub uri: Option<String>,
    /// The only URI, which is a SPIFFE id.
    pub spiffe: Option<String>,
    /// The key.
    pub key: Option<KeyPin>,
}

impl CertificateSelector {
    /// Whether this names a certificate. Texts are compared as a whole.
    pub fn matches(&self, names: &CertificateNames) -> bool {
        let is_text = |wanted: &Option<String>, found: Option<&str>| wanted.is_none() || wanted.as_deref() == found;
        let dns = |wanted: &String| names.dns.iter().any(|name| name.eq_ignore_ascii_case(wanted));
        *self != Self::default()
            && is_text(&self.cn, names.cn.as_deref())
            && self.dns.as_ref().is_none_or(dns)
            && self.uri.as_ref().is_none_or(|uri| names.uris.contains(uri))
            && is_text(&self.spiffe, names.spiffe())
            && (self.key.is_none() || self.key == names.key)
    }
}

/// As in a configuration, for the summary: `cn=traefik and dns=web.example`.
impl fmt::Display for CertificateSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let texts = [("cn", &self.cn), ("dns", &self.dns), ("uri", &self.uri), ("spiffe", &self.spiffe)];
        let mut parts: Vec<String> =
            texts.iter().filter_map(|(key, text)| Some(format!("{key}={}", text.as_ref()?))).collect();
        parts.extend(self.key.map(|key| format!("key={key}")));
        f.write_str(&parts.join(" and "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_is_named_by_all_that_a_line_says() {
        let pin = |digit: char| KeyPin::parse(&format!("sha256:{}", digit.to_string().repeat(64)));
        let text = |text: &str| Some(text.to_owned());
        let names = CertificateNames {
            cn: text("traefik"),
            dns: vec!["web.example".to_owned(), "b".to_owned()],
            uris: vec!["spiffe://a/b".to_owned()],
            key: pin('a'),
        };
        let none = CertificateSelector::default();
        for (selector, expected) in [
            (none.clone(), false),
            (CertificateSelector { cn: text("traefik"), ..none.clone() }, true),
            (CertificateSelector { cn: text("Traefik"), ..none.clone() }, false),
            (CertificateSelector { cn: text("traefik2"), ..none.clone() }, false),
            (CertificateSelector { dns: text("WEB.example"), ..none.clone() }, true),
            (CertificateSelector { dns: text("example"), ..none.clone() }, false),
            (CertificateSelector { dns: text("traefik"), ..none.clone() }, false),
            (CertificateSelector { uri: text("spiffe://a/b"), ..none.clone() }, true),
            (CertificateSelector { uri: text("spiffe://a"), ..none.clone() }, false),
            (CertificateSelector { spiffe: text("spiffe://a/b"), ..none.clone() }, true),
            (CertificateSelector { spiffe: text("spiffe://a/c"), ..none.clone() }, false),
            (CertificateSelector { key: pin('a'), ..none.clone() }, true),
            (CertificateSelector { key: pin('b'), ..none.clone() }, false),
            (CertificateSelector { cn: text("traefik"), key: pin('b'), ..none.clone() }, false),
            (CertificateSelector { cn: text("traefik"), dns: text("b"), ..none.clone() }, true),
        ] {
            assert_eq!(selector.matches(&names), expected, "{selector}");
            assert!(!selector.matches(&CertificateNames::default()), "{selector}");
        }
        // Of several URIs, none is a SPIFFE id.
        let several = CertificateNames { uris: vec!["spiffe://a/b".to_owned(), "spiffe://a/c".to_owned()], ..names };
        assert!(!CertificateSelector { spiffe: text("spiffe://a/b"), ..none.clone() }.matches(&several));
        assert!(CertificateSelector { uri: text("spiffe://a/c"), ..none }.matches(&several));
    }
}
