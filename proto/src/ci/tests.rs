//! The XML is read back by another parser, and has the shape that readers take.

use serde_json::json;

use super::*;

fn brief(fields: &serde_json::Value) -> Brief {
    let mut all = json!({
        "test_id": "t", "state": "done", "sent": 100, "ok": 98, "errors": {"status": 2},
        "elapsed_s": 10.0, "requests_per_second": 9.8, "accounting": {"holds": true},
        "metrics": {"p50_latency": 1.0, "p99_latency": 7.5},
        "thresholds": [
            {"threshold": "p99<5ms", "observed": 7.5, "pass": false},
            {"threshold": "error_rate<5%", "observed": 0.02, "pass": true},
        ],
    });
    let into = all.as_object_mut().unwrap();
    into.extend(fields.as_object().unwrap().clone());
    serde_json::from_value(all).unwrap()
}

fn step(failed: u64) -> serde_json::Value {
    let statistics = json!(crate::summary::Statistics::default());
    json!([{
        "name": "ping", "flow": "talk", "sent": 9, "ok": 9, "status": 0, "failed": failed, "lost": 0,
        "without_value": 0, "missing": 0, "response": statistics, "service": statistics,
        "checks": [
            {"check": "json $.a == \"<&>|x\"", "held": 9 - failed, "failed": failed},
            {"check": "json $.a == \"<&>|x\"", "held": 9, "failed": 0},
        ],
    }])
}

/// Each case as class, name, and its child with its message.
fn cases(xml: &str) -> Vec<(String, String, String, String)> {
    let tree = roxmltree::Document::parse(xml).unwrap();
    let root = tree.root_element();
    assert_eq!(root.tag_name().name(), "testsuites");
    let mut cases = Vec::new();
    for suite in root.children().filter(roxmltree::Node::is_element) {
        assert_eq!(suite.tag_name().name(), "testsuite");
        let of_suite: Vec<_> = suite
            .children()
            .filter(|node| node.has_tag_name("testcase"))
            .collect();
        let children = |name: &str| {
            let has = |case: &&roxmltree::Node| case.children().any(|node| node.has_tag_name(name));
            of_suite.iter().filter(has).count().to_string()
        };
        assert_eq!(suite.attribute("tests"), Some(&*of_suite.len().to_string()));
        assert_eq!(suite.attribute("failures"), Some(&*children("failure")));
        assert_eq!(suite.attribute("errors"), Some(&*children("error")));
        for case in of_suite {
            let attribute = |name| case.attribute(name).unwrap_or_default().to_owned();
            let mut status = case.children().filter(|node| {
                ["failure", "error", "skipped"]
                    .iter()
                    .any(|name| node.has_tag_name(*name))
            });
            let (word, message) = status
                .next()
                .map_or((String::new(), String::new()), |node| {
                    let message = node.attribute("message").unwrap_or_default().to_owned();
                    (node.tag_name().name().to_owned(), message)
                });
            cases.push((attribute("classname"), attribute("name"), word, message));
        }
    }
    let mut names: Vec<_> = cases.iter().map(|case| (&case.0, &case.1)).collect();
    names.sort();
    names.dedup();
    assert_eq!(
        names.len(),
        cases.len(),
        "readers take cases of one name for one"
    );
    cases
}

fn words(cases: &[(String, String, String, String)]) -> Vec<&str> {
    cases.iter().map(|case| case.2.as_str()).collect()
}

#[test]
fn a_breached_threshold_is_a_failure_with_what_was_asked_and_seen() {
    let findings = Findings::of_run("http://h/", &brief(&json!({})), &Asked::default());
    let xml = findings.to_junit().unwrap();
    let of = cases(&xml);
    assert_eq!(words(&of), ["", "failure", ""]);
    assert_eq!(of[1].0, "dlts.run.threshold");
    assert_eq!((of[1].1.as_str(), of[1].3.as_str()), ("p99<5ms", "7.5"));
    assert!(xml.contains("asked: p99&lt;5ms\nseen: 7.5"), "{xml}");
    let markdown = findings.to_markdown();
    for line in [
        "## breached: http://h/\n",
        "9.8 ok/s in 10.0 s: 100 sent, 2.000 % failed; verdict valid\n",
        "| ms | min | mean | p50 | p90 | p99 | p99.9 | max |\n| --- | --: | --: ",
        "| response | - | - | 1.000 | - | 7.500 | - | - |\n",
        "| **FAIL** | threshold | p99&lt;5ms | 7.5 |  |\n",
        "| pass | threshold | error\\_rate&lt;5% | 0.02 |  |\n",
    ] {
        assert!(markdown.contains(line), "{line}\n{markdown}");
    }
}

#[test]
fn a_check_fails_only_with_its_run() {
    let asked = Asked::default();
    let bad = Findings::of_run("t", &brief(&json!({"steps": step(2)})), &asked);
    let of = cases(&bad.to_junit().unwrap());
    assert_eq!(words(&of)[3..], ["failure", ""]);
    assert_eq!(of[3].3, "7 answers held, 2 did not");
    assert_eq!(
        of[3].1,
        "json $.a == \"<&>|x\" (step \"ping\" of flow \"talk\")"
    );
    assert!(of[4].1.ends_with(" #2"), "{}", of[4].1);
    let good = brief(&json!({"steps": step(2), "thresholds": []}));
    let good = Findings::of_run("t", &good, &asked);
    assert_eq!(
        words(&cases(&good.to_junit().unwrap())),
        ["", "skipped", ""]
    );
    let markdown = good.to_markdown();
    let row = "| noted | check | json \\$.a == \"&lt;&amp;&gt;\\|x\" | 7 answers held, 2 did not |";
    assert!(markdown.contains(row), "{markdown}");
}

