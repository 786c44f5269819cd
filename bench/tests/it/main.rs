//! The whole of dlts as a user has it: real processes on ports of their own, driven through REST,
//! with the test server's own count as the truth.
//!
//! Clusters run one at a time, whatever the number of test threads: each pins load to cores, and two
//! on the same core would measure each other. `BROKER=host:port` runs the tests against that broker
//! instead of an embedded one of their own.
#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, reason = "a test may fail by a panic")]

mod capacity;
mod cluster;
mod data;
mod deployment;
mod disk;
mod documents;
mod faults;
mod first_minute;
mod frozen_target;
mod images;
mod interoperation;
mod mergers;
mod outsiders;
mod rates;
mod readme;
mod refusals;
mod repeats;
mod rest;
mod searches;
mod workflows;
