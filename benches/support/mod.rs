//! The parts of the exchange bench. The engine and the load are processes of their own, so that their CPU time is not
//! counted as the proxy's.
//!
//! | module | purpose |
//! |---|---|
//! | [`documents`] | the bodies that the engine serves |
//! | [`answers`] | answers of an engine, as bytes |
//! | [`upstream`] | what the two upstreams share |
//! | [`engine`] | the upstream: as little work per answer as possible |
//! | [`objects`] | the upstream with hidden containers |
//! | [`load`] | the clients and what they observe |
//! | [`tls`] | certificates |
//! | [`wire`] | addresses, and the HTTP/1.1 that the two need |
//! | [`process`] | the measured processes: CPU, memory, end |
//! | [`valgrind`] | counts instructions |
//! | [`figures`] | the measurements and their table |

pub(crate) mod answers;
pub(crate) mod documents;
pub(crate) mod engine;
pub(crate) mod figures;
pub(crate) mod load;
pub(crate) mod objects;
pub(crate) mod process;
pub(crate) mod tls;
pub(crate) mod upstream;
pub(crate) mod valgrind;
pub(crate) mod wire;
