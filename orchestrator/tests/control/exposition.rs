//! What Prometheus reads of tests, while they run and after they ended, and the Grafana board that is
//! made of it.

use std::collections::BTreeSet;

use proto::bus::EmbeddedBroker;
use serde_json::Value;

use crate::player::Player;
use crate::process::{Orchestrator, wait_for};
use crate::runs::{NODES, await_state, report_all, run};

const BOARD: &str = include_str!("../../../.deploy/grafana/dlts.json");

/// The value of a sample with all of these labels.
fn sample(exposition: &str, name: &str, labels: &[&str]) -> Option<f64> {
    let is_it = |line: &&str| {
        line.starts_with(&format!("{name}{{")) && labels.iter().all(|label| line.contains(label))
    };
    let line = exposition.lines().find(is_it)?;
    line.rsplit(' ').next()?.parse().ok()
}

/// The names of our series in the queries of a board.
fn asked(board: &Value) -> BTreeSet<String> {
    let texts = match board {
        Value::Object(fields) => return fields.values().flat_map(asked).collect(),
        Value::Array(items) => return items.iter().flat_map(asked).collect(),
        Value::String(text) => text,
        _ => return BTreeSet::new(),
    };
    let is_of_a_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    texts
        .split(|c| !is_of_a_name(c))
        .filter(|word| word.starts_with("dlts_"))
        .map(str::to_owned)
        .collect()
}

#[test]
fn an_ended_test_is_scraped_whole_and_the_board_asks_for_what_there_is() {
    let folder = tempfile::tempdir().unwrap();
    let broker = EmbeddedBroker::start().unwrap();
    let orchestrator = Orchestrator::start(folder.path(), broker.address());
    orchestrator.await_broker();
    let player = Player::new(broker.address());
    let test_id = run(&orchestrator, &player, &NODES);
    let of_test = format!("test_id=\"{test_id}\"");
    let scrape = || orchestrator.get("/metrics").text;
    let is_shown = |exposition: &str| {
        sample(exposition, "dlts_test_info", &[&of_test, "name=\"\""]).map(|_| ())
    };
    wait_for("the test to be shown", || is_shown(&scrape()));
    report_all(&player, &test_id, &NODES);
    let result = await_state(&orchestrator, &test_id, "done");
    let exposition = scrape();
    let of = |name: &str, labels: &[&str]| {
        let labels = [&[of_test.as_str()], labels].concat();
        sample(&exposition, name, &labels).unwrap_or_else(|| panic!("{name}: {exposition}"))
    };
    let ok = result["ok"].as_f64().unwrap();
    assert!(ok > 0.0);
    let equal = |one: f64, other: f64| assert!((one - other).abs() < 1e-9, "{one} {other}");
    equal(of("dlts_test_ok_total", &[]), ok);
    let labels = ["state=\"done\"", "verdict="];
    equal(of("dlts_test_info", &labels), 1.0);
    let counted = "dlts_test_response_time_seconds";
    equal(of(&format!("{counted}_count"), &[]), ok);
    equal(of(&format!("{counted}_bucket"), &["le=\"+Inf\""]), ok);
    assert!(of(&format!("{counted}_sum"), &[]) > 0.0);
    let nodes = NODES.map(|node| of("dlts_test_node_ok_total", &[&format!("node=\"{node}\"")]));
    equal(nodes.iter().sum(), ok);
    let board: Value = serde_json::from_str(BOARD).unwrap();
    let asked = asked(&board);
    assert!(asked.len() > 10, "{asked:?}");
    for name in asked {
        let ends = ["_bucket", "_sum", "_count"];
        let family = ends.iter().find_map(|end| name.strip_suffix(end));
        let family = format!("# TYPE {} ", family.unwrap_or(&name));
        assert!(exposition.contains(&family), "{name} is in no exposition");
    }
}
