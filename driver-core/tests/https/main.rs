//! TLS against servers that are not ours: nginx and node (OpenSSL), Go (its own TLS), and OpenSSL's
//! test server for what is out of the ordinary. Their own counts are the truth.

#![allow(clippy::unwrap_used)] // a test ends where something is not as it should be

mod certificates;
mod client;
mod first_handshakes;
mod servers;
mod several;
mod streams;
mod told;
