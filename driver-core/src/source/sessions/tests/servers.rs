//! Sessions whose steps go to several servers.

use super::*;

const FLOWS: &str = "target: http://a/\nflows:\n\
    - {name: at a, steps: [GET /]}\n\
    - {name: at b, steps: [GET http://b/, GET http://a/after]}\n";

/// Two sessions of each flow, ready for their first requests.
fn begun(load: &str) -> Sessions {
    let mut sessions = sessions(&format!("{FLOWS}load: {load}"), Part::WHOLE, (0, 1));
    sessions.begin(START_NS);
    assert_eq!(sessions.advance(START_NS).offered, 4);
    assert_eq!([0, 1].map(|server| sessions.waiting(server)), [2, 2]);
    sessions
}

#[test]
fn each_server_has_its_own_in_the_order_in_which_they_were_ready() {
    let mut sessions = begun("{closed: 4, sessions: 4}");
    for server in [1, 0, 1, 0] {
        let due = sessions.take(server, START_NS).unwrap();
        let step = sessions.request(due.job);
        assert_eq!(sessions.scenario.steps[step].request.target, server);
        sessions.lost(due.job, START_NS + MS);
    }
    // Whoever lost an answer of b goes on at a.
    assert_eq!([0, 1].map(|server| sessions.waiting(server)), [2, 0]);
}

#[test]
fn an_open_load_is_refused_at_once_where_a_server_is_away() {
    let mut sessions = begun("{burst: 4, every: 1s, sessions: 4}");
    assert_eq!(sessions.refuse(1, START_NS, None), 2);
    assert_eq!([0, 1].map(|server| sessions.waiting(server)), [4, 0]);
    assert_eq!(
        sessions.advance(START_NS).offered,
        2,
        "the steps after them"
    );
    let lost = sessions.counted().steps.iter().map(|step| step.lost);
    assert_eq!(lost.collect::<Vec<_>>(), [0, 2, 0]);
}

#[test]
fn a_closed_load_waits_and_is_refused_what_waited_too_long() {
    let mut sessions = begun("{closed: 4, for: 1m}");
    let now_ns = START_NS + 5_000 * MS;
    assert_eq!(sessions.refuse(1, now_ns, None), 0);
    assert_eq!(sessions.refuse(1, now_ns, Some(START_NS - 1)), 0);
    assert_eq!(sessions.waiting(1), 2);
    assert_eq!(sessions.refuse(1, now_ns, Some(START_NS)), 2);
    assert_eq!([0, 1].map(|server| sessions.waiting(server)), [4, 0]);
}
