//! Fuzzes the property `events`.
#![cfg_attr(fuzzing, no_main)]

dockveil_fuzz::target!("events");
