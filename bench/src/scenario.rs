//! The scenarios beside the canonical comparison.

pub mod control;
pub mod instructions;
pub mod pacing;
pub mod reported;
pub mod scale;
pub mod server;
pub mod stall;
