//! Every failure is told in words with a remedy, and leaves nothing half-started.

use std::fs;
use std::net::TcpListener;
use std::process::Stdio;

use rustix::process::{Pid, Signal, kill_process};

use crate::stand_in::{Answers, Machine, eventually, stderr, stdout};
use crate::up::TWO_UP;

/// Runs `up`, which must fail with all of `words`, and leave nothing.
fn fails(machine: &Machine, arguments: &[&str], words: &[&str]) {
    let up = machine.run(&[&["up"], arguments].concat());
    assert_eq!(up.status.code(), Some(1), "{}{}", stdout(&up), stderr(&up));
    for word in words {
        assert!(
            stderr(&up).contains(word),
            "{word:?} is not in {}",
            stderr(&up)
        );
    }
    eventually("nothing is left running", || {
        machine.left_running().is_empty()
    });
    assert!(!machine.path("run").exists(), "run/ is left");
}

#[test]
fn a_port_in_use_is_named_with_its_holder_and_another_port() {
    let machine = Machine::new();
    let _holder = TcpListener::bind(("127.0.0.1", machine.orchestrator_port)).unwrap();
    let port = format!(
        "port {} for the orchestrator is in use by",
        machine.orchestrator_port
    );
    let pid = format!("(process {})", std::process::id());
    fails(
        &machine,
        &[],
        &[&port, &pid, "ORCHESTRATOR_PORT=", "make up"],
    );
    let same = machine.testserver_port.to_string();
    fails(
        &machine,
        &["--orchestrator-port", &same],
        &["cannot both listen"],
    );
}

#[test]
fn a_missing_binary_is_named_with_the_command_that_builds_it() {
    let machine = Machine::new();
    fs::remove_file(machine.path("bin/driver")).unwrap();
    fails(&machine, &[], &["bin/driver is missing", "make build"]);
}

#[test]
fn a_machine_on_which_drivers_cannot_run_is_told_before_anything_starts() {
    let machine = Machine::new();
    machine.script(
        "driver",
        "echo 'io_uring is off: sysctl kernel.io_uring_disabled=0' >&2; exit 1",
    );
    fails(
        &machine,
        &[],
        &["drivers cannot run here: io_uring is off: sysctl"],
    );
    assert!(!machine.path("logs").exists());
}

#[test]
fn a_driver_that_ends_early_is_told_with_its_last_words() {
    let machine = Machine::new();
    machine.script(
        "driver",
        r#"[ "$1" = check ] && exit 0; echo "error: no cores $6" >&2; exit 1"#,
    );
    fails(
        &machine,
        &[],
        &[
            "driver-1 ended at once",
            "error: no cores driver-1",
            "logs/driver-1",
        ],
    );
}

#[test]
fn a_broker_that_ends_early_is_told() {
    let machine = Machine::new();
    machine.script("broker", "echo 'broker: cannot serve' >&2; exit 1");
    fails(
        &machine,
        &[],
        &["broker ended at once", "broker: cannot serve"],
    );
}

#[test]
fn drivers_that_do_not_come_up_in_time_are_named() {
    let mut machine = Machine::new();
    machine.serve(
        r#"{"nodes":[{"node_id":"driver-1","state":"up"},{"node_id":"driver-2","state":"down"}]}"#,
    );
    fails(
        &machine,
        &["--timeout", "2"],
        &["driver-2 is not up within 2 s"],
    );
}

#[test]
fn drivers_of_before_are_no_success_while_the_broker_is_not_reached() {
    let mut machine = Machine::new();
    machine.serve_with(Answers {
        health: r#"{"broker":{"state":"connecting","reason":"wronghost: no such host"}}"#,
        ..Answers::with(TWO_UP)
    });
    let words = ["was not reached within 2 s", "wronghost: no such host"];
    fails(&machine, &["--timeout", "2"], &words);
}

#[test]
fn what_the_orchestrator_refuses_is_told() {
    let mut machine = Machine::new();
    machine.serve_with(Answers {
        token: Some("secret"),
        ..Answers::with(TWO_UP)
    });
    fails(&machine, &["--timeout", "2"], &["a token is needed"]);
}

