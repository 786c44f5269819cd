//! What is written is there again, whatever happened in between.

mod merged;
mod upgrades;

use std::collections::BTreeMap;

use proto::histogram::SparseLatencies;
use proto::measure::ErrorCounters;
use proto::message::TestConfig;
use proto::summary::{
    CapacityStep, HeatGrid, HeatOf, Judged, NodeCourses, Statistics, Verdict, Wanted,
};
use proto::topic::Topic;
use rusqlite::Connection;
use tempfile::TempDir;

use super::*;
use crate::control::registry::{Identity, Liveness, NodeRecord};
use crate::control::run::{Run, Step};
use crate::control::{
    Campaign, CampaignRun, CampaignState, CapacityGoal, Change, Goal, Labels, Offsets, Outgoing,
    RunPlan, StoredReport, StoredResult, TestRow,
};

fn file(folder: &TempDir) -> PathBuf {
    folder.path().join("data/o.sqlite")
}

fn run(test_id: &str, number: u64) -> Run {
    let json =
        format!(r#"{{"test_id":"{test_id}","test_type":"TSUNAMI","test_message_delay":0.5}}"#);
    let config: TestConfig = serde_json::from_str(&json).unwrap();
    Run::new(config, number, 1000 + number)
}

fn row(run: &Run) -> TestRow {
    TestRow {
        number: run.number,
        test_id: run.test_id.clone(),
        test_type: "TSUNAMI".into(),
        state: run.phase,
        created_unix_ms: run.created_ms(),
        started_unix_ms: None,
        ended_unix_ms: run.ended_ms(),
        planned: Some(7),
        nodes: 0,
        target: "http://127.0.0.1:8000/".into(),
        reason: None,
        queued: false,
        queue_position: None,
        queue_reason: None,
        labels: Labels::default(),
        files: Vec::new(),
        outcome: None,
        is_complete: run.phase.has_ended(),
        is_compact: false,
    }
}

fn change(run: &Run) -> Change {
    Change::Run(Box::new(run.clone()), Box::new(row(run)))
}

fn campaign(test_id: &str) -> Campaign {
    Campaign {
        test_id: test_id.into(),
        number: 3,
        labels: Labels::default(),
        target: "http://127.0.0.1:8000/".into(),
        goal: Goal::Capacity(CapacityGoal {
            thresholds: vec!["p99 < 50ms".into()],
            unit: "requests".into(),
            bounds: proto::summary::CapacityBounds::default(),
            length_ns: 6_000_000_000,
            runs: Vec::new(),
        }),
        state: CampaignState::Running,
        reason: None,
        created_unix_ms: 5,
        ended_unix_ms: None,
        participants: vec!["a".into()],
        stop_requested: false,
        document: Some("{}".into()),
        run: None,
        next_run: 1,
        failures: 0,
    }
}

fn node(node_id: &str) -> NodeRecord {
    NodeRecord {
        node_id: node_id.into(),
        identity: Identity {
            node_ip: "10.0.0.1:1".into(),
            cores: Some(4),
            ..Identity::default()
        },
        liveness: Liveness::Suspect,
        last_heartbeat_ms: 5,
        incarnation: Some(7),
    }
}

fn outgoing(token: u64) -> Outgoing {
    Outgoing {
        token,
        topic: Topic::TestConfig,
        key: "t".into(),
        payload: vec![1, 2, 3],
    }
}

fn forget(test_id: &str) -> Change {
    Change::ForgetTest {
        test_id: test_id.into(),
        until_unix_ms: 9,
    }
}

fn count(store: &Store, table: &str) -> u64 {
    let sql = format!("SELECT count(*) FROM {table}");
    let row = |row: &rusqlite::Row<'_>| row.get(0);
    store.connection.query_row(&sql, [], row).unwrap()
}

fn write(store: &mut Store, changes: Vec<Change>, next: i64) -> Result<(), StoreError> {
    let mut backlog = Backlog::default();
    changes.into_iter().for_each(|change| backlog.push(change));
    backlog.offsets.insert((Topic::Metrics, 0), next);
    backlog.offsets.insert((Topic::Metrics, 12), next + 1);
    store.write(&backlog)
}

fn report(sequence: i64, payload: &[u8]) -> Change {
    Change::Report(StoredReport {
        test_id: "t".into(),
        node_id: "a".into(),
        sequence,
        payload: payload.to_vec(),
    })
}

#[test]
fn everything_that_was_written_is_loaded_again() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = Store::open(&file(&folder)).unwrap();
    let (open, mut over) = (run("open", 1), run("over", 2));
    over.step(Step::Abort, 3000).unwrap();
    let changes = vec![
        change(&open),
        change(&over),
        Change::Node(node("a")),
        Change::Node(node("b")),
        Change::ForgetNode("b".into()),
        Change::Outbox(outgoing(3)),
        Change::Outbox(outgoing(4)),
        Change::OutboxDone(3),
        Change::Campaign(Box::new(campaign("gone"))),
        Change::Campaign(Box::new(campaign("kept"))),
        Change::ForgetCampaign("gone".into()),
        Change::Cluster("one".into()),
        Change::Clock(1_700_000_000_000),
    ];
    write(&mut store, changes, 42).unwrap();
    store.set_meta("node_id", "orchestrator-x").unwrap();
    drop(store);
    let loaded = Store::open(&file(&folder)).unwrap().load().unwrap();
    assert_eq!(loaded.node_id.as_deref(), Some("orchestrator-x"));
    let offsets = [((Topic::Metrics, 0), 42), ((Topic::Metrics, 12), 43)];
    assert_eq!(loaded.offsets, Offsets::from(offsets));
    let restored = loaded.restored;
    assert_eq!(restored.rows, [row(&open), row(&over)]);
    let runs: Vec<&Run> = restored.open.iter().map(|(run, _)| run).collect();
    assert_eq!(runs, [&open]);
    assert_eq!(restored.clock_ms, Some(1_700_000_000_000));
    assert_eq!(restored.nodes, [node("a")]);
    assert_eq!(restored.outbox, [outgoing(4)]);
    assert_eq!(restored.campaigns, [campaign("kept")]);
    assert_eq!(restored.cluster_id.as_deref(), Some("one"));
}

