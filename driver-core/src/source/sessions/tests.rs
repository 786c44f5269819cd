//! Sessions against a server of the test's own, in the test's own time.

use proptest::prelude::*;
use proto::document::{Document, Setting};

use super::*;
use crate::protocol::Fields;
use crate::source::{Answer, Source};

mod loops;
mod replays;
mod servers;

const MS: u64 = 1_000_000;

/// A request as the server sees it, and when.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Request {
    intended_ms: u64,
    line: String,
    headers: Vec<String>,
    body: String,
}

impl Request {
    fn header(&self, name: &str) -> Option<&str> {
        let mut fields = self.headers.iter();
        fields.find_map(|field| field.strip_prefix(&format!("{name}: ")))
    }
}

/// What the server says.
struct Reply {
    status: u16,
    fields: Vec<(&'static str, String)>,
    body: String,
    after_ms: u64,
}

impl Reply {
    fn of(status: u16, body: &str) -> Self {
        Self {
            status,
            fields: Vec::new(),
            body: body.to_owned(),
            after_ms: 10,
        }
    }
}

fn sessions(text: &str, driver: Part, core: (u64, u64)) -> Sessions {
    let scenario = Document::read(text, Setting::default()).unwrap().scenario;
    let tables = scenario
        .data
        .iter()
        .map(|set| Table::load(set, None, driver).unwrap());
    let tables = tables.collect::<Vec<_>>().into();
    let sessions = Sessions::new(Arc::new(scenario), tables, driver, core, 5);
    sessions.with_anchor(START_NS, 1_700_000_000_000)
}

fn sent(sessions: &mut Sessions, job: Job, intended_ns: u64) -> Request {
    let scenario = Arc::clone(&sessions.scenario);
    let request = &scenario.steps[sessions.request(job)].request;
    let mut text = |template: &proto::workload::Template| {
        let bytes = template.filled(|hole, out| sessions.fill(job, hole, out));
        String::from_utf8(bytes).unwrap()
    };
    let line = format!("{} {}", request.method, text(&request.path));
    let mut headers = Vec::new();
    for field in &request.headers {
        let value = text(&field.value);
        if !(field.is_optional && value.is_empty()) {
            headers.push(format!("{}: {value}", field.name));
        }
    }
    Request {
        intended_ms: (intended_ns - START_NS) / MS,
        line,
        headers,
        body: text(&request.body),
    }
}

const START_NS: u64 = 1_000_000_000;

/// Runs sessions to their end, or to an instant; each reply takes its time.
fn run(
    sessions: &mut Sessions,
    until_ms: u64,
    mut serve: impl FnMut(&Request) -> Option<Reply>,
) -> Vec<Request> {
    sessions.begin(START_NS);
    let mut requests = Vec::new();
    let mut under_way: BinaryHeap<Reverse<(u64, usize)>> = BinaryHeap::new();
    let mut replies: Vec<Option<(Job, u64, Option<Reply>)>> = Vec::new();
    let mut now_ns = START_NS;
    let mut offered = 0;
    while now_ns <= START_NS + until_ms * MS {
        offered += sessions.advance(now_ns).offered;
        while let Some(due) = sessions.take(0, now_ns) {
            assert!(due.intended_ns <= now_ns);
            let request = sent(sessions, due.job, due.intended_ns);
            let reply = serve(&request);
            let after_ms = reply.as_ref().map_or(1, |reply| reply.after_ms);
            under_way.push(Reverse((now_ns + after_ms * MS, replies.len())));
            replies.push(Some((due.job, now_ns, reply)));
            requests.push(request);
        }
        assert!(offered <= requests.len() as u64);
        let next_ns = under_way
            .peek()
            .map_or(u64::MAX, |Reverse((at_ns, _))| *at_ns);
        if next_ns.min(sessions.due_ns()) == u64::MAX {
            break;
        }
        now_ns = now_ns.max(next_ns.min(sessions.due_ns()));
        if next_ns <= now_ns {
            let Reverse((_, number)) = under_way.pop().unwrap();
            let (job, sent_ns, reply) = replies[number].take().unwrap();
            answer(sessions, job, sent_ns, now_ns, reply);
        }
    }
    if !sessions.is_over() {
        sessions.stop(now_ns);
        for (job, sent_ns, reply) in replies.into_iter().flatten() {
            answer(sessions, job, sent_ns, now_ns, reply);
        }
    }
    assert!(sessions.is_over());
    assert_eq!(sessions.active(), 0);
    requests
}

fn answer(sessions: &mut Sessions, job: Job, sent_ns: u64, end_ns: u64, reply: Option<Reply>) {
    let Some(reply) = reply else {
        sessions.lost(job, end_ns);
        return;
    };
    let watches = sessions.watches(job);
    for (name, value) in reply
        .fields
        .iter()
        .filter(|_| watches.fields != Fields::None)
    {
        sessions.field(job, name.as_bytes(), value.as_bytes());
    }
    if watches.body {
        let (one, two) = reply.body.as_bytes().split_at(reply.body.len() / 2);
        sessions.body(job, one);
        sessions.body(job, two);
    }
    let status = reply.status;
    sessions.answered(
        job,
        Answer {
            status,
            sent_ns,
            end_ns,
        },
    );
}

#[allow(
    clippy::unnecessary_wraps,
    reason = "one of the servers, of which some say nothing"
)]
fn ok(_: &Request) -> Option<Reply> {
    Some(Reply::of(200, "{}"))
}

