//! Starting, looking at what runs, starting again.

use std::fs;
use std::process::Stdio;

use serde_json::Value;

use crate::stand_in::{Answers, Machine, eventually, stderr, stdout};

pub(crate) const TWO_UP: &str =
    r#"[{"node_id":"driver-1","state":"up"},{"node_id":"driver-2","state":"up"}]"#;

#[test]
fn up_starts_everything_and_a_second_up_changes_nothing() {
    let mut machine = Machine::new();
    machine.serve(TWO_UP);
    let up = machine.run(&["up"]);
    assert!(up.status.success(), "{}{}", stdout(&up), stderr(&up));
    let words = stdout(&up);
    for word in [
        "dlts is up after",
        "embedded broker",
        "dashboard",
        "curl -X POST",
        machine.broker.address(),
    ] {
        assert!(words.contains(word), "{word:?} is not in {words}");
    }
    let record = machine.record();
    let names: Vec<&str> = record["entries"]
        .as_array()
        .unwrap()
        .iter()
        .map(|e| e["name"].as_str().unwrap())
        .collect();
    assert_eq!(
        names,
        [
            "broker",
            "testserver",
            "orchestrator",
            "driver-1",
            "driver-2"
        ]
    );
    assert_eq!(record["complete"], true);

    let pids = machine.pids();
    let again = machine.run(&["up"]);
    assert!(again.status.success(), "{}", stderr(&again));
    assert!(
        stdout(&again).contains("dlts is up; nothing was changed"),
        "{}",
        stdout(&again)
    );
    assert_eq!(machine.pids(), pids);
}

#[test]
fn mergers_are_started_before_the_drivers_and_ended_with_them() {
    let mut machine = Machine::new();
    machine.serve(TWO_UP);
    let up = machine.run(&["up", "--mergers", "2"]);
    assert!(up.status.success(), "{}{}", stdout(&up), stderr(&up));
    let record = machine.record();
    let entries = record["entries"].as_array().unwrap().iter();
    let names: Vec<&str> = entries.map(|e| e["name"].as_str().unwrap()).collect();
    assert_eq!(names[3..], ["merger-1", "merger-2", "driver-1", "driver-2"]);
    let status = stdout(&machine.run(&["status"]));
    assert!(status.contains("merger-2"), "{status}");
    assert!(machine.run(&["down"]).status.success());
    eventually("all have ended", || machine.left_running().is_empty());
}

#[test]
fn the_binary_of_mergers_is_asked_for_only_with_mergers() {
    let mut machine = Machine::new();
    std::fs::remove_file(machine.path("bin/merger")).unwrap();
    let up = machine.run(&["up", "--mergers", "1"]);
    assert!(!up.status.success());
    assert!(
        stderr(&up).contains("bin/merger is missing"),
        "{}",
        stderr(&up)
    );
    machine.serve(TWO_UP);
    assert!(machine.run(&["up"]).status.success());
}

#[test]
fn status_tells_who_runs_and_who_ended() {
    let mut machine = Machine::new();
    let down = machine.run(&["status"]);
    assert!(
        down.status.success() && stdout(&down).contains("not up"),
        "{}",
        stdout(&down)
    );

    machine.serve(TWO_UP);
    assert!(machine.run(&["up"]).status.success());
    let status = machine.run(&["status"]);
    assert!(status.status.success());
    for word in [
        "broker",
        "testserver",
        "orchestrator",
        "driver-2",
        "UPTIME",
        "cores",
        " up ",
    ] {
        assert!(
            stdout(&status).contains(word),
            "{word:?} is not in {}",
            stdout(&status)
        );
    }

    let driver = machine.record()["entries"][4]["process"]["pid"].to_string();
    assert!(
        std::process::Command::new("kill")
            .args(["-9", &driver])
            .status()
            .unwrap()
            .success()
    );
    eventually("status sees the end of driver-2", || {
        !machine.run(&["status"]).status.success()
    });
    let status: Value = serde_json::from_str(&stdout(&machine.run(&["status", "--json"]))).unwrap();
    assert_eq!(status["state"], "degraded");
    assert_eq!(status["processes"][4]["state"], "ended");
    let up = machine.run(&["up"]);
    assert!(!up.status.success());
    assert!(stderr(&up).contains("driver-2 ended"), "{}", stderr(&up));
    assert!(stderr(&up).contains("make down"), "{}", stderr(&up));
}

