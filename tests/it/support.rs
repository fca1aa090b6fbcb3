//! What the tests share.

pub(crate) mod built_in;
pub(crate) mod client;
pub(crate) mod daemon;
pub(crate) mod fixture;
pub(crate) mod generated;
pub(crate) mod leaves;
pub(crate) mod proxy;
pub(crate) mod snapshot;
