//! The API over its own TLS, as `client` speaks it.

use std::io::{BufRead, BufReader};

use orchestrator::client::api::{Api, Trust};
use proto::bus::EmbeddedBroker;
use proto::message::NodeState;
use serde_json::{Value, json};

use crate::history::fill;
use crate::player::{Player, interval, last};
use crate::process::{Orchestrator, SOON, wait_for};

/// An orchestrator that speaks https, and who believes its certificate.
fn secured(folder: &std::path::Path, kafka: &str) -> (Orchestrator, Api) {
    let own = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
    let at = |name: &str| folder.join(name).to_str().unwrap().to_owned();
    std::fs::write(at("cert.pem"), own.cert.pem()).unwrap();
    std::fs::write(at("key.pem"), own.signing_key.serialize_pem()).unwrap();
    let (cert, key) = (at("cert.pem"), at("key.pem"));
    let options = [
        "--listen",
        "127.0.0.1:0",
        "--tls-cert",
        &cert,
        "--tls-key",
        &key,
    ];
    let orchestrator = Orchestrator::with(folder, kafka, &options);
    let trust = Trust {
        cacert: Some(cert.into()),
        insecure: false,
    };
    let url = format!("https://{}", orchestrator.address);
    let api = Api::with_trust(&url, None, &trust).unwrap();
    (orchestrator, api)
}

#[test]
fn a_stream_over_https_tells_each_second_and_ends_with_the_test() {
    let folder = tempfile::tempdir().unwrap();
    let broker = EmbeddedBroker::start().unwrap();
    let (orchestrator, api) = secured(folder.path(), broker.address());
    assert_ne!(orchestrator.get("/healthz").status, 200, "not in clear");
    let player = Player::new(broker.address());
    player.register("one");
    player.beat("one", NodeState::Idle, None);
    player.flush();
    wait_for("the driver to be up", || {
        let nodes = api.nodes().unwrap();
        nodes.first().filter(|node| node.is_up()).map(drop)
    });
    let made = api.post("avalanche?requests=300", &json!({})).unwrap();
    let test_id = made["TestId"].as_str().unwrap();
    player.beat("one", NodeState::Ready, Some(test_id));
    player.flush();
    api.post(&format!("trigger/{test_id}"), &json!({})).unwrap();

    let stream = api.stream(&format!("tests/{test_id}/stream")).unwrap();
    let (told, telling) = std::sync::mpsc::channel();
    let read = move || {
        let lines = BufReader::new(stream).lines().map_while(Result::ok);
        lines.for_each(|line| drop(told.send(line)));
    };
    std::thread::spawn(read);
    let mut seconds: Vec<u64> = Vec::new();
    for at in 0..3 {
        player.say("one", &interval("one", test_id, at, 300));
        player.flush();
        // Each comes while the stream goes on, and not only at its end.
        while !seconds.contains(&at) {
            let line = telling.recv_timeout(SOON).expect("a second within time");
            seconds.extend(seconds_of(&line));
        }
    }
    player.say("one", &last("one", test_id, 3));
    player.flush();
    let rest: Vec<String> = std::iter::from_fn(|| telling.recv_timeout(SOON).ok()).collect();
    assert_eq!(seconds, [0, 1, 2]);
    let end = rest
        .iter()
        .rfind(|line| line.starts_with("data: "))
        .unwrap();
    let end: Value = serde_json::from_str(&end["data: ".len()..]).unwrap();
    assert_eq!(end, json!({"test_id": test_id, "state": "done"}));
}

/// The seconds in a line of a stream, where it has any.
fn seconds_of(line: &str) -> Vec<u64> {
    let data = line.strip_prefix("data: [");
    let rows: Value = data.map_or(Value::Null, |_| {
        serde_json::from_str(&line["data: ".len()..]).unwrap()
    });
    let rows = rows.as_array().into_iter().flatten();
    rows.map(|row| row["second"].as_u64().unwrap()).collect()
}

#[test]
fn a_backup_over_https_comes_whole() {
    let folder = tempfile::tempdir().unwrap();
    fill(&folder.path().join("data"), 3000);
    let (_orchestrator, api) = secured(folder.path(), "127.0.0.1:1");
    let path = folder.path().join("backup.sqlite");
    let mut file = std::fs::File::create(&path).unwrap();
    let bytes = api.download("backup", &mut file).unwrap();
    assert!(bytes > 1 << 20, "of several pieces: {bytes}");
    let elsewhere = folder.path().join("restored.sqlite");
    assert_eq!(
        orchestrator::store::restore(&path, &elsewhere).unwrap(),
        bytes
    );
    let restored = orchestrator::store::Store::open(&elsewhere).unwrap();
    assert_eq!(restored.load().unwrap().restored.rows.len(), 3000);
}
