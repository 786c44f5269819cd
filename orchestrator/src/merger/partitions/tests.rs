//! What is sent when, and what may be committed then.

use proto::codec;
use proto::message::Merged;

use super::*;

const S: u64 = 1_000_000_000;
const MS: u64 = 1_000_000;

fn partitions() -> Partitions {
    Partitions::new(Merger {
        id: "m".into(),
        incarnation: 1,
    })
}

/// A partition that begins there, and ends.
fn start(partition: i32, offset: Option<i64>) -> Start {
    Start {
        partition,
        offset,
        end: offset,
    }
}

/// Messages that are no reports: they go along untouched, or are skipped.
fn read(offset: i64, len: usize) -> Read {
    let text = format!(
        r#"{{"node_id":"n","test_id":"t","metrics":{{}},"x":"{}"}}"#,
        "y".repeat(len)
    );
    Read::message(offset, text.into_bytes())
}

/// What is sent at an instant: the partition, the token, and the range.
fn sent(partitions: &mut Partitions, now_ns: u64, is_end: bool) -> Vec<(i32, u64, (i64, i64))> {
    let mut sent = Vec::new();
    let left_out = partitions.send(now_ns, is_end, |number, token, payload| {
        let merged: Merged = codec::decode(&mut payload.to_vec()).unwrap();
        assert_eq!(merged.partition, number);
        sent.push((number, token, (merged.from, merged.to)));
        true
    });
    assert_eq!(left_out, []);
    sent
}

#[test]
fn a_range_is_gathered_for_a_quarter_of_a_second_and_committed_when_it_has_arrived() {
    let mut partitions = partitions();
    partitions.assign(&[start(3, Some(10))], 0);
    let first = sent(&mut partitions, S, false);
    assert_eq!(first, [(3, 1, (10, 10))], "a sign of life, at once");
    assert_eq!(partitions.take_arrived(), [], "it is on its way");
    partitions.note_fate(1, Fate::Arrived, S);
    assert_eq!(partitions.take_arrived(), [(3, 10)]);
    partitions.add(3, read(10, 0), S + 100 * MS);
    partitions.add(3, read(11, 0), S + 200 * MS);
    let at = S + 349 * MS;
    assert_eq!(sent(&mut partitions, at, false), []);
    let most = Duration::from_secs(9);
    assert_eq!(partitions.wait(at, most), Duration::from_millis(1));
    let second = sent(&mut partitions, at + MS, false);
    assert_eq!(second, [(3, 2, (10, 12))]);
    partitions.add(3, read(12, 0), at + 2 * MS);
    assert_eq!(
        sent(&mut partitions, at + 9 * S, false),
        [],
        "one range at a time is on its way"
    );
    partitions.note_fate(2, Fate::Arrived, at + 9 * S);
    assert_eq!(partitions.take_arrived(), [(3, 12)]);
    assert_eq!(sent(&mut partitions, at + 9 * S, false).len(), 1);
}

#[test]
fn a_partition_without_messages_is_told_of_once_a_second() {
    let mut partitions = partitions();
    partitions.assign(&[start(0, Some(0)), start(1, None)], 0);
    assert_eq!(sent(&mut partitions, S, false).len(), 1, "1 is not known");
    partitions.note_fate(1, Fate::Arrived, S);
    partitions.take_arrived();
    assert_eq!(sent(&mut partitions, 2 * S - 1, false), []);
    assert_eq!(sent(&mut partitions, 2 * S, false).len(), 1);
    partitions.add(1, read(77, 0), 2 * S);
    let later = sent(&mut partitions, 2 * S + 250 * MS, false);
    assert_eq!(later[0].2, (77, 78), "it begins with what came first");
}

#[test]
fn a_partition_whose_start_was_not_known_is_told_of_once_its_end_is() {
    let mut partitions = partitions();
    partitions.assign(&[start(0, None)], 0);
    assert_eq!(sent(&mut partitions, S, false), []);
    partitions.note_ends(&[(0, 40)].into(), 2 * S);
    assert_eq!(sent(&mut partitions, 2 * S, false), [(0, 1, (40, 40))]);
    // The client began before that.
    partitions.add(0, read(38, 0), 2 * S);
    partitions.note_fate(1, Fate::Arrived, 2 * S);
    partitions.take_arrived();
    assert_eq!(sent(&mut partitions, 3 * S, false)[0].2, (38, 39));
}

