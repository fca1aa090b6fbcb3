//! Runs every fuzz target, one after the other.

fn main() -> std::process::ExitCode {
    dockveil_fuzz::main(None)
}
