//! Listeners, accept loop, connection limit, graceful stop.
