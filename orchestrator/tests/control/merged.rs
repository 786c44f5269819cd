//! Ranges of a merger that the test plays, beside the messages that they are of.

use std::time::{Duration, Instant};

use proto::bus::{BusSettings, EmbeddedBroker, Event, StartAt, Subscriber, ensure_merged};
use proto::merging::{LEN_MAX, Merger, Range, Read};
use proto::message::NodeState;
use proto::topic::Topic;
use rustix::process::Signal;
use serde_json::Value;

use crate::player::{Player, interval, last};
use crate::process::{Orchestrator, SOON, wait_for};
use crate::runs::{NODES, await_state, run};

/// A merger that publishes what it is told to.
struct Played {
    subscriber: Subscriber,
    player: Player,
    /// What `metrics` has so far.
    log: Vec<Vec<u8>>,
}

impl Played {
    fn new(kafka: &str) -> Self {
        let settings = BusSettings::new(kafka, "merger", &[]).unwrap();
        ensure_merged(&settings, SOON).unwrap();
        let topics = [(Topic::Metrics, StartAt::Beginning)];
        Self {
            subscriber: Subscriber::new(&settings, &topics).unwrap(),
            player: Player::new(kafka),
            log: Vec::new(),
        }
    }

    /// Reads until the partition has so many messages.
    fn read(&mut self, count: usize) {
        let began = Instant::now();
        while self.log.len() < count {
            if let Some(Event::Record(record)) = self.subscriber.poll(Duration::from_millis(50)) {
                self.log.push(record.payload);
            }
            assert!(began.elapsed() < SOON, "{} messages", self.log.len());
        }
    }

    /// Publishes a range of it.
    fn publish(&mut self, from: usize, to: usize) {
        self.read(to);
        let offset = |at: usize| i64::try_from(at).unwrap();
        let mut range = Range::starting_at(offset(from));
        for at in from..to {
            range.add(Read::message(offset(at), self.log[at].clone()));
        }
        let merger = Merger {
            id: "played".into(),
            incarnation: 1,
        };
        let end = offset(self.log.len());
        for piece in range.encoded(&merger, 0, end, LEN_MAX) {
            self.player.publish(Topic::Merged, &piece.payload.unwrap());
        }
        self.player.flush();
    }
}

/// Waits until so many answers are counted, while the drivers live.
fn await_ok(orchestrator: &Orchestrator, player: &Player, test_id: &str, ok: u64) -> Value {
    let mut beaten = Instant::now();
    wait_for(&format!("{ok} answers"), || {
        if beaten.elapsed() > Duration::from_millis(500) {
            beaten = Instant::now();
            for node in NODES {
                player.beat(node, NodeState::Running, Some(test_id));
            }
        }
        let result = orchestrator.get(&format!("/metrics/{test_id}")).json();
        let counted = result["ok"].as_u64().unwrap();
        assert!(counted <= ok, "{counted} of {ok} answers");
        (counted == ok).then_some(result)
    })
}

/// Counters of the orchestrator: reports, those that came merged, and ranges that were read again.
fn counts(orchestrator: &Orchestrator) -> [u64; 3] {
    let text = orchestrator.get("/metrics").text;
    [
        "dlts_reports_total",
        "dlts_reports_merged_total",
        "dlts_merged_ranges_total{outcome=\"reread\"}",
    ]
    .map(|name| {
        let line = |line: &str| line.strip_prefix(name)?.trim().parse().ok();
        text.lines().find_map(line).unwrap_or(0)
    })
}

#[test]
fn ranges_count_where_they_fit_and_messages_where_they_do_not() {
    let broker = EmbeddedBroker::start().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let player = Player::new(broker.address());
    let orchestrator = Orchestrator::start(folder.path(), broker.address());
    orchestrator.await_broker();
    assert_eq!(
        orchestrator.get("/healthz").json()["mergers"]["state"],
        "none"
    );
    let test_id = run(&orchestrator, &player, &NODES);
    let say = |node: &str, second: u64| {
        player.say(node, &interval(node, &test_id, second, 300));
        player.flush();
    };
    // Offsets 0 and 1, read before there was a merger, which says them again.
    NODES.iter().for_each(|node| say(node, 0));
    await_ok(&orchestrator, &player, &test_id, 200);
    let mut merger = Played::new(broker.address());
    wait_for("the merger to be seen", || {
        merger.publish(0, 2);
        for node in NODES {
            player.beat(node, NodeState::Running, Some(&test_id));
        }
        (orchestrator.get("/healthz").json()["mergers"]["state"] == "ok").then_some(())
    });
    assert_eq!(counts(&orchestrator), [2, 0, 0]);
    // Offsets 2 to 4: the first is read where it is, since its range holds one that was counted.
    say("a", 1);
    merger.publish(1, 3);
    await_ok(&orchestrator, &player, &test_id, 300);
    say("b", 1);
    say("a", 2);
    merger.publish(3, 5);
    await_ok(&orchestrator, &player, &test_id, 500);
    assert_eq!(counts(&orchestrator), [5, 2, 1]);
    // Offset 5 is a duplicate, which a merger does not know.
    say("a", 2);
    say("b", 2);
    merger.publish(5, 7);
    await_ok(&orchestrator, &player, &test_id, 600);
    assert_eq!(counts(&orchestrator), [6, 2, 2]);
    let merged = orchestrator.get("/nodes?role=merger").json();
    assert_eq!(merged[0]["merger_id"], "played");
    assert_eq!(merged[0]["partitions"], serde_json::json!([0]));
    // Offsets 7 and 8: the merger says nothing any more.
    NODES
        .iter()
        .for_each(|node| player.say(node, &last(node, &test_id, 3)));
    player.flush();
    let result = await_state(&orchestrator, &test_id, "done");
    assert_eq!(
        (&result["ok"], &result["coverage"]["reports_missing"]),
        (&600.into(), &0.into())
    );
    let health = orchestrator.get("/healthz").json();
    let reason = health["mergers"]["reasons"][0].as_str().unwrap();
    assert!(
        reason.starts_with("partition 0 of metrics is read by no merger"),
        "{reason}"
    );
    let before = orchestrator
        .get(&format!("/tests/{test_id}/export?format=hlog"))
        .text;
    orchestrator.end(Signal::KILL);
    let orchestrator = Orchestrator::start(folder.path(), broker.address());
    orchestrator.await_broker();
    let after = orchestrator
        .get(&format!("/tests/{test_id}/export?format=hlog"))
        .text;
    assert_eq!(after, before);
    assert_eq!(after.matches("\n0.000,").count(), 1, "{after}");
}
