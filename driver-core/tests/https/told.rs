//! What `driver run` says of a target that speaks TLS.

use std::fs;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::certificates::Certificates;
use crate::servers::{has, nginx};

fn run(args: &[&str]) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_driver"));
    let output = command.arg("run").args(args).stdin(Stdio::null()).output();
    let output = output.unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{}", text(&output.stderr));
    text(&output.stdout)
}

#[test]
fn the_summary_and_the_result_say_what_tls_came_to() {
    if !has("nginx") {
        return;
    }
    let certificates = Certificates::new();
    let server = nginx(&certificates, "ssl_protocols TLSv1.3;");
    let target = format!("https://localhost:{}/", server.address.port());
    let resolve = format!(
        "localhost:{}:{}",
        server.address.port(),
        server.address.ip()
    );
    let common = [&target, "-n", "19", "-c", "1", "--resolve", &resolve];
    // The last connection is not used up, so that none is opened after it.
    let each = ["--requests-per-connection", "5"];
    let ca = certificates.name("ca.pem");
    let text = run(&[&common[..], &each, &["--cacert", &ca]].concat());
    for word in [
        "HTTP/1.1, TLS 1.3, TLS_AES_256_GCM_SHA384, X25519, ALPN http/1.1, 4 handshakes (75.0 % resumed)",
        "certificate of CN=the target, issued by ",
        "TLS handshake",
        "first byte",
        "(3 of them again), 4.8 requests on each",
    ] {
        assert!(text.contains(word), "{word:?} is missing in {text}");
    }
    assert!(!text.contains("not checked"), "{text}");
    server.assert_answered(19);
    let text = run(&[&common[..], &["--insecure"]].concat());
    assert!(text.contains(", not checked"), "{text}");
    assert!(text.contains("tls.insecure"), "{text}");
    let json = run(&[&common[..], &["--cacert", &ca, "--json"]].concat());
    let result: Value = serde_json::from_str(&json).unwrap();
    let node = &result["nodes"][0];
    assert_eq!(
        (&node["http"], &node["tls"]["version"]),
        (&"1.1".into(), &"TLS 1.3".into())
    );
    assert_eq!(node["tls"]["handshakes"], 1, "{node}");
}

#[test]
fn a_session_is_tried_over_tls() {
    if !has("nginx") {
        return;
    }
    let certificates = Certificates::new();
    let server = nginx(&certificates, "ssl_protocols TLSv1.3;");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("test.yaml");
    let attempt = |tls: &str| {
        let port = server.address.port();
        let text =
            format!("target: https://127.0.0.1:{port}/\ntls: {tls}\nsteps: [GET /, GET /]\n");
        fs::write(&file, text).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_driver"));
        let output = command.arg("try").arg(&file).stdin(Stdio::null()).output();
        let output = output.unwrap();
        let said = [output.stdout, output.stderr].concat();
        (
            output.status.code(),
            String::from_utf8_lossy(&said).into_owned(),
        )
    };
    let (code, said) = attempt("{insecure: true}");
    assert_eq!(code, Some(0), "{said}");
    assert!(
        said.contains("TLS 1.3") && said.contains(", not checked"),
        "{said}"
    );
    assert_eq!(said.matches("< 200").count(), 2, "{said}");
    server.assert_answered(2);
    let (code, said) = attempt("{}");
    assert_eq!(code, Some(1), "{said}");
    assert!(
        said.contains("--cacert") || said.contains("tls.ca"),
        "{said}"
    );
    server.assert_answered(2);
}

#[test]
fn sessions_show_a_certificate_of_the_client_and_shake_hands_anew() {
    if !has("nginx") {
        return;
    }
    let certificates = Certificates::new();
    certificates.write_client();
    let wanted = format!(
        "ssl_verify_client on; ssl_client_certificate {};",
        certificates.name("ca.pem")
    );
    let server = nginx(&certificates, &wanted);
    let file = certificates.path("test.yaml");
    let run = |tls: &str| {
        let port = server.address.port();
        let text = format!(
            "target: https://127.0.0.1:{port}/\n\
             tls: {{ca: ca.pem, server_name: localhost{tls}}}\n\
             defaults: {{requests_per_connection: 2, connections: 2, http: 1.1}}\n\
             steps: [{{GET: /, check: [body contains Hello]}}, GET /]\n\
             load: {{closed: 2, sessions: 9}}\n"
        );
        fs::write(&file, text).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_driver"));
        command.arg("run").arg(&file).arg("--json");
        command.stdin(Stdio::null()).output().unwrap()
    };
    let output = run(", cert: client.pem, key: client.key, resume: false");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    let result: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        (&result["ok"], &result["planned"]),
        (&18.into(), &18.into())
    );
    let tls = &result["nodes"][0]["tls"];
    assert!(tls["handshakes"].as_u64() >= Some(9), "{tls}");
    assert_eq!(tls["resumed"], 0, "{tls}");
    server.assert_answered(18);
    // nginx answers the request without one, and says why.
    let output = run("");
    let result: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(result["status_codes"]["400"], 18, "{result}");
    let bad = result["bad_answers"][0]["text"].as_str().unwrap();
    assert!(bad.contains("No required SSL certificate"), "{bad}");
}
