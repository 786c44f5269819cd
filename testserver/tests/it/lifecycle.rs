//! Start, refusal to start, and end.

use std::net::TcpListener;

use crate::process::{Running, command};

fn refused(arguments: &[&str]) -> (Option<i32>, String) {
    let output = command(arguments).output().unwrap();
    assert!(output.stdout.is_empty());
    (
        output.status.code(),
        String::from_utf8(output.stderr).unwrap(),
    )
}

#[test]
fn sigterm_and_sigint_end_it_cleanly_with_the_count() {
    for (signal, name) in [("-TERM", "SIGTERM"), ("-INT", "SIGINT")] {
        let server = Running::start();
        server.get("/");
        let (status, line) = server.end(signal);
        assert_eq!(status.code(), Some(0));
        assert_eq!(line["event"], "stopped");
        assert_eq!(line["signal"], name);
        assert_eq!(line["requests"], 1);
        assert_eq!(line["responses"]["200"], 1);
    }
}

#[test]
fn the_start_line_says_where_and_how_it_listens() {
    let server = Running::with(&["--listen", "127.0.0.1:0", "--workers", "3"]);
    assert_eq!(server.started["event"], "listening");
    assert_eq!(server.started["workers"], 3);
    assert_eq!(server.started["pid"], server.pid());
    assert_ne!(server.address.port(), 0);
}

#[test]
fn a_probe_tells_a_server_that_answers_from_none_and_is_not_counted() {
    let server = Running::start();
    let address = server.address.to_string();
    let probe = command(&["--probe", "--listen", &address])
        .output()
        .unwrap();
    assert!(
        probe.status.success() && probe.stdout.is_empty(),
        "{probe:?}"
    );
    let (_, line) = server.end("-TERM");
    assert_eq!(line["requests"], 0);

    let (code, message) = refused(&["--probe", "--listen", &address]);
    assert_eq!(code, Some(1));
    assert!(
        message.starts_with(&format!("testserver: {address}: ")),
        "{message}"
    );
}

#[test]
fn a_port_in_use_is_one_line_with_the_remedy() {
    let holder = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = holder.local_addr().unwrap().to_string();
    let (code, message) = refused(&["--listen", &address]);
    assert_eq!(code, Some(1));
    assert!(
        message.starts_with(&format!("testserver: {address} is in use;")),
        "{message}"
    );
    assert!(
        message.contains("--listen") && message.lines().count() == 1,
        "{message}"
    );
}

#[test]
fn a_second_server_does_not_share_the_port() {
    let first = Running::start();
    let (code, message) = refused(&["--listen", &first.address.to_string()]);
    assert_eq!(code, Some(1));
    assert!(message.contains("is in use"), "{message}");
}

#[test]
fn a_core_that_is_not_there_is_refused_with_the_choice() {
    let (code, message) = refused(&["--listen", "127.0.0.1:0", "--cores", "1000"]);
    assert_eq!(code, Some(1));
    assert!(
        message.contains("core 1000 is not among the allowed ones, [0"),
        "{message}"
    );
}

#[test]
fn unknown_options_and_bad_values_are_usage_errors() {
    for arguments in [
        ["--nonsense"].as_slice(),
        &["--workers", "0"],
        &["--listen", "nowhere"],
    ] {
        let (code, message) = refused(arguments);
        assert_eq!(code, Some(2), "{message}");
    }
}

#[test]
fn help_and_version_are_printed() {
    for (option, expected) in [
        ("--help", "--listen"),
        ("--version", env!("CARGO_PKG_VERSION")),
    ] {
        let output = command(&[option]).output().unwrap();
        assert!(output.status.success());
        assert!(String::from_utf8(output.stdout).unwrap().contains(expected));
    }
}

#[test]
fn the_environment_is_a_fallback_for_each_option() {
    let mut command = command(&[]);
    command
        .env("TESTSERVER_LISTEN", "127.0.0.1:0")
        .env("TESTSERVER_CORES", "1000");
    let output = command.output().unwrap();
    assert!(
        String::from_utf8(output.stderr)
            .unwrap()
            .contains("core 1000")
    );
}

#[test]
fn one_worker_on_a_chosen_core_says_so() {
    let all = Running::start().started["cores"].clone();
    let core = all[0].to_string();
    let server = Running::with(&["--listen", "127.0.0.1:0", "--cores", &core]);
    assert_eq!(server.started["cores"].to_string(), format!("[{core}]"));
    assert_eq!(server.started["workers"], 1);
    assert_eq!(server.get("/").status, 200);
}
