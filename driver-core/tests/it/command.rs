//! `driver run` as people and scripts use it: what it prints, and its exit codes.

use std::io::{Read, Write};
use std::os::unix::net::UnixListener;
use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::Duration;

use serde_json::Value;

use crate::server::{OK, Server};

fn driver(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_driver"));
    command.arg("run").args(args).stdin(Stdio::null());
    command
}

fn run(args: &[&str]) -> (i32, Output) {
    let output = driver(args).output().unwrap();
    (output.status.code().unwrap(), output)
}

fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output.stderr)))
}

#[test]
fn json_has_the_shape_of_the_api_and_nothing_else_is_printed() {
    let server = Server::answering(OK);
    let (code, output) = run(&[&server.url(), "-n", "500", "-c", "4", "--json"]);
    assert_eq!(code, 0);
    let result = json(&output);
    assert_eq!(
        (&result["ok"], &result["planned"]),
        (&500.into(), &500.into())
    );
    assert_eq!(
        (&result["state"], &result["test_type"]),
        (&"done".into(), &"AVALANCHE".into())
    );
    assert_eq!(result["accounting"]["holds"], true);
    assert_eq!(result["coverage"]["nodes_finished"], 1);
    for field in ["metrics", "service", "release_lag"] {
        assert!(result[field]["p99_latency"].is_number(), "{field}");
    }
    let environment = &result["nodes"][0]["environment"];
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    assert_eq!(environment["kernel"], kernel.trim(), "{environment}");
    assert!(
        environment["cpus"].as_u64().is_some_and(|cpus| cpus > 0),
        "{environment}"
    );
    let seconds = result["series"].as_array().unwrap();
    assert_eq!(
        seconds
            .iter()
            .filter_map(|row| row["ok"].as_u64())
            .sum::<u64>(),
        500
    );
}

