//! The bytes on the wire, held in files: a change of the contract is visible in the diff.
//! `UPDATE=1 cargo test -p proto --test it golden` rewrites them.

use std::env;
use std::fmt::Debug;
use std::fs;
use std::path::PathBuf;

use proto::codec;
use proto::message::Message;

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
fn heartbeat() {
    assert_golden("heartbeat", &examples::driver_heartbeat());
    assert_golden(
        "heartbeat_orchestrator",
        &examples::orchestrator_heartbeat(),
    );
}
