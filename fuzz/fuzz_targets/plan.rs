//! Fuzzes the property `plan`.
#![cfg_attr(fuzzing, no_main)]

dockveil_fuzz::target!("plan");
