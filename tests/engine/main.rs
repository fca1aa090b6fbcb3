//! The program in front of a real engine: a dockerd or a Podman that these tests start for themselves, and throw away.
//!
//! They need root, `dockerd`, `podman`, `docker`, `docker-compose`, `busybox` (a static one) and no network. Where
//! something is missing they say so and pass, so that `cargo test` works on any machine;
//! `DOCKVEIL_ENGINE_TESTS=require` turns that into a failure.

#[cfg(test)]
mod canaries;
#[cfg(test)]
mod clients;
#[cfg(test)]
mod compose;
#[cfg(test)]
mod denied;
#[cfg(test)]
mod deploy;
#[cfg(test)]
mod drift;
#[cfg(test)]
mod dropin;
#[cfg(test)]
mod events;
#[cfg(test)]
mod image;
#[cfg(test)]
mod names;
#[cfg(test)]
mod outage;
#[cfg(test)]
mod podman;
#[cfg(test)]
mod profiles;
#[cfg(test)]
mod streams;
#[cfg(test)]
mod support;
