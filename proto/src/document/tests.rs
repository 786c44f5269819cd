//! Documents as people write them, right and wrong.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::workload::{
    Comparison, Escape, Fill, Load, OnFail, Op, Part, Pick, RowFormat, RowSource, StageArrivals,
    Subject, Template, Think,
};

const SHOP: &str = r#"
name: shop checkout
tags: {git: "${GIT_SHA:-none}", env: staging}
target: http://shop.example            # base
defaults: {headers: {Accept: application/json}, timeout: 5s, http: auto, connections: 256, ok: [200-299, 304]}
tls: {ca: ca.pem, insecure: false, server_name: shop.example}
vars: {base: /api/v2}
data:
  users: {file: users.csv, pick: unique}
  skus:  {inline: [a1, b2, c3], pick: zipf(1.1)}
flows:
  - {name: browse, weight: 7, steps: [GET $base/items?q=$skus, {think: 200ms..2s}, GET $base/items/$skus]}
  - name: buy
    weight: 3
    steps:
      - {name: login, POST: $base/login, json: {user: $users.name, n: "$int(1,5)"}, extract: {token: json $.token, csrf: header X-CSRF}, check: [status == 200], on_fail: stop}
      - {name: add, POST: $base/cart, headers: {Authorization: Bearer $token}, body: '{"n": $int(1,5), "id": "$uuid"}'}
      - repeat: 3
        until: json $.state == "done"
        steps: [GET $base/cart, {think: exp 100ms}]
load:
  - {open: 50/s, for: 10s, warmup: true}
  - {open: 50..2000/s, for: 2m}
  - {open: 2000/s, for: 5m, arrival: poisson}
  - {burst: 500, every: 2s, for: 30s}
  - {closed: 200, for: 1m}
drivers: {min: 2}
thresholds: [p99 < 250ms, error_rate < 0.1%, step(login).p99 < 400ms, check_rate >= 99.9%]
abort: [error_rate > 20% for 10s]
"#;

fn read(text: &str) -> Result<Document, InvalidDocument> {
    Document::read(text, Setting::default())
}

fn problems(text: &str) -> Vec<String> {
    let problems = read(text).unwrap_err().0;
    problems.iter().map(Problem::to_string).collect()
}

fn shown(template: &Template) -> String {
    let bytes = template.filled(|hole, out| out.extend_from_slice(format!("<{hole}>").as_bytes()));
    String::from_utf8(bytes).unwrap()
}

#[test]
fn the_shop_is_read_whole() {
    let shop = read(SHOP).unwrap();
    let scenario = &shop.scenario;
    assert_eq!(shop.name, "shop checkout");
    assert_eq!(shop.tags[0], ("git".to_owned(), "none".to_owned()));
    assert_eq!((shop.drivers_min, shop.repeat), (Some(2), 1));
    assert_eq!((scenario.connections, scenario.mix.cycle()), (256, 10));
    assert_eq!(scenario.files, ["ca.pem"]);
    assert_eq!(scenario.slots, ["token", "csrf"]);
    assert_eq!(scenario.steps.len(), 5);
    assert_eq!(scenario.data[0].pick, Pick::Unique);
    assert_eq!(scenario.data[0].columns[0].name, "name");
    let csv = RowFormat::Csv;
    let name = "users.csv".to_owned();
    assert_eq!(scenario.data[0].rows, RowSource::File { name, format: csv });
    assert!(matches!(shop.thresholds[2].of, Whose::Step(ref name) if name == "login"));
    assert_eq!(shop.abort[0].for_ns, 10 * NS_PER_S);
    assert_eq!(scenario.load.stages.len(), 5);
    assert_eq!(scenario.load.planned(Part::WHOLE), None);
}

