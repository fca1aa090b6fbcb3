//! Fuzzes the property `chunks`.
#![cfg_attr(fuzzing, no_main)]

dockveil_fuzz::target!("chunks");
