//! The driver: an HTTP load engine on pinned cores, and the process around it.
//!
//! | module | what it owns |
//! |---|---|
//! | [`http`] | the request, rendered once; the incremental reader of answers |
//! | [`schedule`] | when each request is intended to start: a pure function of its index |
//! | [`plan`] | a node's share of a test, and each core's share of that |
//! | [`ring`] | the submission ring of one core; with `affinity` the only place near `unsafe` |
//! | [`engine`] | the loop of one core |
//! | [`recorder`] | what a core measures, handed over once a second |
//! | [`load`] | one load on all cores: prepare, start, stop, join |
//! | [`check`] | whether this machine can do it at all |
//! | [`collector`] | from cores to the node: reports a second, and the last one |
//! | [`core_log`] | the per-core metric logs |
//! | [`cpu`] | whether the CPUs were ours |
//! | [`session`] | from a load's start to its last report: merge, logs, CPU watch |
//! | [`local`] | `driver run`: one node without a broker |
//! | [`node`] | the driver's control state machine (pure) |
//! | [`outbox`] | reports on their way to the broker (pure) |
//! | [`agent`] | the driver process: node, bus and sessions wired together |

#![deny(unsafe_code)]

pub mod affinity;
pub mod agent;
pub mod check;
pub mod collector;
pub mod core_log;
pub mod cpu;
pub mod engine;
pub mod http;
pub mod load;
pub mod local;
pub mod node;
pub mod outbox;
pub mod plan;
pub mod recorder;
pub mod ring;
pub mod schedule;
pub mod session;
