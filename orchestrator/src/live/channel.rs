//! The stream of one test: what is told to all who listen, and what who comes later has missed.
//!
//! A second is told once, when all who go on have reported it; what late reports change of it is told
//! again. The result is told about once a second, and of it only the fields that changed, also
//! of each node. Large ones come less often. Time is an argument.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use proto::summary::SeriesRow;
use serde_json::{Map, Value, json};

use super::event::{Event, Place, event};
use super::text::to_json;
use crate::control::run::Phase;

/// Between two results, unless the state changed: drivers report once a second, give or take some.
const RESULT_EVERY: Duration = Duration::from_millis(800);
/// The curve of percentiles is as large as all else of a result of a few drivers.
const CURVE_EVERY: Duration = Duration::from_secs(10);
/// The drivers' own figures come once a second for so many drivers, and less often for more.
const NODES_A_SECOND: u32 = 50;
/// Seconds, counted back from the newest, that are looked at again for what late reports changed.
const WATCHED: u64 = 60;
/// Seconds that who comes gets at once; `GET /metrics/{id}?points=…` has the shape of longer runs.
pub(super) const CATCH_UP_MAX: usize = 3600;

/// A test as it stands.
pub(super) struct Look {
    /// Its id.
    pub(super) test_id: String,
    /// Its phase.
    pub(super) phase: Phase,
    /// What `GET /tests/{id}` says.
    pub(super) detail: String,
    /// What `GET /metrics/{id}` says, without its series.
    pub(super) result: Map<String, Value>,
    /// The seconds from [`Channel::watched_from`] on.
    pub(super) rows: Vec<SeriesRow>,
    /// The first second of which more is to come.
    pub(super) settled: u64,
}

/// The stream of one test.
#[derive(Debug)]
pub(super) struct Channel {
    place: Place,
    /// What was told of the seconds that are watched.
    told: BTreeMap<u64, SeriesRow>,
    /// The seconds that were told anew, and as which correction last.
    corrected: BTreeMap<u64, u64>,
    detail: String,
    result: Map<String, Value>,
    phase: Option<Phase>,
    result_at: Option<Instant>,
    curve_at: Option<Instant>,
    nodes_at: Option<Instant>,
    end: Option<Event>,
}

impl Channel {
    /// A stream that nobody listens to yet; `life` tells it from others of the same test.
    pub(super) fn new(life: u64) -> Self {
        Self {
            place: Place {
                next: 0,
                corrections: 0,
                life,
            },
            told: BTreeMap::new(),
            corrected: BTreeMap::new(),
            detail: String::new(),
            result: Map::new(),
            phase: None,
            result_at: None,
            curve_at: None,
            nodes_at: None,
            end: None,
        }
    }

    /// The first second that a look must have.
    pub(super) fn watched_from(&self) -> u64 {
        self.place.next.saturating_sub(WATCHED)
    }

    /// Whether the test has ended and that was told.
    pub(super) fn is_over(&self) -> bool {
        self.end.is_some()
    }

    /// What is new for all who listen.
    pub(super) fn advance(&mut self, look: &Look, now: Instant) -> Vec<Event> {
        if self.is_over() {
            return Vec::new();
        }
        let mut events = Vec::new();
        let rows = self.new_rows(look);
        if !rows.is_empty() {
            events.push(event("series", self.place, &to_json(&rows)));
        }
        if self.detail != look.detail {
            self.detail.clone_from(&look.detail);
            events.push(event("detail", self.place, &self.detail));
        }
        let changed = self.new_fields(look, now);
        if !changed.is_empty() {
            events.push(event("result", self.place, &to_json(&changed)));
        }
        if look.phase.has_ended() {
            events.push(self.end(&look.test_id, look.phase.name()));
        }
        events
    }

    /// The test is not there any more, or has ended: nothing comes after this.
    pub(super) fn end(&mut self, test_id: &str, state: &str) -> Event {
        let data = json!({"test_id": test_id, "state": state});
        let end = event("end", self.place, &data.to_string());
        self.end = Some(Event::clone(&end));
        end
    }

    /// All that who comes now needs to go on with the others, given the rows from
    /// [`Self::missed_from`] on.
    pub(super) fn catch_up(&self, rows: &[SeriesRow], from: u64, had: Option<Place>) -> Vec<Event> {
        let from = self.wanted_from(from, had);
        let is_missed = |row: &&SeriesRow| {
            let second = row.counts.second;
            second < self.place.next && (second >= from || self.is_corrected(second, had))
        };
        let missed: Vec<&SeriesRow> = rows.iter().filter(is_missed).collect();
        let surplus = missed.len().saturating_sub(CATCH_UP_MAX);
        let mut events = Vec::new();
        if !missed.is_empty() {
            events.push(event("series", self.place, &to_json(&missed[surplus..])));
        }
        events.push(event("detail", self.place, &self.detail));
        events.push(event("result", self.place, &to_json(&self.result)));
        events.extend(self.end.clone());
        events
    }

    /// The first second that [`Self::catch_up`] looks at.
    pub(super) fn missed_from(&self, from: u64, had: Option<Place>) -> u64 {
        let from = self.wanted_from(from, had);
        let mut corrected = self.corrected.keys().copied();
        let first = corrected.find(|second| self.is_corrected(*second, had));
        first.map_or(from, |first| first.min(from))
    }

