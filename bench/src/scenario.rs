//! The scenarios beside the canonical comparison.

pub mod pacing;
pub mod reported;
pub mod server;
pub mod stall;
