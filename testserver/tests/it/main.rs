//! The test server as a real process, from the outside.
#![allow(clippy::unwrap_used, reason = "a test may fail by a panic")]

mod answers;
mod capacity;
mod lifecycle;
mod process;
