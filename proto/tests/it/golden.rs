//! The bytes on the wire, held in files: a change of the contract is visible in the diff.
//! `UPDATE=1 cargo test -p proto --test it golden` rewrites them.

use std::env;
use std::fmt::Debug;
use std::fs;
use std::path::PathBuf;

use proto::codec;
use proto::message::{Message, Metrics};

use crate::examples;

/// The message is written as the file has it, and the file is read as the message.
fn assert_golden<M: Message + PartialEq + Debug>(name: &str, message: &M) {
    let file = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden")
        .join(format!("{name}.json"));
    let mut written = codec::encode(message);
    written.push(b'\n');
    if env::var_os("UPDATE").is_some() {
        fs::write(&file, &written).unwrap();
    }
    let mut golden = fs::read(&file).unwrap_or_else(|error| {
        panic!("{}: {error}; run again with UPDATE=1", file.display());
    });
    assert_eq!(
        String::from_utf8_lossy(&written),
        String::from_utf8_lossy(&golden),
        "{name} is written otherwise than before; if that is meant, run again with UPDATE=1"
    );
    let read: M = codec::decode(&mut golden).unwrap();
    assert_eq!(
        &read, message,
        "{name} is read otherwise than it was written"
    );
}

#[test]
fn register() {
    assert_golden("register", &examples::register());
}

#[test]
fn test_config() {
    assert_golden("test_config_avalanche", &examples::avalanche());
    assert_golden("test_config_tsunami", &examples::tsunami());
}

#[test]
fn trigger() {
    assert_golden("trigger", &examples::trigger());
    assert_golden("trigger_stop", &examples::stop());
}

#[test]
fn metrics() {
    assert_golden("metrics", &examples::metrics());
    assert_golden("metrics_last", &examples::last_metrics());
}

#[test]
fn merged() {
    assert_golden("merged", &examples::merged());
}

/// What came to the wire later is absent in the reports of drivers of before, and so zero or empty.
#[test]
fn a_last_report_of_version_0_1_is_read() {
    let file = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/golden/metrics_last_of_0_1.json"
    );
    let read: Metrics = codec::decode(&mut fs::read(file).unwrap()).unwrap();
    let report = read.report.unwrap();
    assert_eq!((report.counters.offered, report.counters.refused), (6, 0));
    assert_eq!(
        (report.sending_ns, report.health.cpu_busy_max),
        (None, None)
    );
    assert!(report.reasons.is_empty() && report.addresses.is_empty());
    assert!(report.latencies.first_byte.is_empty());
}

#[test]
fn heartbeat() {
    assert_golden("heartbeat", &examples::driver_heartbeat());
    assert_golden(
        "heartbeat_orchestrator",
        &examples::orchestrator_heartbeat(),
    );
}
