//! dockveil: a response-filtering mediator for the Docker Engine API.
//!
//! It stands between a Docker engine and a client nobody vetted. It lets through only the operations that a
//! profile allows, rewrites the JSON that comes back so that only the fields the profile shows are left, events and
//! stats record by record where the profile says so, and passes other streams through byte for byte.
//!
//! The way of one exchange:
//!
//! ```text
//! listener ──► route ──► policy ──► upstream ──► proxy/body ──► client
//!  who          what      Deny       request      relay | filter(plan) | hijack
//!  (profile)    (op,ver)  Relay      rebuilt      records(filter)
//!                         Filter
//!                         Records
//! ```
//!
//! The modules, in reading order. An arrow means "may use"; `tests/it/layering.rs` holds the code to it:
//! `main → {cli, command, server} → proxy → {policy, route, filter, stream, upstream}`,
//! `policy → {api, route, filter, profile}`, and on the way in `config → {cli, profile, policy, filter, yaml}`.
//!
//! | module | purpose | knows nothing of |
//! |---|---|---|
//! | [`cli`] | arguments and environment, as typed | files, sockets |
//! | [`command`] | the subcommands that do not serve: check, explain, filter, profiles, catalogue, healthcheck, migrate, demo | how a body is filtered |
//! | [`config`] | arguments and files → one checked, immutable `Config` | the network |
//! | [`server`] | listeners, accept loop, connection limit, graceful stop, the log | routes, JSON |
//! | [`proxy`] | the life of one exchange, where HTTP meets JSON | listeners, files |
//! | [`profile`] | profile files, read, merged and checked | the network |
//! | [`policy`] | route → decision; guards of query parameters | bodies, sockets |
//! | [`route`] | request line → operation: canonical target, parameters | JSON, policy, I/O |
//! | [`api`] | everything that is Docker: operations, versions, the catalogue of schemas and classes | HTTP, I/O, plans |
//! | [`schema`] | what a document may hold, in general: schemas, how they nest, classes | Docker |
//! | [`filter`] | rules applied to one JSON document | HTTP, async, files |
//! | [`stream`] | chunks in, frames out | JSON, sockets |
//! | [`upstream`] | connections to the daemon, Unix socket or TCP | policy, JSON |
//! | [`socket`] | one connected socket, and the address of one | what it carries |
//! | [`yaml`] | a YAML file as a tree in which every node knows its line | what the file means |
//! | [`properties`] | invariants that tests and fuzz targets share | HTTP |

pub mod cli;
pub mod command;
pub mod config;
pub mod server;

pub mod proxy;

pub mod policy;

pub mod profile;

pub mod route;

pub mod api;

pub mod schema;

pub mod filter;

pub mod stream;

pub mod upstream;

pub mod socket;

pub mod yaml;

#[doc(hidden)]
pub mod properties;
