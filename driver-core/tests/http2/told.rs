//! What `driver run` says of a target that speaks HTTP/2.

use std::process::{Command, Stdio};

use crate::nghttpd::start;

#[test]
fn the_summary_names_the_protocol_and_the_streams() {
    let Some(nghttpd) = start(&[]) else { return };
    let target = format!("http://127.0.0.1:{}/index.html", nghttpd.port);
    let output = Command::new(env!("CARGO_BIN_EXE_driver"))
        .args([
            "run",
            &target,
            "--http",
            "h2c",
            "-n",
            "40",
            "-c",
            "2",
            "--pipeline",
            "4",
        ])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success(),
        "{text}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let said = text.matches("HTTP/2 without TLS").count();
    assert_eq!(said, 2, "at the start and at the end: {text}");
    for word in ["2 connections of 4 streams", "ok 40", "errors 0"] {
        assert!(text.contains(word), "{word:?} is missing in {text}");
    }
}
