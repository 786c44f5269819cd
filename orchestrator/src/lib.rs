//! The control plane of dlts: registry, runs, store, REST and dashboard, and the terminal tools.
//!
//! Four programs live here, and share what the table says; a fifth, `dlts`, is one name for all
//! programs of dlts: see [`front`].
//!
//! | program | rooms |
//! |---|---|
//! | `orchestrator` | [`start`], [`rest`] with the [`dashboard`], [`control_thread`], [`topic_reader`], [`store`], [`control`] |
//! | `merger` | [`merger`] |
//! | `client` | [`client`]; what [`control::registry`] and [`comparison`] mean |
//! | `appliance` | [`appliance`]; the API as [`client::api`] calls it |
//!
//! | room of the orchestrator | what it owns |
//! |---|---|
//! | [`start`] | all of it, checked, started and stopped |
//! | [`rest`] | clients: the listener that bounds them, who may do what, the API |
//! | [`dashboard`] | the page |
//! | [`control_thread`] | the one thread that owns the state and performs its actions |
//! | [`topic_reader`] | the broker: finding it, reading it, noticing that it is another one |
//! | [`store`] | the SQLite file |
//! | [`files`] | the folder of uploaded files beside it |
//! | [`data_sender`] | these files on their way to the drivers that lack them |
//! | [`control`] | the fold: messages and commands in, actions out; drivers, runs, campaigns, queue, outbox, mergers |
//! | [`comparison`] | two results, quantile by quantile |
//!
//! A room uses those below it, never one above.
//!
//! # How it works
//! The orchestrator is a fold over the topics. One thread owns the [`control::Control`]; it takes a
//! batch of messages and commands, applies them one by one, writes what changed into SQLite in one
//! transaction together with the topic offsets up to which it has read, and only then publishes,
//! logs and replies. Killed at any instant and started again, it reads on from these offsets and
//! comes to the same result: a message that was applied but not committed is simply read again.
//!
//! What must reach the drivers (configs, triggers) waits in an outbox in the same transaction, and
//! is sent until the broker has it. What comes twice changes nothing.
//!
//! # Mergers
//! Where mergers read `metrics`, each partition is counted as one gapless chain of ranges, merged or
//! not. The fold knows up to which offset a partition was counted: that is the offset which is
//! stored. A merger's range that begins there, and holds nothing that was counted, counts as it came;
//! overlap is dropped; for everything else (a hole, a duplicate, a run that is not in memory, a
//! process that takes no part) the fold asks the [`topic_reader`] for the messages themselves, up to
//! where the next range fits ([`control::RawReading`]). So a merger need keep nothing, and the log
//! decides: how many mergers there are, when they die, and what they say twice makes no difference.
//! DESIGN once had mergers keep sums of drivers, to turn last reports into ranges; this way they are
//! read from where they are.
//!
//! A partition of which no merger was heard for 10 s, of observed time, is read itself, and said to
//! be. While reports may lie unread there, no driver is held for lost. That `metrics` was deleted and made
//! anew shows to whoever reads it; where only mergers do, the reader looks when one of them says that a
//! partition ends before what was counted.
//!
//! # Campaigns
//! A search for a capacity and a set of runs of one document are campaigns: ordinary runs, `<id>-1`,
//! `<id>-2` …, that the fold creates one after the other through the outbox. What each came to is
//! stored with the campaign in the transaction of the run's end, and which comes next is computed from
//! that alone, by the campaign's goal ([`control::Goal`]). So neither a client nor a process that is
//! killed has a part in it.
//!
//! # Time
//! Nothing that a result depends on is judged by a clock of ours. Whether a driver lives is counted
//! in the orchestrator's own heartbeats as they come back through the broker, in the one order of
//! the topic: when the broker is away, nobody grows silent. Wall clock serves for the common start
//! and for people; deadlines of commands (a trigger waits 5 s for ready drivers) run on the time
//! that the control thread passes in.
//!
//! # Invariants
//! - [`control`] does no I/O and reads no clock.
//! - A run can end from every phase; [`control::run::Phase`] has no step back.
//! - GET changes nothing. Every queue has a bound, and what is dropped is counted.

#![forbid(unsafe_code)]

pub mod appliance;
pub mod client;
pub mod comparison;
pub mod control;
pub mod control_thread;
pub mod dashboard;
pub mod data_sender;
pub mod files;
pub mod front;
pub mod live;
pub mod merger;
pub mod report;
pub mod rest;
pub mod start;
pub mod store;
pub mod topic_reader;
