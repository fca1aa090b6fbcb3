//! Route to decision.
