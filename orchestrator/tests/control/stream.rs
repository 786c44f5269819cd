//! The streams of tests, as a client reads them that knows nothing but sockets.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use proto::bus::EmbeddedBroker;
use proto::message::NodeState;
use serde_json::{Map, Value};

use crate::player::{Player, interval, last};
use crate::process::{Orchestrator, SOON, wait_for};

/// What came.
#[derive(Debug)]
struct Event {
    id: String,
    name: String,
    data: Value,
}

/// A client that listens.
struct Listener {
    reader: BufReader<TcpStream>,
}

impl Listener {
    fn new(orchestrator: &Orchestrator, path: &str, headers: &[&str]) -> Self {
        let mut stream = orchestrator.connect();
        let host = format!("Host: {}", orchestrator.address);
        let lines: Vec<&str> = [&[host.as_str()], headers].concat();
        let head = format!("GET {path} HTTP/1.1\r\n{}\r\n\r\n", lines.join("\r\n"));
        stream.write_all(head.as_bytes()).unwrap();
        Self {
            reader: BufReader::new(stream),
        }
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.reader.read_line(&mut line).unwrap();
        line
    }

    /// The head of the answer.
    fn head(&mut self) -> String {
        let mut head = String::new();
        loop {
            let line = self.line();
            head.push_str(&line);
            if line == "\r\n" || line.is_empty() {
                return head;
            }
        }
    }

    /// The next event; `None` when nothing comes any more.
    fn event(&mut self) -> Option<Event> {
        let (mut id, mut name) = (String::new(), String::new());
        loop {
            let line = self.line();
            match line.trim_end().split_once(": ") {
                Some(("id", value)) => value.clone_into(&mut id),
                Some(("event", value)) => value.clone_into(&mut name),
                Some(("data", value)) => {
                    let data = serde_json::from_str(value).unwrap();
                    return Some(Event { id, name, data });
                }
                _ if line.is_empty() => return None,
                _ => {}
            }
        }
    }

    /// Events until this holds of one, or until nothing comes any more.
    fn until(&mut self, holds: impl Fn(&Event) -> bool) -> Vec<Event> {
        let mut events = Vec::new();
        while let Some(event) = self.event() {
            let is_it = holds(&event);
            events.push(event);
            if is_it {
                break;
            }
        }
        events
    }
}

/// The seconds that were told, in order.
fn seconds(events: &[Event]) -> Vec<u64> {
    let series = events.iter().filter(|event| event.name == "series");
    let rows = series.flat_map(|event| event.data.as_array().unwrap());
    rows.map(|row| row["second"].as_u64().unwrap()).collect()
}

/// Adds what changed to what was told before.
fn add(result: &mut Map<String, Value>, changed: &Map<String, Value>) {
    for (name, value) in changed {
        let told = value.as_array().filter(|_| name == "nodes");
        let known = result.get_mut(name).and_then(Value::as_array_mut);
        let (Some(told), Some(known)) = (told, known) else {
            result.insert(name.clone(), value.clone());
            continue;
        };
        for node in told {
            let mut nodes = known.iter_mut();
            match nodes.find(|known| known["node_id"] == node["node_id"]) {
                Some(known) => known
                    .as_object_mut()
                    .unwrap()
                    .extend(node.as_object().unwrap().clone()),
                None => known.push(node.clone()),
            }
        }
    }
}

fn has_told(second: u64) -> impl Fn(&Event) -> bool {
    move |event| seconds_of(event).contains(&second)
}

fn seconds_of(event: &Event) -> Vec<u64> {
    if event.name != "series" {
        return Vec::new();
    }
    let rows = event.data.as_array().unwrap().iter();
    rows.map(|row| row["second"].as_u64().unwrap()).collect()
}

/// An orchestrator with one driver on which a test runs.
struct Stage {
    _folder: tempfile::TempDir,
    _broker: EmbeddedBroker,
    player: Player,
    orchestrator: Orchestrator,
    test_id: String,
}

