//! The store is copied while a test runs, and goes on elsewhere.

use std::path::Path;
use std::process::{Command, Output};

use proto::bus::EmbeddedBroker;
use rustix::process::Signal;

use crate::player::{Player, interval, last};
use crate::process::{Orchestrator, command};
use crate::runs::{await_state, run};

fn client(orchestrator: &Orchestrator, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_client"));
    command.args(["--orchestrator", &orchestrator.address]);
    command.args(args).output().unwrap()
}

fn restore(folder: &Path, backup: &Path) -> Output {
    let backup = backup.to_str().unwrap();
    let mut command = command(folder, "127.0.0.1:1", &["--restore", backup]);
    command.output().unwrap()
}

#[test]
fn a_backup_of_a_running_test_goes_on_where_it_was_made() {
    let broker = EmbeddedBroker::start().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let orchestrator = Orchestrator::start(folder.path(), broker.address());
    orchestrator.await_broker();
    let player = Player::new(broker.address());
    let ended = run(&orchestrator, &player, &["a"]);
    let report = |test_id: &str, at: u64| player.say("a", &interval("a", test_id, at, 300));
    (0..3).for_each(|at| report(&ended, at));
    player.say("a", &last("a", &ended, 3));
    player.flush();
    let of_ended = await_state(&orchestrator, &ended, "done");

    let running = run(&orchestrator, &player, &["a"]);
    report(&running, 0);
    player.flush();
    await_state(&orchestrator, &running, "running");
    let file = folder.path().join("backup.sqlite");
    let name = file.to_str().unwrap();
    let made = client(&orchestrator, &["--json", "backup", name]);
    assert!(made.status.success(), "{made:?}");
    let said: serde_json::Value = serde_json::from_slice(&made.stdout).unwrap();
    assert_eq!(said["bytes"], file.metadata().unwrap().len());
    let again = client(&orchestrator, &["backup", name]);
    assert!(!again.status.success(), "it is there already: {again:?}");
    let own = folder.path().join("data/orchestrator.sqlite.backup");
    assert!(!own.exists(), "nothing is left beside the store");

    (1..3).for_each(|at| report(&running, at));
    player.say("a", &last("a", &running, 3));
    player.flush();
    let of_running = await_state(&orchestrator, &running, "done");
    assert_eq!(of_running["ok"], 300);
    orchestrator.end(Signal::TERM);

    let elsewhere = tempfile::tempdir().unwrap();
    let restored = restore(elsewhere.path(), &file);
    assert!(restored.status.success(), "{restored:?}");
    let twice = restore(elsewhere.path(), &file);
    let words = String::from_utf8_lossy(&twice.stderr);
    assert!(words.contains("is in the way"), "{words}");
    let other = Orchestrator::start(elsewhere.path(), broker.address());
    other.await_broker();
    assert_eq!(await_state(&other, &ended, "done"), of_ended);
    assert_eq!(
        await_state(&other, &running, "done"),
        of_running,
        "it read on from where the copy was made"
    );
}

#[test]
fn a_backup_is_for_those_who_have_the_token_and_nothing_but_a_get() {
    let folder = tempfile::tempdir().unwrap();
    let options = ["--listen", "127.0.0.1:0", "--token", "secret"];
    let orchestrator = Orchestrator::with(folder.path(), "127.0.0.1:1", &options);
    assert_eq!(orchestrator.get("/backup").status, 401);
    let own = "Authorization: Bearer secret";
    assert_eq!(orchestrator.call("POST", "/backup", &[own], "").status, 405);
    let answer = orchestrator.call("GET", "/backup", &[own], "");
    assert_eq!(answer.status, 200, "{}", answer.head);
    assert!(
        answer.text.starts_with("SQLite format 3\0"),
        "{}",
        answer.head
    );
    let length = answer
        .head
        .lines()
        .filter(|line| line.starts_with("Content-Length: "));
    assert_eq!(length.count(), 1, "{}", answer.head);
    assert!(!answer.head.contains("Dlts-File"), "{}", answer.head);
}
