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
    assert!(!mergers.are_stalled(7500));
    // It dies with more unread, and the next one has far to go.
    say(&mut mergers, range(9, 10, 50), 7_600);
    mergers.silent(8_000, now(8_000));
    for (second, from) in (17..37).zip((10..).step_by(100)) {
        say(&mut mergers, range(from, from + 100, 5000), second * 1000);
        assert!(mergers.are_stalled(second * 1000), "at {from}");
    }
    say(&mut mergers, range(2010, 5000, 5000), 37_000);
    assert!(!mergers.are_stalled(37_000));
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
