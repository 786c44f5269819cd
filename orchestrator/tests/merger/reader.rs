//! Who reads `merged` as it is to be read: each partition of `metrics` as one gapless chain of ranges,
//! and from the partition itself where no range follows on what was counted.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use proto::bus::{EmbeddedBroker, Event, Partition, Record, StartAt, Subscriber};
use proto::codec;
use proto::histogram::SparseLatencies;
use proto::message::{Merged, Metrics, WIRE_VERSION};
use proto::topic::Topic;

use crate::process::SOON;
use crate::reports::{Drivers, Seconds, settings};

const TICK: Duration = Duration::from_millis(20);

pub(crate) struct Reader {
    subscriber: Subscriber,
    /// Up to where each partition was counted.
    counted: BTreeMap<i32, i64>,
    /// All that was read of `metrics`.
    raw: BTreeMap<i32, Vec<Record>>,
    pub(crate) seconds: Seconds,
    /// Ranges that were counted, and had messages, by who merged them.
    pub(crate) fitted: BTreeMap<String, u64>,
    /// Ranges of which something was counted before.
    pub(crate) late: BTreeMap<String, u64>,
    /// Ranges that did not follow on what was counted.
    pub(crate) unfit: u64,
    polled: u64,
}

impl Reader {
    pub(crate) fn of(broker: &EmbeddedBroker, partitions: i32) -> Self {
        let subscriber = Subscriber::new(&settings(broker), &[]).unwrap();
        let metrics = (0..partitions).map(|number| (Topic::Metrics, number));
        let all = metrics.chain([(Topic::Merged, 0)]);
        let places: Vec<(Partition, StartAt)> = all.map(|it| (it, StartAt::Beginning)).collect();
        subscriber.assign_partitions(places).unwrap();
        Self {
            subscriber,
            counted: (0..partitions).map(|number| (number, 0)).collect(),
            raw: BTreeMap::new(),
            seconds: Seconds::new(),
            fitted: BTreeMap::new(),
            late: BTreeMap::new(),
            unfit: 0,
            polled: 0,
        }
    }

    /// How often it was polled: a measure of time without a clock.
    pub(crate) fn polled(&self) -> u64 {
        self.polled
    }

    pub(crate) fn poll(&mut self) {
        self.polled += 1;
        match self.subscriber.poll(TICK) {
            Some(Event::Record(record)) if record.topic == Topic::Metrics => {
                self.raw.entry(record.partition).or_default().push(record);
            }
            Some(Event::Record(mut record)) => {
                let merged: Merged = codec::decode(&mut record.payload).unwrap();
                self.take(&merged);
            }
            Some(Event::Trouble(_)) | None => {}
            Some(other) => panic!("{other:?}"),
        }
    }

    fn take(&mut self, merged: &Merged) {
        assert_eq!(merged.wire, WIRE_VERSION);
        assert!(
            merged.from <= merged.to && merged.to <= merged.end,
            "{merged:?}"
        );
        let counted = self.counted[&merged.partition];
        if merged.to <= counted {
            if merged.from < merged.to {
                *self.late.entry(merged.merger_id.clone()).or_default() += 1;
            }
            return;
        }
        if merged.from != counted {
            self.unfit += 1;
            return self.read_raw(merged.partition, merged.to);
        }
        *self.fitted.entry(merged.merger_id.clone()).or_default() += 1;
        for part in &merged.parts {
            let samples = SparseLatencies::try_from(&part.latencies).unwrap();
            self.seconds.entry(part.second).or_default().add(&samples);
        }
        self.counted.insert(merged.partition, merged.to);
    }

    /// Counts a partition itself up to an offset, which its messages may not have come to yet.
    fn read_raw(&mut self, number: i32, to: i64) {
        let deadline = Instant::now() + SOON;
        let has = |reader: &Self| {
            let last = reader.raw.get(&number).and_then(|records| records.last());
            last.is_some_and(|record| record.offset + 1 >= to)
        };
        while !has(self) {
            assert!(Instant::now() < deadline, "{number} does not come to {to}");
            if let Some(Event::Record(record)) = self.subscriber.poll(TICK)
                && record.topic == Topic::Metrics
            {
                self.raw.entry(record.partition).or_default().push(record);
            }
        }
        let from = self.counted[&number];
        for record in &self.raw[&number] {
            if !(from..to).contains(&record.offset) {
                continue;
            }
            let metrics: Metrics = codec::decode(&mut record.payload.clone()).unwrap();
            let report = metrics.report.unwrap();
            let second = self.seconds.entry(report.second()).or_default();
            second.add(&report.latencies);
        }
        self.counted.insert(number, to);
    }

    /// Polls until it is so.
    pub(crate) fn until(&mut self, what: &str, is_it: impl Fn(&Self) -> bool) {
        let deadline = Instant::now() + SOON;
        while !is_it(self) {
            assert!(Instant::now() < deadline, "{what}: {:?}", self.counted);
            self.poll();
        }
    }

    /// Whether all of every partition was counted.
    pub(crate) fn is_through(&self, ends: &BTreeMap<i32, i64>) -> bool {
        self.counted == *ends
    }

    /// Where the partitions end.
    pub(crate) fn ends(&self) -> BTreeMap<i32, i64> {
        let end = |number: &i32| {
            let place = (Topic::Metrics, *number);
            (*number, self.subscriber.bounds_of(place, SOON).unwrap().1)
        };
        self.counted.keys().map(end).collect()
    }

    /// Waits until all that was reported is counted, and holds it against one histogram a second.
    pub(crate) fn assert_whole(&mut self, drivers: &mut Drivers) {
        drivers.flush();
        let ends = self.ends();
        self.until("all that was reported is counted", |reader| {
            reader.is_through(&ends)
        });
        assert_eq!(self.seconds, drivers.expected);
    }
}
