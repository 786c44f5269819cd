//! A partition that is another log than the one that was counted is found, and counted anew.

use super::super::place::DOUBT_EVERY_MS;
use super::*;

#[test]
fn where_a_log_is_said_to_end_before_what_was_counted_its_reader_looks_at_times() {
    let mut mergers = Mergers::default();
    mergers.know(&[0]);
    say(&mut mergers, range(0, 9, 9), 1000);
    assert_eq!(mergers.ask(0).unwrap().until, Some(0), "nothing is read");
    say(&mut mergers, range(0, 2, 2), 2000);
    let look = mergers.ask(0).unwrap();
    assert_eq!((look.from, look.until), (9, Some(0)));
    say(&mut mergers, range(2, 3, 3), 2500);
    assert_eq!(mergers.ask(0), None, "it was asked just now");
    say(&mut mergers, range(3, 4, 4), 2000 + DOUBT_EVERY_MS);
    assert!(mergers.ask(0).is_some());
    // What is read itself shows it.
    say(&mut mergers, range(12, 14, 14), 9000);
    assert_eq!(mergers.ask(0).unwrap().until, Some(12));
    say(&mut mergers, range(4, 5, 5), 9000);
    assert_eq!(mergers.ask(0), None);
}

#[test]
fn what_is_said_of_a_log_that_was_just_found_to_be_another_one_may_be_of_the_one_before() {
    let mut mergers = Mergers::default();
    mergers.know(&[0]);
    say(&mut mergers, range(0, 900, 900), 1000);
    assert!(mergers.ask(0).is_some() && !mergers.are_stalled(2000));
    mergers.forget(1, &[0], 2000);
    assert!(mergers.are_stalled(2000), "it holds what nobody has read");
    let late = say(&mut mergers, range(900, 900, 900), 2500);
    assert_eq!((late, mergers.ask(0)), (Heard::Ignored, None));
    mergers.pass(0, 5);
    let later_ms = 2000 + SETTLE_MS;
    assert!(!mergers.are_stalled(later_ms), "nobody waits for 900");
    assert_eq!(say(&mut mergers, range(5, 5, 5), later_ms), Heard::Begins);
}
