//! What the nodes of dlts share: the messages, the bus, and the mathematics of results.
//!
//! | module | what it owns |
//! |---|---|
//! | [`message`] | the five messages of the bus, one a [`topic`] |
//! | [`transfer`] | files on their way to drivers, in pieces, over a topic of their own |
//! | [`digest`] | what a file is known by: the SHA-256 of its content |
//! | [`codec`] | their JSON, encoded exactly and decoded liberally |
//! | [`document`] | what people write, checked once: the parameters of a test, a test as one document |
//! | [`workload`] | what load a test puts on its target, in plain numbers: what drivers run |
//! | [`replay`] | the requests of a log and their instants, as a file that streams |
//! | [`secret`] | what is a secret by its name, and what is shown in its place |
//! | [`measure`] | what was measured, in plain numbers: counts, reports, a clock's offset |
//! | [`histogram`] | the one shape of latency histograms, and its V2-deflate form on the wire |
//! | [`merging`] | the pure work of a merger: many reports in, one message out that says the same |
//! | [`summary`] | the pure fold from reports to a result: merge, statistics, accounting, verdict |
//! | [`comparison`] | two sets of runs held against each other: the one judge |
//! | [`ci`] | what CI pages show of an answer: `JUnit` XML and Markdown |
//! | [`fuzzing`] | what must hold for any bytes at all: the bodies of the fuzz targets |
//! | [`bus`] | the one place that names `rdkafka` |
//! | [`clock`] | the monotonic and the wall clock, and the anchor between them |
//! | [`log`] | one JSON object a line on standard output |
//!
//! Everything but [`bus`], [`clock`] and [`log`] is pure: no I/O, and time is an argument.
//!
//! # Invariants
//! - No wire JSON is written or read outside this crate, and no `rdkafka` is named outside [`bus`]
//!   and the `broker` binary.
//! - This crate depends on no other crate of the workspace.
//! - No percentile is ever merged: histograms are, by adding.
//! - Inside, time is integer nanoseconds of the monotonic clock. Milliseconds and seconds exist only
//!   in what people and other implementations read and write.

#![forbid(unsafe_code)]

pub mod bus;
pub mod ci;
pub mod clock;
pub mod codec;
pub mod comparison;
pub mod digest;
pub mod document;
pub mod fuzzing;
pub mod histogram;
pub mod id;
mod lenient;
pub mod log;
pub mod measure;
pub mod merging;
pub mod message;
pub mod replay;
pub mod secret;
pub mod stdout;
pub mod summary;
pub mod topic;
pub mod transfer;
pub mod units;
pub mod workload;
