//! Fuzzes the property `selector`.
#![cfg_attr(fuzzing, no_main)]

dockveil_fuzz::target!("selector");
