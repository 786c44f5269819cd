//! What listeners get: each second once, in order, and again after a cut only what they missed.

use std::collections::BTreeSet;

use super::*;

/// A second with so many requests.
fn row(second: u64, sent: u64) -> SeriesRow {
    let mut row = SeriesRow::default();
    (row.counts.second, row.counts.sent) = (second, sent);
    row
}

fn look(seconds: u64, settled: u64) -> Look {
    let result = json!({"state": "running", "sent": seconds * 10, "curve": [seconds],
        "nodes": [{"node_id": "a", "sent": seconds, "planned": 9}], "planned": 100});
    Look {
        test_id: "t".to_owned(),
        phase: Phase::Running,
        detail: r#"{"test_id":"t"}"#.to_owned(),
        result: result.as_object().unwrap().clone(),
        rows: (0..seconds).map(|second| row(second, 10)).collect(),
        settled,
    }
}

/// Name, id and data of each event.
fn read(events: &[Event]) -> Vec<(String, Place, Value)> {
    let text = String::from_utf8(events.concat()).unwrap();
    let event = |event: &str| {
        let mut lines = event.lines().map(|line| line.split_once(": ").unwrap());
        let mut field = |name: &str| lines.next().filter(|(is, _)| *is == name).unwrap().1;
        let place = field("id").parse().unwrap();
        let name = field("event").to_owned();
        (name, place, serde_json::from_str(field("data")).unwrap())
    };
    text.split("\n\n")
        .filter(|event| !event.is_empty())
        .map(event)
        .collect()
}

fn data(events: &[Event], name: &str) -> Option<Value> {
    let events = read(events).into_iter();
    events
        .filter(|(is, ..)| is == name)
        .map(|(.., data)| data)
        .next_back()
}

fn seconds(events: &[Event]) -> Vec<u64> {
    let rows = data(events, "series").unwrap_or_default();
    let second = |row: &Value| row["second"].as_u64().unwrap();
    rows.as_array().into_iter().flatten().map(second).collect()
}

#[test]
fn a_second_is_told_once_when_no_more_of_it_is_to_come() {
    let (mut channel, now) = (Channel::new(1), Instant::now());
    assert_eq!(seconds(&channel.advance(&look(3, 2), now)), [0, 1]);
    assert_eq!(seconds(&channel.advance(&look(4, 2), now)), [0; 0]);
    assert_eq!(seconds(&channel.advance(&look(4, 4), now)), [2, 3]);
    assert_eq!(seconds(&channel.advance(&look(4, u64::MAX), now)), [0; 0]);
}

#[test]
fn what_a_late_report_changes_is_told_again_also_to_who_was_away() {
    let (mut channel, now) = (Channel::new(1), Instant::now());
    let before = read(&channel.advance(&look(5, 5), now))[0].1;
    let mut late = look(6, 6);
    late.rows[2] = row(2, 20);
    assert_eq!(seconds(&channel.advance(&late, now)), [2, 5]);
    assert_eq!(seconds(&channel.advance(&late, now)), [0; 0], "not twice");
    assert_eq!(channel.missed_from(before.next, Some(before)), 2);
    let missed = channel.catch_up(&late.rows, before.next, Some(before));
    assert_eq!(seconds(&missed), [2, 5]);
    let after = read(&missed)[0].1;
    let nothing = channel.catch_up(&late.rows, after.next, Some(after));
    assert_eq!(seconds(&nothing), [0; 0]);
}

#[test]
fn who_comes_back_to_another_life_of_the_stream_misses_no_correction() {
    let (mut first, now) = (Channel::new(1), Instant::now());
    let before = read(&first.advance(&look(100, 100), now))[0].1;
    drop(first);
    // A report came late while there was no stream: the next one has it from the start.
    let mut late = look(101, 101);
    late.rows[70] = row(70, 20);
    let mut second = Channel::new(2);
    second.advance(&late, now);
    let from = 100 - WATCHED;
    assert_eq!(second.missed_from(before.next, Some(before)), from);
    let missed = second.catch_up(&late.rows, before.next, Some(before));
    assert_eq!(seconds(&missed), (from..101).collect::<Vec<_>>());
    let rows = data(&missed, "series").unwrap();
    assert_eq!(rows[usize::try_from(70 - from).unwrap()]["sent"], 20);
    let asked = second.catch_up(&late.rows, 100, None);
    assert_eq!(seconds(&asked), [100], "who asks by second gets just that");
}

#[test]
fn that_a_field_is_gone_is_told_once_and_to_who_was_away() {
    let (mut channel, start) = (Channel::new(1), Instant::now());
    channel.advance(&look(3, 3), start);
    let mut without = look(3, 3);
    without.result.remove("planned");
    let told = |channel: &mut Channel, ms| {
        let events = channel.advance(&without, start + Duration::from_millis(ms));
        data(&events, "result")
    };
    assert_eq!(told(&mut channel, 1000), Some(json!({"planned": null})));
    assert_eq!(told(&mut channel, 2000), None);
    let all = data(&channel.catch_up(&[], 3, None), "result").unwrap();
    assert_eq!(all.get("planned"), Some(&Value::Null));
}

