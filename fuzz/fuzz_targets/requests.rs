//! Fuzzes the property `requests`.
#![cfg_attr(fuzzing, no_main)]

dockveil_fuzz::target!("requests");
