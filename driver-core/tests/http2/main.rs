//! HTTP/2 against the servers that people run, each with its own count as the truth; one that is
//! missing is said to be, and its tests pass without it.

#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used)] // a test ends where something is not as it should be

mod client;
mod go;
mod h2o;
mod nghttpd;
mod nginx;
mod node;
mod program;
mod silent;
mod told;
