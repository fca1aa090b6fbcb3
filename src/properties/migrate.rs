//! Configurations of other socket proxies.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::Outcome;
use crate::cli::{ConfigFiles, Environment, MigrateArgs, ServeArgs};
use crate::command::{CommandError, migrate};
use crate::config::Config;
use crate::policy::Policy;
use crate::schema::Class;

/// What an input says that opens a write: a method, a variable, a rule for every method, or a proxy that opens some by itself or by
/// the section.
const WRITING: [&str; 7] = ["post", "put", "delete", "allow_", "*", "mjmccans", "nextcloud"];

/// The first words of paths that proxies open without being told.
const UNNAMED: [&str; 4] = ["_ping", "version", "events", "info"];
/// What an input says that opens operations whose path it does not name: actions, patterns, and proxies that open all reads.
const BROAD: [&str; 13] = [
    "allow",
    "sp_",
    "cetus",
    "sockguard",
    "match",
    "nextcloud",
    "11notes",
    "socket_proxy",
    "foxxmd",
    "proxy_url",
    "scrub_envs",
    "container_",
    "%",
];

/// Whether a text has one of these words, in capitals or not, perhaps with quotes in it. Escapes and defaults can spell any word.
fn is_said(text: &str, words: &[&str]) -> bool {
    let spells = ["\\x", "\\u", "\\U", "${"].iter().any(|sign| text.contains(sign));
    let text = text.replace(['"', '\'', '\\'], "").to_lowercase();
    spells || words.iter().any(|word| text.contains(word))
}

/// The input is a Compose file, or lines of variables and arguments. What is written of it loads as a configuration,
/// whatever the texts in it; it has the profiles that are written, which show nothing secret; it allows no part of the API that the
/// input does not name, and nothing that changes the engine unless the input speaks of writing. What cannot be read is refused with
/// a reason.
///
/// # Panics
/// If that is not so.
pub(super) fn what_is_written_loads_and_opens_nothing_new(bytes: &[u8]) -> Outcome {
    let Ok(text) = str::from_utf8(bytes) else { return Outcome::Unusable };
    let mut out = Vec::new();
    let arguments = MigrateArgs::default();
    match migrate::run(&arguments, &mut text.as_bytes(), &mut out) {
        Err(CommandError::Diagnostics(diagnostics)) => {
            assert!(!diagnostics.is_empty() && out.is_empty(), "a refusal has a reason and writes nothing");
            return Outcome::Refused;
        }
        Err(error) => panic!("reading from memory does not fail: {error:?}"),
        Ok(code) => assert_eq!(code, 0, "what was written is a success"),
    }
    let Ok(written) = String::from_utf8(out) else { panic!("a configuration is text") };
    let config = loaded(&written);
    assert!(!config.listeners.is_empty(), "a listener: {written}");
    for listener in &config.listeners {
        assert!(listener.origins.is_empty(), "no web page is let in: {written}");
        // Where names are listed, loopback names are among them, and otherwise only names of the input.
        if !listener.hosts.is_empty() {
            let is_own = |name: &String| crate::config::is_loopback(name.trim_matches(['[', ']']));
            assert!(listener.hosts.iter().any(is_own), "this machine is let in: {written}");
            let named = |name: &&String| !is_own(name) && !is_said(text, &[&name.to_lowercase()]);
            assert!(listener.hosts.iter().find(named).is_none(), "nobody is let in by a name of our own: {written}");
        }
        // Of everybody, or of each client that is listed.
        assert!(listener.policies().next().is_some(), "somebody is served: {written}");
        listener.policies().for_each(|policy| opens_nothing_new(policy, text, &written));
    }
    Outcome::Accepted
}

/// Checks what the clients of one profile may do.
fn opens_nothing_new(policy: &Policy, text: &str, written: &str) {
    assert!(policy.name().starts_with("migrated"), "a profile that is written: {written}");
    assert!(!policy.shows(Class::Secret), "nothing secret is shown: {written}");
    for operation in policy.operations() {
        let word = operation.template.split('/').nth(1).unwrap_or_default();
        let is_named = UNNAMED.contains(&word) || is_said(text, &[word]);
        assert!(is_named || is_said(text, &BROAD), "{} is opened and not named: {written}", operation.id);
    }
    for operation in policy.operations().filter(|operation| operation.mutating) {
        assert!(is_said(text, &WRITING), "{} is opened: {written}", operation.id);
    }
}

/// The configuration that a text is, read from a file as `check` reads it.
fn loaded(text: &str) -> Config {
    static NUMBER: AtomicUsize = AtomicUsize::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let path = std::env::temp_dir().join(format!("dockveil-property-{}-{number}.yaml", std::process::id()));
    assert!(std::fs::write(&path, text).is_ok(), "a file can be written");
    let files = ConfigFiles { config: Some(path.clone()), ..ConfigFiles::default() };
    let arguments = ServeArgs { files, ..ServeArgs::default() };
    let config = Config::load(&arguments, &Environment::default());
    assert!(std::fs::remove_file(&path).is_ok(), "a file can be removed");
    match config {
        Ok(config) => config,
        Err(diagnostics) => panic!("what is written does not load: {diagnostics:?}\n{text}"),
    }
}
