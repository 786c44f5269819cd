//! TLS and SASL/SCRAM with an authority of the test's own, and ACLs as the README has them.

use std::time::Duration;

use proto::bus::{self, BusSettings};
use proto::topic::Topic;
use serde_json::Value;

use crate::cluster::{Process, RUN, Rest, SOON, core, start_orchestrator, wait_for};
use crate::secured::Secured;

/// Time that a refused client has to learn it.
const REFUSAL: Duration = Duration::from_secs(8);

/// What a client with these properties is told.
fn refusal(address: &str, properties: &[(String, String)]) -> String {
    let settings = BusSettings::new(address, "test", properties).unwrap();
    bus::inspect(&settings, REFUSAL)
        .expect_err("the broker must refuse this client")
        .to_string()
}

fn assert_one_clear_line(text: &str, words: &[&str]) {
    assert_eq!(text.lines().count(), 1, "{text}");
    for word in words {
        assert!(text.contains(word), "{text:?} does not say {word:?}");
    }
}

/// `--kafka-property name=value` for each.
fn options(properties: &[(String, String)]) -> Vec<String> {
    let option = |(name, value): &(String, String)| {
        ["--kafka-property".to_owned(), format!("{name}={value}")]
    };
    properties.iter().flat_map(option).collect()
}

fn as_strs(texts: &[String]) -> Vec<&str> {
    texts.iter().map(String::as_str).collect()
}

#[test]
fn a_secured_kafka_refuses_in_words_and_serves_with_the_documented_rights() {
    let secured = Secured::start();
    let address = secured.kafka.address();
    let good = Secured::properties("driver", "driver-secret", &secured.authority);

    let wrong_password = Secured::properties("driver", "wrong", &secured.authority);
    let text = refusal(&address, &wrong_password);
    assert_one_clear_line(&text, &[&address, "password", "sasl.password"]);

    let wrong_authority = Secured::properties("driver", "driver-secret", &secured.stranger);
    let text = refusal(&address, &wrong_authority);
    assert_one_clear_line(&text, &[&address, "certificate", "ssl.ca.location"]);

    let text = refusal(&secured.expired, &good);
    assert_one_clear_line(&text, &[&secured.expired, "certificate", "expired"]);

    let text = refusal(&address, &[]);
    assert_one_clear_line(&text, &[&address, "security.protocol"]);

    secured.grant();
    a_run_needs_no_more(&secured);
    a_merger_says_what_it_lacks_and_needs_no_more(&secured);
}

/// The topics are made, a test is run, and its result is exact, with the granted rights alone.
fn a_run_needs_no_more(secured: &Secured) {
    let folder = tempfile::tempdir().unwrap();
    let address = secured.kafka.address();
    let target = Process::start(
        folder.path(),
        "testserver",
        "target",
        &["--listen", "127.0.0.1:0"],
    );
    let target_address = target.address();
    let properties = |user: &str| {
        options(&Secured::properties(
            user,
            &format!("{user}-secret"),
            &secured.authority,
        ))
    };
    let orchestrator = start_orchestrator(
        folder.path(),
        "127.0.0.1:0",
        &address,
        &target_address,
        &as_strs(&properties("orchestrator")),
    );
    let rest = Rest::new(&orchestrator.address(), &target_address);
    let target_url = format!("http://{target_address}/");
    let (own, core) = (properties("driver"), core(0));
    let mut arguments = vec![
        "--kafka",
        &address,
        "--node-id",
        "driver-1",
        "--target",
        &target_url,
        "--cores",
        &core,
    ];
    arguments.extend(as_strs(&own));
    let _driver = Process::start(folder.path(), "driver", "driver-1", &arguments);
    wait_for(SOON, "the driver to be up", || {
        let nodes = rest.get("/nodes").json;
        (nodes.to_string().contains("\"up\"")).then_some(())
    });
    let test_id = rest.post("/avalanche?requests=500&connections=8").json["TestId"].clone();
    let test_id = test_id.as_str().unwrap();
    let answer = rest.post(&format!("/trigger/{test_id}"));
    assert_eq!(answer.status, 200, "{}", answer.text);
    let result = wait_for(RUN, "the end", || {
        let result: Value = rest.get(&format!("/metrics/{test_id}")).json;
        (result["state"] == "done").then_some(result)
    });
    assert_eq!(result["ok"], 500, "{result}");
    assert_eq!(rest.target_text("/metric").trim(), "500");
}

/// One right after the other is given, as the merger's own words ask for it.
fn a_merger_says_what_it_lacks_and_needs_no_more(secured: &Secured) {
    let folder = tempfile::tempdir().unwrap();
    let address = secured.kafka.address();
    let properties = Secured::properties("merger", "merger-secret", &secured.authority);
    let own = options(&properties);
    let mut arguments = vec!["--kafka", &address];
    arguments.extend(as_strs(&own));
    let start = |name: &str| Process::start(folder.path(), "merger", name, &arguments);

    let mut waiting = start("waiting");
    let lacks = |line: &str| {
        line.contains("--operation Create --topic merged")
            .then_some(())
    };
    waiting.line(lacks);
    secured.grant_topics_of_mergers();
    // It has found them by itself, and ends for the lack of the group.
    assert_eq!(waiting.await_end(), Some(1), "{}", waiting.output());
    let errors = waiting.errors();
    assert_one_clear_line(&errors, &["kafka-acls", "--group dlts-merger"]);

    secured.grant_group_of_mergers();
    let merger = start("merger");
    merger.line(|line| line.contains("\"event\":\"partitions\"").then_some(()));
    let settings = BusSettings::new(&address, "test", &properties).unwrap();
    let cluster = bus::inspect(&settings, REFUSAL).unwrap();
    assert!(cluster.topics.contains(&Topic::Merged), "it made it");
}
