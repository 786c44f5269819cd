//! Where requests come from: which is due next, what fills its holes, and what its answer means for
//! the requests after it. Pure: instants and bytes go in.
//!
//! | module | what it is |
//! |---|---|
//! | [`sessions`] | users that walk through the flows of a scenario |
//! | [`replay`] | the log that they replay, and what of it comes to one core |
//! | [`table`] | the rows that their values come from |
//! | `program` | where in its flow a session is |
//! | `judge` | what an answer is looked at for: extracts and checks |
//! | `json` | a value within a JSON text |
//! | `jar` | the cookies of a session |
//! | `switch` | a change of the rate |
//! | [`board`] | what all cores have counted so far, for whoever watches |
//! | [`tally`] | what is counted by step, flow, check and data set |
//!
//! A source knows no connection and no protocol. Whoever dispatches asks it for what is due, writes
//! the request of that number with the holes filled, and tells it what became of it.

pub mod board;
mod jar;
mod json;
mod judge;
mod program;
pub mod replay;
pub mod sessions;
mod switch;
pub mod table;
pub mod tally;

use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use proto::measure::SessionCounts;
use proto::workload::{Part, Scenario};

pub use board::Board;
pub use replay::Replay;
pub use sessions::Sessions;
pub use switch::Switch;
pub use table::Table;
pub use tally::Tally;

pub use crate::protocol::Watches;

/// A request that is to be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Due<J> {
    /// When it was intended, ns of the monotonic clock.
    pub intended_ns: u64,
    /// What it is known by until it has ended.
    pub job: J,
}

/// What has become due. Warm-up is not counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Advanced {
    /// Requests that can be sent now and could not be before: they are offered.
    pub offered: u64,
    /// Sessions that did not start, for there were too many at once or no row was left.
    pub shed: u64,
}

/// The sessions of a driver, before its cores divide them.
#[derive(Debug, Clone)]
pub struct Cast {
    /// What they do; files and secrets are put in.
    pub scenario: Arc<Scenario>,
    /// Their rows.
    pub tables: Arc<[Table]>,
    /// This driver among all, once that is known: at the latest before the start.
    pub driver: Arc<OnceLock<Part>>,
    /// The log that they replay.
    pub replay: Option<Arc<Replay>>,
    /// What its cores have counted when they are over.
    pub tally: Arc<Mutex<Tally>>,
    /// What they have counted so far.
    pub board: Arc<Board>,
}

impl Cast {
    /// What its sessions came to, once its cores have ended.
    #[must_use]
    pub fn counts(&self) -> SessionCounts {
        let tally = self.tally.lock().unwrap_or_else(PoisonError::into_inner);
        tally.counts(&self.tables)
    }

    /// The same that replay a log.
    #[must_use]
    pub fn with_replay(self, replay: Option<Replay>) -> Self {
        let replay = replay.map(Arc::new);
        Self { replay, ..self }
    }

    /// The log that they replay: how many of its requests, and how long it takes, ns, unless it is
    /// cut.
    #[must_use]
    pub fn replayed(&self) -> Option<(u64, u64)> {
        let (pace, requests) = replay::asked(&self.scenario)?;
        let span_ns = self.replay.as_ref()?.head().span_ns();
        Some((requests, pace.played_ns(span_ns)))
    }

    /// The sessions of driver `driver` of all, or of one whose place is not known yet.
    #[must_use]
    pub fn new(scenario: Scenario, tables: Vec<Table>, driver: impl Into<Option<Part>>) -> Self {
        let place = driver.into().map_or_else(OnceLock::new, OnceLock::from);
        Self {
            tally: Arc::new(Mutex::new(Tally::new(&scenario))),
            board: Arc::new(Board::new(&scenario)),
            scenario: Arc::new(scenario),
            tables: tables.into(),
            replay: None,
            driver: Arc::new(place),
        }
    }
}

/// The source of a load whose requests are all the same, and whose plan says when.
#[derive(Debug, Clone, Copy, Default)]
pub struct Same;

impl Source for Same {
    type Job = ();
    const IS_FIXED: bool = true;

    fn begin(&mut self, _: u64) {}
    fn waits(&self) -> bool {
        false
    }
    fn due_ns(&self) -> u64 {
        u64::MAX
    }
    fn advance(&mut self, _: u64) -> Advanced {
        Advanced::default()
    }
    fn waiting(&self, _: usize) -> usize {
        0
    }
    fn take(&mut self, _: usize, _: u64) -> Option<Due<()>> {
        None
    }
    fn request(&self, (): ()) -> usize {
        0
    }
    fn timeout_ns(&self, (): ()) -> u64 {
        u64::MAX
    }
    fn is_measured(&self, (): ()) -> bool {
        true
    }
    fn fill(&mut self, (): (), _: usize, _: &mut Vec<u8>) {}
    fn watches(&self, (): ()) -> Watches {
        Watches::default()
    }
    fn field(&mut self, (): (), _: &[u8], _: &[u8]) {}
    fn body(&mut self, (): (), _: &[u8]) {}
    fn answered(&mut self, (): (), _: Answer) -> Outcome {
        Outcome {
            verdict: Verdict::Ok,
            step: 0,
            failed: 0,
            ended: None,
        }
    }
    fn lost(&mut self, (): (), _: u64) -> Option<(usize, u64)> {
        None
    }
    fn refuse(&mut self, _: usize, _: u64, _: Option<u64>) -> u64 {
        0
    }
    fn cut(&mut self, (): (), _: u64) {}
    fn stop(&mut self, _: u64) {}
    fn finish(&mut self) {}
    fn is_over(&self) -> bool {
        true
    }
}

