//! Fuzzes the property `json`.
#![cfg_attr(fuzzing, no_main)]

dockveil_fuzz::target!("json");
