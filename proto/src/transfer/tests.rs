//! A transfer as a whole: senders that are killed, drivers that come and go, a topic that loses,
//! doubles, reorders and spoils what it carries.

use std::collections::{BTreeMap, VecDeque};

use proptest::prelude::*;

use super::*;
use crate::digest::Sha256;
use crate::message::Need;

/// A turn of the world, ns: between two of a driver's heartbeats in a transfer.
const TURN_NS: u64 = 50_000_000;

fn content(seed: u64, bytes: u64) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(seed);
    (0..bytes).map(|_| random.u8(..)).collect()
}

struct Receiver {
    files: BTreeMap<Sha256, (Assembly, Vec<u8>)>,
}

impl Receiver {
    fn new(lacks: &[&Vec<u8>]) -> Self {
        let entry = |content: &&Vec<u8>| {
            let bytes = content.len() as u64;
            let file = (Assembly::new(bytes), vec![0; content.len()]);
            (Sha256::of(content), file)
        };
        Self {
            files: lacks.iter().map(entry).collect(),
        }
    }

    fn take(&mut self, message: &[u8]) {
        let Ok(chunk) = Chunk::decode(message) else {
            return;
        };
        let Some((assembly, file)) = self.files.get_mut(&chunk.sha256) else {
            return;
        };
        if assembly.wants(&chunk) {
            let at = usize::try_from(chunk.offset).unwrap();
            file[at..at + chunk.content.len()].copy_from_slice(chunk.content);
            assembly.keep(&chunk);
        }
    }

    fn needs(&self) -> Vec<Need> {
        let lacking = self.files.iter();
        let lacking = lacking.filter(|(_, (assembly, _))| !assembly.is_whole());
        let need = |(sha256, (assembly, _)): (&Sha256, &(Assembly, Vec<u8>))| Need {
            sha256: *sha256,
            bytes: assembly.bytes(),
            from: assembly.acknowledged(),
        };
        lacking.map(need).collect()
    }

    fn is_right(&self) -> bool {
        self.files
            .iter()
            .all(|(sha256, (_, file))| Sha256::of(file) == *sha256)
    }
}

/// What goes wrong in a turn.
#[derive(Debug, Clone, Copy)]
#[allow(clippy::struct_excessive_bools)] // each goes wrong by itself
struct Fault {
    lost: bool,
    doubled: bool,
    spoiled: bool,
    swapped: bool,
    sender_dies: bool,
    driver_dies: Option<usize>,
}

fn fault() -> impl Strategy<Value = Fault> {
    let rare = || prop::bool::weighted(0.1);
    let driver = prop::option::weighted(0.05, 0..3_usize);
    (rare(), rare(), rare(), rare(), rare(), driver).prop_map(
        |(lost, doubled, spoiled, swapped, sender_dies, driver_dies)| Fault {
            lost,
            doubled,
            spoiled,
            swapped,
            sender_dies,
            driver_dies,
        },
    )
}

/// Plays until every driver has what it lacks; turns after `faults` have none. The number of turns.
fn play(files: &[Vec<u8>], lacks: &[Vec<usize>], joins: &[usize], faults: &[Fault]) -> usize {
    let known: BTreeMap<Sha256, &Vec<u8>> =
        files.iter().map(|file| (Sha256::of(file), file)).collect();
    let fresh = |driver: usize| {
        let lacks: Vec<&Vec<u8>> = lacks[driver].iter().map(|file| &files[*file]).collect();
        Receiver::new(&lacks)
    };
    let mut receivers: Vec<Receiver> = (0..lacks.len()).map(fresh).collect();
    let mut sender = Sender::default();
    let mut topic: VecDeque<Vec<u8>> = VecDeque::new();
    for turn in 0..4000 {
        let fault = faults.get(turn).copied();
        let now_ns = turn as u64 * TURN_NS;
        if fault.is_some_and(|fault| fault.sender_dies) {
            sender = Sender::default();
        }
        if let Some(driver) = fault.and_then(|fault| fault.driver_dies)
            && driver < receivers.len()
        {
            receivers[driver] = fresh(driver);
        }
        let is_here = |driver: usize| turn >= joins[driver];
        for (driver, receiver) in receivers.iter().enumerate() {
            if is_here(driver) {
                let has = |need: &Need| known.contains_key(&need.sha256);
                sender.heard(&driver.to_string(), &receiver.needs(), has, now_ns);
            }
        }
        let mut under_way = 0;
        while let Some(piece) = sender.next(now_ns) {
            let file = known[&piece.sha256];
            let at = usize::try_from(piece.offset).unwrap();
            let chunk = Chunk {
                sha256: piece.sha256,
                bytes: piece.bytes,
                offset: piece.offset,
                content: &file[at..at + usize::try_from(piece.len).unwrap()],
            };
            topic.push_back(chunk.encode());
            under_way += piece.len;
        }
        assert!(under_way <= WINDOW, "{under_way} bytes at once");
        if let Some(fault) = fault {
            spoil(&mut topic, fault);
        }
        for message in topic.drain(..) {
            for (driver, receiver) in receivers.iter_mut().enumerate() {
                if is_here(driver) {
                    receiver.take(&message);
                }
            }
        }
        if turn >= faults.len() && receivers.iter().all(|driver| driver.needs().is_empty()) {
            assert!(receivers.iter().all(Receiver::is_right));
            return turn;
        }
    }
    panic!("they never got their files");
}