#[test]
fn people_get_a_summary() {
    let server = Server::answering(OK);
    let (code, output) = run(&[&server.url(), "-n", "100", "-c", "2"]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(code, 0, "{text}");
    for word in [
        "closed loop",
        "io_uring",
        "planned 100",
        "ok 100",
        "response",
        "verdict",
    ] {
        assert!(text.contains(word), "{word:?} is missing in {text}");
    }
}

#[test]
fn a_breached_threshold_is_exit_code_3() {
    let server = Server::start(|peer| {
        let bad = b"HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n";
        while peer.request().is_some() && peer.send(OK) {
            if peer.request().is_none() || !peer.send(bad) {
                return;
            }
        }
    });
    let url = server.url();
    let (code, output) = run(&[
        &url,
        "-n",
        "50",
        "-c",
        "1",
        "--threshold",
        "error_rate<1%",
        "--json",
    ]);
    assert_eq!(code, 3);
    assert_eq!(json(&output)["thresholds"][0]["pass"], false);
    let (code, _) = run(&[
        &url,
        "-n",
        "50",
        "-c",
        "1",
        "--threshold",
        "error_rate<=100%",
    ]);
    assert_eq!(code, 0);
}

#[test]
fn usage_is_exit_code_2_and_a_missing_target_1() {
    for (args, expected, word) in [
        (vec!["ftp://127.0.0.1/"], 2, "https"),
        (vec!["http://127.0.0.1:1/", "-c", "0"], 2, "1 to 50000"),
        (vec!["http://127.0.0.1:1/", "--threshold", "p99"], 2, "p99"),
        (
            vec!["http://127.0.0.1:1/"],
            1,
            "no connection to 127.0.0.1 port 1",
        ),
    ] {
        let (code, output) = run(&args);
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(code, expected, "{args:?}: {text}");
        assert!(text.contains(word), "{args:?}: {text}");
    }
}

#[test]
fn an_interrupted_run_drains_reports_and_says_so() {
    let server = Server::answering(OK);
    let url = server.url();
    let child = driver(&[&url, "-c", "4", "-n", "1000000000", "--json"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    while server.requests() < 100 {
        thread::sleep(Duration::from_millis(10));
    }
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130));
    let result = json(&output);
    assert_eq!(
        (&result["state"], &result["accounting"]["holds"]),
        (&"interrupted".into(), &true.into())
    );
    assert!(result["ok"].as_u64().unwrap() >= 100);
    assert_eq!(result["sent"].as_u64(), Some(server.requests()));
}

/// A target whose queue of connections is full, so that none is ever made.
fn silent_target() -> (std::net::TcpListener, Vec<std::net::TcpStream>) {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    let any: std::net::SocketAddr = ([127, 0, 0, 1], 0).into();
    socket.bind(&any.into()).unwrap();
    socket.listen(0).unwrap();
    let listener = std::net::TcpListener::from(socket);
    let address = listener.local_addr().unwrap();
    let patience = Duration::from_millis(300);
    let connect = || std::net::TcpStream::connect_timeout(&address, patience).ok();
    let queued: Vec<_> = std::iter::from_fn(connect).take(16).collect();
    assert!(queued.len() < 16, "the queue has no end");
    (listener, queued)
}

#[test]
fn an_interrupt_while_connecting_ends_the_run_at_once() {
    let (target, _queued) = silent_target();
    let url = format!("http://{}/", target.local_addr().unwrap());
    for signal in [rustix::process::Signal::INT, rustix::process::Signal::TERM] {
        let child = driver(&[&url, "-c", "4", "--json"])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        thread::sleep(Duration::from_millis(500));
        let begin = std::time::Instant::now();
        let pid = rustix::process::Pid::from_child(&child);
        rustix::process::kill_process(pid, signal).unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(
            begin.elapsed() < Duration::from_secs(2),
            "{:?}",
            begin.elapsed()
        );
        assert_eq!(output.status.code(), Some(130));
        assert!(output.stdout.is_empty());
        assert!(String::from_utf8_lossy(&output.stderr).contains("nothing was sent"));
    }
}

#[test]
fn a_result_that_cannot_be_written_is_an_error() {
    let server = Server::answering(OK);
    for format in [&["--json"][..], &[]] {
        let full = std::fs::File::create("/dev/full").unwrap();
        let mut command = driver(&[&server.url(), "-n", "10", "-c", "1"]);
        let output = command.args(format).stdout(full).output().unwrap();
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{text}");
        assert!(text.contains("No space left"), "{text}");
    }
}

#[test]
fn logs_that_cannot_be_written_are_an_error_before_anything_is_sent() {
    let server = Server::answering(OK);
    let (code, output) = run(&[&server.url(), "-n", "10", "--json", "--logs", "/proc/x"]);
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!((code, server.requests()), (1, 0), "{text}");
    assert!(output.stdout.is_empty());
    assert!(text.contains("--logs /proc/x"), "{text}");
}

#[test]
fn logs_that_end_on_the_way_are_an_error_beside_the_result() {
    let server = Server::answering(OK);
    let directory = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink("/dev/full", directory.path().join("core-0.jsonl")).unwrap();
    let place = directory.path().to_str().unwrap();
    let args = [
        &server.url(),
        "-n",
        "10",
        "-c",
        "1",
        "--json",
        "--logs",
        place,
    ];
    let (code, output) = run(&args);
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!((code, &json(&output)["ok"]), (1, &10.into()), "{text}");
    assert!(
        text.contains("logs are incomplete: No space left"),
        "{text}"
    );
}

#[test]
fn only_prefixed_variables_of_the_environment_count() {
    let server = Server::answering(OK);
    let url = server.url();
    let args = [url.as_str(), "-n", "10", "-c", "1", "--json"];
    let free = driver(&args).env("CORES", "4095").output().unwrap();
    assert_eq!(free.status.code(), Some(0));
    let bound = driver(&args).env("DLTS_CORES", "4095").output().unwrap();
    assert_eq!(bound.status.code(), Some(2));
}

#[test]
fn logs_are_written_where_they_are_wanted() {
    let server = Server::answering(OK);
    let directory = tempfile::tempdir().unwrap();
    let place = directory.path().to_str().unwrap();
    let (code, _) = run(&[
        &server.url(),
        "-n",
        "100",
        "-c",
        "2",
        "--cores",
        "0",
        "--logs",
        place,
    ]);
    assert_eq!(code, 0);
    let lines = std::fs::read_to_string(directory.path().join("core-0.jsonl")).unwrap();
    let ok: u64 = lines
        .lines()
        .map(|line| {
            serde_json::from_str::<Value>(line).unwrap()["ok"]
                .as_u64()
                .unwrap()
        })
        .sum();
    assert_eq!(ok, 100);
    assert!(
        directory
            .path()
            .join("core-0.hlog")
            .metadata()
            .unwrap()
            .len()
            > 500
    );
}

#[test]
fn without_preflight_a_target_that_is_not_there_refuses_what_falls_due() {
    let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", gone.local_addr().unwrap());
    drop(gone);
    let load = ["-r", "100", "-d", "1s", "--json"];
    let threshold = ["--no-preflight", "--threshold", "error_rate<1%"];
    let (code, output) = run(&[&[&*url], &load[..], &threshold[..]].concat());
    assert_eq!(code, 4, "nothing was ok");
    let result = json(&output);
    assert_eq!(
        (&result["planned"], &result["refused"], &result["sent"]),
        (&100.into(), &100.into(), &0.into())
    );
    assert_eq!(result["accounting"]["holds"], true, "{result}");
    assert_eq!(result["thresholds"][0]["pass"], false, "{result}");
    let (code, _) = run(&[&[&*url], &load[..]].concat());
    assert_eq!(code, 1, "with it nothing is started");
}

#[test]
fn the_last_used_connection_is_used_again_where_that_is_asked_for() {
    let used = |more: &[&str]| {
        let server = Server::answering(OK);
        let common = [&*server.url(), "-n", "40", "-r", "80", "-c", "4", "--json"];
        let (code, output) = run(&[&common[..], more].concat());
        assert_eq!(code, 0);
        let connections = json(&output)["nodes"][0]["connections"].clone();
        (
            connections["answers_min"].as_u64().unwrap(),
            connections["answers_max"].as_u64().unwrap(),
        )
    };
    // In turn; where the machine stands still for a moment, answers come in another order.
    let (least, most) = used(&[]);
    assert!(least >= 7 && most <= 13, "{least} to {most}");
    let (least, most) = used(&["--reuse", "last"]);
    // Each core has connections of its own.
    assert!(least < 10 && most > 15, "{least} to {most}");
}

#[test]
fn a_unix_socket_is_loaded_whatever_the_url_names() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("web.sock");
    let listener = UnixListener::bind(&path).unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            thread::spawn(move || {
                let mut request = [0; 4096];
                while stream.read(&mut request).is_ok_and(|len| len > 0) {
                    let of_url = request.starts_with(b"GET /x HTTP/1.1\r\nHost: shop.example\r\n");
                    let of_socket =
                        request.starts_with(b"GET /y?z HTTP/1.1\r\nHost: localhost\r\n");
                    assert!(of_url || of_socket);
                    if stream.write_all(OK).is_err() {
                        return;
                    }
                }
            });
        }
    });
    let socket = path.to_str().unwrap();
    let common = [
        "http://shop.example/x",
        "--unix-socket",
        socket,
        "-n",
        "200",
        "-c",
        "4",
    ];
    let (code, output) = run(&[&common[..], &["--json"]].concat());
    assert_eq!(code, 0, "{}", String::from_utf8_lossy(&output.stderr));
    let result = json(&output);
    assert_eq!(result["ok"], 200, "{result}");
    assert_eq!(
        result["addresses"],
        serde_json::json!([format!("unix:{socket}")])
    );
    let url = format!("unix:{socket}:/y?z");
    let (code, output) = run(&[
        &url,
        "-n",
        "100",
        "-c",
        "4",
        "--requests-per-connection",
        "1",
    ]);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(code == 0 && said.contains("ok 100"), "{said}");
    for wrong in ["unix:", "unix:://x"] {
        let (code, output) = run(&[wrong, "-n", "1"]);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(
            code == 2 && said.contains("names no socket"),
            "{wrong}: {said}"
        );
    }
}

#[test]
fn the_schema_of_documents_is_printed_for_editors() {
    let output = Command::new(env!("CARGO_BIN_EXE_driver"))
        .arg("schema")
        .output()
        .unwrap();
    assert!(output.status.success());
    assert_eq!(output.stdout, proto::document::SCHEMA.as_bytes());
}
