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
