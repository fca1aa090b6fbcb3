//! The subcommands that do not serve.