fn lines(requests: &[Request]) -> Vec<&str> {
    requests
        .iter()
        .map(|request| request.line.as_str())
        .collect()
}

#[test]
fn a_closed_load_keeps_its_sessions_at_once() {
    let text = "target: http://h/\nload: {closed: 3, for: 1s}";
    let mut sessions = sessions(text, Part::WHOLE, (0, 1));
    let requests = run(&mut sessions, 999, ok);
    // Three at once, 10 ms each, from 0 to 990 ms.
    assert_eq!(requests.len(), 300);
    assert_eq!(requests[3].intended_ms, 10);
    let flow = &sessions.counted().flows[0];
    assert_eq!((flow.started, flow.completed, flow.cut), (300, 300, 0));
}

#[test]
fn fewer_sessions_at_once_than_parties_play_all_that_there_are() {
    let text = "target: http://h/\nsteps: [GET /a]\nload: {closed: 2, sessions: 7}\n";
    let mut requests = 0;
    for driver in 0..3 {
        let driver = Part::new(driver, 3).unwrap();
        for core in 0..2 {
            let mut sessions = sessions(text, driver, (core, 2));
            requests += run(&mut sessions, 10_000, |_| Some(Reply::of(200, ""))).len();
            assert!(sessions.is_over());
        }
    }
    assert_eq!(requests, 7);
}

#[test]
fn parties_together_send_what_one_would() {
    let text = "target: http://h/\nflows: [{name: a, weight: 2, steps: [GET /a]}, {name: b, steps: [GET /b]}]
load: [{open: 30/s, for: 1s}, {open: 30..90/s, for: 1s, arrival: poisson}, {burst: 10, every: 500ms, for: 1s}]";
    let mut whole = run(&mut sessions(text, Part::WHOLE, (0, 1)), 10_000, ok);
    let mut parts = Vec::new();
    for driver in 0..3 {
        let driver = Part::new(driver, 3).unwrap();
        for core in 0..2 {
            parts.extend(run(&mut sessions(text, driver, (core, 2)), 10_000, ok));
        }
    }
    let order = |request: &Request| (request.intended_ms, request.line.clone());
    whole.sort_by_key(order);
    parts.sort_by_key(order);
    assert_eq!(parts, whole);
    let of = |line: &str| whole.iter().filter(|request| request.line == line).count();
    let (a, b) = (of("GET /a"), of("GET /b"));
    assert!(
        (25..100).contains(&b) && a.abs_diff(2 * b) <= 2,
        "{a} and {b}"
    );
}

