//! The driver: an HTTP load engine on pinned cores, and the process around it.
//!
//! | room | what it owns |
//! |---|---|
//! | [`plan`] | when each request is intended: a node's share of a test, each core's share of that |
//! | [`source`] | which request comes next, what fills its holes, what its answer leads to (pure) |
//! | [`protocol`] | requests into bytes, and bytes into answers |
//! | [`transport`] | plain bytes into those of the socket, and back: plain, TLS |
//! | [`recording`] | what a core measures, merged into the node's reports and written to its logs |
//! | [`ring`] | the submission ring of one core; with `affinity` the only place near `unsafe` |
//! | [`dispatch`] | what is due, who takes it, what answers mean, the books: pure |
//! | [`core_loop`] | the loop of one core: clock, ring, pacing, around the dispatcher |
//! | [`load`] | one load on all cores: prepare, start, stop, join; followed to its last report |
//! | [`cpu`] | whether the CPUs were ours |
//! | [`import`] | curl lines, archives, target lists and logs into documents (pure) |
//! | [`local`] | `driver run`: one node without a broker |
//! | [`control`] | what the node decides, and its reports on their way to the broker (pure) |
//! | [`agent`] | the driver process: control, bus and loads wired together, in threads |
//!
//! # How it works
//! A driver runs one pinned executor a core. Each hosts an engine that owns its sockets and a
//! submission ring of its own, hands what a turn sends and receives to the kernel in one call, and
//! records into histograms that are swapped once a second. Nothing is allocated, locked, logged or
//! sent to another thread for a request.
//!
//! Reports are numbered. A number that was counted is never counted again, a gap is named, and a
//! node's last report is cumulative, which heals it. While the broker is away, reports wait, and are
//! merged rather than dropped.

#![deny(unsafe_code)]

pub mod affinity;
pub mod agent;
pub mod control;
pub mod core_loop;
pub mod cpu;
pub mod dispatch;
pub mod import;
pub mod load;
pub mod local;
pub mod plan;
pub mod protocol;
pub mod recording;
pub mod ring;
pub mod source;
pub mod transport;
