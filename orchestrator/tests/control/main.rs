//! The `orchestrator` binary as a real process, against the embedded broker and drivers that are
//! played by the test.
#![allow(clippy::unwrap_used, reason = "a test may fail by a panic")]

mod abuse;
mod access;
mod backup;
mod commands;
mod contract;
mod exposition;
mod history;
mod merged;
mod player;
mod process;
mod runs;
mod schema;
mod secure;
mod steps;
mod stream;