    /// What another life of the stream corrected, or nobody while there was none, is not known here:
    /// who had that one gets anew all that could have been. A second replaces itself.
    fn wanted_from(&self, from: u64, had: Option<Place>) -> u64 {
        match had {
            Some(had) if had.life != self.place.life => from.saturating_sub(WATCHED),
            _ => from,
        }
    }

    fn is_corrected(&self, second: u64, had: Option<Place>) -> bool {
        let number = self.corrected.get(&second);
        let is_new = |had: Place| number.is_some_and(|number| *number > had.corrections);
        had.filter(|had| had.life == self.place.life)
            .is_some_and(is_new)
    }

    /// The seconds that are told now for the first time, or anew.
    fn new_rows(&mut self, look: &Look) -> Vec<SeriesRow> {
        let mut rows = Vec::new();
        let last = look.rows.last().map_or(0, |row| row.counts.second + 1);
        let next = look.settled.min(last).max(self.place.next);
        for row in look.rows.iter().filter(|row| row.counts.second < next) {
            let second = row.counts.second;
            let before = self.told.insert(second, *row);
            if second >= self.place.next {
                rows.push(*row);
            } else if before != Some(*row) {
                self.place.corrections += 1;
                self.corrected.insert(second, self.place.corrections);
                rows.push(*row);
            }
        }
        self.place.next = next;
        self.told = self.told.split_off(&self.watched_from());
        rows
    }

    /// The fields of the result that are told now.
    fn new_fields(&mut self, look: &Look, now: Instant) -> Map<String, Value> {
        let is_due = |at: Option<Instant>, every| at.is_none_or(|at| now - at >= every);
        let is_news = self.phase.replace(look.phase) != Some(look.phase);
        if !is_news && !is_due(self.result_at, RESULT_EVERY) {
            return Map::new();
        }
        let nodes = look.result.get("nodes").and_then(Value::as_array);
        let nodes = u32::try_from(nodes.map_or(0, Vec::len)).unwrap_or(u32::MAX);
        let nodes_every = RESULT_EVERY * nodes.div_ceil(NODES_A_SECOND).max(1);
        let mut changed = Map::new();
        for (name, value) in &look.result {
            let is_withheld = !is_news
                && match name.as_str() {
                    "curve" => !is_due(self.curve_at, CURVE_EVERY),
                    "nodes" => !is_due(self.nodes_at, nodes_every),
                    _ => false,
                };
            if is_withheld {
                continue;
            }
            let told = match (self.result.get_mut(name), value) {
                (Some(Value::Array(known)), Value::Array(now)) if name == "nodes" => {
                    let told = changed_nodes(known, now);
                    (!told.is_empty()).then(|| told.into())
                }
                (Some(known), value) if known == value => None,
                _ => {
                    self.result.insert(name.clone(), value.clone());
                    Some(value.clone())
                }
            };
            changed.extend(told.map(|told| (name.clone(), told)));
        }
        changed.extend(gone(&mut self.result, &look.result));
        if changed.is_empty() {
            return changed;
        }
        self.result_at = Some(now);
        for (name, at) in [("curve", &mut self.curve_at), ("nodes", &mut self.nodes_at)] {
            if changed.contains_key(name) {
                *at = Some(now);
            }
        }
        changed
    }
}

/// Brings the nodes that were told to what they are now: of each that changed its id and the fields
/// that did, since most figures do not each second. They are known by their ids.
fn changed_nodes(known: &mut Vec<Value>, now: &[Value]) -> Vec<Value> {
    let id_of = |node: &Value| node["node_id"].as_str().unwrap_or_default().to_owned();
    let places = known.iter().map(id_of).zip(0..);
    let places: BTreeMap<String, usize> = places.collect();
    let mut told = Vec::new();
    for node in now {
        let place = places.get(&id_of(node)).copied();
        let place = place.and_then(|at| known.get_mut(at));
        let (Some(Value::Object(before)), Value::Object(now)) = (place, node) else {
            known.push(node.clone());
            told.push(node.clone());
            continue;
        };
        let mut changed = gone(before, now);
        let is_new = |(name, value): &(&String, &Value)| before.get(*name) != Some(*value);
        let new: Vec<_> = now.iter().filter(is_new).collect();
        changed.extend(
            new.into_iter()
                .map(|(name, value)| (name.clone(), value.clone())),
        );
        if !changed.is_empty() {
            before.extend(changed.clone());
            changed.insert("node_id".to_owned(), node["node_id"].clone());
            told.push(Value::Object(changed));
        }
    }
    told
}

/// The fields that were told and are not there any more, as null. That stays known, for who was away
/// when it was told.
fn gone(known: &mut Map<String, Value>, now: &Map<String, Value>) -> Map<String, Value> {
    let mut gone = Map::new();
    for (name, value) in known {
        if !value.is_null() && !now.contains_key(name) {
            *value = Value::Null;
            gone.insert(name.clone(), Value::Null);
        }
    }
    gone
}

#[cfg(test)]
mod tests;
