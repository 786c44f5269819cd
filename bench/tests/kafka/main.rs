//! dlts on a real Apache Kafka: security, faults of the broker, and clients of other ecosystems.
//!
//! Run by `make test-kafka`, with the feature `kafka`: each test starts a Kafka of its own, one at a
//! time, in a folder that is gone when the test is.
#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, reason = "a test may fail by a panic")]

#[allow(
    dead_code,
    unused_imports,
    reason = "the cluster of the whole-system tests, of which these need a part"
)]
#[path = "../it"]
mod it {
    pub(crate) mod cluster;
}
use it::cluster;

mod broker;
mod certificates;
mod faults;
mod latencies;
mod mergers;
mod other_clients;
mod replicas;
mod secured;
mod security;
