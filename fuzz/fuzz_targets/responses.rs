//! Fuzzes the property `responses`.
#![cfg_attr(fuzzing, no_main)]

dockveil_fuzz::target!("responses");
