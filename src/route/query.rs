//! Parses the query: the parameters after `?`.

use super::{TargetError, percent};
use crate::api::Parameter;
use crate::api::queries::is_true;

/// The parameters of one request, decoded once. Every name is one that the operation has.
///
/// The parameters keep the client's order, which matters to the engine if a parameter repeats.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Query {
    /// Name and value. The name is the text from the table of operations, not the client's.
    pairs: Vec<(&'static str, String)>,
}

impl Query {
    /// Parses the text after `?`. `parameters` are those of the operation; the case of a name must match.
    ///
    /// Empty pairs (`?`, `?a=1&`) mean nothing to the engine and are dropped.
    ///
    /// # Errors
    /// A [`TargetError`] if the query has a `;`, a malformed escape, an unknown parameter, or a parameter twice that does
    /// not repeat. Engines and their libraries disagree about the meaning of each of these.
    pub(super) fn parse(raw: &str, parameters: &'static [Parameter]) -> Result<Self, TargetError> {
        if raw.contains(';') {
            return Err(TargetError::Semicolon);
        }
        let mut query = Self::default();
        for pair in raw.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let name = percent::decode_query(name)?;
            let value = percent::decode_query(value)?;
            let parameter = parameters.iter().find(|known| known.name == name).ok_or(TargetError::UnknownParameter)?;
            if !parameter.repeats && query.get(parameter.name).is_some() {
                return Err(TargetError::RepeatedParameter);
            }
            query.pairs.push((parameter.name, value.into_owned()));
        }
        Ok(query)
    }

    /// The first value of a parameter, which is the one that the engine takes.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.values(name).next()
    }

    /// All values of a parameter, in the client's order.
    pub fn values(&self, name: &str) -> impl Iterator<Item = &str> {
        self.pairs().filter_map(move |(known, value)| (known == name).then_some(value))
    }

    /// All parameters as name and value, in the client's order.
    pub fn pairs(&self) -> impl Iterator<Item = (&'static str, &str)> {
        self.pairs.iter().map(|(name, value)| (*name, value.as_str()))
    }

    /// Whether the request has no parameter.
    pub fn is_empty(&self) -> bool {
        self.pairs.is_empty()
    }

    /// The value of a boolean parameter, read as [`is_true`] reads it. `None` if the request does not have it.
    pub fn flag(&self, name: &str) -> Option<bool> {
        self.get(name).map(is_true)
    }

    /// Appends `?name=value&…` in canonical form, or nothing if there is no parameter.
    pub(super) fn write(&self, out: &mut String) {
        let mut mark = '?';
        for (name, value) in self.pairs() {
            out.push(mark);
            percent::encode(name, out);
            out.push('=');
            percent::encode(value, out);
            mark = '&';
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KNOWN: &[Parameter] = &[
        Parameter { name: "all", repeats: false, rare: false },
        Parameter { name: "filters", repeats: false, rare: false },
        Parameter { name: "one-shot", repeats: false, rare: false },
        Parameter { name: "names", repeats: true, rare: false },
    ];

    #[track_caller]
    fn check(raw: &str, expected: Result<&str, TargetError>) {
        let written = Query::parse(raw, KNOWN).map(|query| {
            let mut written = String::new();
            query.write(&mut written);
            written
        });
        assert_eq!(written.as_deref(), expected.as_ref().copied(), "{raw}");
    }

    #[test]
    fn a_query_has_one_canonical_form() {
        check("", Ok(""));
        check("&", Ok(""));
        check("all=1", Ok("?all=1"));
        check("all", Ok("?all="));
        check("all=", Ok("?all="));
        check("&all=1&", Ok("?all=1"));
        check("%61ll=%31", Ok("?all=1"));
        check("one-shot=1", Ok("?one-shot=1"));
        check("filters=a=b", Ok("?filters=a%3Db"));
        check("filters=a+b%2Bc%20d", Ok("?filters=a%20b%2Bc%20d"));
        check("filters=%3B%26%23%3F", Ok("?filters=%3B%26%23%3F"));
        check(r#"filters={"name":["^/a\\b$"]}"#, Ok("?filters=%7B%22name%22:%5B%22%5E/a%5C%5Cb%24%22%5D%7D"));
        check("names=b&names=a&names=b", Ok("?names=b&names=a&names=b"));
        check("filters=%25zz", Ok("?filters=%25zz"));
    }

    #[test]
    fn an_ambiguous_query_is_refused() {
        check("all=1;filters=a", Err(TargetError::Semicolon));
        check("all=1&all=1", Err(TargetError::RepeatedParameter));
        check("all=0&%61ll=1", Err(TargetError::RepeatedParameter));
        for raw in ["All=1", "ALL=1", "showsecret=true", "=1", "all%20=1", "all[]=1", "al%6C%6C=1", "names%5B%5D=a"] {
            check(raw, Err(TargetError::UnknownParameter));
        }
        for raw in ["all=%", "all=%zz", "%=1", "filters=a%2"] {
            check(raw, Err(TargetError::Escape));
        }
        check("filters=%FF", Err(TargetError::NotUtf8));
        check("filters=a%0Ab", Err(TargetError::Control));
        check("filters=a%00", Err(TargetError::Control));
    }

    #[test]
    fn flags_are_read_as_the_engine_reads_them() {
        let flag = |raw: &str| Query::parse(raw, KNOWN).map(|query| query.flag("all"));
        for no in ["all", "all=", "all=0", "all=no", "all=False", "all=NONE", "all=+false+", "all=%20"] {
            assert_eq!(flag(no), Ok(Some(false)), "{no}");
        }
        for yes in ["all=1", "all=2", "all=true", "all=off", "all=n", "all=00", "all=nope"] {
            assert_eq!(flag(yes), Ok(Some(true)), "{yes}");
        }
        assert_eq!(flag(""), Ok(None));
    }

    #[test]
    fn values_returns_every_value_of_one_parameter() {
        let query = Query::parse("names=a&all=1&names=b", KNOWN).unwrap();
        assert_eq!(query.values("names").collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!(query.get("names"), Some("a"));
        assert_eq!(query.get("filters"), None);
        assert_eq!(query.pairs().count(), 3);
        assert!(!query.is_empty());
    }
}
