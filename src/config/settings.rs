//! What can be said outside the file: by arguments, and by variables with the same names. An argument wins over its variable,
//! and both over the file.

use std::path::PathBuf;

use crate::cli::{ConfigFiles, Environment, ServeArgs};
use crate::quoting;
use crate::yaml::Location;

/// The variable of each setting.
const UPSTREAM: &str = "DOCKVEIL_UPSTREAM";
const LISTEN: &str = "DOCKVEIL_LISTEN";
const PROFILE: &str = "DOCKVEIL_PROFILE";
const HOSTS: &str = "DOCKVEIL_HOSTS";
const API: &str = "DOCKVEIL_API";
const METRICS: &str = "DOCKVEIL_METRICS";
const AUDIT: &str = "DOCKVEIL_AUDIT";
const FILTERS: &str = "DOCKVEIL_FILTERS";

/// Texts of arguments and variables, each with the name of its argument or variable as its place.
#[derive(Clone, Debug, Default)]
pub(super) struct Settings {
    /// The address of the engine.
    pub(super) upstream: Option<(String, Location)>,
    /// Where to listen, in place of the listeners of the file.
    pub(super) listen: Vec<(String, Location)>,
    /// The profile of listeners that name none.
    pub(super) profile: Option<(String, Location)>,
    /// The host names that TCP listeners without `hosts` accept.
    pub(super) hosts: Vec<(String, Location)>,
    /// The API versions that clients may use, `KEY=VERSION` each. Of several with one key, the last counts.
    pub(super) api: Vec<(String, Location)>,
    /// Where metrics and health are told.
    pub(super) metrics: Option<(String, Location)>,
    /// The audit file.
    pub(super) audit: Option<(PathBuf, Location)>,
    /// Directories of filter files, beside those of the file.
    pub(super) filters: Vec<PathBuf>,
}

impl Settings {
    /// Those of the arguments, else of the variables. Directories and API versions of both count.
    pub(super) fn of(arguments: &ServeArgs, environment: &Environment) -> Self {
        let one = |argument: &Option<String>, flag: &str, variable: &str| {
            list(argument.as_slice(), flag, environment, variable).into_iter().next()
        };
        let audit = environment.variables.get(AUDIT).map(str::trim).filter(|path| !path.is_empty());
        let of_argument = list(&parts(&arguments.api), "--api", environment, "");
        let api = list(&[], "", environment, API).into_iter().chain(of_argument);
        Self {
            upstream: one(&arguments.upstream, "--upstream", UPSTREAM),
            listen: list(&arguments.listen, "--listen", environment, LISTEN),
            profile: one(&arguments.profile, "--profile", PROFILE),
            hosts: list(&parts(&arguments.hosts), "--hosts", environment, HOSTS),
            api: api.collect(),
            metrics: one(&arguments.metrics, "--metrics", METRICS),
            audit: audit.map(|path| (PathBuf::from(path), Location::file(AUDIT))),
            ..Self::of_files(&arguments.files, environment)
        }
    }

    /// Those that say where filters are, and what else the variables say.
    pub(super) fn of_files(files: &ConfigFiles, environment: &Environment) -> Self {
        let variable = list(&[], "", environment, FILTERS).into_iter().map(|(folder, _)| PathBuf::from(folder));
        let profile = list(&[], "", environment, PROFILE).into_iter().next();
        Self { filters: variable.chain(files.filters.iter().cloned()).collect(), profile, ..Self::default() }
    }
}

/// The texts of an argument, else of its variable, where commas separate them. An empty variable says nothing, as in a Compose
/// file whose own variable is not set.
fn list(argument: &[String], flag: &str, environment: &Environment, variable: &str) -> Vec<(String, Location)> {
    if !argument.is_empty() {
        return argument.iter().map(|text| (text.clone(), Location::argument(flag))).collect();
    }
    let text = environment.variables.get(variable).map(ToOwned::to_owned);
    let texts = parts(text.as_slice()).into_iter().map(|text| text.trim().to_owned());
    texts.filter(|text| !text.is_empty()).map(|text| (text, Location::file(variable))).collect()
}

