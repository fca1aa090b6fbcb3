//! Chunks in, frames out.
