//! The scenarios beside the canonical comparison.

mod cluster;
pub mod control;
pub mod instructions;
pub mod pacing;
pub mod reported;
pub mod scale;
pub mod server;
pub mod stall;
