//! Fuzzes the property `queries`.
#![cfg_attr(fuzzing, no_main)]

dockveil_fuzz::target!("queries");
