//! The loop of the fuzz targets on stable Rust, built with the tests, so that they share one build of the library:
//! `cargo test --test fuzz -- --seconds 60`. The package in `fuzz` builds the same for itself, and one binary for each target.
//!
//! `cargo test` without a name does not run it.

#![expect(
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "it prints what it has done, and reads its arguments"
)]

#[path = "../../fuzz/src/corpus.rs"]
mod corpus;
#[path = "../../fuzz/src/mutate.rs"]
mod mutate;
#[path = "../../fuzz/src/run.rs"]
mod run;

/// The folder of the corpus.
const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/fuzz");

fn main() -> std::process::ExitCode {
    run::main(None)
}
