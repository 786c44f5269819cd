//! dlts on several hosts and a bad network: each host is a network namespace with an address of its
//! own on one bridge.
//!
//! The broker is on this machine's own namespace, the orchestrator on a host of its own, so are the
//! target and each driver. Needs root, `ip` and `iptables`; without them the tests are skipped, and
//! say so. The kernel may lack `tc netem`: a relay delays, `iptables` loses and cuts.
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

mod bad_network;
mod network;
mod relay;
mod whole;
