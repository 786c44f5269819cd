//! The `client` binary as a real process, against a scripted orchestrator and the embedded broker.
#![allow(clippy::unwrap_used, reason = "a test may fail by a panic")]

mod calls;
mod heartbeats;
mod repeats;
mod runs;
mod scripted;
