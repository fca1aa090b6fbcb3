//! Configurations of other socket proxies.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::Outcome;
use crate::cli::{ConfigFiles, Environment, MigrateArgs, ServeArgs};
use crate::command::{CommandError, migrate};
use crate::config::Config;
use crate::schema::Class;

/// The input is a Compose file, or lines of variables and arguments. What is written of it loads as a configuration,
/// whatever the texts in it; it has the one profile that is written, which shows nothing secret; and it allows nothing that
/// changes the engine unless the input speaks of writing. What cannot be read is refused with a reason.
///
/// # Panics
/// If that is not so.
pub(super) fn what_is_written_loads_and_opens_nothing_new(bytes: &[u8]) -> Outcome {
    let Ok(text) = str::from_utf8(bytes) else { return Outcome::Unusable };
    let mut out = Vec::new();
    let arguments = MigrateArgs { file: None, service: None };
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
    assert!((1..=2).contains(&config.listeners.len()), "one listener or two: {written}");
    for listener in &config.listeners {
        assert_eq!(listener.policy.name(), "migrated", "the profile that is written: {written}");
        assert!(!listener.policy.shows(Class::Secret), "nothing secret is shown: {written}");
        assert!(listener.origins.is_empty(), "no web page is let in: {written}");
        // A loopback listener answers to loopback names, and to its own address.
        let is_own = |name: &String| crate::config::is_loopback(name.trim_matches(['[', ']']));
        assert!(listener.hosts.iter().all(is_own), "nobody is let in by name: {written}");
        for operation in listener.policy.operations().filter(|operation| operation.mutating) {
            let speaks_of_writing = ["POST", "PUT", "DELETE", "ALLOW_"].iter().any(|word| text.contains(word));
            assert!(speaks_of_writing, "{} is opened: {written}", operation.id);
        }
    }
    Outcome::Accepted
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
