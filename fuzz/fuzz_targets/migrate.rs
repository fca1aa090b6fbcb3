//! Fuzzes the property `migrate`.
#![cfg_attr(fuzzing, no_main)]

dockveil_fuzz::target!("migrate");
