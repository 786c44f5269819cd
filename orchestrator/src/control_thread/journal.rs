//! Writing the log on a thread of its own: whoever reads our standard output may be slow, and the
//! engine must not wait for it.

use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::{Sender, bounded};
use proto::log;
use serde_json::json;

use crate::control::Line;

/// Lines that wait for the reader of our standard output; more are dropped and counted.
const LINES_MAX: usize = 8192;
/// Our own events that find room beyond that: messages of a thousand drivers do not keep them out.
const EVENTS_MAX: usize = 1024;
/// Time that the last lines have at the end …
const END_TIMEOUT: Duration = Duration::from_secs(1);
/// … looked at this often.
const END_POLL: Duration = Duration::from_millis(2);

/// The log, as the control thread sees it.
#[derive(Debug)]
pub struct Journal {
    lines: Option<Sender<Line>>,
    thread: Option<JoinHandle<()>>,
    dropped: u64,
    /// Of these, the lines that the log tells of.
    told: u64,
}

impl Journal {
    /// Starts the writing thread. Where the system has none left, every line is dropped, and counted.
    #[must_use]
    pub fn start() -> Self {
        let (lines, waiting) = bounded(LINES_MAX + EVENTS_MAX);
        let write_all = move || waiting.iter().for_each(write);
        let thread = std::thread::Builder::new()
            .name("journal".into())
            .spawn(write_all);
        Self {
            lines: Some(lines),
            thread: thread.ok(),
            dropped: 0,
            told: 0,
        }
    }

    /// Adds a line, if there is room.
    pub fn write(&mut self, line: Line) {
        let Some(lines) = &self.lines else {
            return;
        };
        let is_event = matches!(line, Line::Event(..));
        let has_room = is_event || lines.len() < LINES_MAX;
        if !has_room || lines.try_send(line).is_err() {
            self.dropped += 1;
        } else if self.dropped > self.told {
            let fields = json!({"lines": self.dropped - self.told});
            let told = lines.try_send(Line::Event(log::Level::Warn, "log_dropped", fields));
            if told.is_ok() {
                self.told = self.dropped;
            }
        }
    }

    /// Lines that were dropped, since the start.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Waits until everything is written, unless whoever reads our output has stopped doing so.
    pub fn end(&mut self) {
        self.lines = None;
        let begin = Instant::now();
        while let Some(thread) = self.thread.take_if(|thread| !thread.is_finished()) {
            if begin.elapsed() >= END_TIMEOUT {
                return;
            }
            std::thread::sleep(END_POLL);
            self.thread = Some(thread);
        }
    }
}

fn write(line: Line) {
    match line {
        Line::Register(message) => log::message(&message),
        Line::Config(message) => log::message(&message),
        Line::Trigger(message) => log::message(&message),
        Line::Control(message) => log::message(&message),
        Line::Heartbeat(message) => log::message(&message),
        Line::Metrics(message) => log::message(&message),
        Line::Event(level, name, fields) => log::event(level, name, fields),
    }
}
