//! Steps that are gone through again and again.

use super::*;

#[test]
fn polling_ends_when_its_condition_holds() {
    let text = "
target: http://h/
steps:
  - repeat: 10
    until: json $.state == done
    steps: [GET /job, {think: 100ms}]
  - GET /result
load: {closed: 1, sessions: 1}
";
    let mut sessions = sessions(text, Part::WHOLE, (0, 1));
    let mut polls = 0;
    let requests = run(&mut sessions, 10_000, |_| {
        polls += 1;
        let state = if polls == 3 { "done" } else { "busy" };
        Some(Reply::of(200, &format!("{{\"state\": \"{state}\"}}")))
    });
    assert_eq!(
        lines(&requests),
        ["GET /job", "GET /job", "GET /job", "GET /result"]
    );
    assert_eq!(requests[1].intended_ms, 110);
}

#[test]
fn a_repeated_step_is_counted_and_judged_as_one() {
    let text = "
target: http://h/
steps:
  - {GET: /take, repeat: 3, extract: {n: json $.n}, check: [json $.n < 3], think: 100ms}
  - {GET: /left/$n, repeat: 9, until: status == 204}
load: {closed: 1, sessions: 2}
";
    let mut sessions = sessions(text, Part::WHOLE, (0, 1));
    let mut answers = 0;
    let requests = run(&mut sessions, 10_000, |_| {
        answers += 1;
        let status = if answers == 5 { 204 } else { 200 };
        Some(Reply::of(status, &format!("{{\"n\": {answers}}}")))
    });
    let lines = lines(&requests);
    assert_eq!(
        lines[..5],
        [
            "GET /take",
            "GET /take",
            "GET /take",
            "GET /left/3",
            "GET /left/3"
        ]
    );
    assert_eq!(lines[8..], ["GET /left/8"; 9]);
    let gaps = requests
        .windows(2)
        .take(3)
        .map(|two| two[1].intended_ms - two[0].intended_ms);
    assert_eq!(gaps.collect::<Vec<u64>>(), [110; 3]);
    let counted = &sessions.counted().steps;
    assert_eq!(counted.len(), 2);
    assert_eq!(
        (counted[0].taken, counted[0].ok, counted[0].failed),
        (6, 2, 4)
    );
    assert_eq!(counted[0].checks, [(2, 4)]);
    assert_eq!((counted[1].taken, counted[1].ok), (11, 11));
}
