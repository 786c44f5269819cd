//! Reports that came merged are those that they would have been on their own.

use proto::codec;
use proto::histogram::Latencies;
use proto::measure::{
    Counters, LatencyFigures, PartProgress, Progress, Report, SecondRow, SessionCounts, StepCounts,
};
use proto::merging::{LEN_MAX, Merger, Range, Read};
use proto::message::Metrics;
use proto::summary::{StepCourses, StepGrid, StepLinesOf};

use super::*;
use crate::control::{MergedRange, StoredPart};

/// What a driver reported of one second.
fn message(node_id: &str, second: u64) -> Metrics {
    let mut latencies = Latencies::new();
    let ok = 3 + second % 5;
    for at in 0..ok {
        let ns = 1_000_000 * (1 + second + 7 * at);
        latencies.response.saturating_record(ns);
        latencies.service.saturating_record(ns / 2);
    }
    Metrics {
        node_id: node_id.into(),
        test_id: "t".into(),
        report_id: None,
        metrics: LatencyFigures::default(),
        report: Some(Report {
            sequence_first: second,
            sequence: second,
            interval_start_ns: second * 1_000_000_000,
            interval_end_ns: (second + 1) * 1_000_000_000,
            counters: Counters {
                ok,
                ..Counters::default()
            },
            seconds: vec![SecondRow {
                second,
                ok,
                ..SecondRow::default()
            }],
            latencies: SparseLatencies::from(&latencies),
            progress: Some(Box::new(Progress {
                steps: vec![PartProgress {
                    part: 1,
                    counts: [sent(second), 0, 0, 0, 0, 0],
                }],
                flows: Vec::new(),
            })),
            ..Report::default()
        }),
    }
}

/// What a driver has sent of its second step at the end of a second.
fn sent(second: u64) -> u64 {
    (second + 1) * (second + 2)
}

fn last(node_id: &str, sequence: u64) -> Metrics {
    let mut message = message(node_id, sequence);
    let report = message.report.as_mut().unwrap();
    report.last = true;
    report.seconds.clear();
    report.progress = None;
    let step = |sent| StepCounts {
        sent,
        ..StepCounts::default()
    };
    report.sessions = Some(Box::new(SessionCounts {
        steps: vec![step(0), step(sent(sequence - 1))],
        ..SessionCounts::default()
    }));
    message
}

const SECONDS: u64 = 700;
const NODES: [&str; 3] = ["a", "b", "c"];

fn raw(message: &Metrics) -> Change {
    Change::Report(StoredReport {
        test_id: "t".into(),
        node_id: message.node_id.clone(),
        sequence: i64::try_from(message.report.as_ref().unwrap().sequence).unwrap(),
        payload: codec::encode(message),
    })
}

fn merged(messages: &[Metrics], from: i64) -> Vec<Change> {
    let merger = Merger {
        id: "m".into(),
        incarnation: 1,
    };
    let mut range = Range::starting_at(from);
    for (offset, message) in (from..).zip(messages) {
        range.add(Read::message(offset, codec::encode(message)));
    }
    let encoded = range.encoded(&merger, 5, range.to(), LEN_MAX);
    let ranges = encoded
        .into_iter()
        .map(|piece| MergedRange::decode(&piece.payload.unwrap()).unwrap());
    let part = |partition, from, part: crate::control::RangePart| {
        Change::Part(StoredPart {
            test_id: part.part.test_id.clone(),
            partition,
            from,
            second: part.part.second,
            reports: part.part.reports.len() as u64,
            payload: part.payload,
        })
    };
    let of_range = |range: MergedRange| {
        let (partition, from) = (range.partition, range.from);
        let parts = range.parts.into_iter();
        parts
            .map(move |one| part(partition, from, one))
            .collect::<Vec<_>>()
    };
    ranges.flat_map(of_range).collect()
}

/// A store in which seconds from `from` on came merged, but for the last reports.
fn store(folder: &TempDir, from: u64) -> Store {
    let mut store = Store::open(&file(folder)).unwrap();
    let mut run = run("t", 1);
    run.step(Step::Abort, 3000).unwrap();
    let mut changes = vec![change(&run)];
    for second in 0..SECONDS {
        let messages = NODES.map(|node| message(node, second));
        if second < from {
            changes.extend(messages.iter().map(raw));
        } else {
            changes.extend(merged(&messages, i64::try_from(second).unwrap() * 3));
        }
    }
    changes.extend(NODES.iter().map(|node| raw(&last(node, SECONDS))));
    write(&mut store, changes, 42).unwrap();
    store
}

fn rows(reader: &Reader) -> Vec<(String, NodeSecond)> {
    let mut rows = node_seconds(reader, "t");
    rows.sort_by(|(one, a), (other, b)| (one, a.counts.second).cmp(&(other, b.counts.second)));
    rows
}

