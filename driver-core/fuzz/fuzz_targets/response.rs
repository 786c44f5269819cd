//! Whatever a target sends: the reader neither panics nor stops, and it reads the same answers
//! however the bytes are split. The first byte chooses the method and where the split is.
//!
//!     cargo +nightly fuzz run response -- -max_total_time=60

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| driver_core::protocol::http1::check_reader(bytes));
