//! Parses the query: the parameters after `?`.

use std::fmt;

use super::{TargetError, percent};
use crate::api::queries::is_true;
use crate::api::{OPERATIONS, Operation, Parameter};

/// The parameters of one request, decoded once. Every name is one that the operation has, and every value is one that the
/// engine reads: all of a list, and of any other parameter the first.
///
/// The parameters keep the client's order, which matters to the engine if a parameter repeats.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Query {
    /// Name and value. The name is the text from the table of operations, not the client's.
    pairs: Vec<(&'static str, String)>,
}

/// The name of a parameter that the operation does not have, in the client's words. It may be anything, even a secret that
/// stands in the place of a name, so only the client itself reads it.
#[derive(Clone, PartialEq, Eq)]
pub struct UnknownName(Box<str>);

impl UnknownName {
    /// The longest name that is told, in bytes.
    const LIMIT: usize = 64;

    /// The name, if it looks like one.
    fn of(name: &str) -> Self {
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
        let is_told = (1..=Self::LIMIT).contains(&name.len()) && name.bytes().all(is_plain);
        Self(if is_told { name.into() } else { Box::default() })
    }

    /// The name for the client. `None` if it does not look like one.
    pub fn told(&self) -> Option<&str> {
        Some(&*self.0).filter(|name| !name.is_empty())
    }
}

impl fmt::Debug for UnknownName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("UnknownName")
    }
}

/// Why a parameter of a request does not go to the engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dropped {
    /// The operation has no such parameter, and the request means the same without it.
    Unknown,
    /// It is given again, and the engine reads the first one only.
    Repeated,
}

impl Query {
    /// The parameters of the text after `?` that [`Query::parse`] leaves out, by their names. A name that does not look like
    /// one is empty.
    pub(super) fn dropped(raw: &str, operation: &'static Operation) -> Vec<(String, Dropped)> {
        let (mut dropped, mut seen) = (Vec::new(), Vec::new());
        for pair in raw.split('&').filter(|pair| !pair.is_empty()) {
            let name = percent::decode_query(pair.split_once('=').map_or(pair, |(name, _)| name)).unwrap_or_default();
            match operation.query.iter().find(|known| known.name == name) {
                None => dropped.push((UnknownName::of(&name).0.into(), Dropped::Unknown)),
                Some(known) if !known.repeats() && seen.contains(&known.name) => {
                    dropped.push((known.name.to_owned(), Dropped::Repeated));
                }
                Some(known) if known.repeats() => {}
                Some(known) => seen.push(known.name),
            }
        }
        dropped
    }

