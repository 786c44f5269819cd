//! Logs that are replayed.

use super::*;

/// The sessions of one core that replay these requests, each at its ms.
fn replaying(text: &str, entries: &[(u64, &str)], part: Part) -> Sessions {
    let mut writer = proto::replay::Writer::new(std::io::Cursor::new(Vec::new())).unwrap();
    for (at_ms, request) in entries {
        writer.push((at_ms * MS).cast_signed(), request).unwrap();
    }
    let (out, head) = writer.finish(&[]).unwrap();
    let replay = crate::source::replay::in_memory(&out.into_inner());
    let replay = crate::source::Replay::open(replay).unwrap();
    let document = Document::read(text, Setting::default()).unwrap();
    let scenario = document.scenario.replaying(&head).unwrap();
    let (pace, requests) = crate::source::replay::asked(&scenario).unwrap();
    let mut block = proto::replay::Block::default();
    assert!(replay.play(pace).unwrap().next(&mut block).unwrap());
    let (send, blocks) = crossbeam_channel::bounded(1);
    send.send(Arc::new(block)).unwrap();
    let flows = scenario.flows_of(&head).unwrap().into();
    let sessions = Sessions::new(Arc::new(scenario), [].into(), part, (0, 1), 5);
    sessions.with_feed(Some(Feed::new(blocks, flows, requests)))
}

#[test]
fn a_log_is_replayed_at_its_instants_in_the_flows_of_its_methods() {
    let text = "target: http://h/base\nflows:\n  - steps: [GET $replay, GET /after]\n\
        \x20 - {name: put, steps: [{PUT: $replay, headers: {X-Was: $replay}, body: b}]}\n\
        load: {replay: a.replay, pace: log*2}\n";
    let log = [
        (1000, "GET /a?b=c%20d"),
        (1000, "PUT /p"),
        (1500, "GET /a?b=c%20d"),
        (1501, "GET /e|f"),
    ];
    let mut whole = replaying(text, &log, Part::WHOLE);
    let requests = run(&mut whole, 10_000, ok);
    let seen: Vec<(u64, &str)> = requests
        .iter()
        .map(|request| (request.intended_ms, request.line.as_str()))
        .collect();
    let expected = [
        (0, "GET /base/a?b=c%20d"),
        (0, "PUT /base/p"),
        (10, "GET /base/after"),
        (250, "GET /base/a?b=c%20d"),
        (250, "GET /base/e%7Cf"),
        (260, "GET /base/after"),
        (260, "GET /base/after"),
    ];
    assert_eq!(seen, expected);
    assert_eq!(requests[1].header("X-Was"), Some("/p"));
    let flows = &whole.counted().flows;
    assert_eq!((flows[0].completed, flows[1].completed), (3, 1));
    // Two parties have the entries 0 and 2, and 1 and 3.
    let second = Part::new(1, 2).unwrap();
    let mut half = replaying(text, &log, second);
    let requests = run(&mut half, 10_000, ok);
    assert_eq!(lines(&requests)[..2], ["PUT /base/p", "GET /base/e%7Cf"]);
    // It is cut where the load says so, and where it is stopped.
    let few = text.replace("log*2", "log*2, sessions: 2");
    let mut few = replaying(&few, &log, Part::WHOLE);
    assert_eq!(run(&mut few, 10_000, ok).len(), 3);
    let mut stopped = replaying(text, &log, Part::WHOLE);
    assert_eq!(run(&mut stopped, 100, ok).len(), 3);
}