#[test]
fn nothing_is_said_of_a_partition_that_we_do_not_reach() {
    let mut partitions = partitions();
    let begun = Start {
        end: None,
        ..start(0, Some(7))
    };
    partitions.assign(&[begun], 0);
    assert_eq!(sent(&mut partitions, S, false), [], "its end is not known");
    let mut now_ns = S;
    let mut says = |partitions: &mut Partitions, end: Option<i64>| {
        now_ns += S;
        if let Some(end) = end {
            partitions.note_ends(&[(0, end)].into(), now_ns);
        }
        let said = sent(partitions, now_ns, false);
        for (_, token, _) in &said {
            partitions.note_fate(*token, Fate::Arrived, now_ns);
        }
        partitions.take_arrived();
        said.len()
    };
    assert_eq!(says(&mut partitions, Some(7)), 1);
    let later: usize = (0..10).map(|_| says(&mut partitions, None)).sum();
    assert_eq!(later, 3, "and then it is silent");
    assert_eq!(says(&mut partitions, Some(9)), 1);
    // What was read of it was reached.
    let later: usize = (0..10).map(|_| says(&mut partitions, None)).sum();
    assert_eq!(later, 3);
    partitions.add(0, read(7, 0), 30 * S);
    assert_eq!(sent(&mut partitions, 31 * S, false)[0].2, (7, 8));
}

#[test]
fn much_is_sent_at_once_and_more_than_can_be_sent_is_said() {
    let mut partitions = partitions();
    partitions.assign(&[start(0, Some(0))], 0);
    let mut offset = 0;
    let mut fill = |partitions: &mut Partitions| {
        for _ in 0..9 {
            partitions.add(0, read(offset, 64 << 10), S);
            offset += 1;
        }
    };
    fill(&mut partitions);
    assert!(!partitions.is_full(0));
    assert_eq!(sent(&mut partitions, S, false).len(), 1);
    fill(&mut partitions);
    assert!(partitions.is_full(0) && sent(&mut partitions, S, false).is_empty());
    partitions.note_fate(1, Fate::Arrived, S);
    assert_eq!(partitions.take_arrived(), [(0, 9)]);
    assert_eq!(sent(&mut partitions, S, false)[0].2, (9, 18));
    assert!(!partitions.is_full(0));
}

#[test]
fn what_did_not_arrive_is_sent_again_and_committed_no_sooner() {
    let mut partitions = partitions();
    partitions.assign(&[start(0, Some(5))], 0);
    partitions.add(0, read(5, 0), S);
    let first = sent(&mut partitions, 2 * S, false);
    partitions.note_fate(first[0].1, Fate::Lost, 2 * S);
    assert_eq!(partitions.take_arrived(), []);
    assert_eq!(sent(&mut partitions, 2 * S + 499 * MS, false), []);
    assert_eq!(sent(&mut partitions, 2 * S + 500 * MS, false), first);
    // The client takes nothing more for now.
    partitions.note_fate(first[0].1, Fate::Lost, 3 * S);
    partitions.send(4 * S, false, |_, _, _| false);
    assert_eq!(sent(&mut partitions, 4 * S + 500 * MS, false), first);
    partitions.note_fate(first[0].1, Fate::Arrived, 5 * S);
    assert_eq!(partitions.take_arrived(), [(0, 6)]);
}

#[test]
fn what_the_broker_does_not_take_for_its_length_is_left_out_and_the_next_is_shorter() {
    let mut partitions = partitions();
    partitions.assign(&[start(0, Some(0))], 0);
    for offset in 0..4 {
        partitions.add(0, read(offset, 50 << 10), S);
    }
    let first = sent(&mut partitions, 2 * S, false);
    let left_out = partitions.note_fate(first[0].1, Fate::TooLong, 2 * S);
    let whole = LeftOut {
        partition: 0,
        from: 0,
        to: 4,
    };
    assert_eq!(left_out, Some(whole));
    assert_eq!(partitions.take_arrived(), [(0, 4)], "others read it");
    for offset in 4..8 {
        partitions.add(0, read(offset, 50 << 10), 3 * S);
    }
    let ranges: Vec<_> = sent(&mut partitions, 4 * S, false)
        .into_iter()
        .map(|(_, _, range)| range)
        .collect();
    assert_eq!(ranges, [(4, 5), (5, 6), (6, 7), (7, 8)]);
}

