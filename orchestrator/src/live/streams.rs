//! The streams of all tests that somebody listens to.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use proto::summary::SeriesRow;
use serde_json::{Map, Value};

use super::channel::{Channel, Look};
use super::event::{Event, Place};
use super::queues::Queues;
use super::results::{Results, locked};
use super::text::to_json;
use crate::control::run::Phase;
use crate::control::{SeenRun, Snapshot, TestDetail, TestRow};
use crate::store::Reader;

/// Between two looks at a test, unless its state changed.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// And when nothing changed.
const LOOK_AT_LEAST: Duration = Duration::from_secs(1);
/// A stream that nobody listens to any more is kept for those who come back.
const KEPT_FOR: Duration = Duration::from_secs(30);
/// The store is asked again for an end that it did not have after this time, and each time after
/// twice as long, up to a limit.
const STORE_AGAIN: Duration = LOOK_EVERY;
const STORE_AGAIN_MAX: Duration = Duration::from_secs(30);

/// What who comes has already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Since {
    /// The first second that is wanted.
    pub from: u64,
    /// The last event that was received.
    pub had: Option<Place>,
}

impl Since {
    /// After an event.
    #[must_use]
    pub fn after(had: Place) -> Self {
        Self {
            from: had.next,
            had: Some(had),
        }
    }
}

/// A stream that was joined.
#[derive(Debug)]
pub struct Joined {
    /// What comes first.
    pub events: Vec<u8>,
    /// The number under which the rest waits; `None` when that is all.
    pub ticket: Option<u64>,
}

/// Why a stream was not joined.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotJoined {
    /// The run is not in memory, or not any more: the store has its end.
    NotInMemory,
    /// As many listen as may.
    TooMany,
}

/// One test's stream and those who listen.
#[derive(Debug)]
struct Station {
    channel: Channel,
    listeners: Vec<u64>,
    looked: Instant,
    /// What was looked at: the run's version and phase, and its line in the list.
    version: u64,
    phase: Option<Phase>,
    row: Option<Arc<TestRow>>,
    used: Instant,
    /// When the store is asked again, and the pause after that.
    store_again: Option<(Instant, Duration)>,
}

impl Station {
    fn new() -> Self {
        Self {
            channel: Channel::new(fastrand::u64(1..)),
            listeners: Vec::new(),
            looked: Instant::now(),
            version: 0,
            phase: None,
            row: None,
            used: Instant::now(),
            store_again: None,
        }
    }

    /// Tells what is new of a run in memory.
    fn advance(&mut self, snapshot: &Snapshot, seen: &SeenRun, results: &Results, queues: &Queues) {
        let detail = snapshot.detail(&seen.run.test_id);
        let Some(detail) = detail.filter(|_| seen.version >= self.version) else {
            return;
        };
        (self.looked, self.version) = (Instant::now(), seen.version);
        self.phase = Some(seen.run.phase);
        self.row = snapshot.row(&seen.run.test_id).cloned();
        let made = results.of(seen);
        let look = Look {
            test_id: seen.run.test_id.clone(),
            phase: seen.run.phase,
            detail: to_json(&detail),
            result: fields(&made.json_in(seen.run.phase, 0..usize::MAX, "[]")),
            rows: seen.series(self.channel.watched_from()),
            settled: seen.settled(),
        };
        self.tell(&look, queues);
    }

    fn tell(&mut self, look: &Look, queues: &Queues) {
        let events = self.channel.advance(look, Instant::now());
        if !events.is_empty() {
            self.push(&events, queues);
        }
    }

    /// What was told last still waits in the queues, which nobody here needs to know of.
    fn push(&mut self, events: &[Event], queues: &Queues) {
        let is_last = self.channel.is_over();
        queues.push(&mut self.listeners, events, is_last);
        if is_last {
            self.listeners.clear();
        }
    }

    fn may_ask_store(&self) -> bool {
        self.store_again.is_none_or(|(at, _)| Instant::now() >= at)
    }

    fn ask_store_later(&mut self) {
        let pause = self.store_again.map_or(STORE_AGAIN, |(_, pause)| pause);
        let next = (pause * 2).min(STORE_AGAIN_MAX);
        self.store_again = Some((Instant::now() + pause, next));
    }

    /// Whether it is time to look at a run again. What was withheld comes also when nothing changes.
    fn is_due(&self, snapshot: &Snapshot, seen: &SeenRun) -> bool {
        let row = snapshot.row(&seen.run.test_id);
        let is_same = |one: &Arc<_>| self.row.as_ref().is_some_and(|row| Arc::ptr_eq(row, one));
        let is_changed = self.version != seen.version || !row.is_some_and(is_same);
        let pause = self.looked.elapsed();
        self.phase != Some(seen.run.phase)
            || pause >= LOOK_EVERY && is_changed
            || pause >= LOOK_AT_LEAST
    }
}

/// All streams.
#[derive(Debug)]
pub(super) struct Streams {
    stations: Mutex<HashMap<String, Arc<Mutex<Station>>>>,
    store: Mutex<Option<Reader>>,
    store_path: PathBuf,
}

