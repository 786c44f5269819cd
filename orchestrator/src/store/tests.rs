//! What is written is there again, whatever happened in between.

use proto::message::TestConfig;
use proto::topic::Topic;
use tempfile::TempDir;

use super::*;
use crate::control::registry::{Identity, Liveness, NodeRecord};
use crate::control::run::{Run, Step};
use crate::control::{Change, Offsets, Outgoing, StoredReport, StoredResult, TestRow};

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
        is_complete: run.phase.has_ended(),
    }
}

fn change(run: &Run) -> Change {
    Change::Run(Box::new(run.clone()), row(run))
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

fn write(store: &mut Store, changes: Vec<Change>, next: i64) -> Result<(), StoreError> {
    let mut backlog = Backlog::default();
    changes.into_iter().for_each(|change| backlog.push(change));
    backlog.offsets.insert(Topic::Metrics, next);
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
        Change::Cluster("one".into()),
        Change::Clock(1_700_000_000_000),
    ];
    write(&mut store, changes, 42).unwrap();
    store.set_meta("node_id", "orchestrator-x").unwrap();
    drop(store);
    let loaded = Store::open(&file(&folder)).unwrap().load().unwrap();
    assert_eq!(loaded.node_id.as_deref(), Some("orchestrator-x"));
    assert_eq!(loaded.offsets, Offsets::from([(Topic::Metrics, 42)]));
    let restored = loaded.restored;
    assert_eq!(restored.rows, [row(&open), row(&over)]);
    let runs: Vec<&Run> = restored.open.iter().map(|(run, _)| run).collect();
    assert_eq!(runs, [&open]);
    assert_eq!(restored.clock_ms, Some(1_700_000_000_000));
    assert_eq!(restored.nodes, [node("a")]);
    assert_eq!(restored.outbox, [outgoing(4)]);
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
    write(&mut store, vec![Change::ForgetTest("t".into())], 2).unwrap();
    assert_eq!(reader.result_texts("t").unwrap(), None);
    assert!(reader.detail("t").unwrap().is_none());
    assert!(store.run_and_reports("t").unwrap().is_none());
    let count: u64 = store
        .connection
        .query_row("SELECT count(*) FROM reports", [], |row| row.get(0))
        .unwrap();
    assert_eq!(count, 0);
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
