//! The acceptance test of HdrHistogram's author for load generators: half of the time the target
//! answers within a millisecond, half of the time it is frozen, and the percentiles must say so.
//! (Gil Tene, "How NOT to Measure Latency"; the same figures are in HdrHistogram's documentation of
//! `recordValueWithExpectedInterval`.)

use std::time::Duration;

use serde_json::Value;

use crate::cluster::{Cluster, Process, SOON, Signal, wait_for};

/// Steady answers for so long, then none.
const HALF: Duration = Duration::from_secs(20);

#[test]
fn a_target_frozen_for_half_of_a_run_has_a_p75_of_half_the_pause() {
    let cluster = Cluster::without_drivers();
    let target = format!("http://{}/?delay=1ms", cluster.rest.target);
    let mut driver = Process::start(
        cluster.folder.path(),
        "driver",
        "local",
        &[
            "run",
            &target,
            "--connections",
            "8",
            "--rate",
            "500",
            "--duration",
            "40s",
            "--timeout",
            "60s",
            "--json",
        ],
    );
    wait_for(SOON, "the first request", || {
        (cluster.seen() > 0).then_some(())
    });
    std::thread::sleep(HALF);
    cluster.target.signal(Signal::STOP);
    std::thread::sleep(HALF);
    cluster.target.signal(Signal::CONT);
    // A verdict on a loaded machine may be what it will: the percentiles are the test.
    driver.await_end();

    let result: Value = serde_json::from_str(&driver.output()).unwrap();
    assert_eq!(result["ok"], 20_000, "{}", driver.errors());
    assert_eq!(cluster.seen(), 20_000);
    let ms = |value: &Value| {
        value
            .as_f64()
            .unwrap_or_else(|| panic!("{value} is no time"))
    };
    let curve = result["curve"].as_array().unwrap();
    let point = curve.iter().find(|point| point["quantile"] == 0.75);
    let p75 = ms(&point.unwrap()["response_ms"]);
    assert!((9_000.0..12_500.0).contains(&p75), "response p75 {p75} ms");
    let p999 = ms(&result["service"]["p99_9_latency"]);
    assert!(p999 < 500.0, "service p99.9 {p999} ms");
    let max = ms(&result["service"]["max_latency"]);
    assert!((19_500.0..22_000.0).contains(&max), "service max {max} ms");
    eprintln!("response p75 {p75} ms, service p99.9 {p999} ms, service max {max} ms");
}