#[test]
fn whoever_is_cut_off_anywhere_loses_and_repeats_no_second() {
    for cut in 0..8 {
        let (mut channel, now) = (Channel::new(1), Instant::now());
        let mut told: Vec<u64> = Vec::new();
        let mut place: Option<Place> = None;
        for at in 1..=8_u64 {
            let look = look(at, at.saturating_sub(at % 2));
            let events = channel.advance(&look, now);
            if at < cut {
                told.extend(seconds(&events));
                place = read(&events).last().map(|(_, place, _)| *place).or(place);
            }
        }
        let from = place.map_or(0, |place| place.next);
        told.extend(seconds(&channel.catch_up(&look(8, 8).rows, from, place)));
        assert_eq!(told, (0..8).collect::<Vec<_>>(), "cut at {cut}");
    }
}

#[test]
fn of_a_result_only_what_changed_is_told_and_large_fields_less_often() {
    let (mut channel, start) = (Channel::new(1), Instant::now());
    let told = |channel: &mut Channel, seconds: u64, ms: u64| -> BTreeSet<String> {
        let now = start + Duration::from_millis(ms);
        let fields = data(&channel.advance(&look(seconds, seconds), now), "result");
        let fields = fields.unwrap_or_default();
        fields
            .as_object()
            .into_iter()
            .flat_map(Map::keys)
            .cloned()
            .collect()
    };
    let names = |names: &[&str]| {
        names
            .iter()
            .map(|&name| name.to_owned())
            .collect::<BTreeSet<_>>()
    };
    let all = names(&["state", "sent", "curve", "nodes", "planned"]);
    assert_eq!(told(&mut channel, 1, 0), all);
    assert_eq!(
        told(&mut channel, 2, 700),
        names(&[]),
        "at most once a second"
    );
    assert_eq!(told(&mut channel, 2, 1000), names(&["sent", "nodes"]));
    assert_eq!(
        told(&mut channel, 3, 10_000),
        names(&["sent", "nodes", "curve"])
    );
    let full = data(&channel.catch_up(&[], 0, None), "result").unwrap();
    assert_eq!(
        &full,
        &Value::Object(look(3, 3).result),
        "who comes gets all of it"
    );
}

#[test]
fn of_each_node_only_what_changed_is_told() {
    let node = |id: &str, sent: u64| json!({"node_id": id, "sent": sent, "planned": 9});
    let mut known = vec![node("b", 1), node("c", 1), node("d", 1)];
    let ended = json!({"node_id": "d", "sent": 1, "outcome": "done"});
    let now = [node("a", 1), node("b", 2), node("c", 1), ended];
    let gone = json!({"node_id": "d", "planned": null, "outcome": "done"});
    let told = [node("a", 1), json!({"node_id": "b", "sent": 2}), gone];
    assert_eq!(changed_nodes(&mut known, &now), told);
    assert!(changed_nodes(&mut known, &now).is_empty(), "that is known");
    let ids: Vec<&str> = known
        .iter()
        .map(|node| node["node_id"].as_str().unwrap())
        .collect();
    assert_eq!(ids, ["b", "c", "d", "a"]);
    assert_eq!(known[2]["planned"], json!(null), "for who was away");
}

#[test]
fn the_end_is_told_with_everything_before_it_and_nothing_after() {
    let (mut channel, now) = (Channel::new(1), Instant::now());
    channel.advance(&look(3, 2), now);
    let mut ended = look(3, u64::MAX);
    ended.phase = Phase::Done;
    ended.result.insert("state".to_owned(), "done".into());
    ended.result.insert("curve".to_owned(), json!([9]));
    let events = channel.advance(&ended, now);
    let names: Vec<String> = read(&events).into_iter().map(|(name, ..)| name).collect();
    assert_eq!(names, ["series", "result", "end"]);
    assert_eq!(seconds(&events), [2]);
    let result = data(&events, "result").unwrap();
    assert_eq!(
        (&result["state"], &result["curve"]),
        (&json!("done"), &json!([9]))
    );
    let end = json!({"test_id": "t", "state": "done"});
    assert_eq!(data(&events, "end"), Some(end.clone()));
    assert!(channel.is_over() && channel.advance(&ended, now).is_empty());
    assert_eq!(
        data(&channel.catch_up(&ended.rows, 0, None), "end"),
        Some(end)
    );
}

#[test]
fn who_comes_to_a_long_run_gets_its_newest_seconds() {
    let (mut channel, now) = (Channel::new(1), Instant::now());
    let seconds_max = CATCH_UP_MAX as u64;
    let look = look(seconds_max + 10, seconds_max + 10);
    channel.advance(&look, now);
    let told = seconds(&channel.catch_up(&look.rows, 0, None));
    assert_eq!((told.len(), told[0]), (CATCH_UP_MAX, 10));
    assert!(
        channel.told.len() as u64 <= WATCHED,
        "and memory is bounded"
    );
}
