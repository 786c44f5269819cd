//! Following a test to its end: by its stream, and by asking now and then where there is none.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use proto::summary::Brief;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use signal_hook::consts::{SIGINT, SIGTERM};

use crossbeam_channel::{Receiver, RecvTimeoutError};

use super::api::{self, Api, ApiError};
use super::ending::Problem;
use super::stream::{self, Told};
use crate::report::View;

/// How often the orchestrator is asked where it does not tell; it has news every second.
const ASK_EVERY: Duration = Duration::from_millis(500);
/// How often Ctrl-C is looked for between two questions.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// Between two attempts to listen.
const LISTEN_EVERY: Duration = Duration::from_secs(5);
/// A stream that gives no sign of life for so long is none; it gives one every 10 s.
const SILENT_MAX: Duration = Duration::from_secs(15);
/// How long an orchestrator may be away (a restart) before the following ends.
const AWAY_MAX: Duration = Duration::from_secs(30);

/// What Ctrl-C does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnInterrupt<'a> {
    /// Stop what has this id, be it what is followed or the set of runs that it is of, and wait for its
    /// end; the second time, leave.
    Stop(&'a str),
    /// Leave; what is followed goes on.
    Leave,
}

/// How a following ended.
pub enum Followed {
    /// With the test.
    Ended {
        /// Its result.
        result: Box<View>,
        /// The same in brief.
        brief: Box<Brief>,
        /// Whether Ctrl-C had stopped it.
        interrupted: bool,
    },
    /// By Ctrl-C.
    Left,
}

/// Counts Ctrl-C and SIGTERM.
#[derive(Debug, Clone)]
pub struct Interrupts {
    count: Arc<AtomicUsize>,
}

impl Interrupts {
    /// Takes the signals from now on.
    ///
    /// # Errors
    /// [`Problem::Signals`].
    pub fn take() -> Result<Self, Problem> {
        let count = Arc::new(AtomicUsize::new(0));
        let mut signals =
            signal_hook::iterator::Signals::new([SIGINT, SIGTERM]).map_err(Problem::Signals)?;
        let counted = Arc::clone(&count);
        thread::spawn(move || {
            for _ in signals.forever() {
                counted.fetch_add(1, Ordering::Relaxed);
            }
        });
        Ok(Self { count })
    }

    /// Waits so long, unless one came or comes; whether one did.
    #[must_use]
    pub fn come_within(&self, time: Duration) -> bool {
        let begin = Instant::now();
        while self.count() == 0 && begin.elapsed() < time {
            thread::sleep(LOOK_EVERY.min(time));
        }
        self.count() > 0
    }

    /// How many came.
    #[must_use]
    pub fn count(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }
}

/// Follows the result until the test has ended, and shows each that is new.
///
/// # Errors
/// [`Problem::Api`] when the orchestrator refuses, or stays away.
pub fn follow(
    api: &Api,
    test_id: &str,
    on_interrupt: OnInterrupt<'_>,
    interrupts: &Interrupts,
    mut show: impl FnMut(&Value, &View),
) -> Result<Followed, Problem> {
    let mut source = Source::new(api, test_id);
    let mut stop = Stop::default();
    loop {
        let is_interrupted = || interrupts.count() > usize::from(stop.is_asked);
        let news = source.next(is_interrupted);
        match news.map(|news| news.and_then(|raw| Ok((read::<View>(api, &raw)?, raw)))) {
            None => {}
            Some(Ok((result, raw))) => {
                if result.has_ended() {
                    return Ok(Followed::Ended {
                        brief: Box::new(read(api, &raw)?),
                        result: Box::new(result),
                        interrupted: stop.is_asked,
                    });
                }
                show(&raw, &result);
            }
            Some(Err(ApiError::Unreachable { .. } | ApiError::Refused { status: 503, .. }))
                if source.heard.elapsed() < AWAY_MAX => {}
            Some(Err(error)) => return Err(error.into()),
        }
        match (interrupts.count(), on_interrupt) {
            (0, _) => {}
            (1, OnInterrupt::Stop(id)) => stop.ask(api, id),
            _ => return Ok(Followed::Left),
        }
    }
}

/// The results of a test, as they come.
struct Source<'a> {
    api: &'a Api,
    test_id: &'a str,
    /// The newest result.
    raw: Value,
    asked: Option<Instant>,
    listened: Option<Instant>,
    stream: Option<Receiver<Told>>,
    /// The last sign of life: an answer, or anything on the stream. A test that waits has no other.
    heard: Instant,
}

impl<'a> Source<'a> {
    fn new(api: &'a Api, test_id: &'a str) -> Self {
        Self {
            api,
            test_id,
            raw: Value::Null,
            asked: None,
            listened: None,
            stream: None,
            heard: Instant::now(),
        }
    }

