//! Chunks in, frames out.
//!
//! A framing owns a buffer and a limit, takes chunks as they arrive, and knows neither sockets nor time, so that
//! every one of them is tested whole and in chunks of every size.

pub mod chunks;
pub mod elements;
pub mod records;
pub mod requests;
