//! The behaviour of the program, a file for each behaviour. These tests need neither Docker nor a network.
#![deny(dead_code)]
#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod answers;
mod audit;
mod blanks;
mod callers;
mod canaries;
mod catalogue;
mod changes;
mod clients;
mod command_line;
mod compat;
mod contents;
mod credential_formats;
mod credentials;
mod cut;
mod dashboards;
mod departures;
mod deploy;
mod docs;
mod edits;
mod engine_tls;
mod errors;
mod events;
mod explain;
#[path = "../support/harness.rs"]
mod harness;
mod health;
mod hostile;
mod interference;
mod layering;
mod lens_laws;
mod listeners;
mod log;
mod lookup;
mod memory;
mod metrics;
mod named;
mod objects;
mod output;
mod profiles;
mod program;
mod rates;
mod read_first;
mod release;
mod reload;
mod remains;
mod requests;
mod rules;
mod schema;
mod seeds;
mod service;
mod signals;
mod slots;
mod snapshots;
mod ssh;
mod statuses;
mod streams;
mod superfluous;
mod support;
mod tls;
mod tricks;
mod turns;
mod types;
mod unknown;
mod upgrades;
mod versions;
mod width;

use std::process::ExitCode;
use std::time::Duration;

use harness::{Missing, Suite};

#[expect(clippy::disallowed_methods, reason = "the program reads its environment in `cli`, a test where it is")]
fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    if let (Some("__dial-stdio"), Some(socket)) = (arguments.next().as_deref(), arguments.next()) {
        let dialled = support::dial::run(&socket);
        return if dialled.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE };
    }
    let required = std::env::var("DOCKVEIL_ENGINE_TESTS").is_ok_and(|value| value == "require");
    harness::run(&Suite {
        tests: &[
            canaries::TESTS,
            catalogue::TESTS,
            changes::TESTS,
            catalogue::table::TESTS,
            catalogue::versions::TESTS,
            docs::TESTS,
            edits::TESTS,
            engine_tls::TESTS,
            errors::TESTS,
            seeds::TESTS,
            signals::TESTS,
            slots::TESTS,
            rates::TESTS,
            service::TESTS,
            blanks::TESTS,
            unknown::TESTS,
            remains::TESTS,
            remains::table::TESTS,
            command_line::TESTS,
            compat::TESTS,
            contents::TESTS,
            credential_formats::TESTS,
            credentials::TESTS,
            events::TESTS,
            explain::TESTS,
            dashboards::TESTS,
            deploy::TESTS,
            callers::TESTS,
            clients::TESTS,
            answers::TESTS,
            audit::TESTS,
            cut::TESTS,
            departures::TESTS,
            health::TESTS,
            hostile::TESTS,
            interference::TESTS,
            layering::TESTS,
            lens_laws::TESTS,
            listeners::TESTS,
            log::TESTS,
            lookup::TESTS,
            memory::TESTS,
            metrics::TESTS,
            named::TESTS,
            objects::TESTS,
            objects::table::TESTS,
            objects::writes::TESTS,
            objects::leaks::TESTS,
            profiles::TESTS,
            program::TESTS,
            read_first::TESTS,
            release::TESTS,
            reload::TESTS,
            requests::TESTS,
            rules::TESTS,
            schema::TESTS,
            output::TESTS,
            snapshots::TESTS,
            ssh::TESTS,
            statuses::TESTS,
            streams::TESTS,
            superfluous::TESTS,
            tls::TESTS,
            support::canary::TESTS,
            tricks::TESTS,
            turns::TESTS,
            types::TESTS,
            upgrades::TESTS,
            versions::TESTS,
            width::TESTS,
        ],
        // None takes a tenth of that on a machine with nothing else to do.
        limit: Duration::from_secs(120),
        // Many wait for a time limit or for another process most of the time.
        threads: Some(6),
        missing: if required { Missing::Fails } else { Missing::Ignores },
    })
}