#[test]
fn steps_become_templates() {
    let shop = read(SHOP).unwrap().scenario;
    let browse = &shop.steps[0];
    assert_eq!(browse.name, "GET $base/items?q=$skus");
    assert_eq!(shown(&browse.request.path), "/api/v2/items?q=<0>");
    assert_eq!(browse.request.holes[0].escape, Escape::UrlPart);
    assert!(!browse.ok.contains(302) && browse.ok.contains(304));
    let login = &shop.steps[2];
    assert_eq!(
        (login.name.as_str(), login.on_fail),
        ("login", OnFail::Stop)
    );
    assert_eq!(shown(&login.request.body), r#"{"user":"<0>","n":<1>}"#);
    assert_eq!(login.request.holes[1].fill, Fill::Int { from: 1, to: 5 });
    let names: Vec<&str> = login
        .request
        .headers
        .iter()
        .map(|f| f.name.as_str())
        .collect();
    assert_eq!(names, ["Accept", "Content-Type", "Cookie"]);
    assert!(login.extracts[0].is_for_header && !login.extracts[1].is_for_header);
    let add = &shop.steps[3];
    assert_eq!(shown(&add.request.headers[1].value), "Bearer <0>");
    assert_eq!(shown(&add.request.body), r#"{"n": <1>, "id": "<2>"}"#);
    let until = shop.steps[4].until.as_ref().unwrap();
    assert_eq!(until.comparison, Comparison::Equal("done".to_owned()));
}

#[test]
fn loops_become_jumps() {
    let flow = &read(SHOP).unwrap().scenario.flows[1];
    let again = Op::Again {
        depth: 0,
        to: 3,
        has_until: true,
    };
    let begin = Op::Begin { depth: 0, times: 3 };
    let think = Op::Think(Think::Exponential(100_000_000));
    assert_eq!(
        flow.ops,
        [Op::Send(2), Op::Send(3), begin, Op::Send(4), think, again]
    );
}

#[test]
fn what_is_kept_gives_the_same_scenario_again() {
    let setting = Setting {
        given: Given {
            values: BTreeMap::from([("base".to_owned(), "/$v".to_owned())]),
            environment: BTreeMap::from([("GIT_SHA".to_owned(), "abc".to_owned())]),
        },
        ..Setting::default()
    };
    let shop = Document::read(SHOP, setting).unwrap();
    let again = read(&shop.to_json()).unwrap();
    assert_eq!(again, shop);
    assert_eq!(again.to_json(), shop.to_json());
    assert_eq!(shop.tags[0].1, "abc");
    assert_eq!(
        shown(&shop.scenario.steps[0].request.path),
        "/$v/items?q=<0>"
    );
}

#[test]
fn one_line_is_a_test() {
    let one = read("target: http://localhost:8000/a?b=$$c")
        .unwrap()
        .scenario;
    assert_eq!(shown(&one.steps[0].request.path), "/a?b=$c");
    assert!(one.steps[0].request.is_fixed() && !one.cookies);
    let closed = StageArrivals::Closed { sessions: 64 };
    assert_eq!(one.load.stages[0].arrivals, closed);
    let json = r#"{"target": "http://h:1/base/", "steps": ["GET /x", "DELETE /"], "load": {"open": "3000/m", "sessions": 9}}"#;
    let two = read(json).unwrap().scenario;
    assert_eq!(shown(&two.steps[1].request.path), "/base/");
    assert_eq!(two.load.planned(Part::WHOLE), Some(9));
}

#[test]
fn everything_wrong_is_said_at_once_with_its_place() {
    let text = "\
nam: x
target: http://localhost:8000
defaults: {timeout: 5, pipeline: 0, htp: 2}
data: {users: {file: ../users.csv, pick: any}}
flows:
  - name: a
    weight: -1
    steps:
      - GET items
      - {GET: /x, POST: /y}
      - {think: long}
      - {GET: /$tokn, check: [stat == 200], headers: {Content-Length: 3, X: \"a\\r\\nb\"}}
load: [{open: fast, for: 1m}, {closed: 3}, {burst: 3, for: 1m}]
thresholds: [p98 < 1ms, step(b).p99 < 1ms]
";
    let found = problems(text);
    let expected = [
        "1:1: nam: no such key; did you mean name?",
        "3:34: defaults.pipeline: \"0\" is no whole number from 1 to 1024",
        "3:37: defaults.htp: no such key; did you mean http?",
        "4:22: data.users.file: \"../users.csv\" is not a file in the document's folder",
        "4:42: data.users.pick: \"any\" is none of next, random, unique",
        "7:13: flows[0].weight: \"-1\" is no whole number from 0",
        "9:9: flows[0].steps[0]: \"items\" is no URL",
        "10:9: flows[0].steps[1]: a step is one request; this has GET and POST",
        "11:17: flows[0].steps[2].think: \"long\" is no duration",
        "12:15: flows[0].steps[3].GET: $tokn is not known here; give it with -e",
        "12:31: flows[0].steps[3].check[0]: \"stat == 200\" is no check",
        "12:71: flows[0].steps[3].headers.Content-Length: Content-Length is written by the driver",
        "12:77: flows[0].steps[3].headers.X: \"a\\r\\nb\" has characters",
        "13:15: load[0].open: \"fast\" is no rate",
        "13:31: load[1]: a stage needs an end",
        "13:44: load[2]: bursts need every: 2s",
        "14:14: thresholds[0]: \"p98 < 1ms\" is no threshold",
        "14:25: thresholds[1]: no step has the name \"b\"",
    ];
    for expected in expected {
        let is_told = found.iter().any(|problem| problem.starts_with(expected));
        assert!(is_told, "{expected}\n  not in\n{}", found.join("\n"));
    }
}

#[test]
fn single_mistakes_are_refused_in_words() {
    let of = |rest: &str| format!("target: http://h/\n{rest}");
    for (text, words) in [
        ("steps: [GET /]".to_owned(), "no target"),
        ("target: ftp://x/".to_owned(), "does not start with http"),
        (of("flows: []"), "0 flows; 1 to 1000"),
        (of("flows: [{name: a, steps: []}]"), "at least one request"),
        (of("flows: [{name: a}]"), "a flow needs steps"),
        (
            of("flows: [{weight: 0, steps: [GET /]}]"),
            "weights are all 0",
        ),
        (
            of("flows: [{name: a, steps: [GET /]}, {name: a, steps: [GET /]}]"),
            "second flow",
        ),
        (
            of("steps: [{name: a, GET: /}, {name: a, GET: /}]"),
            "second step",
        ),
        (
            of("vars: {a: $b, b: $a}\nsteps: [GET /$a]"),
            "a circle of variables",
        ),
        (of("vars: {a: $b, b: $a}"), "a circle of variables"),
        (of("steps: [GET /#x]"), "fragment"),
        (of("steps: [{POST: /, body: a, json: {}}]"), "one body"),
        (
            of("steps: [{POST: /, file: /etc/passwd}]"),
            "not a file in the document's folder",
        ),
        (
            of("steps: [{GET: /, headers: {X: $token}}]"),
            "$token is not known",
        ),
        (of("data: {d: {inline: [{a: 1}, {b: 2}]}}"), "a is missing"),
        (
            of("data: {d: {inline: [{a: 1, b: 2}]}}\nsteps: [GET /$d]"),
            "there are $d.a, $d.b",
        ),
        (
            of("data: {d: {inline: [\"a\\nb\"]}}\nsteps: [{GET: /, headers: {X: $d}}]"),
            "row 0",
        ),
        (
            of("steps: [{GET: /, until: status == 200}]"),
            "until ends a repeat",
        ),
        (
            of("steps: [{repeat: 2, steps: [{think: 1s}]}]"),
            "at least one request",
        ),
        (of("steps: [{GET: http://$uuid.x/}]"), "host differs"),
        (
            of("load: [{closed: 3, sessions: 3}, {closed: 3, for: 1s}]"),
            "only the last stage",
        ),
        (
            of("load: {open: 9999/s, for: 24h, arrival: poisson}"),
            "at most 50000000",
        ),
        (
            of("load: {closed: 1, for: 1s, warmup: true}"),
            "only warms up",
        ),
        (
            of("load: {closed: 1, open: 3/s, for: 1s}"),
            "exactly one of",
        ),
        (
            of("load: {closed: 1, for: 1s, every: 1s}"),
            "it needs burst",
        ),
        (of("abort: [error_rate > 20%]"), "has no time"),
        (
            of("defaults: {headers: {Authorization: \"********\"}}"),
            "$secret(NAME)",
        ),
        (of("defaults: {http: 3}"), "none of auto, 1.1"),
        ("[1]".to_owned(), "expected a map"),
    ] {
        let found = problems(&text).join("\n");
        assert!(found.contains(words), "{text}: {found}");
    }
}

#[test]
fn targets_that_are_not_allowed_are_refused_where_they_stand() {
    let setting = Setting {
        allowed: Box::new(|target| {
            let is_known = target.host == "h";
            is_known
                .then_some(())
                .ok_or_else(|| format!("{} is not allowed", target.host))
        }),
        ..Setting::default()
    };
    let text = "target: http://h/\nsteps: [GET http://h/a, GET http://other:1/b]";
    let problems = Document::read(text, setting).unwrap_err().0;
    assert_eq!(
        problems[0].to_string(),
        "2:25: steps[1]: other is not allowed"
    );
    assert_eq!(problems.len(), 1);
}

#[test]
fn other_targets_have_their_own_numbers() {
    let text =
        "target: http://h/base\nsteps: [GET http://h/a, 'GET http://o:1?x', GET http://o:1/b]";
    let scenario = read(text).unwrap().scenario;
    let of = |step: usize| {
        let request = &scenario.steps[step].request;
        (request.target, shown(&request.path))
    };
    assert_eq!(scenario.targets.len(), 2);
    assert_eq!(of(0), (0, "/a".to_owned()));
    assert_eq!(of(1), (1, "/?x".to_owned()));
    assert_eq!(of(2), (1, "/b".to_owned()));
}

#[test]
fn given_values_that_nothing_uses_are_told() {
    let given = Given {
        values: BTreeMap::from([("RTE".to_owned(), "1".to_owned())]),
        ..Given::default()
    };
    let setting = Setting {
        given,
        ..Setting::default()
    };
    let error = Document::read("target: http://h/", setting).unwrap_err();
    assert!(
        error.to_string().contains("nothing here uses $RTE"),
        "{error}"
    );
}

#[test]
fn rates_and_times_can_be_variables() {
    let text =
        "target: $HOST\nvars: {HOST: 'http://h/', RATE: 5/s}\nload: {open: $RATE, for: '${T:-3s}'}";
    let Load { stages, .. } = read(text).unwrap().scenario.load;
    assert_eq!(stages[0].expected(), Some(15));
}

#[test]
fn secrets_are_masked_and_their_names_stay() {
    let text = r#"
target: http://h/
vars: {key: abc, base: /v, token: "x$key"}
defaults: {headers: {Authorization: Bearer $secret(TOKEN), X-Api-Key: $token, Accept: a}}
steps: [{GET: $base, headers: {cookie: [a=1, $base]}}]
"#;
    let document = read(text).unwrap();
    assert_eq!(document.scenario.secrets, ["TOKEN"]);
    let masked = document.to_masked_json();
    assert!(masked.contains("Bearer $secret(TOKEN)"), "{masked}");
    assert!(masked.contains(r#""key":"********""#), "{masked}");
    assert!(masked.contains(r#""token":"********""#), "{masked}");
    assert!(
        masked.contains(r#""cookie":["********","$base"]"#),
        "{masked}"
    );
    assert!(masked.contains(r#""Accept":"a""#), "{masked}");
    assert!(problems(&masked).join(" ").contains("$secret(NAME)"));
}

#[test]
fn settled_scenarios_have_their_secrets_and_files() {
    let text =
        "target: http://h/\nsteps: [{POST: '/$secret(K)', file: a.bin, headers: {X: $secret(K)}}]";
    let scenario = read(text).unwrap().scenario;
    let nothing = |_: &str| None;
    let missing = scenario.clone().settled(&nothing, &|_| None).unwrap_err();
    assert_eq!(missing.len(), 2, "{missing:?}");
    let file = |name: &str| (name == "a.bin").then(|| b"bytes".to_vec());
    let settled = scenario
        .settled(&file, &|_| Some("a/b".to_owned()))
        .unwrap();
    let request = &settled.steps[0].request;
    assert_eq!(shown(&request.path), "/a%2Fb");
    assert_eq!(shown(&request.headers[0].value), "a/b");
    assert_eq!(shown(&request.body), "bytes");
}

#[test]
fn extracts_are_known_from_the_next_step_on_and_in_their_flow_only() {
    let text = "
target: http://h/
flows:
  - steps: [{GET: /a, extract: {id: json $.id}}, GET /$id, 'GET $id']
  - steps: [GET /$id]
";
    let found = problems(text);
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].starts_with("5:13: flows[1].steps[0]"), "{found:?}");
    let text = text.replace("  - steps: [GET /$id]\n", "");
    let scenario = read(&text).unwrap().scenario;
    assert_eq!(scenario.steps[2].request.holes[0].escape, Escape::Path);
    let from = &scenario.steps[0].extracts[0].from;
    assert!(matches!(from, Subject::Json(path) if path.to_string() == "$['id']"));
}

proptest! {
    #[test]
    fn no_text_makes_it_panic(text in ".{0,200}") {
        let _ = read(&text);
    }

    #[test]
    fn no_change_of_a_document_makes_it_panic(at in 0..SHOP.len(), with in "[ -~\n]{0,3}", len in 0_usize..9) {
        let end = (at + len).min(SHOP.len());
        let text = format!("{}{with}{}", &SHOP[..at], &SHOP[end..]);
        if let Ok(document) = read(&text) {
            prop_assert_eq!(read(&document.to_json()).unwrap(), document);
        }
    }
}
