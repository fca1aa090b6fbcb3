//! Fuzzes the property `elements`.
#![cfg_attr(fuzzing, no_main)]

dockveil_fuzz::target!("elements");
