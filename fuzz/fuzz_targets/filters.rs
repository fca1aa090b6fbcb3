//! Fuzzes the property `filters`.
#![cfg_attr(fuzzing, no_main)]

dockveil_fuzz::target!("filters");
