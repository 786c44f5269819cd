//! The crate from the outside: the messages on the wire, and the bus against the embedded broker.
#![allow(clippy::unwrap_used, reason = "a test may fail by a panic")]

mod arbitrary;
mod batches;
mod broker_process;
mod documents;
mod embedded_broker;
mod examples;
mod golden;
mod group;
mod merging;
mod other_implementations;
mod round_trip;