#[test]
fn a_test_is_deleted_with_all_that_belongs_to_it() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = Store::open(&file(&folder)).unwrap();
    let result = StoredResult {
        test_id: "t".into(),
        result: "{}".into(),
        series: "[]".into(),
        latencies: proto::histogram::LatenciesWire::default(),
    };
    let changes = vec![
        change(&run("t", 1)),
        report(0, b"{}"),
        Change::Result(Box::new(result)),
    ];
    write(&mut store, changes, 1).unwrap();
    let reader = store.reader().unwrap();
    assert_eq!(
        reader.result_texts("t").unwrap(),
        Some(("{}".into(), "[]".into()))
    );
    assert!(reader.detail("t").unwrap().is_some());
    write(&mut store, vec![forget("t")], 2).unwrap();
    assert_eq!(reader.result_texts("t").unwrap(), None);
    assert!(reader.detail("t").unwrap().is_none());
    assert!(store.run_and_reports("t").unwrap().is_none());
    assert_eq!(store.load().unwrap().restored.tombstones, [("t".into(), 9)]);
    let mut keeper = store.keeper().unwrap();
    while keeper.tidy().unwrap() {}
    assert_eq!((count(&store, "reports"), count(&store, "doomed")), (0, 0));
}

#[test]
fn a_full_disk_writes_nothing_and_is_got_over() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = Store::open(&file(&folder)).unwrap();
    let pages: u32 = store
        .connection
        .pragma_query_value(None, "page_count", |r| r.get(0))
        .unwrap();
    store
        .connection
        .pragma_update(None, "max_page_count", pages + 2)
        .unwrap();
    let changes = || vec![change(&run("t", 1)), report(0, &[7; 100_000])];
    let error = write(&mut store, changes(), 9).unwrap_err();
    assert!(error.to_string().contains("full"), "{error}");
    let loaded = store.load().unwrap();
    assert!(
        loaded.restored.rows.is_empty() && loaded.offsets.is_empty(),
        "all or nothing"
    );
    store
        .connection
        .pragma_update(None, "max_page_count", 1 << 20)
        .unwrap();
    write(&mut store, changes(), 9).unwrap();
    assert_eq!(store.load().unwrap().restored.rows.len(), 1);
}

