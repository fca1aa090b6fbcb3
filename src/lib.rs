//! dockveil: a response-filtering mediator for the Docker Engine API.
//!
//! It stands between a Docker engine and clients that the operator does not trust. It lets through only the operations that a profile
//! allows. It rewrites the JSON of the responses, so that only what the profile shows is left. Events and stats are
//! rewritten record by record if the profile says so. Other streams pass unchanged.
//!
//! # The path of a request
//!
//! [`proxy::Proxy::exchange`] is this list as code.
//!
//! ```text
//! client
//!   │
//!   ▼
//! server           accepts a connection and passes on one strictly checked request at a time
//!   │
//!   ▼
//! route            request line → operation, API version, names, parameters
//!   │
//!   ▼
//! policy           route → deny, relay, filter, or filter records
//!   │
//!   ▼
//! upstream         sends a request to the engine that is rebuilt from the route
//!   │
//!   ▼
//! proxy/body       filters the response with a plan, relays it, or withholds it
//!   │
//!   ▼
//! client
//! ```
//!
//! What comes back as a stream leaves by `proxy/relay`, `proxy/records` (record by record, through the filter) or
//! `proxy/tunnel` (bytes in both directions). `proxy/body` makes the bytes that these write, too.
//!
//! # The modules
//!
//! They are declared in reading order. `tests/it/layering.rs` reads the last column and fails if a module uses another
//! one.
//!
//! | module | purpose | knows nothing of | may use |
//! |---|---|---|---|
//! | `main` | turns arguments into a command, and its result into an exit code | everything else | cli, command, config, log, server |
//! | [`cli`] | arguments and environment variables, as typed | files, sockets | quoting, socket |
//! | [`command`] | the commands that do not serve: `check`, `explain`, `filter`, `profiles`, `catalogue`, `healthcheck`, `migrate`, `completions`, `man`, `schema`, `demo` | how a body is filtered | api, cli, clients, config, embedded, endpoint, filter, log, policy, profile, quoting, route, schema, server, socket, stream, tls, yaml |
//! | [`config`] | arguments, environment and files → one checked, immutable `Config`; `compat` for the variables of other socket proxies | the network | api, cli, clients, embedded, endpoint, filter, packed, policy, profile, quoting, schema, socket, tls, visibility, yaml |
//! | [`server`] | listeners, workers, the request reader, limits, reload, graceful stop, metrics and health | JSON | api, audit, cli, clients, config, endpoint, log, metrics, proxy, quoting, route, socket, stream, tls, upstream |
//! | [`proxy`] | one exchange, where HTTP meets JSON: `exchange`, `body`, streams (`stream_request`, `relay`, `records`, `tunnel`), headers, errors, the access log | listeners, files | api, audit, clients, filter, log, members, metrics, policy, route, schema, socket, stream, upstream, visibility |
//! | [`policy`] | route → decision; `guard` denies query parameters that read hidden fields | bodies, sockets | api, filter, profile, route, schema, visibility, yaml |
//! | [`profile`] | profile files → profiles, merged and checked | the network | api, embedded, filter, quoting, schema, visibility, yaml |
//! | [`visibility`] | which objects a client sees, and answers without the others | HTTP, I/O, plans | api, filter, members, quoting, yaml |
//! | [`route`] | request line → operation and parameters, in canonical form | JSON, policy, I/O | api, stream |
//! | [`api`] | everything that is Docker: operations, versions, the catalogue, lists, queries, events, errors; its data files are in `filters/` | HTTP, I/O, plans | embedded, packed, quoting, schema, yaml |
//! | [`schema`] | what JSON documents contain, in general: schemas, how they nest, classes of fields, documents of several kinds | Docker | packed, quoting, yaml |
//! | [`filter`] | rules and classes, compiled to a plan (`plan`) and applied to one JSON document in a single pass (`apply`) | Docker, HTTP, async, files | quoting, schema, yaml |
//! | [`stream`] | chunks in, frames out: message bodies, elements of arrays, records, requests and their targets, responses | sockets, schemas | |
//! | [`members`] | the members of a JSON object and the elements of an array, one after another | what they mean | |
//! | [`upstream`] | connections to the engine, over a Unix socket, TCP, TLS or `ssh` | policy, JSON | api, endpoint, socket, stream, tls |
//! | [`endpoint`] | how an engine is reached: its address, and TLS | what goes over it | quoting, socket, tls |
//! | [`audit`] | the file with a record of each exchange | HTTP, sockets | clients, log, quoting, schema |
//! | [`log`] | the log: a line for each event and each exchange, written by a thread of its own | what the lines say | cli |
//! | [`metrics`] | what is counted, in the text format of Prometheus | HTTP, sockets | schema |
//! | [`clients`] | what is known of a client, and which clients a line of `clients` names | policy, HTTP | quoting, socket, tls, visibility, yaml |
//! | [`tls`] | TLS of listeners: their certificates, and what those of clients say; TLS of engines; a client of the health check | sockets, HTTP | |
//! | [`socket`] | a connected socket, and the address of one | what it carries | quoting |
//! | [`embedded`] | the files of `filters/` and of the demo inside the program | what they mean | packed, yaml |
//! | [`packed`] | numbers, texts and lists in compact form, for what is inside the program | what they mean | |
//! | [`quoting`] | values of arguments, variables and files in messages, without passwords | what they mean | |
//! | [`yaml`] | a YAML file as a tree in which every node knows its location; diagnostics | what the file means | packed, quoting |
//! | `time_limit` | a limit for unit tests that wait; only in tests | everything else | |
//! | [`properties`] | invariants that tests and fuzz targets share | HTTP | api, cli, command, config, filter, policy, profile, proxy, route, schema, stream, visibility, yaml |

pub mod cli;
pub mod command;
pub mod config;
pub mod server;

pub mod proxy;

pub mod policy;

pub mod profile;

pub mod visibility;

pub mod route;

pub mod api;

pub mod schema;

pub mod filter;

pub mod stream;

pub mod members;

pub mod upstream;

pub mod endpoint;

pub mod audit;

pub mod log;

pub mod metrics;

pub mod clients;

pub mod tls;

pub mod socket;

pub mod embedded;

pub mod packed;

pub mod quoting;

pub mod yaml;

#[cfg(test)]
mod time_limit;

#[doc(hidden)]
pub mod properties;
