//! The engine against scripted servers: each file one kind of behaviour, each test one sentence.

#![allow(clippy::unwrap_used)] // a test ends where something is not as it should be

mod accounting;
mod answers;
mod command;
mod documents;
mod errors;
mod imports;
mod kernels;
mod open_loop;
mod repeats;
mod replays;
mod reports;
mod rig;
mod server;
mod several;
mod site;
mod steering;