/// A whole answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answer {
    /// Its status.
    pub status: u16,
    /// When its request was handed to the kernel, ns.
    pub sent_ns: u64,
    /// When its last byte had come, ns.
    pub end_ns: u64,
}

/// What an answer is worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// What was hoped for.
    Ok,
    /// Its status is an error.
    Status,
    /// A check failed.
    Check,
    /// A value was not found.
    Extract,
}

/// What an answer led to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outcome {
    /// What it is worth: the first that applies of status, check and extraction.
    pub verdict: Verdict,
    /// The step that it answers.
    pub step: usize,
    /// Which check or extract of the step it failed, by number; 0 where it failed none.
    pub failed: usize,
    /// The session that ended with it: its flow, and how long it took from its intended start, ns.
    pub ended: Option<(usize, u64)>,
}

impl Outcome {
    /// That of an answer which its status alone makes an error.
    #[must_use]
    pub fn of_status() -> Self {
        Self {
            verdict: Verdict::Status,
            step: 0,
            failed: 0,
            ended: None,
        }
    }
}

/// Where requests come from.
pub trait Source {
    /// A request that was taken and has not ended; stale ones are told apart and ignored.
    type Job: Copy;
    /// Whether all requests are the same and a plan says when, so that there is nothing to ask.
    const IS_FIXED: bool = false;

    /// The load starts at an instant, which may lie a little back.
    fn begin(&mut self, start_ns: u64);

    /// The rate at which sessions arrive changes; before the start, or while they do.
    fn switch(&mut self, switch: &Switch) {
        let _ = switch;
    }

    /// Whether it starts sessions only when others end: then a target that is lost for long ends it.
    fn waits(&self) -> bool;

    /// When [`Self::advance`] next has something to do; `u64::MAX` for never, unless an answer comes.
    fn due_ns(&self) -> u64;

    /// Makes everything ready whose instant has come.
    fn advance(&mut self, now_ns: u64) -> Advanced;

    /// Requests to the server of this number that are ready and wait for a connection.
    fn waiting(&self, server: usize) -> usize;

    /// The one of them that has been ready for the longest time.
    fn take(&mut self, server: usize, now_ns: u64) -> Option<Due<Self::Job>>;

    /// The number of a job's compiled request, which is that of its step.
    fn request(&self, job: Self::Job) -> usize;

    /// From its actual send to the end of its answer, at most, ns.
    fn timeout_ns(&self, job: Self::Job) -> u64;

    /// Whether it counts, rather than only warms up.
    fn is_measured(&self, job: Self::Job) -> bool;

    /// Appends what fills a hole of the job's request.
    fn fill(&mut self, job: Self::Job, hole: usize, out: &mut Vec<u8>);

    /// What of its answer has to be handed on.
    fn watches(&self, job: Self::Job) -> Watches;

    /// Whether an answer with this status may be found bad.
    fn may_fail(&self, job: Self::Job, status: u16) -> bool {
        let _ = job;
        status >= 400
    }

    /// A header field of its answer.
    fn field(&mut self, job: Self::Job, name: &[u8], value: &[u8]);

    /// A piece of its answer's body.
    fn body(&mut self, job: Self::Job, bytes: &[u8]);

    /// Its answer is complete.
    fn answered(&mut self, job: Self::Job, answer: Answer) -> Outcome;

    /// What was wrong with an answer that led to this, in words: its step, where there are steps, and
    /// why it counts as an error.
    fn blame(&self, outcome: &Outcome, status: u16) -> (Option<String>, String) {
        let _ = outcome;
        (None, format!("status {status}"))
    }

    /// It has no answer and gets none: it failed, or was never sent. Says what session ended by it.
    fn lost(&mut self, job: Self::Job, now_ns: u64) -> Option<(usize, u64)>;

    /// It was returned unprocessed, and the load is over: it was never sent, and its session ends here.
    fn cut(&mut self, job: Self::Job, now_ns: u64);

    /// A server takes no connection: what is ready for it and would not have waited is lost, and what
    /// waits is where it was intended at `until_ns` or before. Says how many of them are measured.
    fn refuse(&mut self, server: usize, now_ns: u64, until_ns: Option<u64>) -> u64;

    /// Nothing more is sent: sessions end where they are.
    fn stop(&mut self, now_ns: u64);

    /// A second has ended: what was counted in it is shown to whoever watches.
    fn post(&mut self) {}

    /// The load is over: what was counted goes to whoever asks for it.
    fn finish(&mut self);

    /// Whether nothing is going to become due any more, whatever comes.
    fn is_over(&self) -> bool;
}