#[test]
fn an_interrupt_while_starting_ends_what_was_started() {
    let machine = Machine::new();
    let up = machine
        .command(&["up"])
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    eventually("all are started", || {
        fs::read_to_string(machine.path("run/appliance.json")).is_ok_and(|t| t.contains("driver-2"))
    });
    kill_process(Pid::from_child(&up), Signal::INT).unwrap();
    let up = up.wait_with_output().unwrap();
    assert_eq!(up.status.code(), Some(1));
    assert!(stderr(&up).contains("interrupted"), "{}", stderr(&up));
    eventually("nothing is left running", || {
        machine.left_running().is_empty()
    });
    assert!(!machine.path("run").exists());
}

#[test]
fn brokers_that_cannot_be_used_are_told_with_what_can() {
    let machine = Machine::new();
    machine.script("bench", "echo 'Maven is not there' >&2; exit 1");
    fails(
        &machine,
        &["--broker", "kafka"],
        &[
            "Maven is not there",
            "could not be fetched",
            "BROKER=embedded make up",
        ],
    );
    // A Docker that is there and has no engine.
    machine.script(
        "docker",
        "echo 'Cannot connect to the Docker daemon' >&2; exit 1",
    );
    let path = format!("{}:/usr/bin:/bin", machine.path("bin").display());
    let up = machine
        .command(&["up", "--broker", "redpanda"])
        .env("PATH", &path)
        .output()
        .unwrap();
    assert!(
        stderr(&up).contains("Cannot connect to the Docker daemon"),
        "{}",
        stderr(&up)
    );
    assert!(
        stderr(&up).contains("BROKER=embedded make up"),
        "{}",
        stderr(&up)
    );
    // One with an engine that cannot pull.
    machine.script(
        "docker",
        r#"case "$*" in *"up --detach"*) echo "Error: pull access denied" >&2; exit 1;; esac"#,
    );
    let up = machine
        .command(&["up", "--broker", "auto"])
        .env("PATH", &path)
        .output()
        .unwrap();
    assert_eq!(up.status.code(), Some(1));
    assert!(
        stderr(&up).contains("pull access denied"),
        "{}",
        stderr(&up)
    );
    assert!(
        stderr(&up).contains("BROKER=embedded make up"),
        "{}",
        stderr(&up)
    );
    assert!(!machine.path("run").exists());
}

#[test]
fn a_redpanda_that_cannot_be_stopped_hides_no_cause_and_keeps_nobody_from_starting() {
    let machine = Machine::new();
    machine.script(
        "docker",
        r#"case "$*" in *" down "*) echo "the engine is gone" >&2; exit 1;; esac"#,
    );
    machine.script("testserver", "echo 'no port left' >&2; exit 1");
    let path = format!("{}:/usr/bin:/bin", machine.path("bin").display());
    let up = machine
        .command(&["up", "--broker", "redpanda"])
        .env("PATH", &path)
        .output()
        .unwrap();
    for word in [
        "no port left",
        "the engine is gone",
        "could not stop Redpanda",
    ] {
        assert!(stderr(&up).contains(word), "{word:?}: {}", stderr(&up));
    }
    assert!(!machine.path("run").exists(), "the next start is free");
}

#[test]
fn usage_errors_are_refused_with_code_2() {
    let machine = Machine::new();
    for arguments in [
        &["up", "--drivers", "17"][..],
        &["up", "--broker", "nonsense"],
        &["fly"],
        &[],
    ] {
        let output = machine.run(arguments);
        assert_eq!(
            output.status.code(),
            Some(2),
            "{arguments:?}: {}",
            stderr(&output)
        );
    }
}

#[test]
fn a_record_that_cannot_be_read_is_not_thrown_away() {
    let machine = Machine::new();
    fs::create_dir(machine.path("run")).unwrap();
    fs::write(machine.path("run/appliance.json"), "{").unwrap();
    for command in ["up", "down", "status"] {
        let output = machine.run(&[command]);
        assert_eq!(output.status.code(), Some(1), "{command}");
        assert!(
            stderr(&output).contains("appliance.json cannot be read"),
            "{}",
            stderr(&output)
        );
    }
    assert!(machine.path("run/appliance.json").exists());
    fs::remove_file(machine.path("run/appliance.json")).unwrap();
}
