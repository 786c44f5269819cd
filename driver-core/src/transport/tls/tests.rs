//! TLS against servers in memory: what goes in comes out, however it is cut; what breaks the rules
//! is refused with the right alert; each failure is told with its remedy.

mod failures;
mod peer;
mod streams;
