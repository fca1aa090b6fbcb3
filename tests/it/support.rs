//! What the tests share.

pub(crate) mod client;
pub(crate) mod daemon;
pub(crate) mod fixture;
pub(crate) mod proxy;
pub(crate) mod snapshot;