impl Streams {
    pub(super) fn new(store_path: &Path) -> Self {
        Self {
            stations: Mutex::default(),
            store: Mutex::default(),
            store_path: store_path.to_owned(),
        }
    }

    /// Begins to listen to a run in memory.
    pub(super) fn join(
        &self,
        test_id: &str,
        newest: impl Fn() -> Arc<Snapshot>,
        results: &Results,
        queues: &Queues,
        since: Since,
    ) -> Result<Joined, NotJoined> {
        // What is not there needs no station.
        if newest().run(test_id).is_none() {
            return Err(NotJoined::NotInMemory);
        }
        let station = {
            let mut stations = locked(&self.stations);
            let station = stations.entry(test_id.to_owned());
            let new = || Arc::new(Mutex::new(Station::new()));
            Arc::clone(station.or_insert_with(new))
        };
        let mut station = locked(&station);
        station.used = Instant::now();
        // Not older than what was told already.
        let snapshot = newest();
        let seen = snapshot.run(test_id).ok_or(NotJoined::NotInMemory)?;
        station.advance(&snapshot, seen, results, queues);
        let Since { from, had } = since;
        let rows = seen.series(station.channel.missed_from(from, had));
        let events = station.channel.catch_up(&rows, from, had).concat();
        let mut ticket = None;
        if !station.channel.is_over() {
            ticket = Some(queues.open().ok_or(NotJoined::TooMany)?);
            station.listeners.extend(ticket);
        }
        Ok(Joined { events, ticket })
    }

    /// Tells all who listen what is new.
    pub(super) fn advance(
        &self,
        newest: impl Fn() -> Arc<Snapshot>,
        results: &Results,
        queues: &Queues,
    ) {
        let all: Vec<(String, Arc<Mutex<Station>>)> = {
            let mut stations = locked(&self.stations);
            stations
                .retain(|_, station| Arc::strong_count(station) > 1 || is_used(&locked(station)));
            let of = |(id, station): (&String, &Arc<_>)| (id.clone(), Arc::clone(station));
            stations.iter().map(of).collect()
        };
        for (test_id, station) in all {
            let mut station = locked(&station);
            // Who left says so to the queues only.
            queues.keep(&mut station.listeners);
            if station.listeners.is_empty() || station.channel.is_over() {
                continue;
            }
            station.used = Instant::now();
            let snapshot = newest();
            match snapshot.run(&test_id) {
                Some(seen) if station.is_due(&snapshot, seen) => {
                    station.advance(&snapshot, seen, results, queues);
                }
                Some(_) => {}
                None => self.finish(&test_id, &mut station, &snapshot, queues),
            }
        }
    }

    /// The run is not in memory any more: the store has its end, or it was deleted.
    fn finish(&self, test_id: &str, station: &mut Station, snapshot: &Snapshot, queues: &Queues) {
        let Some(row) = snapshot.row(test_id) else {
            let end = station.channel.end(test_id, "deleted");
            return station.push(&[end], queues);
        };
        if !station.may_ask_store() {
            return;
        }
        let from = station.channel.watched_from();
        let stored = self.stored(test_id, from);
        // What cannot be read now may be so later.
        let Some((detail, result, rows)) = stored else {
            return station.ask_store_later();
        };
        let row = row.as_ref().clone();
        let look = Look {
            test_id: test_id.to_owned(),
            phase: row.state,
            detail: to_json(&TestDetail { row, ..detail }),
            result,
            rows,
            settled: u64::MAX,
        };
        station.tell(&look, queues);
    }

    fn stored(&self, test_id: &str, from: u64) -> Option<Ended> {
        let mut store = locked(&self.store);
        if store.is_none() {
            *store = Reader::open(&self.store_path).ok();
        }
        let reader = store.as_ref()?;
        let detail = reader.detail(test_id).ok().flatten()?;
        let (result, series) = reader.result_texts(test_id).ok().flatten()?;
        let mut rows: Vec<SeriesRow> = serde_json::from_str(&series).ok()?;
        rows.retain(|row| row.counts.second >= from);
        Some((detail, fields(&result), rows))
    }
}

/// What the store has of a test that has ended.
type Ended = (TestDetail, Map<String, Value>, Vec<SeriesRow>);

/// The whole stream of a test that has ended and is not in memory.
#[must_use]
pub fn of_ended(detail: &TestDetail, result: &str, rows: Vec<SeriesRow>, since: Since) -> Vec<u8> {
    // A life that no station has: of what has ended nothing is corrected any more.
    let mut channel = Channel::new(0);
    let look = Look {
        test_id: detail.row.test_id.clone(),
        phase: detail.row.state,
        detail: to_json(detail),
        result: fields(result),
        settled: u64::MAX,
        rows,
    };
    channel.advance(&look, Instant::now());
    let events: Vec<Event> = channel.catch_up(&look.rows, since.from, since.had);
    events.concat()
}

fn is_used(station: &Station) -> bool {
    !station.listeners.is_empty() || station.used.elapsed() < KEPT_FOR
}

/// A result's fields, but the series, which is told for itself.
fn fields(result: &str) -> Map<String, Value> {
    let mut fields: Map<String, Value> = serde_json::from_str(result).unwrap_or_default();
    fields.remove("series");
    fields
}

#[cfg(test)]
mod tests;
