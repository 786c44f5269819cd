//! What is left of a stream when it is over, and of those who left it.

use serde_json::json;

use super::super::queues::Taken;
use super::*;
use crate::control::{Control, Now, Restored, Settings};

/// What is seen with these tests in the list, which have ended and left memory.
fn snapshot(ids: &[&str]) -> Arc<Snapshot> {
    let row = |id: &&str| {
        let row = json!({"test_id": id, "test_type": "AVALANCHE", "state": "done",
            "created_unix_ms": 1, "nodes": 1, "target": "http://t/", "queued": false});
        serde_json::from_value(row).unwrap()
    };
    let restored = Restored {
        rows: ids.iter().map(row).collect(),
        ..Restored::default()
    };
    let settings = Settings {
        node_id: "orchestrator".into(),
        default_target: "http://127.0.0.1:8000/".into(),
        retention_tests: 0,
        retention_ms: 0,
        retention_bytes: 0,
    };
    let now = Now::default();
    Arc::new(Control::restore(settings, restored, now).snapshot(now))
}

/// The streams of a test "t" with one listener, and no store behind them.
struct Stage {
    streams: Streams,
    queues: Queues,
    ticket: u64,
    _folder: tempfile::TempDir,
}

impl Stage {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let streams = Streams::new(&folder.path().join("none.sqlite"));
        let queues = Queues::default();
        let ticket = queues.open().unwrap();
        let mut station = Station::new();
        station.listeners.push(ticket);
        let station = Arc::new(Mutex::new(station));
        locked(&streams.stations).insert("t".to_owned(), station);
        Self {
            streams,
            queues,
            ticket,
            _folder: folder,
        }
    }

    fn advance(&self, ids: &[&str]) {
        let newest = || snapshot(ids);
        self.streams
            .advance(newest, &Results::default(), &self.queues);
    }

    fn with<T>(&self, of: impl FnOnce(&mut Station) -> T) -> T {
        of(&mut locked(&locked(&self.streams.stations)["t"]))
    }

    fn stations(&self) -> usize {
        locked(&self.streams.stations).len()
    }

    /// Lets the time pass after which nobody comes back.
    fn outlast(&self) {
        self.with(|station| station.used = Instant::now().checked_sub(KEPT_FOR).unwrap());
    }
}

#[test]
fn a_stream_that_is_over_is_let_go_of() {
    let stage = Stage::new();
    stage.advance(&[]);
    let told = stage.queues.take(stage.ticket);
    let is_end = |bytes: &[u8]| String::from_utf8_lossy(bytes).contains("event: end");
    assert!(
        matches!(&told, Taken::Last(bytes) if is_end(bytes)),
        "{told:?}"
    );
    assert!(stage.with(|station| station.listeners.is_empty()));
    stage.outlast();
    stage.advance(&[]);
    assert_eq!(stage.stations(), 0);
}

#[test]
fn an_end_that_nobody_fetches_keeps_no_stream() {
    let stage = Stage::new();
    stage.advance(&[]);
    assert_eq!(stage.queues.len(), 1, "it waits");
    stage.outlast();
    stage.advance(&[]);
    assert_eq!((stage.stations(), stage.queues.len()), (0, 1));
}

#[test]
fn who_left_a_test_on_which_nothing_happens_keeps_no_stream() {
    let stage = Stage::new();
    stage.advance(&["t"]);
    assert_eq!(stage.with(|station| station.listeners.len()), 1);
    stage.queues.close(stage.ticket);
    stage.advance(&["t"]);
    assert!(stage.with(|station| station.listeners.is_empty()));
    stage.outlast();
    stage.advance(&["t"]);
    assert_eq!(stage.stations(), 0);
}

#[test]
fn a_store_without_the_end_is_asked_less_and_less_often() {
    let stage = Stage::new();
    let pause = |stage: &Stage| stage.with(|station| station.store_again.unwrap().1);
    stage.advance(&["t"]);
    assert_eq!(pause(&stage), STORE_AGAIN * 2);
    let long = STORE_AGAIN_MAX * 2 / 3;
    let later = Instant::now() + Duration::from_secs(3600);
    stage.with(|station| station.store_again = Some((later, long)));
    stage.advance(&["t"]);
    assert_eq!(pause(&stage), long, "it was not asked");
    stage.with(|station| station.store_again = Some((Instant::now(), long)));
    stage.advance(&["t"]);
    assert_eq!(pause(&stage), STORE_AGAIN_MAX);
}

#[test]
fn a_run_that_just_left_memory_is_told_from_one_with_too_many_listeners() {
    let stage = Stage::new();
    let since = Since { from: 0, had: None };
    let newest = || snapshot(&["other"]);
    let joined = stage
        .streams
        .join("other", newest, &Results::default(), &stage.queues, since);
    assert_eq!(joined.unwrap_err(), NotJoined::NotInMemory);
    assert_eq!(stage.stations(), 1, "no station is left of it");
}
