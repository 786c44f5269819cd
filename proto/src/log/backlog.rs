//! Lines on their way out, and the thread that writes them: whoever logs never waits for a reader.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

/// Most bytes that wait; some twenty thousand lines.
const WAITING_LEN_MAX: usize = 4 << 20;
/// Bytes of our own events that find room beyond that: messages do not keep them out.
const EVENTS_LEN_MAX: usize = 1 << 20;

/// What a line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A message of the wire.
    Message,
    /// An event of our own.
    Event,
}

/// Lines that wait for their reader, within a bound.
#[derive(Debug, Default)]
pub(super) struct Backlog {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    lines: VecDeque<Vec<u8>>,
    /// Bytes of the lines.
    len: usize,
    /// Lines for which there was no room since the last that was written.
    dropped: u64,
    /// Whether lines were taken and are not written yet.
    is_writing: bool,
}

impl Backlog {
    /// A backlog that a thread of its own writes to `sink`, each line in one piece. `notice` makes
    /// the line that says how many were dropped.
    ///
    /// # Errors
    /// Of the system, when there is no thread to be had.
    pub(super) fn start(
        sink: impl Write + Send + 'static,
        notice: fn(u64) -> Vec<u8>,
    ) -> io::Result<Arc<Self>> {
        let backlog = Arc::new(Self::default());
        let own = Arc::clone(&backlog);
        thread::Builder::new()
            .name("log".to_owned())
            .spawn(move || own.write_all_to(sink, notice))?;
        Ok(backlog)
    }

    /// Adds a line, or counts it as dropped when too much waits already.
    pub(super) fn push(&self, kind: Kind, line: Vec<u8>) {
        let room = match kind {
            Kind::Message => WAITING_LEN_MAX,
            Kind::Event => WAITING_LEN_MAX + EVENTS_LEN_MAX,
        };
        let mut state = self.state();
        if state.len.saturating_add(line.len()) > room {
            state.dropped = state.dropped.saturating_add(1);
            return;
        }
        state.len += line.len();
        state.lines.push_back(line);
        self.changed.notify_all();
    }

    /// Waits until everything is written, at most this long.
    pub(super) fn flush(&self, patience: Duration) {
        let is_busy = |state: &mut State| state.is_writing || !state.lines.is_empty();
        let waited = self
            .changed
            .wait_timeout_while(self.state(), patience, is_busy);
        drop(waited);
    }

    fn write_all_to(&self, mut sink: impl Write, notice: fn(u64) -> Vec<u8>) {
        loop {
            let (lines, dropped) = self.take();
            for line in lines {
                // A reader that went away (a closed pipe) must not stop a load test: the line is
                // lost, the run is not.
                let _ = sink.write_all(&line);
            }
            if dropped > 0 {
                let _ = sink.write_all(&notice(dropped));
            }
            let _ = sink.flush();
        }
    }

    /// Waits for lines and takes them, with the number of those that came after them in vain.
    fn take(&self) -> (VecDeque<Vec<u8>>, u64) {
        let mut state = self.state();
        state.is_writing = false;
        self.changed.notify_all();
        let mut state = self
            .changed
            .wait_while(state, |state| state.lines.is_empty())
            .unwrap_or_else(PoisonError::into_inner);
        state.is_writing = true;
        state.len = 0;
        let dropped = std::mem::take(&mut state.dropped);
        (std::mem::take(&mut state.lines), dropped)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{self, Receiver, Sender};

    use super::*;

    /// Long enough for a machine that does other things.
    const PATIENCE: Duration = Duration::from_secs(30);

    /// A reader that takes a line when it is told to.
    struct Gate {
        open: Receiver<()>,
        written: Sender<String>,
    }

    impl Write for Gate {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.open.recv().map_err(|_| io::ErrorKind::BrokenPipe)?;
            let text = String::from_utf8_lossy(bytes).into_owned();
            let _ = self.written.send(text);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn gated() -> (Arc<Backlog>, Sender<()>, Receiver<String>) {
        let ((open, gate), (written, lines)) = (mpsc::channel(), mpsc::channel());
        let sink = Gate {
            open: gate,
            written,
        };
        let notice = |dropped| format!("{dropped} dropped").into_bytes();
        (Backlog::start(sink, notice).unwrap(), open, lines)
    }

    #[test]
    fn whoever_logs_does_not_wait_for_a_reader_and_is_told_what_was_dropped() {
        let (backlog, open, lines) = gated();
        let line = vec![b'x'; 1 << 20];
        backlog.push(Kind::Message, b"first".to_vec());
        open.send(()).unwrap();
        assert_eq!(lines.recv_timeout(PATIENCE).unwrap(), "first");
        // The reader reads nothing: what the writer has taken stays with it, and four more wait. It
        // takes lines once or twice meanwhile, whenever it comes to run.
        for _ in 0..20 {
            backlog.push(Kind::Message, line.clone());
        }
        backlog.flush(Duration::from_millis(10));
        let (mut whole, mut told) = (0, 0);
        while whole + told < 20 {
            let _ = open.send(());
            let text = lines.recv_timeout(PATIENCE).unwrap();
            match text.strip_suffix(" dropped") {
                Some(number) => told += number.parse::<u64>().unwrap(),
                None => whole += u64::from(text.len() == line.len()),
            }
        }
        assert_eq!(whole + told, 20, "each was written or counted");
        assert!(told >= 11, "{told} dropped");
    }

    #[test]
    fn a_flush_waits_for_everything_and_a_reader_that_left_harms_nobody() {
        let (backlog, open, lines) = gated();
        (0..3).for_each(|_| open.send(()).unwrap());
        for text in ["a", "b", "c"] {
            backlog.push(Kind::Message, text.as_bytes().to_vec());
        }
        backlog.flush(PATIENCE);
        assert_eq!(lines.try_iter().collect::<Vec<_>>(), ["a", "b", "c"]);
        drop(open);
        backlog.push(Kind::Message, b"d".to_vec());
        backlog.flush(PATIENCE);
        assert_eq!(lines.try_iter().count(), 0);
    }

    #[test]
    fn messages_without_number_leave_room_for_events() {
        let backlog = Backlog::default();
        let line = vec![b'm'; 1 << 10];
        (0..2 * WAITING_LEN_MAX / line.len())
            .for_each(|_| backlog.push(Kind::Message, line.clone()));
        assert!(backlog.state().dropped > 0);
        backlog.push(Kind::Event, b"event".to_vec());
        assert_eq!(backlog.state().lines.back().unwrap(), b"event");
        let whole = vec![b'e'; EVENTS_LEN_MAX];
        let dropped = backlog.state().dropped;
        backlog.push(Kind::Event, whole);
        assert_eq!(backlog.state().dropped, dropped + 1, "it is bounded too");
    }
}
