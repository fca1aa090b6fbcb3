//! Connections to the daemon, over a Unix socket or TCP.