impl Stage {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let broker = EmbeddedBroker::start().unwrap();
        let kafka = broker.address().to_owned();
        let orchestrator = Orchestrator::start(folder.path(), &kafka);
        orchestrator.await_broker();
        let player = Player::new(&kafka);
        player.register("one");
        player.beat("one", NodeState::Idle, None);
        player.flush();
        wait_for("the driver to be up", || {
            let nodes = orchestrator.get("/nodes").json();
            (nodes[0]["state"] == "up").then_some(())
        });
        let test_id = orchestrator.create("/avalanche?requests=100000");
        player.beat("one", NodeState::Ready, Some(&test_id));
        player.flush();
        let answer = orchestrator.post(&format!("/trigger/{test_id}"));
        assert_eq!(answer.status, 200, "{answer:?}");
        Self {
            _folder: folder,
            _broker: broker,
            player,
            orchestrator,
            test_id,
        }
    }

    fn path(&self) -> String {
        format!("/tests/{}/stream", self.test_id)
    }

    fn report(&self, second: u64) {
        let message = interval("one", &self.test_id, second, 100_000);
        self.player.say("one", &message);
        self.player.flush();
    }

    fn end(&self, intervals: u64) {
        let message = last("one", &self.test_id, intervals);
        self.player.say("one", &message);
        self.player.flush();
    }
}

#[test]
fn a_stream_tells_each_second_once_across_a_cut_and_ends_with_the_test() {
    let stage = Stage::new();
    stage.report(0);
    let mut listener = Listener::new(&stage.orchestrator, &stage.path(), &[]);
    let head = listener.head();
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    assert!(head.contains("Content-Type: text/event-stream"), "{head}");
    assert!(
        !head.contains("Content-Length") && !head.contains("Dlts-Stream"),
        "{head}"
    );
    stage.report(1);
    let mut before = listener.until(has_told(1));
    let first = before.iter().find(|event| event.name == "result").unwrap();
    assert_eq!(first.data["test_id"], stage.test_id.as_str());
    assert!(before.iter().any(|event| event.name == "detail"));
    let id = before.pop().unwrap().id;
    drop(listener);
    for second in 2..5 {
        stage.report(second);
    }
    let header = format!("Last-Event-ID: {id}");
    let mut again = Listener::new(&stage.orchestrator, &stage.path(), &[&header]);
    let mut after = again.until(has_told(4));
    stage.report(5);
    stage.end(6);
    after.extend(again.until(|_| false));
    assert_eq!(seconds(&after), [2, 3, 4, 5]);
    let end = after.last().unwrap();
    assert_eq!(
        (end.name.as_str(), &end.data["state"]),
        ("end", &"done".into())
    );
    let results = after.iter().filter(|event| event.name == "result");
    let mut result = Map::new();
    for event in results {
        add(&mut result, event.data.as_object().unwrap());
    }
    let mut whole = stage
        .orchestrator
        .get(&format!("/metrics/{}", stage.test_id))
        .json();
    whole.as_object_mut().unwrap().remove("series");
    assert_eq!(
        Value::Object(result),
        whole,
        "what was told adds up to the result"
    );
    let over = Listener::new(&stage.orchestrator, &stage.path(), &[]).until(|_| false);
    assert_eq!(seconds(&over), [0, 1, 2, 3, 4, 5]);
    assert_eq!(over.last().unwrap().name, "end");
}

#[test]
fn hundreds_listen_and_everybody_else_is_answered_as_before() {
    let stage = Stage::new();
    let open = |_| Listener::new(&stage.orchestrator, &stage.path(), &[]);
    let mut listeners: Vec<Listener> = (0..300).map(open).collect();
    for listener in &mut listeners {
        listener.until(|event| event.name == "result");
    }
    let begin = Instant::now();
    for _ in 0..20 {
        assert_eq!(stage.orchestrator.get("/tests").status, 200);
    }
    let each = begin.elapsed() / 20;
    assert!(each < Duration::from_millis(200), "{each:?} a request");
    stage.report(0);
    for listener in &mut listeners {
        listener.until(has_told(0));
    }
    stage.end(1);
    for listener in &mut listeners {
        assert_eq!(listener.until(|_| false).last().unwrap().name, "end");
    }
}