#[test]
fn values_go_from_answer_to_request() {
    let text = r#"
target: http://h/
data: {users: {inline: [{name: "ann é", pw: 1}]}}
steps:
  - {POST: /login, json: {user: $users.name, n: "$int(7,7)"}, extract: {token: "json $.a[0].token", id: 'regex "id=(\d+)"', next: header Location, sid: cookie sid}}
  - think: 50ms
  - {name: use, GET: $next, headers: {Authorization: Bearer $token}}
  - {name: form, POST: /f/$users.name, form: {id: $id, "s d": "$sid $token"}}
  - {name: seq, GET: "/$seq/$now/$uuid"}
load: {closed: 1, sessions: 2}
"#;
    let mut other = sessions(text, Part::new(1, 3).unwrap(), (0, 1));
    assert!(
        run(&mut other, 10_000, ok).is_empty(),
        "one at once is the first driver's"
    );
    let mut sessions = sessions(text, Part::WHOLE, (0, 1));
    let requests = run(&mut sessions, 10_000, |request| {
        let mut reply = Reply::of(
            200,
            "{\"a\": [{\"token\": \"t\\u00e9\\\"\"}], \"x\": \"id=42;\"}",
        );
        if request.line == "POST /login" {
            reply.fields = vec![
                ("LOCATION", "/next?a=b c".to_owned()),
                ("Set-Cookie", "sid=s1; Path=/".to_owned()),
                ("set-cookie", "lang=en".to_owned()),
            ];
        }
        Some(reply)
    });
    assert_eq!(requests.len(), 8);
    assert_eq!(requests[0].body, r#"{"user":"ann é","n":7}"#);
    assert_eq!(requests[0].header("Cookie"), None);
    assert_eq!(requests[1].line, "GET /next?a=b%20c");
    assert_eq!(requests[1].intended_ms, 60);
    assert_eq!(requests[1].header("Authorization"), Some("Bearer té\""));
    assert_eq!(requests[1].header("Cookie"), Some("sid=s1; lang=en"));
    assert_eq!(requests[2].line, "POST /f/ann%20%C3%A9");
    assert_eq!(requests[2].body, "id=42&s+d=s1+t%C3%A9%22");
    let parts: Vec<&str> = requests[3].line.split('/').collect();
    assert_eq!((parts[1], parts[2]), ("0", "1700000000080"));
    let uuid = parts[3].as_bytes();
    assert!(
        uuid.len() == 36 && uuid[14] == b'4' && b"89ab".contains(&uuid[19]),
        "{}",
        parts[3]
    );
    assert!(requests[7].line.starts_with("GET /1/"));
    assert_eq!(
        requests[4].header("Cookie"),
        None,
        "a new session has no cookies"
    );
}

#[test]
fn a_value_that_was_not_found_is_never_sent() {
    let text = "
target: http://h/
steps:
  - {name: a, GET: /a, extract: {id: json $.id, t: header T}}
  - {name: b, GET: /b/$id}
  - {name: c, GET: /c, headers: {X: $t}}
load: {closed: 1, sessions: 3}
";
    let mut sessions = sessions(text, Part::WHOLE, (0, 1));
    let mut bodies = ["<html>", "{\"id\": 1}", "{\"id\": 2}"].into_iter();
    let mut fields = ["x", "a\nb", "ok"].into_iter();
    let requests = run(&mut sessions, 10_000, |request| {
        let mut reply = Reply::of(200, "");
        if request.line == "GET /a" {
            reply.body = bodies.next().unwrap().to_owned();
            reply.fields = vec![("T", fields.next().unwrap().to_owned())];
        }
        Some(reply)
    });
    let expected = [
        "GET /a", "GET /a", "GET /b/1", "GET /a", "GET /b/2", "GET /c",
    ];
    assert_eq!(lines(&requests), expected);
    let tally = sessions.counted();
    assert_eq!(tally.steps[0].missing, [1, 1]);
    let without: Vec<u64> = tally.steps.iter().map(|step| step.without_value).collect();
    assert_eq!(without, [0, 1, 1]);
    let flow = &tally.flows[0];
    assert_eq!((flow.started, flow.completed, flow.failed), (3, 1, 2));
}

#[test]
fn checks_are_counted_and_a_failed_step_can_end_its_session() {
    let text = "
target: http://h/
steps:
  - {GET: /a, check: [status == 200, json $.n >= 2, body contains ok, latency < 5ms], on_fail: stop, ok: [200, 404]}
  - GET /b
load: {closed: 1, sessions: 4}
";
    let mut sessions = sessions(text, Part::WHOLE, (0, 1));
    let mut answers = vec![
        (200, "{\"n\": 2, \"x\": \"ok\"}"),
        (404, "{\"n\": 1}"),
        (500, ""),
        (0, ""),
    ]
    .into_iter();
    let requests = run(&mut sessions, 10_000, |request| {
        if request.line == "GET /b" {
            return Some(Reply::of(200, ""));
        }
        let (status, body) = answers.next().unwrap();
        let after_ms = if status == 200 { 4 } else { 6 };
        let reply = Reply {
            after_ms,
            ..Reply::of(status, body)
        };
        (status > 0).then_some(reply)
    });
    assert_eq!(
        lines(&requests),
        ["GET /a", "GET /b", "GET /a", "GET /a", "GET /a"]
    );
    let step = &sessions.counted().steps[0];
    assert_eq!(step.checks, [(1, 2), (1, 2), (1, 2), (1, 2)]);
    assert_eq!((step.ok, step.failed, step.status, step.lost), (1, 1, 1, 1));
    let flow = &sessions.counted().flows[0];
    assert_eq!((flow.completed, flow.failed), (1, 3));
}

#[test]
fn used_up_rows_start_no_session() {
    let text = "
target: http://h/
data: {users: {inline: [a, b, c], pick: unique}}
steps: [GET /$users]
load: {open: 10/s, for: 1s}
";
    let mut whole = sessions(text, Part::WHOLE, (0, 1));
    let requests = run(&mut whole, 10_000, ok);
    assert_eq!(lines(&requests), ["GET /a", "GET /b", "GET /c"]);
    assert_eq!(whole.counted().used_up, [7]);
    let closed = text.replace("open: 10/s, for: 1s", "closed: 2, for: 1s");
    let mut closed = sessions(&closed, Part::WHOLE, (0, 1));
    assert_eq!(run(&mut closed, 10_000, ok).len(), 3);
}

#[test]
fn warm_up_is_sent_and_not_counted() {
    let text =
        "target: http://h/\nload: [{open: 10/s, for: 1s, warmup: true}, {open: 10/s, for: 1s}]";
    let mut sessions = sessions(text, Part::WHOLE, (0, 1));
    assert_eq!(run(&mut sessions, 10_000, ok).len(), 20);
    assert_eq!(sessions.counted().steps[0].ok, 10);
    assert_eq!(sessions.counted().flows[0].started, 10);
}

#[test]
fn too_many_sessions_are_shed() {
    let text = "target: http://h/\nmax_sessions: 2\nload: {open: 100/s, for: 1s}";
    let mut sessions = sessions(text, Part::WHOLE, (0, 1));
    sessions.begin(START_NS);
    let advanced = sessions.advance(START_NS + 95 * MS);
    assert_eq!((advanced.offered, advanced.shed), (2, 8));
}

#[test]
fn numbers_of_a_sequence_are_unique_over_drivers_and_cores() {
    let text = "target: http://h/\nsteps: [GET /$seq]\nload: {open: 100/s, for: 1s}";
    let mut seen = Vec::new();
    for driver in 0..3 {
        let driver = Part::new(driver, 3).unwrap();
        for core in 0..2 {
            let requests = run(&mut sessions(text, driver, (core, 2)), 10_000, ok);
            seen.extend(requests.into_iter().map(|request| request.line));
        }
    }
    seen.sort_unstable();
    seen.dedup();
    assert_eq!(seen.len(), 100);
}

proptest! {
    #[test]
    fn every_session_ends_in_one_way(
        seed: u64, until_ms in 0_u64..3000, losses in 0_u32..50, max in 1_u64..30,
    ) {
        let text = format!("
target: http://h/
max_sessions: {max}
flows:
  - {{weight: 3, steps: [{{GET: /a, extract: {{x: json $.x}}}}, {{think: 0s..100ms}}, GET /$x]}}
  - {{steps: [{{repeat: 3, until: status == 404, steps: [{{GET: /c, on_fail: stop}}]}}]}}
load: [{{closed: 3, for: 500ms}}, {{open: 50..10/s, for: 1s, arrival: poisson}}, {{closed: 2, sessions: 20}}]
");
        let mut sessions = sessions(&text, Part::WHOLE, (0, 1));
        let mut random = fastrand::Rng::with_seed(seed);
        run(&mut sessions, until_ms, |_| {
            let status = if random.u32(..100) < 20 { 404 } else { 200 };
            let body = if random.bool() { "{\"x\": 1}" } else { "" };
            let reply = Reply { after_ms: random.u64(0..200), ..Reply::of(status, body) };
            (random.u32(..100) >= losses).then_some(reply)
        });
        let tally = sessions.counted();
        for flow in &tally.flows {
            prop_assert_eq!(flow.started, flow.completed + flow.failed + flow.cut);
        }
        for step in &tally.steps {
            prop_assert_eq!(step.taken, step.ok + step.status + step.failed + step.lost);
        }
    }
}

#[test]
fn what_was_returned_when_the_load_ended_is_cut_and_no_failure() {
    let text = "target: http://h/\nsteps: [{name: a, GET: /, on_fail: stop}]\nload: {closed: 2, sessions: 2}";
    let mut sessions = sessions(text, Part::WHOLE, (0, 1));
    sessions.begin(START_NS);
    sessions.advance(START_NS);
    let jobs = [(); 2].map(|()| sessions.take(0, START_NS).unwrap().job);
    sessions.stop(START_NS + MS);
    sessions.cut(jobs[0], START_NS + 2 * MS);
    // It is known by now.
    sessions.cut(jobs[0], START_NS + 2 * MS);
    sessions.lost(jobs[1], START_NS + 2 * MS);
    let (step, flow) = {
        let tally = sessions.counted();
        (&tally.steps[0], &tally.flows[0])
    };
    assert_eq!((step.taken, step.lost), (1, 1));
    assert_eq!((flow.started, flow.cut, flow.failed), (2, 1, 1));
    assert_eq!(sessions.active(), 0);
}
