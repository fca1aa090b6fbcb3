//! Fuzzes the property `yaml`.
#![cfg_attr(fuzzing, no_main)]

dockveil_fuzz::target!("yaml");