#[test]
fn who_does_not_read_is_dropped_and_who_does_goes_on() {
    let stage = Stage::new();
    let body = "x".repeat(200 << 10);
    let answer = stage.orchestrator.call(
        "POST",
        "/avalanche?requests=9",
        &[],
        &serde_json::json!({"method": "POST", "body": body}).to_string(),
    );
    assert_eq!(answer.status, 200, "{answer:?}");
    let test_id = answer.json()["TestId"].as_str().unwrap().to_owned();
    let path = format!("/tests/{test_id}/stream");
    let mut slow = Listener::new(&stage.orchestrator, &path, &[]);
    let mut quick = Listener::new(&stage.orchestrator, &path, &[]);
    let closed = |orchestrator: &Orchestrator| {
        let text = orchestrator.get("/metrics").text;
        let line = text
            .lines()
            .find(|line| line.starts_with("dlts_http_closed_total"));
        line.unwrap()
            .rsplit(' ')
            .next()
            .unwrap()
            .parse::<u64>()
            .unwrap()
    };
    assert_eq!(closed(&stage.orchestrator), 0);
    let begin = Instant::now();
    let mut number = 0;
    // Each note tells the whole test anew; the systems' buffers take some megabytes before it shows.
    while closed(&stage.orchestrator) == 0 {
        number += 1;
        let note = format!(r#"{{"note": "{number}"}}"#);
        let path = format!("/tests/{test_id}");
        assert_eq!(
            stage.orchestrator.call("PATCH", &path, &[], &note).status,
            200
        );
        let note = number.to_string();
        quick.until(|event| event.name == "detail" && event.data["note"] == note.as_str());
        assert!(begin.elapsed() < SOON * 2, "{number} notes were told");
    }
    let mut rest = Vec::new();
    slow.reader.read_to_end(&mut rest).ok();
    let note = r#"{"note": "after"}"#;
    stage
        .orchestrator
        .call("PATCH", &format!("/tests/{test_id}"), &[], note);
    quick.until(|event| event.name == "detail" && event.data["note"] == "after");
    let stopped = stage.orchestrator.post(&format!("/stop/{test_id}"));
    assert_eq!(stopped.status, 200, "{stopped:?}");
    let end = quick.until(|_| false).pop().unwrap();
    assert_eq!(
        (end.name.as_str(), &end.data["state"]),
        ("end", &"aborted".into())
    );
}

#[test]
fn what_is_no_stream_is_refused_in_words() {
    let stage = Stage::new();
    let orchestrator = &stage.orchestrator;
    let path = stage.path();
    let call = |method, path: &str, header: &str| orchestrator.call(method, path, &[header], "");
    for (answer, status, word) in [
        (call("GET", "/tests/nobody/stream", "X: y"), 404, "nobody"),
        (call("GET", &path, "Last-Event-ID: 7"), 400, "Last-Event-ID"),
        (
            call("GET", &format!("{path}?series_from=x"), "X: y"),
            400,
            "series_from",
        ),
        (call("POST", &path, "X: y"), 405, "POST"),
        (
            call("GET", &path, "Origin: http://evil.example"),
            403,
            "evil",
        ),
    ] {
        assert_eq!(answer.status, status, "{answer:?}");
        assert!(answer.text.contains(word), "{answer:?}");
    }
    let head = call("HEAD", &path, "X: y");
    assert_eq!((head.status, head.text.as_str()), (200, ""));
    assert!(head.head.contains("text/event-stream"), "{head:?}");
}

#[test]
fn a_stream_of_a_test_that_is_deleted_ends() {
    let stage = Stage::new();
    let other = stage.orchestrator.create("/avalanche?requests=9");
    let path = format!("/tests/{other}");
    let mut listener = Listener::new(&stage.orchestrator, &format!("{path}/stream"), &[]);
    listener.until(|event| event.name == "result");
    stage.orchestrator.post(&format!("/stop/{other}"));
    assert_eq!(listener.until(|_| false).pop().unwrap().name, "end");
    let deleted = wait_for("the test to be deleted", || {
        let answer = stage.orchestrator.call("DELETE", &path, &[], "");
        (answer.status == 200).then_some(answer)
    });
    assert_eq!(deleted.status, 200);
    let gone = stage.orchestrator.get(&format!("{path}/stream"));
    assert_eq!(gone.status, 404, "{gone:?}");
}
