//! # bench: the comparison rig of dlts
//!
//! How does dlts compare, on this machine, with what people use, and what limits it? `make bench`,
//! or `target/release/bench`, answers in minutes: a table on the terminal, and in `bench/results`
//! a JSON file (see [`results`] for its shape), the table in Markdown, and plots as SVG.
//!
//! | command | what it measures |
//! |---|---|
//! | `bench` | requests a second, and for a second of the generator's CPU, of every generator found |
//! | `bench floor` | dlts beside a bare ring that only sends and receives, and wrk |
//! | `bench connections`, `large`, `unique-heads`, `connection-per-request`, `tls`, `handshakes`, `h2`, `documents` | the same under other loads, see [`scenario::loads`] |
//! | `bench burst` | what bursts do to service times, beside the target's own stamps |
//! | `bench pacing` | how evenly requests arrive that were to be sent evenly |
//! | `bench stall` | what each generator reports when the target freezes |
//! | `bench server` | the test server beside other minimal servers |
//! | `bench scale` | 1 to 8 drivers under an orchestrator |
//! | `bench control` | metrics messages merged a second |
//! | `bench instructions` | instructions of the hot paths, by callgrind |
//! | `bench compare BASE NEW` | two results files with the noise of both; exit code 4 for worse |
//! | `bench tools` | which generators are there, and the command that installs each other one |
//! | `bench target` | the stamping target by itself |
//! | `bench kafka` | a real Apache Kafka, for the tests and for `BROKER=kafka make up` |
//! | `cargo bench -p bench` | micro-benchmarks (criterion) |
//!
//! ## What makes a number here worth something
//!
//! - **The target counts.** What a tool says about itself is used in `stall` only, where it is the
//!   point.
//! - **A core each.** The generator and the target are pinned to one core each. A generator gets
//!   one thread. Those that cannot be told inherit the pinning.
//! - **All of the process.** CPU time is user and system time of the whole generator process from
//!   its start to its end, so its start-up counts. Longer runs (`--seconds`) make that small.
//! - **Interleaved.** Tools alternate within each repetition, in another order each time. wrk (h2load
//!   for HTTP/2, k6 for logins) runs before and after each of them, and ratios are to the mean of those two
//!   neighbours. What is shown are medians, and ± the distance of the quartiles.
//! - **Often enough.** Each load is repeated until the ratio of dlts is certain (see [`verdict`]) or
//!   its share of `--budget` is over, which is 20 minutes for all loads together unless told.
//! - **The target is quick.** By default it is the [`target`], which spins. With `--target
//!   testserver` it is the server that dlts is made for, which needs about a quarter more CPU for a
//!   request than dlts does and is the limit then; compare by CPU-seconds.
//! - **Doubts are loud.** See [`verdict`] for the limits: too few repetitions, an uncertain median,
//!   time taken by the hypervisor or by other processes, a target that was the limit, a rate that
//!   was not kept. Every one of them is printed, and a sentence on dlts and wrk that it is about
//!   becomes `NO VERDICT`. `--strict` makes it exit code 4.
//!
//! Percentiles are not compared between tools: wrk fills in samples afterwards, closed loops omit
//! what they did not send, and `bench stall` shows what that does.
//!
//! ## How it is built
//!
//! A scenario makes [`results::Cell`]s: who, under which circumstances, a sample of metrics for each
//! repetition. [`table`], [`plot`], [`compare`] and [`output`] know cells only, so that a scenario
//! is a loop and a list of columns. [`measure`] runs a program under a parent of its own, which makes
//! the system's account of ended children exact. [`rig`] starts servers, [`tools`] knows generators.
//! Nothing here names a crate of the appliance but `proto`: binaries are started as a user would.
#![forbid(unsafe_code)]

pub mod cli;
pub mod compare;
pub mod cores;
pub mod kafka;
pub mod machine;
pub mod measure;
pub mod output;
pub mod plot;
pub mod prepared;
pub mod results;
pub mod rig;
pub mod scenario;
pub mod statistics;
pub mod table;
pub mod target;
pub mod throughput;
pub mod tools;
pub mod verdict;
