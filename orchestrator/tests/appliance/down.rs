//! Ending: exactly what was started, all of it, and nothing else.

use std::fs;
use std::process::{Command, Stdio};

use crate::stand_in::{Machine, eventually, stderr, stdout};
use crate::up::TWO_UP;

#[test]
fn down_leaves_no_process_and_no_stale_file() {
    let mut machine = Machine::new();
    machine.serve(TWO_UP);
    assert!(machine.run(&["up"]).status.success());
    assert!(
        machine.left_running().len() == 10,
        "{:?}",
        machine.left_running()
    );
    let down = machine.run(&["down"]);
    assert!(down.status.success(), "{}", stderr(&down));
    assert!(stdout(&down).contains("dlts is down"));
    eventually("all have ended", || machine.left_running().is_empty());
    assert!(!machine.path("run").exists());

    let again = machine.run(&["down"]);
    assert!(again.status.success());
    assert!(
        stdout(&again).contains("nothing to end"),
        "{}",
        stdout(&again)
    );
}

#[test]
fn down_insists_when_a_process_does_not_listen() {
    let mut machine = Machine::new();
    machine.script("testserver", "trap '' TERM; while :; do sleep 1; done");
    machine.serve(TWO_UP);
    assert!(machine.run(&["up"]).status.success());
    let down = machine.run(&["down"]);
    assert!(down.status.success(), "{}", stderr(&down));
    let stubborn = machine.path("bin/testserver").display().to_string();
    eventually("it has ended", || {
        !machine.left_running().iter().any(|l| l.contains(&stubborn))
    });
}

#[test]
fn a_recycled_process_id_is_left_alone() {
    // Before the driver, which starts last: a process is known by its id and the tick (10 ms) of its
    // start, and one that starts right after the driver can share its tick.
    let mut stranger = Command::new("sleep")
        .arg("1000")
        .stdin(Stdio::null())
        .spawn()
        .unwrap();
    let mut machine = Machine::new();
    machine.serve(TWO_UP);
    assert!(machine.run(&["up"]).status.success());
    let path = machine.path("run/appliance.json");
    let mut record = machine.record();
    let driver = record["entries"][3]["process"]["pid"].clone();
    record["entries"][3]["process"]["pid"] = stranger.id().into();
    fs::write(path, record.to_string()).unwrap();

    assert!(machine.run(&["down"]).status.success());
    assert!(
        stranger.try_wait().unwrap().is_none(),
        "a process of somebody else was ended"
    );
    stranger.kill().unwrap();
    stranger.wait().unwrap();
    // The driver whose record we falsified.
    assert!(
        Command::new("kill")
            .arg(driver.to_string())
            .status()
            .unwrap()
            .success()
    );
}
