//! What mergers say, who they are, and when they are given up.

mod counted_once;
mod other_logs;
mod unread;

use super::*;

fn range(from: i64, to: i64, end: i64) -> MergedRange {
    MergedRange {
        merger_id: "m".into(),
        incarnation: 1,
        wire: WIRE_VERSION,
        partition: 0,
        from,
        to,
        end,
        parts: Vec::new(),
        untouched: Vec::new(),
        skipped: Vec::new(),
        len: 1000,
    }
}

fn now(ms: u64) -> Now {
    Now::new(ms * 1_000_000, ms * 1_000_000)
}

#[test]
fn a_partition_that_no_merger_reads_is_named_and_read_until_one_is_back() {
    let mut mergers = Mergers::default();
    mergers.know(&[0, 1]);
    assert!(mergers.partitions(0).is_empty(), "there are none");
    assert!(mergers.silent(60_000, now(60_000)).is_empty());
    assert_eq!(
        mergers.hear(range(0, 0, 0), 60_000, now(60_000)),
        Heard::Begins
    );
    assert_eq!(
        mergers.hear(range(0, 0, 3), 61_000, now(61_000)),
        Heard::Nothing
    );
    assert_eq!(mergers.ask(0).unwrap().until, Some(0));
    assert!(mergers.silent(61_000, now(61_000)).is_empty());
    let rows = mergers.rows(61_000, now(61_500));
    assert_eq!((rows[0].state, rows[0].lag_messages), ("up", 3));
    assert_eq!(
        (rows[0].partitions.clone(), rows[0].heard_age_s),
        (vec![0], 0.5)
    );
    // Nobody reads the other one.
    assert_eq!(
        mergers.hear(range(0, 3, 3), 70_000, now(70_000)),
        Heard::Nothing
    );
    assert_eq!(mergers.silent(71_000, now(71_000)), [1]);
    assert!(mergers.silent(72_000, now(72_000)).is_empty(), "said once");
    assert_eq!(mergers.silent(80_000, now(80_000)), [0]);
    assert_eq!(mergers.ask(0).unwrap().until, None);
    let rows = mergers.partitions(80_000);
    assert_eq!(rows[0].silent_since_unix_ms, Some(70_000));
    assert_eq!(rows[1].silent_since_unix_ms, Some(61_000));
    assert_eq!(mergers.rows(80_000, now(80_000))[0].state, "silent");
    assert_eq!(
        mergers.hear(range(3, 5, 5), 81_000, now(81_000)),
        Heard::Begins
    );
    assert_eq!(mergers.partitions(81_000)[0].silent_since_unix_ms, None);
    mergers.silent(81_000 + FORGET_MS, now(81_000 + FORGET_MS));
    assert!(mergers.rows(0, now(0)).is_empty());
}

#[test]
fn what_another_version_merges_is_refused_in_words_once() {
    let mut mergers = Mergers::default();
    mergers.know(&[0]);
    let other = MergedRange {
        wire: WIRE_VERSION + 1,
        ..range(0, 9, 9)
    };
    let Heard::Refused(reason) = mergers.hear(other.clone(), 0, now(0)) else {
        panic!("it was not refused");
    };
    let versions = format!(
        "version {} of the wire, this orchestrator {WIRE_VERSION}",
        WIRE_VERSION + 1
    );
    assert!(reason.contains(&versions), "{reason}");
    assert_eq!(mergers.hear(other, 1000, now(1000)), Heard::Ignored);
    assert_eq!((mergers.next(0), mergers.ask(0)), (None, None));
    let rows = mergers.rows(1000, now(1000));
    assert_eq!(
        (rows[0].state, rows[0].reason.as_ref()),
        ("incompatible", Some(&reason))
    );
}

#[test]
fn a_merger_that_has_far_to_go_is_not_relied_on() {
    let mut mergers = Mergers::default();
    mergers.know(&[0]);
    assert!(mergers.pass(0, 100_000));
    assert_eq!(
        mergers.hear(range(0, 500, 100_000), 0, now(0)),
        Heard::Nothing
    );
    assert_eq!(mergers.ask(0), None);
    assert_eq!(
        mergers.hear(range(99_000, 99_900, 100_000), 0, now(0)),
        Heard::Begins
    );
    assert_eq!(mergers.ask(0).unwrap().until, Some(100_000));
}

