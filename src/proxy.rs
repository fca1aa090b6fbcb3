//! The life of one exchange, where HTTP meets JSON.
//!
//! [`Proxy::exchange`] is the path of every request: it is admitted, matched to an operation, decided on, sent to the
//! engine, and its answer is rewritten, relayed or withheld. A request that opens a stream becomes a [`StreamRequest`],
//! which takes over the client's connection.
//!
//! | module | subject |
//! |---|---|
//! | [`exchange`] | one request and its answer |
//! | [`body`] | every byte that may go to a client |
//! | [`downstream`] | the client's connection after the HTTP reader |
//! | [`stream_request`] | opening a stream, and what the answer proves |
//! | [`relay`] | a stream that is relayed byte for byte |
//! | [`records`] | a stream that is filtered record by record |
//! | [`tunnel`] | a hijacked connection, in both directions |
//! | [`headers`] | the header fields that pass |
//! | [`objects`] | requests about objects, of which a client sees only some |
//! | [`seen`] | what is left of documents and records: of visible objects, the fields that are shown |
//! | [`edit`] | what a client sends that has read an object and changed it, with the hidden values put back |
//! | [`versions`] | the API versions that `/version` states |
//! | [`memory`] | the memory that documents may use |
//! | [`window`] | how much of an answer waits in the HTTP writer |
//! | [`respond`] | the answer to an error |
//! | [`message`] | what a client reads of an error |
//! | [`in_stream`] | errors inside a stream of progress |
//! | [`warnings`] | warnings in the answers to creates and updates |
//! | [`error`] | why an exchange failed |
//! | [`delivery`] | answers on their way, and the log lines that wait for them |
//! | [`calling`] | the container that a client runs in |
//! | [`batches`] | look-ups that are asked together |
//! | [`access_log`] | the log line of an exchange |
//! | [`request_id`] | the id of an exchange |

mod access_log;
mod batches;
mod body;
mod body_names;
mod body_parts;
mod body_reading;
mod borrowed;
mod calling;
mod delivery;
mod downstream;
mod edit;
mod error;
mod exchange;
mod headers;
mod in_stream;
mod lookup;
mod memory;
mod message;
mod named;
mod object_filters;
mod objects;
mod records;
mod relay;
mod request_id;
mod respond;
mod reused_names;
mod seen;
mod stream_request;
mod tunnel;
mod versions;
mod warnings;
mod window;
mod work;

pub use self::access_log::{ExchangeObserver, giving_up};
pub use self::body::{BodyError, Filtered};
#[doc(hidden)]
pub use self::body_reading::{BodyPassing, body_going_up};
pub use self::calling::CallerLookUps;
pub use self::delivery::Delivery;
pub use self::downstream::{Downstream, TooSoon};
pub use self::error::Error;
pub use self::exchange::{Answer, FoundRoute, Proxy, Withdrawn};
pub use self::memory::{MemoryBudget, MemoryError};
pub use self::message::Message;
pub use self::objects::{StreamSubject, SubjectLookUps};
pub use self::stream_request::{NOT_ADMITTED, StreamCut, StreamRequest};