#[test]
fn a_store_in_use_and_one_of_a_later_version_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(&file(&folder)).unwrap();
    assert!(matches!(
        Store::open(&file(&folder)),
        Err(StoreError::InUse(_))
    ));
    store
        .connection
        .pragma_update(None, "user_version", VERSION + 1)
        .unwrap();
    drop(store);
    let error = Store::open(&file(&folder)).unwrap_err();
    assert!(error.to_string().contains("use the newer one"), "{error}");
}

#[test]
fn a_backlog_keeps_the_newest_and_bounds_its_reports() {
    let mut backlog = Backlog::default();
    for at in 0..1000 {
        let mut run = run("t", 1);
        run.queued = Some(at);
        backlog.push(change(&run));
    }
    assert!(backlog.len() <= 66, "{}", backlog.len());
    let newest = backlog.changes().last();
    assert!(matches!(newest, Some(Change::Run(run, _)) if run.queued == Some(999)));
    for at in 0..300 {
        backlog.push(report(at, &vec![0; 1 << 20]));
    }
    assert_eq!(backlog.dropped(), 44, "300 MiB came, 256 MiB are kept");
}

#[test]
fn a_reader_sees_what_was_committed_while_the_writer_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = Store::open(&file(&folder)).unwrap();
    write(&mut store, vec![change(&run("t", 1))], 1).unwrap();
    let reader = store.reader().unwrap();
    let transaction = store.connection.transaction().unwrap();
    transaction.execute("DELETE FROM tests", []).unwrap();
    assert!(reader.detail("t").unwrap().is_some(), "not committed yet");
    transaction.commit().unwrap();
    assert!(reader.detail("t").unwrap().is_none());
}

/// A store of the schema of 567036d: one test finished, one running, one queued, one created.
fn old_store(folder: &TempDir) -> PathBuf {
    let path = file(folder);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    let connection = Connection::open(&path).unwrap();
    let sql = include_str!("fixtures/567036d.sql");
    connection.execute_batch(sql).unwrap();
    connection
        .pragma_update(None, "journal_mode", "WAL")
        .unwrap();
    path
}

fn interval_log(reader: &Reader, test_id: &str) -> Vec<(u64, SparseLatencies)> {
    let mut seconds: BTreeMap<u64, SparseLatencies> = BTreeMap::new();
    let add = |second, samples: &SparseLatencies| seconds.entry(second).or_default().add(samples);
    reader.each_second(test_id, add).unwrap();
    seconds.into_iter().collect()
}

/// What the heat map of a run in the store is made of.
fn heat(reader: &Reader, test_id: &str) -> HeatGrid {
    let mut grid = HeatGrid::default();
    let add = |second, samples: &SparseLatencies| {
        grid.add(second, &samples.response, &samples.service);
    };
    reader.each_second(test_id, add).unwrap();
    grid
}

fn node_seconds(reader: &Reader, test_id: &str) -> Vec<(String, NodeSecond)> {
    let mut rows = Vec::new();
    let add = |node_id: &str, row| rows.push((node_id.to_owned(), row));
    reader.each_node_second(test_id, add).unwrap();
    rows
}

const FINISHED: &str = "zGRqCWAmXGoGVnYmvTQK";

