//! Bad input gets an error that says what is wrong and what to do, never a panic, never a hang.

use crate::cluster::{Answer, Cluster, Process, SOON, wait_for};

fn assert_refused(answer: &Answer, status: u16, word: &str) {
    assert_eq!(answer.status, status, "{}", answer.text);
    let error = answer.json["error"]
        .as_str()
        .unwrap_or_else(|| panic!("{}", answer.text));
    let hint = answer.json["hint"]
        .as_str()
        .unwrap_or_else(|| panic!("{}", answer.text));
    let text = format!("{error} {hint}");
    assert!(text.contains(word), "{text:?} does not say {word:?}");
}

#[test]
fn bad_calls_are_refused_in_words() {
    let cluster = Cluster::without_drivers();
    let rest = &cluster.rest;
    for (call, status, word) in [
        ("/tsunami/abc", 400, "3600"),
        ("/tsunami/-1", 400, "3600"),
        ("/tsunami/0", 400, "3600"),
        ("/tsunami/3601", 400, "3600"),
        ("/avalanche?requests=0", 400, "1 to 1000000000000"),
        ("/avalanche?requests=many", 400, "requests"),
        ("/avalanche?connections=0", 400, "1 to 50000"),
        ("/avalanche?connections=1000000", 400, "1 to 50000"),
        ("/avalanche?target=ftp://localhost/", 400, "http://"),
        ("/avalanche?target=http://10.1.2.3/", 400, "--allow-target"),
        ("/avalanche?nonsense=1", 400, "nonsense"),
        ("/trigger/unknown", 404, "unknown"),
        ("/stop/unknown", 404, "unknown"),
        ("/nowhere", 404, "/nowhere"),
    ] {
        assert_refused(&rest.post(call), status, word);
    }
    assert_refused(&rest.get("/metrics/unknown"), 404, "unknown");
    assert_refused(&rest.get("/tests/unknown"), 404, "unknown");
    assert_refused(&rest.get("/nowhere"), 404, "/nowhere");
    assert_refused(&rest.call("DELETE", "/tests"), 405, "GET");
    assert_refused(&rest.get("/avalanche"), 405, "POST");
    assert_refused(
        &rest.post_json("/avalanche", "{\"requests\": "),
        400,
        "JSON",
    );
    assert_refused(&rest.post_json("/avalanche", "[1]"), 400, "object");
    let large = format!("{{\"body\": \"{}\"}}", "x".repeat(10 << 20));
    let answer = rest.post_json("/avalanche", &large);
    assert!(
        [0, 413].contains(&answer.status),
        "refused, or cut off while sending: {answer:?}"
    );
    assert_eq!(rest.get("/healthz").status, 200, "and it still answers");
}

#[test]
fn a_trigger_needs_a_live_driver_and_a_fresh_test() {
    let mut cluster = Cluster::without_drivers();
    let test_id = cluster.create("/avalanche?requests=1000&connections=4");
    let trigger = format!("/trigger/{test_id}");
    assert_refused(&cluster.rest.post(&trigger), 409, "driver");
    cluster.add_driver("late");
    cluster.await_up(1);
    assert_eq!(
        cluster.rest.post(&trigger).status,
        200,
        "the same test, once there is a driver"
    );
    assert_refused(&cluster.rest.post(&trigger), 409, &test_id);
    let result = cluster.await_end(&test_id);
    assert_eq!(result["ok"], 1000, "{result}");
    assert_refused(&cluster.rest.post(&trigger), 409, "done");
    assert_refused(&cluster.rest.post(&format!("/stop/{test_id}")), 409, "done");
}

#[test]
fn without_a_broker_rest_answers_503_and_recovers_when_it_comes() {
    let folder = tempfile::tempdir().unwrap();
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let nobody = free.local_addr().unwrap().to_string();
    drop(free);
    let orchestrator = crate::cluster::start_orchestrator(
        folder.path(),
        "127.0.0.1:0",
        &nobody,
        "127.0.0.1:9",
        &[],
    );
    let rest = crate::cluster::Rest::new(&orchestrator.address(), "127.0.0.1:9");
    let health = wait_for(SOON, "the orchestrator to answer", || {
        let answer = rest.get("/healthz");
        (answer.status > 0).then_some(answer)
    });
    assert_eq!(
        health.json["broker"]["bootstrap"],
        nobody.as_str(),
        "{}",
        health.text
    );
    assert_refused(&rest.post("/avalanche"), 503, &nobody);
    assert_eq!(rest.get("/tests").status, 200);
}

#[test]
fn a_target_that_is_not_there_fails_the_run_at_once() {
    let cluster = Cluster::start(1);
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let nobody = free.local_addr().unwrap();
    drop(free);
    let test_id = cluster.create(&format!("/avalanche?requests=10&target=http://{nobody}/"));
    let answer = cluster.rest.post(&format!("/trigger/{test_id}"));
    let told = if answer.status == 200 {
        cluster.await_end(&test_id)
    } else {
        assert_eq!(answer.status, 409, "{}", answer.text);
        cluster.rest.get(&format!("/tests/{test_id}")).json
    };
    assert_eq!(told["state"], "failed", "{told}");
    let everything = format!("{told} {}", answer.text);
    assert!(everything.contains("refused"), "it says why: {everything}");
}

#[test]
fn binaries_refuse_what_they_do_not_know() {
    let folder = tempfile::tempdir().unwrap();
    for program in [
        "appliance",
        "broker",
        "driver",
        "orchestrator",
        "client",
        "testserver",
        "bench",
    ] {
        for (argument, code) in [("--help", 0), ("--version", 0), ("--no-such-option", 2)] {
            let mut process = Process::start(folder.path(), program, program, &[argument]);
            assert_eq!(process.await_end(), Some(code), "{program} {argument}");
        }
    }
}

#[test]
fn a_port_in_use_is_one_clear_line() {
    let folder = tempfile::tempdir().unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let data = ["--listen", &address, "--kafka", "127.0.0.1:9"];
    for (program, arguments) in [("testserver", &data[..2]), ("orchestrator", &data[..])] {
        let mut process = Process::start(folder.path(), program, program, arguments);
        assert_eq!(process.await_end(), Some(1), "{program}");
        let errors = process.errors();
        assert!(errors.contains(&address), "{program}: {errors}");
        assert_eq!(errors.trim().lines().count(), 1, "{program}: {errors}");
    }
}
