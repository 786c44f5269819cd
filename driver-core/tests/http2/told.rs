//! What `driver run` says of a target that speaks HTTP/2.

use std::process::{Command, Stdio};

use serde_json::Value;

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

#[test]
fn sessions_walk_over_streams() {
    let Some(nghttpd) = start(&[]) else { return };
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("test.yaml");
    let document = format!(
        "target: http://127.0.0.1:{}\ndefaults: {{http: h2c, connections: 2, pipeline: 5}}\nsteps:\n\
         - {{name: first, GET: /index.html, extract: {{tag: header last-modified, kind: header server}}, \
              check: [status == 200, header server contains nghttpd]}}\n\
         - {{name: second, GET: /index.html?of=$kind, headers: {{If-Modified-Since: $tag}}, ok: [200, 304]}}\n\
         - {{name: third, GET: /missing, ok: 404}}\n\
         - {{name: fourth, GET: /missing}}\n\
         load: {{closed: 10, sessions: 100}}\n",
        nghttpd.port
    );
    std::fs::write(&file, document).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_driver"))
        .arg("run")
        .arg(&file)
        .arg("--json")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let said = [&output.stderr[..], &output.stdout].concat();
    let said = String::from_utf8_lossy(&said);
    assert_eq!(output.status.code(), Some(0), "{said}");
    let result: Value = serde_json::from_slice(&output.stdout).unwrap();
    let steps = result["steps"].as_array().unwrap();
    let of = |figure: &str| -> Vec<u64> {
        let numbers = steps.iter().map(|step| step[figure].as_u64().unwrap());
        numbers.collect()
    };
    assert_eq!(of("ok"), [100, 100, 100, 0], "{result}");
    assert_eq!(of("status"), [0, 0, 0, 100], "{result}");
    assert_eq!(of("missing"), [0; 4], "{result}");
    assert_eq!(result["nodes"][0]["http"], "2");
    let bad = &result["bad_answers"][0];
    assert_eq!(
        (&bad["step"], &bad["why"]),
        (&"fourth".into(), &"status 404".into())
    );
    let text = bad["text"].as_str().unwrap();
    assert!(text.starts_with("HTTP/2 404\r\n"), "{text}");
    assert!(text.contains("\r\nserver: nghttpd"), "{text}");
    assert!(text.contains("\r\n\r\n<html>"), "{text}");
}
