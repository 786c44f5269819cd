//! # bench: the comparison rig of dlts
#![forbid(unsafe_code)]

pub mod cli;
pub mod compare;
pub mod cores;
pub mod kafka;
pub mod machine;
pub mod measure;
pub mod output;
pub mod plot;
pub mod results;
pub mod rig;
pub mod scenario;
pub mod statistics;
pub mod table;
pub mod target;
pub mod throughput;
pub mod tools;
pub mod verdict;