#[test]
fn logs_have_a_prefix_a_process_and_come_from_both_outputs() {
    let mut machine = Machine::new();
    assert!(stdout(&machine.run(&["logs", "--no-follow"])).contains("no logs yet"));
    machine.script(
        "driver",
        r#"[ "$1" = check ] && exit 0; echo "{\"n\":\"$6\"}"; echo oops >&2; exec sleep 1000"#,
    );
    machine.serve(TWO_UP);
    assert!(machine.run(&["up"]).status.success());
    eventually("the pump has written", || {
        let logs = stdout(&machine.run(&["logs", "--no-follow"]));
        logs.contains("driver-1     | {\"n\":\"driver-1\"}") && logs.contains("driver-2     | oops")
    });
    let one = stdout(&machine.run(&["logs", "--no-follow", "driver-2"]));
    assert!(
        one.contains("driver-2") && !one.contains("driver-1"),
        "{one}"
    );
    let unknown = machine.run(&["logs", "driver-9"]);
    assert!(!unknown.status.success());
    assert!(
        stderr(&unknown).contains("there are: broker, testserver"),
        "{}",
        stderr(&unknown)
    );
}

#[test]
fn output_is_kept_when_up_is_gone_and_within_bounds() {
    let mut machine = Machine::new();
    machine.script(
        "testserver",
        r#"i=0; while [ $i -lt 2000 ]; do echo "line $i"; i=$((i+1)); done; echo '{"event":"full"}'; exec sleep 1000"#,
    );
    machine.serve(TWO_UP);
    assert!(machine.run(&["up"]).status.success());
    let log = machine.path("logs/testserver/stdout.jsonl");
    eventually("all lines are kept", || {
        fs::read_to_string(&log).is_ok_and(|text| text.ends_with("{\"event\":\"full\"}\n"))
    });
    assert_eq!(fs::read_to_string(&log).unwrap().lines().count(), 2001);
    let events = machine.path("logs/testserver/events.jsonl");
    eventually("the event is found without the rest", || {
        fs::read_to_string(&events).is_ok_and(|text| text == "{\"event\":\"full\"}\n")
    });
}

#[test]
fn what_a_killed_up_left_is_cleared_by_the_next() {
    let mut machine = Machine::new();
    // No server answers: this up waits until it is killed.
    let mut first = machine
        .command(&["up"])
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    eventually("all are started", || {
        fs::read_to_string(machine.path("run/appliance.json")).is_ok_and(|t| t.contains("driver-2"))
    });
    let left = machine.pids();
    first.kill().unwrap();
    first.wait().unwrap();

    let mut second = machine.command(&["up"]);
    let second = second
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // The servers of this test must not hold the ports that the second start checks.
    eventually("the second start has begun anew", || {
        let record = fs::read_to_string(machine.path("run/appliance.json")).unwrap_or_default();
        record.contains("driver-2") && machine.pids().iter().all(|pid| !left.contains(pid))
    });
    machine.serve(TWO_UP);
    let second = second.wait_with_output().unwrap();
    assert!(second.status.success(), "{}", stderr(&second));
    assert!(
        stdout(&second).contains("earlier start"),
        "{}",
        stdout(&second)
    );
    assert!(machine.pids().iter().all(|pid| !left.contains(pid)));
}

#[test]
fn a_kafka_of_our_own_is_started_where_it_is_asked_for() {
    let mut machine = Machine::new();
    machine.serve(TWO_UP);
    let up = machine.run(&["up", "--broker", "kafka"]);
    assert!(up.status.success(), "{}{}", stdout(&up), stderr(&up));
    assert!(stdout(&up).contains("Apache Kafka"), "{}", stdout(&up));
    let record = machine.record();
    assert_eq!(record["broker"], machine.broker.address());
    let kind = record["broker_kind"].as_str().unwrap();
    assert!(kind.contains("Apache Kafka"), "{kind}");
}

#[test]
fn a_token_of_the_environment_is_used_as_the_orchestrator_uses_it() {
    let mut machine = Machine::new();
    machine.serve_with(Answers {
        token: Some("secret"),
        ..Answers::with(TWO_UP)
    });
    let command = |arguments: &[&str]| {
        let mut command = machine.command(arguments);
        command.env("DLTS_TOKEN", "secret").output().unwrap()
    };
    let up = command(&["up"]);
    assert!(up.status.success(), "{}", stderr(&up));
    let status = command(&["status"]);
    assert!(stdout(&status).contains(" up "), "{}", stdout(&status));
}

#[test]
fn the_address_of_a_broker_of_before_is_not_taken_for_the_new_one() {
    let mut machine = Machine::new();
    fs::create_dir(machine.path("run")).unwrap();
    fs::write(machine.path("run/broker.address"), "127.0.0.1:1").unwrap();
    machine.serve(TWO_UP);
    assert!(machine.run(&["up"]).status.success());
    assert_eq!(machine.record()["broker"], machine.broker.address());
}

#[test]
fn a_reader_that_goes_away_does_not_end_a_start_halfway() {
    let mut machine = Machine::new();
    machine.serve(TWO_UP);
    let mut up = machine
        .command(&["up"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    drop(up.stdout.take());
    assert!(up.wait().unwrap().success());
    assert_eq!(machine.record()["complete"], true);
}
