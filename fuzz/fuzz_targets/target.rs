//! Fuzzes the property `target`.
#![cfg_attr(fuzzing, no_main)]

dockveil_fuzz::target!("target");
