//! Requests into bytes, and bytes into answers.

pub mod http1;
