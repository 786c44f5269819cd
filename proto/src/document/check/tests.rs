//! Ranges and defaults.

use serde_json::{Value, json};

use super::*;
use crate::workload::Rate;

const TARGET: &str = "http://127.0.0.1:8000/";

fn check(kind: TestType, gap_s: f64, values: Value) -> Checked<Workload> {
    let Value::Object(values) = values else {
        panic!("not an object")
    };
    let params = Params::from_values(values)?;
    Workload::from_params(kind, gap_s, &params, &Defaults::of_rest(kind, TARGET))
}

fn avalanche(values: Value) -> Checked<Workload> {
    check(TestType::Avalanche, 0.0, values)
}

#[test]
fn the_defaults_are_those_of_the_contract() {
    let workload = avalanche(json!({})).unwrap();
    assert_eq!(
        workload.limit,
        Limit {
            requests: Some(100_000),
            duration_ns: None
        }
    );
    assert_eq!((workload.connections, workload.pipeline), (64, 1));
    assert_eq!(workload.timeout_ns, 30_000_000_000);
    assert_eq!(workload.arrival, Arrival::ClosedLoop);
    let workload = check(TestType::Tsunami, 2.0, json!({})).unwrap();
    assert_eq!(workload.limit.requests, Some(500));
    assert_eq!(
        workload.arrival,
        Arrival::Bursts {
            gap_ns: 2_000_000_000,
            burst: 100
        }
    );
    assert_eq!(workload.connections, 100);
    let wide = check(TestType::Tsunami, 2.0, json!({"burst": 5000})).unwrap();
    assert_eq!(wide.connections, 1024);
    let narrow = check(TestType::Tsunami, 2.0, json!({"burst": 1})).unwrap();
    assert_eq!(narrow.connections, 64);
}

#[test]
fn a_rate_makes_an_open_loop_of_either_kind() {
    let rate = Arrival::Rate(Rate::from_milli(2_500).unwrap());
    assert_eq!(avalanche(json!({"rate": 2.5})).unwrap().arrival, rate);
    assert_eq!(
        check(TestType::Tsunami, 1.0, json!({"rate": "2.5"}))
            .unwrap()
            .arrival,
        rate
    );
    let ramp = avalanche(json!({"ramp": "10:20", "duration_s": 3})).unwrap();
    assert!(matches!(&ramp.arrival, Arrival::Stages(s) if s[0].duration_ns == 3_000_000_000));
    assert_eq!(
        ramp.limit,
        Limit {
            requests: None,
            duration_ns: Some(3_000_000_000)
        }
    );
}

#[test]
fn the_longest_body_fits_a_message_whatever_its_bytes() {
    for byte in [0, b'"', b'a', 0xff] {
        let body = vec![byte; BODY_LEN_MAX];
        let workload = avalanche(json!({"body_base64": BASE64.encode(&body)})).unwrap();
        let params = workload.to_params();
        let length = serde_json::to_vec(&params).unwrap().len();
        assert!(length < 800_000, "{length} bytes for {byte}");
        let again = avalanche(serde_json::to_value(&params).unwrap()).unwrap();
        assert_eq!(again.request.body, body);
    }
}

