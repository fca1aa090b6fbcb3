//! Fuzzes the property `bodies`.
#![cfg_attr(fuzzing, no_main)]

dockveil_fuzz::target!("bodies");
