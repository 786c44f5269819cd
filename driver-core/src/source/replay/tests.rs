//! A replay as one core sees it, and as all together play it.

use crossbeam_channel::bounded;
use proptest::prelude::*;
use proto::replay::Writer;

use super::*;

/// A replay of these requests, each so many ns after the one before.
fn replay(entries: &[(u64, &str)]) -> Replay {
    let mut writer = Writer::new(io::Cursor::new(Vec::new())).unwrap();
    let mut at_ns = 1_700_000_000_000_000_000;
    for (gap_ns, request) in entries {
        at_ns += gap_ns.cast_signed();
        writer.push(at_ns, request).unwrap();
    }
    let (out, _) = writer.finish(&["TOKEN".to_owned()]).unwrap();
    Replay::open(in_memory(&out.into_inner())).unwrap()
}

fn blocks(replay: &Replay, pace: Pace) -> Vec<Arc<Block>> {
    let (mut playing, mut blocks) = (replay.play(pace).unwrap(), Vec::new());
    loop {
        let mut block = Block::default();
        if !playing.next(&mut block).unwrap() {
            return blocks;
        }
        blocks.push(Arc::new(block));
    }
}

/// What one core plays, when and which, where the methods of the replay have the flows 7, 8 and 9.
fn played(blocks: &[Arc<Block>], part: Part, end: u64) -> Vec<(u64, usize, String)> {
    let (send, receive) = bounded(blocks.len());
    for block in blocks {
        send.send(Arc::clone(block)).unwrap();
    }
    let mut feed = Feed::new(receive, [7, 8, 9].into(), end);
    feed.take_place(part);
    let mut played = Vec::new();
    while let Next::Entry { at_ns, flow, path } = feed.peek() {
        played.push((at_ns, flow, String::from_utf8(path.to_vec()).unwrap()));
        feed.pass();
    }
    assert_eq!(feed.peek(), Next::Over);
    played
}

const REQUESTS: [&str; 4] = ["GET /", "HEAD /a", "GET /b?c=d", "POST /e"];

proptest! {
    #[test]
    fn all_parties_together_play_each_entry_once_at_its_instant(
        entries in prop::collection::vec((0..3_000_000_000_u64, 0..4_usize), 1..400),
        (drivers, cores) in (1..6_u64, 1..5_u64),
        speed in prop::sample::select(vec!["log", "log*2.5", "log*0.3", "log*1000"]),
        most in 1..500_u64,
    ) {
        let entries: Vec<(u64, &str)> = entries.iter().map(|(gap, n)| (*gap, REQUESTS[*n])).collect();
        let replay = replay(&entries);
        let pace = Pace::parse(speed).unwrap();
        let blocks = blocks(&replay, pace);
        let mut log_ns = 0;
        let mut expected: Vec<(u64, String)> = Vec::new();
        for (nth, (gap_ns, request)) in entries.iter().enumerate() {
            log_ns += if nth == 0 { 0 } else { *gap_ns };
            expected.push((pace.played_ns(log_ns), (*request).to_owned()));
        }
        expected.truncate(usize::try_from(most).unwrap());
        let mut all = Vec::new();
        for driver in 0..drivers {
            let driver = Part::new(driver, drivers).unwrap();
            for core in 0..cores {
                let part = driver.part(core, cores);
                let entries = most.min(replay.head().requests);
                let own = played(&blocks, part, entries);
                prop_assert_eq!(own.len() as u64, part.share(entries));
                prop_assert!(own.is_sorted_by_key(|(at_ns, ..)| *at_ns));
                all.extend(own);
            }
        }
        let methods = &replay.head().methods;
        let line = |(at_ns, flow, path): (u64, usize, String)| {
            (at_ns, format!("{} {path}", methods[flow - 7].0))
        };
        let mut all: Vec<_> = all.into_iter().map(line).collect();
        all.sort();
        expected.sort();
        prop_assert_eq!(all, expected);
    }
}

#[test]
fn a_block_that_is_not_here_yet_is_late_and_a_reader_that_is_gone_is_the_end() {
    let replay = replay(&[(0, "GET /")]);
    let (send, receive) = bounded(1);
    let mut feed = Feed::new(receive, [0].into(), 2);
    assert_eq!(feed.peek(), Next::Late);
    send.send(blocks(&replay, Pace::default()).remove(0))
        .unwrap();
    assert!(matches!(feed.peek(), Next::Entry { at_ns: 0, .. }));
    feed.pass();
    assert_eq!(feed.peek(), Next::Late);
    drop(send);
    assert_eq!(feed.peek(), Next::Over);
}

#[test]
fn secrets_stand_where_they_are_named() {
    let replay = replay(&[
        (0, "GET /?token=$secret(TOKEN)&price=$$5"),
        (0, "GET /?a=$secret(OTHER)"),
    ]);
    let replay = replay.with_secrets(|name| (name == "TOKEN").then(|| "a/b c".to_owned()));
    let all = played(&blocks(&replay, Pace::default()), Part::WHOLE, 2);
    assert_eq!(all[0].2, "/?token=a%2Fb%20c&price=$5");
    assert_eq!(all[1].2, "/?a=$secret(OTHER)");
    assert!(
        !format!("{replay:?}").contains("a/b"),
        "values are shown nowhere"
    );
}

#[test]
fn the_first_request_of_a_method_can_be_tried_alone() {
    let replay = replay(&[(0, "GET /"), (9, "POST /e"), (9, "POST /f")]);
    let mut feed = replay.first_of(1, [3, 4].into()).unwrap();
    let Next::Entry { at_ns, flow, path } = feed.peek() else {
        panic!("nothing to try");
    };
    assert_eq!((at_ns, flow, path), (0, 4, &b"/e"[..]));
    feed.pass();
    assert_eq!(feed.peek(), Next::Over);
    assert!(replay.first_of(2, [3, 4].into()).is_err());
}
