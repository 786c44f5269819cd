//! The control plane of dlts: registry, runs, store, REST and dashboard, and the terminal tools.
//!
//! | module | what it owns |
//! |---|---|
//! | [`registry`] | which drivers there are, and whether they live |
//! | [`clock_offset`] | how far a driver's clock is from ours, and how sure that is |
//! | [`run`] | the life of one run: its phases and the steps between them |
//! | [`state`] | the fold: messages and commands in, actions out |
//! | [`engine`] | the one thread that owns the state and performs its actions |
//! | [`link`] | the broker: finding it, reading it, noticing that it is another one |
//! | [`store`] | the SQLite file |
//! | [`front`] | the public listener: bounds what clients can do to us |
//! | [`api`] | the REST API behind it, on `tiny_http` |
//! | [`service`] | all of it, started and stopped |
//! | [`dashboard`] | the page |
//! | [`appliance`] | starts and stops the whole on one machine |
//! | [`client`] | the terminal front end of the API |
//!
//! # How it works
//! The orchestrator is a fold over the topics. One thread owns the [`state::State`]; it takes a
//! batch of messages and commands, applies them one by one, writes what changed into SQLite in one
//! transaction together with the topic offsets up to which it has read, and only then publishes,
//! logs and replies. Killed at any instant and started again, it reads on from these offsets and
//! comes to the same result: a message that was applied but not committed is simply read again.
//!
//! What must reach the drivers (configs, triggers) waits in an outbox in the same transaction, and
//! is sent until the broker has it. What comes twice changes nothing.
//!
//! # Time
//! Nothing that a result depends on is judged by a clock of ours. Whether a driver lives is counted
//! in the orchestrator's own heartbeats as they come back through the broker, in the one order of
//! the topic: when the broker is away, nobody grows silent. Wall clock serves for the common start
//! and for people; deadlines of commands (a trigger waits 5 s for ready drivers) run on the time
//! that the engine passes in.
//!
//! # Invariants
//! - [`registry`], [`clock_offset`], [`run`] and [`state`] do no I/O and read no clock.
//! - A run can end from every phase; [`run::Phase`] has no step back.
//! - GET changes nothing. Every queue has a bound, and what is dropped is counted.

#![forbid(unsafe_code)]

pub mod access;
pub mod api;
pub mod appliance;
pub mod client;
pub mod clock_offset;
pub mod comparison;
pub mod dashboard;
pub mod engine;
pub mod front;
pub mod link;
pub mod options;
pub mod registry;
pub mod run;
pub mod service;
pub mod state;
pub mod store;