#[test]
fn what_is_no_range_is_not_read() {
    let text = |wire: u64, from: i64, to: i64| {
        format!(
            r#"{{"merger_id":"m","incarnation":1,"wire":{wire},"partition":0,"from":{from},"to":{to},"end":9}}"#
        )
    };
    let read = |text: &str| MergedRange::decode(text.as_bytes()).map_err(|error| error.to_string());
    assert_eq!(read(&text(WIRE_VERSION, 3, 4)).unwrap().to, 4);
    assert!(
        read(&text(WIRE_VERSION, 4, 3))
            .unwrap_err()
            .contains("4 to 3")
    );
    assert!(
        read(&text(WIRE_VERSION, -1, 3))
            .unwrap_err()
            .contains("-1 to 3")
    );
    assert!(read("{}").is_err());
    let beyond = text(WIRE_VERSION, 3, 40);
    assert!(read(&beyond).unwrap_err().contains("which ends at 9"));
    let nameless = text(WIRE_VERSION, 3, 4).replace("\"m\"", "\"\"");
    assert!(read(&nameless).unwrap_err().contains("no merger's id"));
    let skips = text(WIRE_VERSION, 3, 4)
        .replace('}', r#","skipped":[{"offset":3,"count":2,"error":"e"}]}"#);
    assert!(read(&skips).is_err(), "more than its range has");
    let part = format!(
        r#","parts":[{{"test_id":"t","second":{},"reports":[]}}]}}"#,
        u64::MAX
    );
    let late = text(WIRE_VERSION, 3, 4).replace('}', &part);
    assert!(
        read(&late)
            .unwrap_err()
            .contains("second 18446744073709551615")
    );
    let other = r#"{"merger_id":"m","wire":77,"ranges":"of another shape"}"#;
    assert_eq!(read(other).unwrap().wire, 77);
}

#[test]
fn a_merger_that_lives_and_does_not_read_is_given_up_until_it_reads_on() {
    let mut mergers = Mergers::default();
    mergers.know(&[0]);
    mergers.hear(range(0, 0, 0), 0, now(0));
    for second in 1..=9 {
        let at_ms = second * 1000;
        mergers.hear(range(0, 0, 5), at_ms, now(at_ms));
        assert!(mergers.silent(at_ms, now(at_ms)).is_empty());
    }
    mergers.hear(range(0, 0, 5), 11_000, now(11_000));
    assert!(mergers.are_stalled(11_000));
    assert_eq!(mergers.silent(11_000, now(11_000)), [0]);
    assert!(mergers.pass(0, 5), "it is read itself");
    let signs = mergers.hear(range(0, 0, 6), 12_000, now(12_000));
    assert_eq!(signs, Heard::Nothing, "it lives, and that is all");
    let row = mergers.partitions(12_000).remove(0);
    assert_eq!((row.merger_id, row.idler.as_deref()), (None, Some("m")));
    let reads = mergers.hear(range(0, 6, 6), 13_000, now(13_000));
    assert_eq!(reads, Heard::Begins);
}

/// A merger says this, what of it follows is counted, and a second goes by.
fn say(mergers: &mut Mergers, said: MergedRange, at_ms: u64) -> Heard {
    let heard = mergers.hear(said, at_ms, now(at_ms));
    while let Some(range) = mergers.next(0) {
        mergers.take(&range);
    }
    mergers.silent(at_ms, now(at_ms));
    heard
}

#[test]
fn of_a_log_that_ends_before_what_was_counted_no_merger_is_relied_on() {
    let mut mergers = Mergers::default();
    mergers.know(&[0]);
    mergers.pass(0, 1000);
    assert_eq!(say(&mut mergers, range(7, 7, 7), 1000), Heard::Nothing);
    assert_eq!(mergers.ask(0), None, "it is read, and found to be another");
    mergers.forget(1, &[0], 1000);
    // What was said of the log before is no debt of this one.
    say(&mut mergers, range(1000, 2000, 900_000), 6500);
    assert_eq!(say(&mut mergers, range(0, 7, 7), 7000), Heard::Nothing);
    for second in 8..25 {
        say(&mut mergers, range(7, 7, 7), second * 1000);
        assert!(!mergers.are_stalled(second * 1000), "after {second} s");
    }
}

#[test]
fn two_processes_that_read_one_partition_are_named_but_not_a_change_of_hands() {
    let of = |merger_id: &str, incarnation: u64, at: i64| MergedRange {
        merger_id: merger_id.into(),
        incarnation,
        ..range(at, at + 1, at + 1)
    };
    let mut mergers = Mergers::default();
    mergers.know(&[0]);
    let mut at = 0_i64;
    let mut speak = |mergers: &mut Mergers, merger_id: &str, incarnation: u64| {
        at += 1;
        let at_ms = 1000 * at.unsigned_abs();
        let heard = say(mergers, of(merger_id, incarnation, at - 1), at_ms);
        (heard, mergers.partitions(at_ms)[0].rivals.clone())
    };
    for (speaker, incarnation) in [("m", 1), ("m", 2), ("n", 1), ("m", 2), ("m", 2)] {
        assert_eq!(speak(&mut mergers, speaker, incarnation).1, None);
    }
    for _ in 0..7 {
        assert_eq!(speak(&mut mergers, "m", 2).1, None);
    }
    let turns = (0..8).map(|turn| speak(&mut mergers, ["n", "m"][turn % 2], 2));
    let turns: Vec<_> = turns.collect();
    let contested = Heard::Contested("n".into());
    assert!(
        turns[..3]
            .iter()
            .all(|turn| *turn == (Heard::Nothing, None))
    );
    let both = Some(("m".to_owned(), "n".to_owned()));
    assert_eq!(turns[3], (contested, both));
    assert!(turns[4..].iter().all(|turn| turn.0 == Heard::Nothing));
    let last_ms = 20_000 + place::CONTEST_MS;
    assert_eq!(mergers.partitions(last_ms)[0].rivals, None, "it is over");
}

#[test]
fn partitions_are_of_logs_of_their_own() {
    let mut mergers = Mergers::default();
    mergers.know(&[0, 1]);
    mergers.forget(1, &[0], 0);
    let of_partition = |partition| MergedRange {
        partition,
        ..range(0, 0, 0)
    };
    for partition in [0, 1] {
        mergers.hear(of_partition(partition), SETTLE_MS, now(SETTLE_MS));
    }
    assert_eq!([0, 1].map(|at| mergers.ask(at).unwrap().log), [1, 0]);
}
