//! Behaviour of the program, a file per behaviour. None of it needs Docker or a network.
#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod answers;
mod blanks;
mod canaries;
mod catalogue;
mod clients;
mod compat;
mod cut;
mod deploy;
mod docs;
mod events;
mod hostile;
mod layering;
mod listeners;
mod log;
mod profiles;
mod program;
mod remains;
mod requests;
mod rules;
mod seeds;
mod snapshots;
mod streams;
mod support;
mod tricks;
mod unknown;
