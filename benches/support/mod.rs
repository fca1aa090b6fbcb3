//! What the exchange bench is made of. The engine and the load run as processes of their own, so that their CPU
//! time is never counted as the proxy's.
//!
//! | module | purpose |
//! |---|---|
//! | [`documents`] | the bodies that the engine serves |
//! | [`engine`] | the upstream: as little work per answer as possible |
//! | [`load`] | the clients, and what they observe |
//! | [`wire`] | addresses, and as much HTTP/1.1 as the two need |
//! | [`process`] | the processes under measurement: CPU, memory, end |
//! | [`figures`] | what was measured, and the table |

pub(crate) mod documents;
pub(crate) mod engine;
pub(crate) mod figures;
pub(crate) mod load;
pub(crate) mod process;
pub(crate) mod wire;
