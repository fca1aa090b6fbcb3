//! The `dockveil` program: starts the runtime and turns the result into an exit code.

fn main() {}