fn spoil(topic: &mut VecDeque<Vec<u8>>, fault: Fault) {
    if fault.swapped && topic.len() > 1 {
        let last = topic.len() - 1;
        topic.swap(0, last);
    }
    if let (true, Some(first)) = (fault.doubled, topic.front().cloned()) {
        topic.push_back(first);
    }
    if let (true, Some(first)) = (fault.spoiled, topic.front_mut()) {
        let at = first.len() / 2;
        first[at] ^= 0x20;
    }
    if fault.lost {
        topic.pop_back();
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn every_driver_gets_what_it_lacks_whatever_goes_wrong(
        lengths in prop::collection::vec(0..4 * WINDOW, 1..3),
        lacks in prop::collection::vec(prop::collection::btree_set(0..2_usize, 1..3), 1..4),
        joins in prop::collection::vec(0..60_usize, 3),
        faults in prop::collection::vec(fault(), 0..80),
    ) {
        let files: Vec<Vec<u8>> = (0..).zip(&lengths).map(|(n, len)| content(n, *len)).collect();
        let among = |set: &std::collections::BTreeSet<usize>| {
            set.iter().filter(|file| **file < files.len()).copied().collect()
        };
        let lacks: Vec<Vec<usize>> = lacks.iter().map(among).collect();
        play(&files, &lacks, &joins, &faults);
    }

    #[test]
    fn a_message_of_any_bytes_is_a_chunk_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(Chunk::decode(&bytes).is_err());
        let mut message = b"dltsdata".to_vec();
        message.extend(bytes);
        let _ = Chunk::decode(&message);
    }
}

#[test]
fn a_file_takes_as_many_turns_as_windows_and_every_asker_gets_it_at_once() {
    let files = [content(1, 10 * WINDOW)];
    let one = play(&files, &[vec![0]], &[0], &[]);
    // Eight whole pieces fit into a window of eight and a half.
    assert!((10..=11).contains(&one), "{one}");
    let three = play(&files, &[vec![0], vec![0], vec![0]], &[0, 0, 0], &[]);
    assert_eq!(three, one, "what one reads, all read");
}

#[test]
fn a_driver_that_takes_nothing_keeps_no_other_from_its_file() {
    let (stuck, other) = (content(1, 3 * WINDOW), content(2, 3 * WINDOW));
    let mut sender = Sender::default();
    let need = |content: &Vec<u8>, from| Need {
        sha256: Sha256::of(content),
        bytes: content.len() as u64,
        from,
    };
    let mut from = 0;
    for turn in 0..400 {
        let now_ns = turn * TURN_NS;
        sender.heard("a", &[need(&stuck, 0)], |_| true, now_ns);
        sender.heard("b", &[need(&other, from)], |_| true, now_ns);
        while let Some(piece) = sender.next(now_ns) {
            if piece.sha256 == Sha256::of(&other) && piece.offset == from {
                from += piece.len;
            }
        }
        if from == other.len() as u64 {
            assert!(turn < 100, "{turn}");
            return;
        }
    }
    panic!("it waits for ever");
}

#[test]
fn who_asks_no_more_is_sent_nothing() {
    let file = content(1, 3 * WINDOW);
    let need = Need {
        sha256: Sha256::of(&file),
        bytes: file.len() as u64,
        from: 0,
    };
    let mut sender = Sender::default();
    sender.heard("a", &[need], |_| false, 0);
    assert!(sender.is_idle() && sender.next(0).is_none(), "not here");
    sender.heard("a", &[need], |_| true, 0);
    let first = sender.next(0).unwrap();
    assert_eq!((first.offset, first.len), (0, PIECE_LEN));
    sender.heard("a", &[], |_| true, 1);
    assert!(sender.is_idle() && sender.next(1).is_none());
    sender.heard("a", &[need], |_| true, 2);
    assert!(sender.next(2).is_some());
    assert!(sender.next(2 + ASKED_NS_MAX).is_none() && sender.is_idle());
}

#[test]
fn a_chunk_is_read_as_it_was_written_or_not_at_all() {
    let file = content(3, PIECE_LEN + 7);
    let chunk = Chunk {
        sha256: Sha256::of(&file),
        bytes: file.len() as u64,
        offset: PIECE_LEN,
        content: &file[file.len() - 7..],
    };
    let message = chunk.encode();
    assert_eq!(Chunk::decode(&message), Ok(chunk));
    for at in 0..message.len() {
        let mut spoiled = message.clone();
        spoiled[at] ^= 1;
        assert!(Chunk::decode(&spoiled).is_err(), "{at}");
        assert!(Chunk::decode(&message[..at]).is_err(), "cut at {at}");
    }
    for wrong in [
        Chunk { offset: 1, ..chunk },
        Chunk {
            bytes: 1 << 40,
            ..chunk
        },
        Chunk {
            content: &[],
            ..chunk
        },
    ] {
        assert!(Chunk::decode(&wrong.encode()).is_err(), "{wrong:?}");
    }
}