/// The texts that commas separate. An empty one of an argument is an error, which is found later.
fn parts(texts: &[String]) -> Vec<String> {
    let parts = texts.iter().flat_map(|text| text.split(quoting::separators(text, &[','])));
    parts.map(ToOwned::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(variables: &[(&'static str, &'static str)]) -> Environment {
        Environment { variables: variables.iter().copied().collect(), ..Environment::default() }
    }

    fn texts(found: &[(String, Location)]) -> Vec<String> {
        found.iter().map(|(text, location)| format!("{location} {text}")).collect()
    }

    #[test]
    fn an_argument_wins_over_its_variable() {
        let variables = environment(&[
            (UPSTREAM, "unix:///v"),
            (LISTEN, "unix:///a, tcp://b:1,"),
            (PROFILE, "v"),
            (HOSTS, "h"),
            (API, "max=1.44,pin=1.41"),
            (METRICS, "tcp://m:1"),
            (AUDIT, "/a, b"),
            (FILTERS, "f,g"),
        ]);
        let found = Settings::of(&ServeArgs::default(), &variables);
        assert_eq!(texts(found.upstream.as_slice()), ["DOCKVEIL_UPSTREAM unix:///v"]);
        assert_eq!(texts(&found.listen), ["DOCKVEIL_LISTEN unix:///a", "DOCKVEIL_LISTEN tcp://b:1"]);
        assert_eq!(texts(found.profile.as_slice()), ["DOCKVEIL_PROFILE v"]);
        assert_eq!(texts(found.metrics.as_slice()), ["DOCKVEIL_METRICS tcp://m:1"]);
        assert_eq!(found.audit, Some((PathBuf::from("/a, b"), Location::file("DOCKVEIL_AUDIT"))));
        assert_eq!(texts(&found.api), ["DOCKVEIL_API max=1.44", "DOCKVEIL_API pin=1.41"]);
        assert_eq!(texts(&found.hosts), ["DOCKVEIL_HOSTS h"]);
        assert_eq!(found.filters, [PathBuf::from("f"), "g".into()]);
        let arguments = ServeArgs {
            files: ConfigFiles { filters: vec!["x".into()], ..ConfigFiles::default() },
            upstream: Some("unix:///x".to_owned()),
            listen: vec!["unix:///x".to_owned()],
            profile: Some("x".to_owned()),
            hosts: vec!["x".to_owned()],
            api: vec!["max=1.40".to_owned()],
            metrics: Some("unix:///x".to_owned()),
        };
        let found = Settings::of(&arguments, &variables);
        assert_eq!(texts(found.upstream.as_slice()), ["--upstream unix:///x"]);
        assert_eq!(texts(&found.listen), ["--listen unix:///x"]);
        assert_eq!(texts(found.profile.as_slice()), ["--profile x"]);
        assert_eq!(texts(found.metrics.as_slice()), ["--metrics unix:///x"]);
        assert_eq!(texts(&found.api), ["DOCKVEIL_API max=1.44", "DOCKVEIL_API pin=1.41", "--api max=1.40"]);
        assert_eq!(texts(&found.hosts), ["--hosts x"]);
        assert_eq!(found.filters, [PathBuf::from("f"), "g".into(), "x".into()]);
    }

    #[test]
    fn an_empty_variable_says_nothing() {
        let names = [UPSTREAM, LISTEN, PROFILE, HOSTS, API, METRICS, AUDIT, FILTERS];
        for value in ["", " ", ",", " , "] {
            let pairs: Vec<(&str, &str)> = names.iter().map(|name| (*name, value)).collect();
            let found = Settings::of(&ServeArgs::default(), &environment(&pairs));
            assert!(
                found.upstream.is_none()
                    && found.listen.is_empty()
                    && found.profile.is_none()
                    && found.metrics.is_none(),
                "{value:?}"
            );
            assert!(found.hosts.is_empty() && found.api.is_empty() && found.filters.is_empty(), "{value:?}");
        }
    }
}