    /// The next result; `None` when there is none for a while, or an interrupt came.
    fn next(&mut self, is_interrupted: impl Fn() -> bool) -> Option<Result<Value, ApiError>> {
        let begin = Instant::now();
        while !is_interrupted() && begin.elapsed() < ASK_EVERY {
            let Some(stream) = &self.stream else {
                if self.asked.is_none_or(|at| at.elapsed() >= ASK_EVERY) {
                    return Some(self.ask());
                }
                thread::sleep(LOOK_EVERY);
                continue;
            };
            match stream.recv_timeout(LOOK_EVERY) {
                Ok(Told::Result(fields)) => {
                    self.heard = Instant::now();
                    stream::add(self.raw.as_object_mut()?, fields);
                    // How it ended is asked for: that answer has everything.
                    return (!has_ended(&self.raw)).then(|| Ok(self.raw.clone()));
                }
                Ok(Told::Beat) => self.heard = Instant::now(),
                Err(RecvTimeoutError::Timeout) if self.heard.elapsed() < SILENT_MAX => {}
                Err(_) => self.stream = None,
            }
        }
        None
    }

    fn ask(&mut self) -> Result<Value, ApiError> {
        self.asked = Some(Instant::now());
        // The series is for the dashboard; nothing here reads it.
        let id = api::segment(self.test_id);
        self.raw = self
            .api
            .get(&format!("metrics/{id}?points=1&{}", api::ALL_NODES))?;
        self.heard = Instant::now();
        let is_time = self.listened.is_none_or(|at| at.elapsed() >= LISTEN_EVERY);
        if is_time && !has_ended(&self.raw) {
            self.listened = self.asked;
            self.stream = Some(stream::listen(self.api, self.test_id));
        }
        Ok(self.raw.clone())
    }
}

fn has_ended(raw: &Value) -> bool {
    let state = raw["state"].as_str().unwrap_or_default();
    ["done", "partial", "aborted", "failed"].contains(&state)
}

/// The stop of the test, asked for until it is taken.
#[derive(Debug, Default)]
struct Stop {
    is_asked: bool,
    is_taken: bool,
    asked: Option<Instant>,
    /// What was said last of why it is not.
    told: String,
}

impl Stop {
    fn ask(&mut self, api: &Api, test_id: &str) {
        self.is_asked = true;
        if self.is_taken || self.asked.is_some_and(|at| at.elapsed() < ASK_EVERY) {
            return;
        }
        self.asked = Some(Instant::now());
        match api.post(&format!("stop/{}", api::segment(test_id)), &json!({})) {
            Ok(stopped) => {
                self.is_taken = true;
                if let Some(words) = goes_on(&stopped) {
                    eprintln!("client: {words}");
                }
            }
            // The test ends at this very moment; the next answer tells.
            Err(ApiError::Refused { status: 409, .. }) => self.is_taken = true,
            Err(error) => {
                let words = format!("the test goes on, since it cannot be stopped: {error}");
                if words != self.told {
                    eprintln!("client: {words}; trying again");
                    self.told = words;
                }
            }
        }
    }
}

/// Who goes on with a test that is stopped, in words, by the answer to POST /stop.
pub(super) fn goes_on(stopped: &Value) -> Option<String> {
    let ids = stopped["cannot_be_stopped"].as_array()?;
    let ids: Vec<&str> = ids.iter().filter_map(Value::as_str).collect();
    Some(format!(
        "drivers of another implementation know no stop, and go on to the end of the test: {}",
        ids.join(", ")
    ))
}

/// A result in a shape of its own.
pub(super) fn read<R: DeserializeOwned>(api: &Api, raw: &Value) -> Result<R, ApiError> {
    serde_json::from_value(raw.clone()).map_err(|error| ApiError::Foreign {
        url: api.base().to_owned(),
        reason: format!("its result is of another shape: {error}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stop_says_who_goes_on() {
        assert_eq!(goes_on(&json!({"state": "draining"})), None);
        let words = goes_on(&json!({"cannot_be_stopped": ["a", "b"]})).unwrap();
        assert!(words.ends_with("to the end of the test: a, b"), "{words}");
    }

    #[test]
    fn a_beat_of_a_test_that_waits_counts_as_life_when_the_orchestrator_goes_away() {
        // Nobody listens at this port.
        let api = Api::new("http://127.0.0.1:1", None);
        let (told, stream) = crossbeam_channel::bounded(1);
        let mut source = Source::new(&api, "t");
        source.heard = Instant::now().checked_sub(AWAY_MAX * 2).unwrap();
        source.stream = Some(stream);
        told.send(Told::Beat).unwrap();
        drop(told);
        let news = source.next(|| false);
        let is_away = matches!(news, Some(Err(ApiError::Unreachable { .. })));
        assert!(is_away, "{news:?}");
        assert!(source.heard.elapsed() < AWAY_MAX, "so it is waited for");
    }
}
