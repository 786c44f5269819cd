//! nghttpd, the reference implementation: many answers in one write, streams above its limit
//! refused, a table that follows our setting.

use std::path::Path;

use crate::client::{Load, get, post};
use crate::program::{Program, find};

pub(crate) fn start(arguments: &[&str]) -> Option<Program> {
    let nghttpd = find("nghttpd", "apt-get install -y nghttp2-server")?;
    let own: Vec<String> = arguments.iter().map(|text| (*text).to_owned()).collect();
    let arguments = |port: u16, folder: &Path| {
        std::fs::write(folder.join("index.html"), "Hello World").unwrap();
        let folder = format!("--htdocs={}", folder.display());
        let fixed = ["--no-tls", "--address=127.0.0.1", "--verbose", &folder].map(str::to_owned);
        [fixed.to_vec(), own, vec![port.to_string()]].concat()
    };
    Some(Program::on_port(&nghttpd, arguments))
}

/// Answers that it says it sent.
fn answered(nghttpd: &Program, expected: u64) -> u64 {
    nghttpd.lines("stdout", expected, |line| {
        line.contains("send HEADERS frame")
    })
}

#[test]
fn answers_of_many_streams_in_one_write_are_each_told() {
    let Some(nghttpd) = start(&[]) else { return };
    let tally = Load::new(&[get("/index.html"), get("/missing")], 2000, 1000).run(nghttpd.port);
    assert_eq!((tally.statuses[&200], tally.statuses[&404]), (1000, 1000));
    assert_eq!((tally.most_in_flight, tally.connections), (100, 1));
    assert_eq!(answered(&nghttpd, 2000), 2000);
}

#[test]
fn streams_above_its_limit_come_back_and_are_answered_later() {
    let Some(nghttpd) = start(&["--max-concurrent-streams=20"]) else {
        return;
    };
    let mut load = Load::new(&[get("/index.html")], 300, 150);
    // As if the peer had no limit: what it says itself comes after the first requests.
    load.forged = b"\0\0\0\x04\0\0\0\0\0".to_vec();
    let tally = load.run(nghttpd.port);
    assert_eq!(tally.most_in_flight, 150);
    assert!(tally.returned >= 100, "{tally:?}");
    assert_eq!((tally.answered(), tally.sent), (300, 300 + tally.returned));
    assert_eq!(answered(&nghttpd, 300), 300);
}

#[test]
fn small_windows_and_tables_are_followed() {
    let small = [
        "--window-bits=10",
        "--connection-window-bits=12",
        "--encoder-header-table-size=0",
    ];
    let small = [
        &small[..],
        &["--header-table-size=0", "--trailer=x: y", "--echo-upload"],
    ]
    .concat();
    let Some(nghttpd) = start(&small) else { return };
    let tally = Load::new(&[post("/", 50_000), get("/index.html")], 40, 8).run(nghttpd.port);
    assert_eq!(tally.statuses[&200], 40);
}

#[test]
fn padded_frames_are_read() {
    let Some(nghttpd) = start(&["--padding=50"]) else {
        return;
    };
    let tally = Load::new(&[get("/index.html")], 200, 16).run(nghttpd.port);
    assert_eq!(tally.statuses[&200], 200);
}
