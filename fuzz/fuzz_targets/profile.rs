//! Fuzzes the property `profile`.
#![cfg_attr(fuzzing, no_main)]

dockveil_fuzz::target!("profile");