#[test]
fn a_message_that_is_too_long_for_any_range_is_left_out() {
    let mut partitions = partitions();
    partitions.assign(&[start(0, Some(0))], 0);
    partitions.add(0, read(0, LEN_MAX), S);
    let left_out = partitions.send(2 * S, false, |_, _, _| panic!("nothing is left to send"));
    assert_eq!((left_out[0].from, left_out[0].to), (0, 1));
    assert_eq!(partitions.take_arrived(), [(0, 1)]);
}

#[test]
fn what_was_read_of_a_partition_that_went_is_forgotten() {
    let mut partitions = partitions();
    partitions.assign(&[start(0, Some(0)), start(1, Some(0))], 0);
    partitions.add(0, read(0, 0), S);
    partitions.add(1, read(0, 0), S);
    let tokens: Vec<u64> = sent(&mut partitions, 2 * S, false)
        .iter()
        .map(|(_, token, _)| *token)
        .collect();
    partitions.revoke(&[0]);
    for token in tokens {
        partitions.note_fate(token, Fate::Arrived, 2 * S);
    }
    assert_eq!(partitions.take_arrived(), [(1, 1)]);
    partitions.add(0, read(1, 0), 2 * S);
    assert_eq!(partitions.numbers(), [1]);
    partitions.assign(&[start(0, Some(1))], 0);
    assert_eq!(sent(&mut partitions, 2 * S, false), [(0, 3, (1, 1))]);
}

#[test]
fn another_log_under_the_same_name_begins_a_new_range() {
    let mut partitions = partitions();
    partitions.assign(&[start(0, Some(100))], 0);
    partitions.add(0, read(100, 0), S);
    partitions.add(0, read(3, 0), S);
    assert_eq!(sent(&mut partitions, 2 * S, false)[0].2, (3, 4));
    assert_eq!(partitions.lag(), 0);
    partitions.note_ends(&[(0, 9)].into(), 0);
    assert_eq!(partitions.lag(), 5);
}

#[test]
fn another_log_of_which_nothing_was_read_yet_is_left_to_others_up_to_its_end() {
    let mut partitions = partitions();
    partitions.assign(&[start(0, Some(100))], 0);
    partitions.add(0, read(100, 0), S);
    partitions.note_ends(&[(0, 9)].into(), 2 * S);
    assert_eq!(sent(&mut partitions, 2 * S, false)[0].2, (9, 9));
    partitions.note_fate(1, Fate::Arrived, 2 * S);
    assert_eq!(partitions.take_arrived(), [(0, 9)]);
    partitions.add(0, read(0, 0), 3 * S);
    assert_eq!(sent(&mut partitions, 4 * S, false)[0].2, (0, 1));
}

#[test]
fn where_reading_begins_is_not_taken_from_where_the_partition_ended() {
    let mut partitions = partitions();
    partitions.assign(&[start(0, None)], 0);
    partitions.note_ends(&[(0, 40)].into(), S);
    assert_eq!(sent(&mut partitions, S, false), [(0, 1, (40, 40))]);
    partitions.note_fate(1, Fate::Arrived, S);
    partitions.take_arrived();
    // The client reached the partition later, when it ended there; nobody read what came between.
    partitions.add(0, read(45, 0), 2 * S);
    assert_eq!(sent(&mut partitions, 3 * S, false)[0].2, (45, 46));
}

#[test]
fn at_the_end_what_was_read_is_sent_without_waiting() {
    let mut partitions = partitions();
    partitions.assign(&[start(0, Some(0)), start(1, Some(0))], 0);
    for (_, token, _) in sent(&mut partitions, S, false) {
        partitions.note_fate(token, Fate::Arrived, S);
    }
    partitions.take_arrived();
    assert!(partitions.is_idle());
    partitions.add(1, read(0, 0), S);
    assert!(!partitions.is_idle());
    let last = sent(&mut partitions, S + MS, true);
    assert_eq!((last.len(), last[0].2), (1, (0, 1)));
    partitions.note_fate(last[0].1, Fate::Arrived, S + MS);
    assert_eq!(partitions.take_arrived(), [(1, 1)]);
    assert!(partitions.is_idle());
}