    /// Parses the text after `?`. The case of a name must match.
    ///
    /// Empty pairs (`?`, `?a=1&`) mean nothing to the engine and are dropped. So are parameters that the operation does not
    /// have, where [`Operation::drops_parameter`] says so, and every value but the first of a parameter that is not a list.
    /// What is dropped must still be well-formed, because the engine refuses the request if it is not.
    ///
    /// # Errors
    /// A [`TargetError`] if the query has a `;`, a malformed escape, or an unknown parameter that is not dropped. Engines and
    /// their libraries disagree about the meaning of each of these.
    pub(super) fn parse(raw: &str, operation: &'static Operation) -> Result<Self, TargetError> {
        if raw.contains(';') {
            return Err(TargetError::Semicolon);
        }
        // Those that do not repeat: few, however many parameters there are.
        let (mut query, mut seen) = (Self::default(), Vec::new());
        for pair in raw.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            match known(name, operation)? {
                Some(parameter) if parameter.repeats() || !seen.contains(&parameter.name) => {
                    if !parameter.repeats() {
                        seen.push(parameter.name);
                    }
                    query.pairs.push((parameter.name, percent::decode_query(value)?.into_owned()));
                }
                Some(_) | None => percent::check_escapes(value)?,
            }
        }
        Ok(query)
    }

    /// Keeps the parameters for which `keep` returns true, given name and value.
    pub fn retain(&mut self, keep: impl Fn(&'static str, &str) -> bool) {
        self.pairs.retain(|(name, value)| keep(name, value));
    }

    /// Gives a parameter of the operation this value, in the place of any other. A name that no operation has is left out.
    pub fn set(&mut self, name: &str, value: &str) {
        let names = OPERATIONS.iter().flat_map(|operation| operation.query);
        let Some(parameter) = names.into_iter().find(|known| known.name == name) else { return };
        self.pairs.retain(|(known, _)| *known != parameter.name);
        self.pairs.push((parameter.name, value.to_owned()));
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

/// The parameter of the operation that a raw name stands for. `None` if it has no such parameter, and the request means the
/// same without it.
///
/// # Errors
/// [`TargetError::UnknownParameter`] if the request could mean something else without it, [`TargetError::Escape`].
fn known(raw: &str, operation: &'static Operation) -> Result<Option<&'static Parameter>, TargetError> {
    percent::check_escapes(raw)?;
    // What is not text is no name of a parameter.
    let name = percent::decode_query(raw).unwrap_or_default();
    match operation.query.iter().find(|known| known.name == name) {
        Some(parameter) => Ok(Some(parameter)),
        None if operation.drops_parameter(&name) => Ok(None),
        None => Err(TargetError::UnknownParameter(UnknownName::of(&name))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::operation;

    /// The query of an operation in canonical form.
    #[track_caller]
    fn check_of(id: &str, raw: &str, expected: Result<&str, TargetError>) {
        let written = Query::parse(raw, operation(id).unwrap()).map(|query| {
            let mut written = String::new();
            query.write(&mut written);
            written
        });
        assert_eq!(written.as_deref(), expected.as_ref().copied(), "{id} {raw}");
    }

    #[track_caller]
    fn check(raw: &str, expected: Result<&str, TargetError>) {
        check_of("ContainerList", raw, expected);
    }

    fn unknown(name: &str) -> TargetError {
        TargetError::UnknownParameter(UnknownName(name.into()))
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
        check("trunc%5fcmd=1", Ok("?trunc_cmd=1"));
        check("filters=a=b", Ok("?filters=a%3Db"));
        check("filters=a+b%2Bc%20d", Ok("?filters=a%20b%2Bc%20d"));
        check("filters=%3B%26%23%3F", Ok("?filters=%3B%26%23%3F"));
        check(r#"filters={"name":["^/a\\b$"]}"#, Ok("?filters=%7B%22name%22:%5B%22%5E/a%5C%5Cb%24%22%5D%7D"));
        check_of("ImageGetAll", "names=b&names=a&names=b", Ok("?names=b&names=a&names=b"));
        check("filters=%25zz", Ok("?filters=%25zz"));
    }

    #[test]
    fn a_malformed_query_is_refused() {
        check("all=1;filters=a", Err(TargetError::Semicolon));
        check("x=1;filters=a", Err(TargetError::Semicolon));
        // Also where it is dropped: the engine refuses these.
        for raw in ["all=%", "all=%zz", "%=1", "filters=a%2", "x=%", "x=%zz", "x%=1", "all=1&all=%4"] {
            check(raw, Err(TargetError::Escape));
        }
        check("filters=%FF", Err(TargetError::NotUtf8));
        check("filters=a%0Ab", Err(TargetError::Control));
        check("filters=a%00", Err(TargetError::Control));
    }

    #[test]
    fn the_first_value_of_a_parameter_goes_up() {
        check("all=1&all=1", Ok("?all=1"));
        check("all=0&%61ll=1&size=1", Ok("?all=0&size=1"));
        check("all&all=1", Ok("?all="));
        check("filters={}&all=1&filters=%7B%22name%22:[%22a%22]%7D", Ok("?filters=%7B%7D&all=1"));
        // What is not read need not be text.
        check("filters={}&filters=%FF&filters=%0A", Ok("?filters=%7B%7D"));
        check_of("ContainerDelete", "force=0&force=1", Ok("?force=0"));
        check_of("ImageBuild", "dockerfile=a&t=1&dockerfile=b&t=2", Ok("?dockerfile=a&t=1&t=2"));
        check_of("ImageCommit", "changes=A&tag=1&changes=B&tag=2", Ok("?changes=A&tag=1&changes=B"));
    }

    #[test]
    fn unknown_parameters_are_dropped_where_they_change_nothing() {
        for raw in [
            "All=1",
            "ALL=1",
            "showsecret=true",
            "=1",
            "all%20=1",
            "all[]=1",
            "al%6C%6C=1",
            "filters%5B%5D=a",
            "%FF=1",
            "all%00=1",
            "x",
            "x=%FF",
            "x=%0A",
            "x=%00",
            "Env=[%22TOKEN=secret%22]",
        ] {
            check(raw, Ok(""));
            check_of("ContainerWait", raw, Ok(""));
            check_of("ContainerCreate", &format!("{raw}&name=a&{raw}"), Ok("?name=a"));
            check_of("ImageCreate", &format!("fromImage=a&{raw}"), Ok("?fromImage=a"));
            check_of("ImageBuild", &format!("{raw}&t=a"), Ok("?t=a"));
        }
    }

    #[test]
    fn unknown_parameters_of_writes_without_a_body_are_refused_by_name() {
        for (raw, name) in [
            ("Force=1", "Force"),
            ("force=1&depend=1", "depend"),
            ("vo%6Cumes=1", "volumes"),
            ("=1", ""),
            ("force%20=1", ""),
            ("force%00=1", ""),
            ("force[]=1", ""),
            ("%FF=1", ""),
        ] {
            check_of("ContainerDelete", raw, Err(unknown(name)));
        }
        check_of("ContainerPrune", "all=1", Err(unknown("all")));
        check_of("ContainerRestart", "timeout=1", Err(unknown("timeout")));
        check_of("ImagePush", "tlsVerify=false", Err(unknown("tlsVerify")));
        check_of("ContainerDelete", &format!("{}=1", "a".repeat(65)), Err(unknown("")));
        // What no engine reads.
        check_of("ContainerStop", "t=1&abortSignal=%7B%7D", Ok("?t=1"));
        check_of("ContainerPrune", "stream=1", Ok(""));
        check_of("ContainerDelete", "stream=1", Err(unknown("stream")));
    }

    #[test]
    fn only_the_client_reads_the_name_of_an_unknown_parameter() {
        let error = Query::parse("canary=1", operation("ContainerDelete").unwrap()).unwrap_err();
        assert!(error.public().contains("\"canary\""), "{}", error.public());
        assert!(!format!("{error} {error:?}").contains("canary"));
    }

    #[test]
    fn flags_are_read_as_the_engine_reads_them() {
        let flag = |raw: &str| Query::parse(raw, operation("ContainerList").unwrap()).map(|query| query.flag("all"));
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
        let query = Query::parse("names=a&platform=1&names=b", operation("ImageGetAll").unwrap()).unwrap();
        assert_eq!(query.values("names").collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!(query.get("names"), Some("a"));
        assert_eq!(query.get("filters"), None);
        assert_eq!(query.pairs().count(), 3);
        assert!(!query.is_empty());
    }
}