#[test]
fn a_compact_run_is_exported_as_it_was_and_takes_less_room() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(&old_store(&folder)).unwrap();
    let reader = store.reader().unwrap();
    let seen = |reader: &Reader| {
        let log = interval_log(reader, FINISHED);
        let texts = reader.result_texts(FINISHED).unwrap();
        (
            log,
            heat(reader, FINISHED),
            node_seconds(reader, FINISHED),
            texts,
        )
    };
    let before = seen(&reader);
    let (_, summary) = store.run_and_reports(FINISHED).unwrap().unwrap();
    assert_eq!(
        summary.heat(u64::MAX),
        before.1,
        "in memory and in the store"
    );
    assert!(before.1.map(HeatOf::Service, 300).samples > 0);
    let mut courses = NodeCourses::default();
    for (node_id, row) in &before.2 {
        courses.add(node_id, &row.counts);
    }
    assert_eq!(summary.courses(), courses, "in memory and in the store");
    let bytes_before = store.used_bytes().unwrap();
    let mut keeper = store.keeper().unwrap();
    assert!(keeper.compact(FINISHED, || true).unwrap());
    assert_eq!(seen(&reader), before, "before the old rows are deleted");
    while keeper.tidy().unwrap() {}
    assert_eq!(seen(&reader), before);
    let bytes = store.used_bytes().unwrap();
    assert!(bytes < bytes_before, "{bytes} of {bytes_before} bytes");
    let sql = "SELECT count(*) FROM reports WHERE test_id = ?1";
    let left: u64 = store
        .connection
        .query_row(sql, [FINISHED], |row| row.get(0))
        .unwrap();
    assert_eq!((left, count(&store, "last_reports")), (0, 2));
}

#[test]
fn a_compaction_that_was_cut_off_is_done_again() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(&old_store(&folder)).unwrap();
    let reader = store.reader().unwrap();
    let before = interval_log(&reader, FINISHED);
    let mut keeper = store.keeper().unwrap();
    let slice = "INSERT INTO merged_seconds VALUES (?1, 0, x'00')";
    store.connection.execute(slice, [FINISHED]).unwrap();
    assert!(!keeper.compact(FINISHED, || false).unwrap());
    assert_eq!(interval_log(&reader, FINISHED), before);
    assert!(keeper.compact(FINISHED, || true).unwrap());
    assert_eq!(interval_log(&reader, FINISHED), before);
}

#[test]
fn many_reports_are_deleted_in_slices_and_the_file_shrinks() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = Store::open(&file(&folder)).unwrap();
    let reports = |from: i64| {
        (from..from + 500)
            .map(|at| report(at, &[7; 9000]))
            .collect()
    };
    for from in [0, 500, 1000, 1500] {
        write(&mut store, reports(from), 1).unwrap();
    }
    write(&mut store, vec![change(&run("t", 1)), forget("t")], 2).unwrap();
    let mut keeper = store.keeper().unwrap();
    let mut slices = 0;
    while keeper.tidy().unwrap() {
        slices += 1;
        // The writer is never kept from writing.
        write(&mut store, vec![Change::Cluster("c".into())], 3).unwrap();
    }
    assert!(slices > 8, "{slices} slices");
    store.close();
    let bytes = std::fs::metadata(file(&folder)).unwrap().len();
    assert!(
        bytes < 1 << 20,
        "18 MB were deleted, {bytes} bytes are left"
    );
}

#[test]
fn two_names_of_one_file_are_one_store_and_it_is_for_its_owner_alone() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(&file(&folder)).unwrap();
    let link = folder.path().join("link.sqlite");
    std::os::unix::fs::symlink(file(&folder), &link).unwrap();
    assert!(matches!(Store::open(&link), Err(StoreError::InUse(_))));
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&file(&folder)), 0o600);
    assert_eq!(mode(&folder.path().join("data/o.sqlite-wal")), 0o600);
    drop(store);
    assert!(Store::open(&link).is_ok());
}

#[test]
fn a_store_that_was_deleted_is_noticed() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(&file(&folder)).unwrap();
    assert!(store.check_place().is_ok());
    std::fs::remove_dir_all(folder.path().join("data")).unwrap();
    let error = store.check_place().unwrap_err();
    assert!(error.to_string().contains("not there any more"), "{error}");
}