#[test]
fn what_is_out_of_range_is_named_with_its_range() {
    for (values, name, word) in [
        (json!({"requests": 0}), "requests", "1 to 1000000000000"),
        (json!({"connections": 0}), "connections", "1 to 50000"),
        (
            json!({"connections": 1_000_000}),
            "connections",
            "1 to 50000",
        ),
        (json!({"pipeline": 0}), "pipeline", "1 to 1024"),
        (json!({"timeout_ms": 0}), "timeout_ms", "3600000"),
        (json!({"timeout_ms": 0.001}), "timeout_ms", "millisecond"),
        (json!({"deadline_ms": -5}), "deadline_ms", "-5"),
        (json!({"duration_s": 1e9}), "duration_s", "604800"),
        (json!({"warmup_s": -1}), "warmup_s", "3600"),
        (json!({"target": "ftp://x/"}), "target", "https"),
        (json!({"http": "3"}), "http", "auto, 1.1, 2, h2c"),
        (json!({"http": 2}), "http", "https://, or h2c"),
        (
            json!({"http": "h2c", "target": "https://x/"}),
            "http",
            "http://, or 2",
        ),
        (json!({"reuse": "middle"}), "reuse", "none of first, last"),
        (
            json!({"requests_per_connection": 0}),
            "requests_per_connection",
            "1 to 4294967295",
        ),
        (json!({"method": "GET / HTTP/1.1\r\nX:"}), "method", "GET"),
        (json!({"method": "CONNECT"}), "method", "CONNECT"),
        (
            json!({"headers": {"A\r\nB": "1"}}),
            "headers",
            "header field",
        ),
        (
            json!({"headers": {"A": "1\r\nB: 2"}}),
            "headers",
            "characters",
        ),
        (
            json!({"headers": {"Content-Length": "3"}}),
            "headers",
            "driver",
        ),
        (
            json!({"headers": {"transfer-encoding": "chunked"}}),
            "headers",
            "driver",
        ),
        (
            json!({"body": "a", "body_base64": "YQ=="}),
            "body_base64",
            "together",
        ),
        (json!({"body_base64": "%"}), "body_base64", ""),
        (
            json!({"body": "x".repeat(BODY_LEN_MAX + 1)}),
            "body",
            "524288",
        ),
        (json!({"rate": "1:2"}), "rate", "duration_s"),
        (json!({"rate": 1, "stages": "1@1s"}), "stages", "rate"),
        (json!({"threshold": "p99"}), "threshold", "p99"),
    ] {
        let error = avalanche(values.clone()).unwrap_err();
        assert_eq!(error.name, name, "{values}");
        assert!(error.problem.contains(word), "{values}: {error}");
    }
    for gap_s in [0.0, -1.0, 3601.0, f64::NAN, f64::INFINITY] {
        let error = check(TestType::Tsunami, gap_s, json!({})).unwrap_err();
        assert_eq!(error.name, "seconds", "{gap_s}");
    }
}

#[test]
fn tls_is_asked_for_in_an_object_or_by_names_with_a_dot() {
    let tls = |mut values: Value| {
        values["target"] = json!("https://shop.example/");
        avalanche(values)
    };
    let object = tls(json!({"tls": {"insecure": "yes", "resume": false, "server_name": "a"}}));
    let dotted = tls(json!({"tls.insecure": true, "tls.resume": "no", "tls.server_name": "a"}));
    let (object, dotted) = (object.unwrap(), dotted.unwrap());
    assert_eq!(object, dotted);
    assert!(object.tls.insecure && !object.tls.resume);
    let params = serde_json::to_value(object.to_params()).unwrap();
    assert_eq!(
        params["tls"],
        json!({"insecure": true, "resume": false, "server_name": "a"})
    );
    assert_eq!(avalanche(params).unwrap(), object);
    for (values, name, word) in [
        (
            json!({"tls": {"cafile": "x"}}),
            "tls.cafile",
            "known: tls.ca",
        ),
        (
            json!({"tls": {"ca": "x"}, "tls.ca": "y"}),
            "tls.ca",
            "twice",
        ),
        (json!({"tls": "x", "tls.ca": "y"}), "tls.ca", "twice"),
        (
            json!({"tls": {"ca": "x", "insecure": true}}),
            "tls.insecure",
            "one",
        ),
        (json!({"tls": {"cert": "x"}}), "tls.cert", "tls.key"),
        (json!({"tls": {"key": "x"}}), "tls.key", "tls.cert"),
        (
            json!({"tls": {"cert": "x", "key": "-----BEGIN PRIVATE KEY-----"}}),
            "tls.key",
            "do not travel",
        ),
        (
            json!({"tls": {"ca": "x".repeat(5000)}}),
            "tls.ca",
            "1 to 4096",
        ),
        (json!({"tls": {"ca": ""}}), "tls.ca", "1 to 4096"),
    ] {
        let error = tls(values.clone()).unwrap_err();
        assert_eq!(error.name, name, "{values}");
        assert!(error.problem.contains(word), "{values}: {error}");
    }
    let without = avalanche(json!({"tls.insecure": true})).unwrap_err();
    assert!(without.problem.contains("write https://"), "{without}");
    assert_eq!(avalanche(json!({"tls": {}})).unwrap().tls, Tls::default());
}
