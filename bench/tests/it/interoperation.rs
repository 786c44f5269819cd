//! Nodes written by others to the same reference, played by this test over the bus.

use std::time::Duration;

use proto::bus::{BusSettings, Event, Publisher, StartAt, Subscriber};
use proto::topic::Topic;
use serde_json::{Value, json};

use crate::cluster::{Cluster, SOON, wait_for};

/// A node of another implementation, at the level of JSON.
struct Other {
    publisher: Publisher,
    subscriber: Subscriber,
}

impl Other {
    /// Reads what comes from now on: from the offsets that are the topics' ends at this moment.
    fn on(bootstrap: &str, topics: &[Topic]) -> Self {
        let settings = BusSettings::new(bootstrap, "other", &[]).unwrap();
        let subscriber = Subscriber::new(&settings, &[]).unwrap();
        let end = |topic: &Topic| {
            let (_, end) = subscriber.bounds(*topic, Duration::from_secs(10)).unwrap();
            (*topic, StartAt::Offset(end))
        };
        let ends: Vec<(Topic, StartAt)> = topics.iter().map(end).collect();
        subscriber.assign(&ends).unwrap();
        Self {
            publisher: Publisher::new(&settings).unwrap(),
            subscriber,
        }
    }

    fn say(&self, topic: Topic, message: &Value) {
        self.publisher
            .publish_bytes(topic, "other", message.to_string().as_bytes(), 1)
            .unwrap();
        assert!(self.publisher.flush(Duration::from_secs(10)));
    }

    fn hear(&self) -> Option<Value> {
        match self.subscriber.poll(Duration::from_millis(50)) {
            Some(Event::Record(record)) => serde_json::from_slice(&record.payload).ok(),
            _ => None,
        }
    }
}

#[test]
fn a_driver_of_another_implementation_works_under_our_orchestrator() {
    let cluster = Cluster::start(1);
    let other = Other::on(&cluster.bootstrap, &[Topic::TestConfig, Topic::Trigger]);
    other.say(
        Topic::Register,
        &json!({"node_id": "other", "node_IP": "10.0.0.7"}),
    );
    let beat = || {
        other.say(
            Topic::Heartbeat,
            &json!({"node_id": "other", "heartbeat": true}),
        );
    };
    wait_for(SOON, "the other node to be up", || {
        beat();
        cluster
            .nodes_in("up")
            .contains(&"other".to_owned())
            .then_some(())
    });
    let test_id = cluster.create("/tsunami/2?requests=50&burst=50");
    let config = wait_for(SOON, "the config", || {
        beat();
        other
            .hear()
            .filter(|message| message.get("test_type").is_some())
    });
    assert_eq!(config["test_id"], test_id.as_str());
    assert!(
        config["test_message_delay"].is_i64(),
        "2, never 2.0: {config}"
    );
    assert_eq!(config["message_count_per_driver"], 50);
    assert_eq!(
        cluster.rest.post(&format!("/trigger/{test_id}")).status,
        200
    );
    wait_for(SOON, "the trigger", || {
        other.hear().filter(|message| message["trigger"] == "YES")
    });
    let figures = json!({"mean_latency": "3.5", "median_latency": 3, "min_latency": 1,
        "max_latency": 9});
    other.say(
        Topic::Metrics,
        &json!({"node_id": "other", "test_id": test_id, "metrics": figures}),
    );
    let result = wait_for(SOON, "the end", || {
        beat();
        let result = cluster.metrics(&test_id);
        (result["state"] == "done").then_some(result)
    });
    assert_eq!(result["coverage"]["unmerged_nodes"], json!(["other"]));
    assert_eq!(result["ok"], 50, "ours alone is merged");
    let nodes = result["nodes"].as_array().unwrap();
    let shown = nodes
        .iter()
        .find(|node| node["node_id"] == "other")
        .unwrap();
    assert_eq!(shown["foreign"]["mean_latency"], 3.5, "{shown}");
}

#[test]
fn our_driver_works_under_an_orchestrator_of_another_implementation() {
    let cluster = Cluster::start(1);
    let other = Other::on(&cluster.bootstrap, &[Topic::Metrics]);
    let target = format!("http://{}/", cluster.rest.target);
    let config = json!({"test_id": "theirs", "test_type": "AVALANCHE", "test_message_delay": "0",
        "message_count_per_driver": "700", "target": target, "something_else": [1, 2]});
    other.say(Topic::TestConfig, &config);
    other.say(
        Topic::Trigger,
        &json!({"test_id": "theirs", "trigger": "YES"}),
    );
    wait_for(SOON, "their test to run", || {
        (cluster.seen() == 700).then_some(())
    });
    let mut last = None;
    wait_for(SOON, "the metrics", || {
        last = other.hear().or(last.take());
        last.as_ref()
            .filter(|message| message["last"] == true)
            .map(|_| ())
    });
    let last = last.unwrap();
    assert_eq!(last["test_id"], "theirs");
    for figure in [
        "mean_latency",
        "median_latency",
        "min_latency",
        "max_latency",
    ] {
        assert!(last["metrics"][figure].as_f64().unwrap() > 0.0, "{last}");
    }
}

#[test]
fn hostile_messages_stop_nobody() {
    let cluster = Cluster::start(1);
    let other = Other::on(&cluster.bootstrap, &[]);
    for topic in Topic::ALL {
        for bytes in [
            &b"not json"[..],
            b"",
            b"{}",
            b"[]",
            b"{\"node_id\":{}}",
            &[0xff; 300],
        ] {
            other.publisher.publish_bytes(topic, "k", bytes, 1).unwrap();
        }
    }
    assert!(other.publisher.flush(Duration::from_secs(10)));
    let test_id = cluster.run("/avalanche?requests=100&connections=4");
    assert_eq!(cluster.await_end(&test_id)["ok"], 100);
}
