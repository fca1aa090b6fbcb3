//! Chunks in, frames out.
//!
//! A framing owns a buffer and a limit, and takes chunks as they arrive. It knows neither sockets nor time, so every
//! framing is tested with the whole input and with chunks of every size.

pub mod chunks;
pub mod elements;
pub mod fields;
pub mod records;
pub mod requests;
pub mod responses;
pub mod target;
