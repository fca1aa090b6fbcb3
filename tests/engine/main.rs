//! The program in front of a real engine: a Docker or a Podman that these tests start for themselves and throw away.
//!
//! The tests need root and no network. `.ci/run` lists the packages and installs the clients. A test that lacks something is
//! reported as ignored, with the reason; with `DOCKVEIL_ENGINE_TESTS=require` it fails.
#![deny(dead_code)]

#[cfg(test)]
mod answers;
#[cfg(test)]
mod calling;
#[cfg(test)]
mod canaries;
#[cfg(test)]
mod cleanup;
#[cfg(test)]
mod clients;
#[cfg(test)]
mod compose;
#[cfg(test)]
mod denied;
#[cfg(test)]
mod deploy;
#[cfg(test)]
mod docker_command;
#[cfg(test)]
mod drift;
#[cfg(test)]
mod dropin;
#[cfg(test)]
mod edits;
#[cfg(test)]
mod events;
#[cfg(test)]
mod first_look;
#[path = "../support/harness.rs"]
mod harness;
#[cfg(test)]
mod image;
#[cfg(test)]
mod names;
#[cfg(test)]
mod object_writes;
#[cfg(test)]
mod objects;
#[cfg(test)]
mod outage;
#[cfg(test)]
mod podman;
#[cfg(test)]
mod profiles;
#[cfg(test)]
mod read_first;
#[cfg(test)]
mod sdk;
#[cfg(test)]
mod ssh;
#[cfg(test)]
mod streams;
#[cfg(test)]
mod superfluous;
#[cfg(test)]
mod support;
#[cfg(test)]
mod swarm_objects;
#[cfg(test)]
mod systemd;
#[cfg(test)]
mod tls;
#[cfg(test)]
mod versions;

use std::process::ExitCode;
use std::time::Duration;

use harness::{Missing, Suite};
use support::variable;

fn main() -> ExitCode {
    if variable(cleanup::VARIABLE).is_some() {
        return cleanup::hang();
    }
    let required = variable("DOCKVEIL_ENGINE_TESTS").is_some_and(|value| value == "require");
    harness::run(&Suite {
        tests: &[
            docker_command::TESTS,
            sdk::TESTS,
            answers::TESTS,
            compose::TESTS,
            deploy::TESTS,
            profiles::TESTS,
            profiles::monitors::TESTS,
            profiles::prometheus::TESTS,
            profiles::scripts::TESTS,
            dropin::TESTS,
            drift::TESTS,
            first_look::TESTS,
            image::TESTS,
            podman::TESTS,
            outage::TESTS,
            systemd::TESTS,
            events::TESTS,
            edits::TESTS,
            read_first::TESTS,
            ssh::TESTS,
            streams::TESTS,
            superfluous::TESTS,
            clients::TESTS,
            calling::TESTS,
            tls::TESTS,
            canaries::TESTS,
            denied::TESTS,
            names::TESTS,
            object_writes::TESTS,
            swarm_objects::TESTS,
            objects::TESTS,
            versions::TESTS,
            cleanup::TESTS,
        ],
        limit: Duration::from_secs(180),
        // They wait for engines and clients most of the time.
        threads: Some(4),
        missing: if required { Missing::Fails } else { Missing::Ignores },
    })
}
