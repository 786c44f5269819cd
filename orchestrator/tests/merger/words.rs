//! What a merger says when it cannot work.

use proto::bus::EmbeddedBroker;
use rustix::process::Signal;
use serde_json::Value;

use crate::process::{Merger, command};

fn said(arguments: &[&str]) -> (Option<i32>, String) {
    let output = command(arguments).output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8(said).unwrap())
}

#[test]
fn usage_is_refused_in_words() {
    for (arguments, word) in [
        (&["--kafka", "nowhere"][..], "host:port"),
        (&["--kafka-property", "group.id=x"], "dlts sets it itself"),
        (&["--group", ""], "1 to 256 bytes"),
        (&["check", "--kafka", "nowhere"], "host:port"),
    ] {
        let (code, words) = said(arguments);
        assert_eq!(code, Some(2), "{arguments:?}: {words}");
        assert!(words.contains(word), "{arguments:?}: {words}");
    }
}

#[test]
fn the_check_says_what_it_found_or_what_is_missing() {
    let broker = EmbeddedBroker::with_metrics_partitions(6).unwrap();
    let (code, words) = said(&["check", "--kafka", broker.address()]);
    assert_eq!(code, Some(0), "{words}");
    assert!(words.contains("\"metrics_partitions\":6"), "{words}");
    let address = broker.address().to_owned();
    drop(broker);
    let (code, words) = said(&["check", "--kafka", &address]);
    assert_eq!(code, Some(1), "{words}");
    assert!(
        words.contains(&address) && words.contains("is it running"),
        "{words}"
    );
}

#[test]
fn a_broker_that_is_away_is_told_of_and_waited_for() {
    let broker = EmbeddedBroker::start().unwrap();
    let address = broker.address().to_owned();
    drop(broker);
    let merger = Merger::start(&address, "m");
    let told = merger.event("broker_away");
    let reason = told["reason"].as_str().unwrap();
    assert!(reason.contains(&address), "{reason}");
    assert!(merger.end(Signal::TERM).success());
}

#[test]
fn without_its_broker_it_says_so_once_and_ends_in_good_order() {
    let broker = EmbeddedBroker::start().unwrap();
    let merger = Merger::start(broker.address(), "m");
    merger.event("partitions");
    drop(broker);
    let is_told = |told: &Value| {
        let reason = told["reason"].as_str().unwrap();
        reason.contains("AllBrokersDown")
    };
    while !is_told(&merger.event("bus_trouble")) {}
    assert!(merger.end(Signal::TERM).success());
}

#[test]
fn one_more_than_there_are_partitions_says_that_it_waits() {
    let broker = EmbeddedBroker::start().unwrap();
    let first = Merger::start(broker.address(), "first");
    first.event("partitions");
    let second = Merger::start(broker.address(), "second");
    let told = second.event("merger_waits");
    let reason = told["reason"].as_str().unwrap();
    assert!(
        reason.contains("one partition") && reason.contains("--partitions"),
        "{reason}"
    );
    drop(first);
    assert_eq!(second.event("partitions")["partitions"][0], 0);
}