#[test]
fn a_run_that_came_merged_reads_as_if_it_had_not_and_is_compacted_and_deleted() {
    let folders = [(); 2].map(|()| tempfile::tempdir().unwrap());
    let plain = store(&folders[0], SECONDS);
    let mut merged = store(&folders[1], 100);
    let summary = |store: &Store| store.run_and_reports("t").unwrap().unwrap().1;
    let (one, other) = (summary(&plain), summary(&merged));
    assert_eq!(one.merged(), other.merged());
    assert_eq!(one.series(0), other.series(0));
    assert_eq!(one.courses(), other.courses());
    assert_eq!(one.steps(), other.steps());
    let of_step = |grid: &StepGrid| {
        let courses = StepCourses {
            names: vec!["first".into(), "second".into()],
            grid: grid.clone(),
        };
        courses.lines(StepLinesOf::Sent, 300).lines[1].clone()
    };
    let line = of_step(one.steps());
    assert_eq!(line.total, 3 * sent(SECONDS - 1));
    assert_eq!(line.counts[33], 3 * (sent(135) - sent(131)));
    let counted = merged.load().unwrap().restored.counted;
    assert_eq!(counted, BTreeMap::from([(0, 42), (12, 43)]));
    let [of_plain, of_merged] = [&plain, &merged].map(|store| store.reader().unwrap());
    let read = |reader: &Reader| {
        let steps = reader.steps("t").unwrap();
        (interval_log(reader, "t"), rows(reader), steps)
    };
    let expected = read(&of_plain);
    assert_eq!(expected.1.len(), 3 * 700);
    assert_eq!(expected.2, *one.steps());
    assert_eq!(read(&of_merged), expected);
    let mut keeper = merged.keeper().unwrap();
    assert!(keeper.compact("t", || true).unwrap());
    assert_eq!(read(&of_merged), expected);
    assert_eq!(
        count(&merged, "merged_parts"),
        600,
        "until they are tidied away"
    );
    while keeper.tidy().unwrap() {}
    assert_eq!(read(&of_merged), expected);
    assert_eq!(
        (
            count(&merged, "merged_parts"),
            count(&merged, "last_reports")
        ),
        (0, 3)
    );
    write(&mut merged, vec![forget("t")], 2).unwrap();
    while keeper.tidy().unwrap() {}
    for table in [
        "merged_parts",
        "reports",
        "last_reports",
        "merged_seconds",
        "node_seconds",
        "step_seconds",
    ] {
        assert_eq!(count(&merged, table), 0, "{table}");
    }
}

#[test]
fn a_test_that_came_merged_is_deleted_in_slices() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = store(&folder, 0);
    write(&mut store, vec![forget("t")], 2).unwrap();
    let mut keeper = store.keeper().unwrap();
    let mut slices = 0;
    while keeper.tidy().unwrap() {
        slices += 1;
    }
    assert!(slices > 80, "{slices}");
    assert_eq!(count(&store, "merged_parts"), 0);
}

#[test]
fn parts_count_as_reports_where_the_store_takes_nothing() {
    let mut backlog = Backlog::default();
    for from in 0..300 {
        backlog.push(Change::Part(StoredPart {
            test_id: "t".into(),
            partition: 0,
            from,
            second: 0,
            reports: 100,
            payload: vec![0; 1 << 20],
        }));
    }
    assert_eq!(backlog.dropped(), 4400, "44 MiB of them");
}

#[test]
fn a_store_of_version_4_opens() {
    let folder = tempfile::tempdir().unwrap();
    drop(store(&folder, SECONDS));
    let old = Connection::open(file(&folder)).unwrap();
    let back = "DROP TABLE merged_parts; DROP TABLE step_seconds; PRAGMA user_version = 4;";
    old.execute_batch(back).unwrap();
    drop(old);
    let store = Store::open(&file(&folder)).unwrap();
    let (_, summary) = store.run_and_reports("t").unwrap().unwrap();
    assert_eq!(summary.nodes().size(), 3);
    assert_eq!(count(&store, "merged_parts"), 0);
}

#[test]
fn of_a_run_that_was_compacted_before_steps_were_kept_they_are_not_known() {
    let folder = tempfile::tempdir().unwrap();
    let old = store(&folder, SECONDS);
    assert!(old.keeper().unwrap().compact("t", || true).unwrap());
    assert!(!old.reader().unwrap().steps("t").unwrap().is_empty());
    let back = "DROP TABLE step_seconds; PRAGMA user_version = 5;";
    old.connection.execute_batch(back).unwrap();
    drop(old);
    let store = Store::open(&file(&folder)).unwrap();
    assert!(store.reader().unwrap().steps("t").unwrap().is_empty());
}
