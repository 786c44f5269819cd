//! Whether a partition may hold reports that nobody has read.

use super::*;

#[test]
fn reports_lie_unread_where_a_merger_is_behind_as_long_as_it_reads_on() {
    let mut mergers = Mergers::default();
    mergers.know(&[0]);
    say(&mut mergers, range(0, 0, 0), 0);
    // Ten messages a second come and are merged, and all the time two hundred more are there.
    for second in 1..=60 {
        let from = i64::try_from(second).unwrap() * 10 - 10;
        say(
            &mut mergers,
            range(from, from + 10, from + 210),
            second * 1000,
        );
        let is_stalled = mergers.are_stalled(second * 1000);
        assert_eq!(is_stalled, second >= 4, "after {second} s");
    }
    say(&mut mergers, range(600, 800, 820), 61_000);
    assert!(!mergers.are_stalled(61_000), "what is new may be unread");
    for second in 62..=80 {
        say(&mut mergers, range(800, 800, 820), second * 1000);
    }
    assert_eq!(mergers.partitions(80_000)[0].merger_id, None);
    assert!(!mergers.are_stalled(80_000), "nobody waits for ever");
}

#[test]
fn after_a_silence_all_that_is_there_by_then_is_waited_for() {
    let mut mergers = Mergers::default();
    mergers.know(&[0]);
    say(&mut mergers, range(0, 5, 5), 1000);
    assert_eq!(mergers.ask(0).unwrap().until, Some(0));
    assert!(!mergers.are_stalled(3000));
    assert!(mergers.are_stalled(4000), "its merger may be dead");
    // Another one has it now, and has not read yet what came meanwhile.
    say(&mut mergers, range(5, 5, 9), 7000);
    assert!(mergers.are_stalled(7000));
    say(&mut mergers, range(5, 8, 9), 7250);
    assert!(mergers.are_stalled(7250));
    say(&mut mergers, range(8, 9, 9), 7500);
    assert!(
        mergers.are_stalled(7500),
        "it may have said that before the silence"
    );
    say(&mut mergers, range(9, 9, 9), 9000);
    assert!(!mergers.are_stalled(9000));
    // It dies with more unread, and the next one has far to go.
    say(&mut mergers, range(9, 10, 50), 9_100);
    mergers.silent(9_500, now(9_500));
    for (second, from) in (19..39).zip((10..).step_by(100)) {
        say(&mut mergers, range(from, from + 100, 5000), second * 1000);
        assert!(mergers.are_stalled(second * 1000), "at {from}");
    }
    say(&mut mergers, range(2010, 5000, 5000), 39_000);
    assert!(!mergers.are_stalled(39_000));
}

#[test]
fn an_end_that_was_said_before_a_silence_and_comes_after_it_is_no_news() {
    let mut mergers = Mergers::default();
    mergers.know(&[0]);
    say(&mut mergers, range(0, 4, 4), 1000);
    // It was counted from elsewhere, which says nothing of what came since.
    say(&mut mergers, range(2, 3, 4), 4900);
    say(&mut mergers, range(4, 4, 4), 5000);
    assert!(mergers.are_stalled(5000), "so much may have come since");
    say(&mut mergers, range(4, 4, 8), 5300);
    for at_ms in (6000..15_000).step_by(1000) {
        say(&mut mergers, range(4, 4, 9), at_ms);
        assert!(
            mergers.are_stalled(at_ms),
            "what is there since 1000, at {at_ms}"
        );
    }
}

#[test]
fn a_merger_that_reads_on_what_it_read_before_goes_on() {
    let mut mergers = Mergers::restore(BTreeMap::from([(0, 6)]));
    for second in 0..=12 {
        say(&mut mergers, range(0, 0, 10), second * 1000);
    }
    say(&mut mergers, range(0, 6, 10), 13_000);
    for second in 14..=19 {
        say(&mut mergers, range(6, 6, 10), second * 1000);
        assert!(mergers.are_stalled(second * 1000), "after {second} s");
    }
}

#[test]
fn where_we_read_on_ourselves_all_that_is_there_by_then_is_waited_for() {
    let mut mergers = Mergers::default();
    mergers.know(&[0]);
    say(&mut mergers, range(0, 9, 9), 7500);
    assert_eq!(mergers.ask(0).unwrap().until, Some(0));
    for second in 8..=18 {
        mergers.silent(second * 1000, now(second * 1000));
    }
    assert_eq!(mergers.ask(0).unwrap().until, None);
    mergers.note_end(0, 30, 18_000);
    for (offset, at_ms) in (9..29).zip((19_000..).step_by(1000)) {
        mergers.pass(0, offset + 1);
        mergers.silent(at_ms, now(at_ms));
        assert!(mergers.are_stalled(at_ms), "at {offset}");
    }
    mergers.pass(0, 30);
    assert!(!mergers.are_stalled(40_000));
}
