//! The scenarios beside the canonical comparison.

pub mod burst;
mod cluster;
pub mod control;
pub mod instructions;
pub mod loads;
pub mod pacing;
pub mod reported;
pub mod scale;
pub mod server;
pub mod stall;
