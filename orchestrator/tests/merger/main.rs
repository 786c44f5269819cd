//! The `merger` binary as a real process on the embedded broker.
#![allow(clippy::unwrap_used, reason = "a test may fail by a panic")]

mod ends;
mod process;
mod reader;
mod reports;
mod words;
