//! Runs the properties of dockveil over mutations of their corpus.
//!
//! Built by cargo-fuzz, a target is a libFuzzer binary. Built by cargo, it runs the loop in this package, on stable Rust and
//! without coverage. Either way it calls one property and looks for a panic.

mod corpus;
mod mutate;
mod run;

pub use run::main;

/// The folder of the corpus.
const FOLDER: &str = env!("CARGO_MANIFEST_DIR");

#[cfg(fuzzing)]
#[doc(hidden)]
pub use libfuzzer_sys;

/// Checks one input of the property called `name`.
///
/// # Panics
/// If there is no such property, or its promise is broken.
pub fn check(name: &str, input: &[u8]) -> dockveil::properties::Outcome {
    match dockveil::properties::property(name) {
        Some(property) => (property.check)(input),
        None => panic!("there is no property {name:?}"),
    }
}

/// The target of one property: a libFuzzer target, or a `main` of its own.
#[macro_export]
macro_rules! target {
    ($name:literal) => {
        #[cfg(fuzzing)]
        $crate::libfuzzer_sys::fuzz_target!(|input: &[u8]| {
            $crate::check($name, input);
        });

        #[cfg(not(fuzzing))]
        fn main() -> std::process::ExitCode {
            $crate::main(Some($name))
        }
    };
}
