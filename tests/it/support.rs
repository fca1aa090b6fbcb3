//! What the tests share.

pub(crate) mod authority;
pub(crate) mod built_in;
pub(crate) mod canary;
pub(crate) mod client;
pub(crate) mod daemon;
pub(crate) mod dial;
pub(crate) mod fixture;
pub(crate) mod generated;
pub(crate) mod leaves;
pub(crate) mod program;
pub(crate) mod proxy;
#[path = "../support/recorded.rs"]
pub(crate) mod recorded;
pub(crate) mod snapshot;
pub(crate) mod stage;
pub(crate) mod tls_front;
pub(crate) mod tunnel;
