//! `client nodes` against the embedded broker.

use std::io::{BufRead, BufReader, Lines};
use std::process::{Child, ChildStdout};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use proto::bus::{BusSettings, EmbeddedBroker, Publisher};
use proto::message::{Heartbeat, NodeState, Role};
use proto::topic::Topic;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::scripted::{Scripted, client, stderr};

/// Drivers that send a heartbeat every 100 ms until they are told to be silent.
struct Drivers {
    silence: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Drivers {
    fn start(broker: &str, node_ids: &'static [&'static str]) -> Self {
        let publisher = Publisher::new(&BusSettings::new(broker, "test", &[]).unwrap()).unwrap();
        let (silence, silenced) = mpsc::channel();
        let thread = thread::spawn(move || {
            while silenced.recv_timeout(Duration::from_millis(100))
                == Err(RecvTimeoutError::Timeout)
            {
                for node_id in node_ids {
                    publisher
                        .publish(node_id, &heartbeat(node_id, Role::Driver), 0)
                        .unwrap();
                }
                publisher
                    .publish("o", &heartbeat("o", Role::Orchestrator), 0)
                    .unwrap();
                publisher
                    .publish_bytes(Topic::Heartbeat, "x", b"EOF", 0)
                    .unwrap();
                publisher.poll(Duration::ZERO);
            }
        });
        Self {
            silence: Some(silence),
            thread: Some(thread),
        }
    }
}

impl Drop for Drivers {
    fn drop(&mut self) {
        drop(self.silence.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn heartbeat(node_id: &str, role: Role) -> Heartbeat {
    Heartbeat {
        node_id: node_id.into(),
        heartbeat: true,
        timestamp: Some("1".into()),
        role,
        state: Some(NodeState::Idle),
        test_id: None,
        reason: None,
        probe: None,
        echo: None,
        incarnation: None,
        wire: None,
        needs: Vec::new(),
    }
}

/// A running `client nodes --json`; killed when dropped.
struct Watching {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Watching {
    fn start(arguments: &[&str]) -> Self {
        let mut child = client(&[&["nodes", "--json"], arguments].concat())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, lines }
    }

    /// The next event that fits. The drivers' heartbeats, or the end of the client, bound the wait.
    fn until(&mut self, fits: impl Fn(&Value) -> bool) -> Value {
        let events = self
            .lines
            .by_ref()
            .map(|line| serde_json::from_str(&line.unwrap()).unwrap());
        events
            .into_iter()
            .find(fits)
            .expect("the client ended first")
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn heartbeats_are_printed_and_silence_makes_suspect_and_down() {
    let broker = EmbeddedBroker::start().unwrap();
    let loud = Drivers::start(broker.address(), &["driver-1"]);
    let quiet = Drivers::start(broker.address(), &["driver-2"]);
    let mut watching = Watching::start(&["--kafka", broker.address(), "--duration", "60s"]);
    let of =
        |event: &Value, name: &str, node: &str| event["event"] == name && event["node_id"] == node;
    watching.until(|event| of(event, "heartbeat", "driver-1"));
    watching.until(|event| of(event, "heartbeat", "driver-2"));
    watching.until(|event| event["event"] == "undecodable");
    drop(quiet);
    let suspect = watching.until(|event| event["event"] == "transition");
    assert_eq!(
        (&suspect["node_id"], &suspect["to"]),
        (&json!("driver-2"), &json!("suspect"))
    );
    let down = watching.until(|event| event["event"] == "transition");
    assert_eq!(
        (&down["node_id"], &down["to"]),
        (&json!("driver-2"), &json!("down"))
    );
    let _again = Drivers::start(broker.address(), &["driver-2"]);
    let up = watching.until(|event| event["event"] == "transition");
    assert_eq!(
        (&up["node_id"], &up["from"], &up["to"]),
        (&json!("driver-2"), &json!("down"), &json!("up"))
    );
    drop(loud);
    kill_process(Pid::from_child(&watching.child), Signal::INT).unwrap();
    assert!(watching.child.wait().unwrap().success());
}

#[test]
fn the_broker_is_learned_from_the_orchestrator() {
    fn health(what: &str, _: usize) -> (u16, Value) {
        assert_eq!(what, "GET /healthz");
        (200, json!({"broker": {"bootstrap": "127.0.0.1:1"}}))
    }
    let orchestrator = Scripted::start(health);
    let nodes = orchestrator.client(&["nodes", "--duration", "100ms"]);
    assert!(nodes.status.success());
    assert!(
        stderr(&nodes).contains("heartbeats at 127.0.0.1:1"),
        "{}",
        stderr(&nodes)
    );
    let wrong = client(&["nodes", "--kafka", "nonsense"]).output().unwrap();
    assert_eq!(wrong.status.code(), Some(1));
    assert!(stderr(&wrong).contains("host:port"), "{}", stderr(&wrong));
}
