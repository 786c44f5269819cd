//! The `appliance` binary as a real process, with stand-ins for the other binaries: shell scripts
//! that write an address or sleep, and HTTP servers of this test.
#![allow(clippy::unwrap_used, reason = "a test may fail by a panic")]

mod down;
mod failures;
mod stand_in;
mod up;
