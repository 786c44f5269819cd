//! Whatever stands in a topic: no message makes a node panic, is read otherwise than it was
//! written, or counts twice. The first byte chooses the topic.
//!
//!     cargo +nightly fuzz run message -- -max_total_time=60

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| proto::fuzzing::check_message(bytes));
