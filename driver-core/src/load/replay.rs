//! The thread that reads a replay while it is played, so that no core waits for a disk: each core
//! gets every block, ahead of time, through a short queue of its own.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::thread;

use crossbeam_channel::{Sender, bounded};
use proto::replay::{Block, ReplayError};
use proto::workload::Pace;

use super::Stopper;
use crate::source::replay::{Feed, asked};
use crate::source::{Cast, Replay};

/// Blocks that wait for a core, at most: with those in hands they are a few MiB of memory.
const BLOCKS_MAX: usize = 2;

/// A feed for each of `cores` cores, if the sessions replay a log. The thread that fills them ends
/// with the file, or when every feed has been dropped; if it cannot read on, it ends the load.
///
/// # Errors
/// Those of starting a thread, and a replay that does not go with its scenario, which was checked.
pub(super) fn feeds(
    cast: Option<&Cast>,
    cores: usize,
    stopper: Stopper,
) -> io::Result<Vec<Option<Feed>>> {
    let none = || (0..cores).map(|_| None).collect();
    let Some((cast, replay)) = cast.and_then(|cast| Some((cast, cast.replay.clone()?))) else {
        return Ok(none());
    };
    let Some((pace, requests)) = asked(&cast.scenario) else {
        return Ok(none());
    };
    let flows = cast.scenario.flows_of(replay.head());
    let flows: Arc<[usize]> = flows.map_err(io::Error::other)?.into();
    let (mut queues, mut feeds) = (Vec::new(), Vec::new());
    for _ in 0..cores {
        let (queue, blocks) = bounded(BLOCKS_MAX);
        queues.push(Some(queue));
        feeds.push(Some(Feed::new(blocks, Arc::clone(&flows), requests)));
    }
    let read = move || {
        if let Err(error) = fill(&replay, pace, &mut queues) {
            stopper.fail(format!("the replay cannot be read on: {error}"));
        }
    };
    thread::Builder::new()
        .name("replay".to_owned())
        .spawn(read)?;
    Ok(feeds)
}

/// Reads the file into the queues, as fast as they are emptied.
fn fill(
    replay: &Replay,
    pace: Pace,
    queues: &mut [Option<Sender<Arc<Block>>>],
) -> Result<(), ReplayError> {
    let mut playing = replay.play(pace)?;
    // All of these are kept here too, so that no core ever frees one, and used again.
    let mut used = VecDeque::new();
    loop {
        let mut block = spare(&mut used);
        let own = Arc::get_mut(&mut block).expect("invariant: nobody else has a spare one");
        if !playing.next(own)? {
            return Ok(());
        }
        for queue in queues.iter_mut() {
            let sent = queue.as_ref().map(|queue| queue.send(Arc::clone(&block)));
            // A core that has ended takes no more; the others go on.
            if let Some(Err(_)) = sent {
                *queue = None;
            }
        }
        if queues.iter().all(Option::is_none) {
            return Ok(());
        }
        used.push_back(block);
    }
}

/// The oldest block, if no core has it any more; else a new one.
fn spare(used: &mut VecDeque<Arc<Block>>) -> Arc<Block> {
    let is_free = used
        .front_mut()
        .is_some_and(|block| Arc::get_mut(block).is_some());
    let free = if is_free { used.pop_front() } else { None };
    free.unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::io::{Cursor, Read, Seek, SeekFrom};
    use std::sync::atomic::{AtomicBool, Ordering};

    use proto::replay::Writer;

    use super::*;

    /// A file that cannot be read from some time on.
    struct Flaky {
        file: Cursor<Vec<u8>>,
        fails: Arc<AtomicBool>,
    }

    impl Read for Flaky {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            if self.fails.load(Ordering::Relaxed) {
                return Err(io::Error::other("the disk is gone"));
            }
            self.file.read(buffer)
        }
    }

    impl Seek for Flaky {
        fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
            self.file.seek(to)
        }
    }

    #[test]
    fn a_core_that_has_ended_holds_up_nobody_and_a_disk_that_is_gone_is_told() {
        let mut writer = Writer::new(Cursor::new(Vec::new())).unwrap();
        for at_ns in 0..100_000 {
            writer.push(at_ns, "GET /").unwrap();
        }
        let fails = Arc::new(AtomicBool::new(false));
        let file = Flaky {
            file: Cursor::new(writer.finish(&[]).unwrap().0.into_inner()),
            fails: Arc::clone(&fails),
        };
        let replay = Replay::open(Box::new(file)).unwrap();
        let (ended, living) = (bounded(1), bounded(BLOCKS_MAX));
        drop(ended.1);
        let mut queues = [Some(ended.0), Some(living.0)];
        fill(&replay, Pace::default(), &mut queues).unwrap();
        let ends: Vec<u64> = living.1.try_iter().map(|block| block.end()).collect();
        assert_eq!(ends, [65_536, 100_000]);
        fails.store(true, Ordering::Relaxed);
        let failed = fill(&replay, Pace::default(), &mut queues).unwrap_err();
        assert!(failed.to_string().contains("the disk is gone"), "{failed}");
    }

    #[test]
    fn a_block_is_used_again_when_nobody_has_it() {
        let mut used = VecDeque::new();
        let held = spare(&mut used);
        used.push_back(Arc::clone(&held));
        assert_eq!(used.len(), 1);
        let other = spare(&mut used);
        assert!(!Arc::ptr_eq(&held, &other) && used.len() == 1);
        let at = Arc::as_ptr(&held);
        drop(held);
        assert_eq!(Arc::as_ptr(&spare(&mut used)), at);
        assert!(used.is_empty());
    }
}