#[test]
fn what_says_nothing_is_an_error_and_a_condition_that_ended_a_run_a_failure() {
    let asked = Asked::default();
    let verdict = json!({"verdict": "invalid", "reasons": ["nothing was\u{1b}[31m ok"]});
    let invalid = Findings::of_run("t", &brief(&json!({"verdict": verdict})), &asked);
    let of = cases(&invalid.to_junit().unwrap());
    assert_eq!(of[0].2, "error");
    assert!(of[0].3.starts_with("invalid: nothing was") && !of[0].3.contains('\u{1b}'));
    let fields = json!({"state": "aborted", "aborted_by": "error_rate > 5% for 2s"});
    let aborted = Findings::of_run("t", &brief(&fields), &asked);
    let of = cases(&aborted.to_junit().unwrap());
    assert_eq!((of[0].2.as_str(), of[3].2.as_str()), ("", "failure"));
    assert_eq!(of[3].1, "not error_rate > 5% for 2s");
    let none = Findings::of_error("t", "no connection to 127.0.0.1 port 1");
    assert_eq!(words(&cases(&none.to_junit().unwrap())), ["error"]);
}

#[test]
fn each_run_of_a_set_is_a_suite() {
    let mut set = Repeats::new(3, 1.0);
    let run = |id: &str| brief(&json!({"test_id": id, "thresholds": []}));
    let runs = [run("a"), run("b")];
    set.add(&runs[0]);
    set.add_failed(None, "no connection".to_owned());
    set.add(&runs[1]);
    let findings = Findings::of_set("t", &set, &runs, &Asked::default());
    let of = cases(&findings.to_junit().unwrap());
    assert_eq!(words(&of), ["", "error", ""]);
    assert_eq!(of[1].0, "dlts.run-2.validity");
    let markdown = findings.to_markdown();
    for line in [
        "## failed: t\n\n2 of 3 runs counted\n",
        "| ok/s | 9.8 | 9.8 | 9.8 | 0.0 % |\n",
        "\n### run 2\n",
    ] {
        assert!(markdown.contains(line), "{line}\n{markdown}");
    }
}

#[test]
fn what_ends_a_set_between_its_runs_is_an_error() {
    let mut set = Repeats::new(3, 1.0);
    let run = brief(&json!({"thresholds": []}));
    set.add(&run);
    set.interrupted = true;
    let findings = Findings::of_set("t", &set, &[run], &Asked::default());
    let of = cases(&findings.to_junit().unwrap());
    assert_eq!(words(&of), ["", "error"]);
    assert_eq!(of[1].3, "interrupted after 1 of 3 runs");
    let run = brief(&json!({"state": "interrupted", "thresholds": []}));
    set.add(&run);
    let findings = Findings::of_set("t", &set, &[run], &Asked::default());
    assert_eq!(findings.groups.len(), 2, "the run tells of it");
}

#[test]
fn what_is_wrong_beside_is_an_error_and_no_character_breaks_the_report() {
    let run = brief(&json!({"thresholds": []}));
    let run = Findings::of_run("t\u{ffff}", &run, &Asked::default());
    let of = run.with_error("logs", "the disk\u{fffe} is full\u{0}");
    let of = cases(&of.to_junit().unwrap());
    assert_eq!(words(&of), ["", "error"]);
    assert_eq!(of[1].3, "the disk is full");
}

#[test]
fn figures_of_a_comparison_have_units_and_a_tolerance_its_own_digits() {
    use crate::comparison::{Run, Terms, compare};
    let terms = Terms {
        tolerance: 0.07,
        ..Terms::default()
    };
    let none = compare(&[Run::default()], &[Run::default()], &terms);
    assert_eq!(format!("{} %", none.tolerance_percent()), "7 %");
    let line = Figure {
        base: Some(0.02),
        test: Some(0.01),
        change: Some(-0.01),
        ..none.error_rate
    };
    let seen = comparison("errors", &line, 7.0).seen;
    assert!(seen.starts_with("1 % after 2 %: -1.0 points"), "{seen}");
    let seen = comparison("response p99", &line, 7.0).seen;
    assert!(seen.starts_with("0.01 ms after 0.02 ms: -1.0 %"), "{seen}");
}

#[test]
fn a_comparison_is_a_case_a_line() {
    use crate::comparison::{Run, Terms, compare};
    let set = |rate: f64| -> Vec<Run> {
        let run = |at: i32| Run {
            id: format!("r{rate}-{at}"),
            requests_per_second: Some(rate + f64::from(at)),
            tried: 1000,
            ..Run::default()
        };
        (0..5).map(run).collect()
    };
    let worse = Findings::of_comparison(&compare(&set(1000.0), &set(500.0), &Terms::default()));
    let of = cases(&worse.to_junit().unwrap());
    assert_eq!(of[0].2, "", "{of:?}");
    assert_eq!(of[1].1, "ok/s is not worse by more than 5 %");
    assert_eq!(of[1].2, "failure");
    assert!(of[1].3.contains("502 after 1002: -49.9 % ("), "{}", of[1].3);
    assert!(of[2].3.is_empty() || of[2].3.contains("0 % after 0 %"));
    let noted = worse.clone().noted();
    assert!(!words(&cases(&noted.to_junit().unwrap())).contains(&"failure"));
    assert!(worse.to_markdown().starts_with("## worse: "));
    let one = compare(&set(1000.0)[..1], &set(500.0)[..1], &Terms::default());
    let one = cases(&Findings::of_comparison(&one).to_junit().unwrap());
    assert_eq!(words(&one), ["error", "skipped", "skipped"]);
}
