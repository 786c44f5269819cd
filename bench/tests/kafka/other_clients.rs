//! Clients of other ecosystems read every topic as plain JSON, a message a line.

use std::process::Command;

use proto::topic::Topic;
use serde_json::Value;

use crate::broker::Kafka;
use crate::cluster::{Cluster, skip::skip};

/// Every line is a JSON object with what the reference names.
fn assert_plain(topic: Topic, reader: &str, text: &str) {
    let fields: &[&str] = match topic {
        Topic::Register => &["node_id", "node_IP", "message_type"],
        Topic::TestConfig => &["test_id", "test_type", "test_message_delay"],
        Topic::Trigger => &["test_id", "trigger"],
        Topic::Metrics => &["node_id", "test_id", "report_id", "metrics"],
        Topic::Heartbeat => &["node_id", "heartbeat", "timestamp"],
        Topic::Control => &["node_id", "order"],
        Topic::Data | Topic::Merged => unreachable!("it is ours alone"),
    };
    let lines: Vec<&str> = text.lines().filter(|line| line.starts_with('{')).collect();
    assert!(
        !lines.is_empty(),
        "{reader} read nothing of {topic:?}: {text}"
    );
    for line in lines {
        let message: Value = serde_json::from_str(line)
            .unwrap_or_else(|error| panic!("{reader}, {topic:?}: {error}: {line}"));
        for field in fields {
            assert!(
                message.get(field).is_some(),
                "{topic:?} has no {field}: {line}"
            );
        }
    }
}

fn kcat(address: &str, topic: &str) -> Option<String> {
    let arguments = [
        "-q",
        "-b",
        address,
        "-C",
        "-t",
        topic,
        "-o",
        "beginning",
        "-e",
    ];
    let output = Command::new("kcat").args(arguments).output().ok()?;
    assert!(output.status.success(), "kcat: {output:?}");
    Some(String::from_utf8(output.stdout).expect("topics are UTF-8"))
}

#[test]
fn every_topic_is_plain_json_to_kcat_and_to_the_console_consumer() {
    let kafka = Kafka::start();
    let cluster = Cluster::around(Some(kafka.address())).with(1);
    let test_id = cluster.run("/avalanche?rate=100&requests=200");
    cluster.await_end(&test_id);
    let without_mergers = |topic: &Topic| topic.is_folded() && *topic != Topic::Merged;
    for topic in Topic::ALL.into_iter().filter(without_mergers) {
        let text = kafka.tool(
            "org.apache.kafka.tools.consumer.ConsoleConsumer",
            &[
                "--topic",
                topic.name(),
                "--from-beginning",
                "--max-messages",
                "1",
                "--timeout-ms",
                "20000",
            ],
        );
        assert_plain(topic, "the console consumer", &text);
        match kcat(&kafka.address(), topic.name()) {
            Some(text) => assert_plain(topic, "kcat", &text),
            None => skip("kcat is not installed"),
        }
    }
}
