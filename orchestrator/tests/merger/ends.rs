//! However mergers come and go, what they write and the partitions themselves say is the same: that
//! of one histogram.

use std::time::{Duration, Instant};

use proto::bus::EmbeddedBroker;
use rustix::process::Signal;

use crate::process::{Merger, SOON};
use crate::reader::Reader;
use crate::reports::Drivers;

const PARTITIONS: u16 = 3;
/// Between reports of all drivers: seconds of a run that goes by faster.
const REPORT_EVERY: Duration = Duration::from_millis(100);

struct Scene {
    broker: EmbeddedBroker,
    drivers: Drivers,
    reader: Reader,
}

impl Scene {
    fn new(seed: u64) -> Self {
        let broker = EmbeddedBroker::with_metrics_partitions(PARTITIONS).unwrap();
        Self {
            drivers: Drivers::of(&broker, seed),
            reader: Reader::of(&broker, PARTITIONS.into()),
            broker,
        }
    }

    fn merger(&self, id: &str) -> Merger {
        Merger::start(self.broker.address(), id)
    }

    /// Drivers report several times a second until it is so.
    fn until(&mut self, what: &str, is_it: impl Fn(&Reader) -> bool) {
        let deadline = Instant::now() + SOON;
        let mut next_report = Instant::now();
        while !is_it(&self.reader) {
            assert!(Instant::now() < deadline, "{what}");
            if Instant::now() >= next_report {
                next_report = Instant::now() + REPORT_EVERY;
                self.drivers.report();
            }
            self.reader.poll();
        }
    }

    /// The same until so many more ranges of a merger fitted.
    fn until_fitted(&mut self, id: &str, more: u64) {
        let fitted = |reader: &Reader| reader.fitted.get(id).copied().unwrap_or_default();
        let wanted = fitted(&self.reader) + more;
        self.until(&format!("{id} merges"), |reader| fitted(reader) >= wanted);
    }

    fn assert_whole(mut self) -> Reader {
        self.reader.assert_whole(&mut self.drivers);
        self.reader
    }
}

#[test]
fn one_merger_says_all_that_the_drivers_say() {
    let mut scene = Scene::new(1);
    let merger = scene.merger("one");
    merger.event("partitions");
    scene.until_fitted("one", 20);
    let reader = scene.assert_whole();
    assert_eq!(reader.late, [].into(), "nothing twice");
    // What was there before a merger was in its place is read from the partitions.
    assert!(reader.unfit <= u64::from(PARTITIONS), "{}", reader.unfit);
}

#[test]
fn one_that_is_told_to_end_has_published_what_it_read() {
    let mut scene = Scene::new(2);
    let first = scene.merger("first");
    first.event("partitions");
    scene.until_fitted("first", 6);
    scene.drivers.report();
    assert!(first.end(Signal::TERM).success());
    let second = scene.merger("second");
    scene.until_fitted("second", 6);
    let reader = scene.assert_whole();
    assert_eq!(reader.late, [].into(), "it had committed what it published");
    assert!(reader.unfit <= u64::from(PARTITIONS), "{}", reader.unfit);
    assert!(second.end(Signal::INT).success());
}

#[test]
fn one_that_is_killed_is_replaced_by_another_from_where_it_was() {
    let mut scene = Scene::new(3);
    let first = scene.merger("first");
    first.event("partitions");
    let second = scene.merger("second");
    scene.until_fitted("first", 6);
    scene.until_fitted("second", 3);
    drop(first);
    // The partitions of the one that is gone are the other's after its silence.
    let all = |event: &serde_json::Value| {
        let partitions = event["partitions"].as_array().map_or(0, Vec::len);
        partitions == usize::from(PARTITIONS)
    };
    scene.until_fitted("second", 3);
    while !all(&second.event("partitions")) {}
    scene.until_fitted("second", 9);
    scene.assert_whole();
}

#[test]
fn one_that_sleeps_through_its_replacement_and_wakes_up_changes_nothing() {
    let mut scene = Scene::new(4);
    let sleeper = scene.merger("sleeper");
    sleeper.event("partitions");
    scene.until_fitted("sleeper", 6);
    sleeper.signal(Signal::STOP);
    // It may have been in the midst of anything: reports come while it sleeps.
    scene.drivers.report();
    let other = scene.merger("other");
    scene.until_fitted("other", 9);
    sleeper.signal(Signal::CONT);
    // It learns that it has nothing any more, and gets a part again.
    scene.until_fitted("sleeper", 3);
    scene.until_fitted("other", 3);
    scene.assert_whole();
    drop(other);
}

#[test]
fn whoever_joins_and_ends_at_any_time_the_sum_is_the_same() {
    let mut scene = Scene::new(5);
    let mut rng = fastrand::Rng::with_seed(5);
    let mut mergers: Vec<Merger> = ["a", "b"].map(|id| scene.merger(id)).into();
    scene.until("somebody merges", |reader| !reader.fitted.is_empty());
    for round in 0..4 {
        let wanted = scene.reader.polled() + rng.u64(5..60);
        scene.until("time goes by", |reader| reader.polled() >= wanted);
        let killed = mergers.swap_remove(rng.usize(..mergers.len()));
        drop(killed);
        mergers.push(scene.merger(&format!("c{round}")));
    }
    let fitted = |reader: &Reader| reader.fitted.values().sum::<u64>();
    let wanted = fitted(&scene.reader) + 9;
    scene.until("they go on", |reader| fitted(reader) >= wanted);
    scene.assert_whole();
}
