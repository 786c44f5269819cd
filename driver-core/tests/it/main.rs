//! The engine against scripted servers: each file one kind of behaviour, each test one sentence.

mod accounting;
mod answers;
mod errors;
mod kernels;
mod open_loop;
mod rig;
mod server;
mod steering;
