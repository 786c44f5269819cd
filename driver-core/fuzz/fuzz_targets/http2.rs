//! Whatever a peer sends over HTTP/2: the connection neither panics nor tells twice of a request, and
//! it understands the same however the bytes are split, watched or not. The first byte chooses what
//! went before and where the split is.
//!
//!     cargo +nightly fuzz run http2 -- -max_total_time=60

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| driver_core::protocol::http2::check_connection(bytes));
