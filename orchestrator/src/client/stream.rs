//! A test as the orchestrator tells it: its server-sent events, read by a thread of their own.

use std::io::{BufRead, BufReader, Read};
use std::thread;

use crossbeam_channel::{Receiver, Sender, bounded};
use serde_json::{Map, Value};

use super::api::{self, Api};

/// Events that wait to be shown; the orchestrator waits, or drops us, when there are more.
const WAITING_MAX: usize = 16;
/// Longest line that is read: a result of ten thousand drivers has fewer bytes.
const LINE_LEN_MAX: u64 = 64 << 20;

/// What came.
#[derive(Debug, PartialEq)]
pub(super) enum Told {
    /// The fields of the result that changed.
    Result(Map<String, Value>),
    /// A sign of life.
    Beat,
}

/// What a stream tells, until it ends for whatever reason.
pub(super) fn listen(api: &Api, test_id: &str) -> Receiver<Told> {
    let (told, telling) = bounded(WAITING_MAX);
    let path = format!(
        "tests/{}/stream?series_from={}",
        api::segment(test_id),
        u32::MAX
    );
    let api = api.clone();
    // It ends with the stream, or when nobody takes what it tells.
    thread::spawn(move || {
        if let Ok(body) = api.stream(&path) {
            read(BufReader::new(body), &told);
        }
    });
    telling
}

/// Adds what changed to a result. Of its nodes only those that changed are told, and what of each.
pub(super) fn add(result: &mut Map<String, Value>, changed: Map<String, Value>) {
    for (name, value) in changed {
        let known = result.get_mut(&name).filter(|_| name == "nodes");
        match (known, value) {
            (Some(Value::Array(known)), Value::Array(told)) => {
                told.into_iter().for_each(|node| add_node(known, node));
            }
            (_, value) => drop(result.insert(name, value)),
        }
    }
}

fn add_node(known: &mut Vec<Value>, told: Value) {
    let same = |known: &&mut Value| known["node_id"] == told["node_id"];
    match (known.iter_mut().find(same), told) {
        (Some(Value::Object(known)), Value::Object(fields)) => known.extend(fields),
        (_, told) => known.push(told),
    }
}

/// Reads a stream to its end.
fn read(mut body: impl BufRead, told: &Sender<Told>) {
    let mut event = String::new();
    loop {
        let mut line = String::new();
        let read = (&mut body).take(LINE_LEN_MAX).read_line(&mut line);
        if !read.is_ok_and(|len| len > 0) {
            return;
        }
        let news = match line.trim_end().split_once(": ") {
            Some(("event", name)) => {
                name.clone_into(&mut event);
                continue;
            }
            Some(("data", json)) if event == "result" => match serde_json::from_str(json) {
                Ok(fields) => Told::Result(fields),
                Err(_) => return,
            },
            _ => Told::Beat,
        };
        if told.send(news).is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn results_are_told_and_all_else_is_a_sign_of_life() {
        let text = "retry: 1000\n\nid: 1-0-a\nevent: series\ndata: [{}]\n\n:\n\n\
            id: 1-0-a\nevent: result\ndata: {\"ok\":5}\n\nid: 1-0-a\nevent: end\ndata: {}\n\n";
        let (told, telling) = bounded(100);
        read(text.as_bytes(), &told);
        drop(told);
        let results: Vec<Told> = telling.iter().filter(|told| *told != Told::Beat).collect();
        let ok = Map::from_iter([("ok".to_owned(), 5.into())]);
        assert_eq!(results, [Told::Result(ok)]);
    }

    #[test]
    fn what_changed_is_added_node_by_node() {
        let object = |value: Value| value.as_object().unwrap().clone();
        let mut result = object(json!({"ok": 1, "nodes": [{"node_id": "a", "ok": 1, "x": 2}]}));
        let nodes = json!([{"node_id": "a", "ok": 3}, {"node_id": "b", "ok": 4}]);
        add(&mut result, object(json!({"ok": 7, "nodes": nodes})));
        let nodes = json!([{"node_id": "a", "ok": 3, "x": 2}, {"node_id": "b", "ok": 4}]);
        assert_eq!(Value::Object(result), json!({"ok": 7, "nodes": nodes}));
    }

    #[test]
    fn what_is_no_stream_of_ours_is_not_followed() {
        let (told, telling) = bounded(100);
        read(
            "event: result\ndata: [1]\n\nevent: result\ndata: {}\n\n".as_bytes(),
            &told,
        );
        drop(told);
        assert_eq!(telling.iter().count(), 0);
    }
}
