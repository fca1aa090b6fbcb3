//! Fuzzes the property `records`.
#![cfg_attr(fuzzing, no_main)]

dockveil_fuzz::target!("records");
