//! Whatever somebody posts as a test: no text makes the reader of documents panic, and what is kept
//! of one that is right is the same test again.
//!
//!     cargo +nightly fuzz run document -- -max_total_time=60

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| proto::fuzzing::check_document(bytes));
