//! Following a test to its end.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use signal_hook::consts::{SIGINT, SIGTERM};

use super::api::{self, Api, ApiError};
use super::ending::Problem;
use crate::report::View;

/// How often the orchestrator is asked; it has news every second.
const ASK_EVERY: Duration = Duration::from_millis(500);
/// How often Ctrl-C is looked for between two questions.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// How long an orchestrator may be away (a restart) before the following ends.
const AWAY_MAX: Duration = Duration::from_secs(30);

/// What Ctrl-C does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnInterrupt {
    /// Stop the test and wait for its end; the second time, leave.
    StopTest,
    /// Leave; the test goes on.
    Leave,
}

/// How a following ended.
pub enum Followed {
    /// With the test.
    Ended {
        /// Its result.
        result: Box<View>,
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

    /// How many came.
    #[must_use]
    pub fn count(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }
}

/// Asks for the result until the test has ended, and shows each answer.
///
/// # Errors
/// [`Problem::Api`] when the orchestrator refuses, or stays away.
pub fn follow(
    api: &Api,
    test_id: &str,
    on_interrupt: OnInterrupt,
    interrupts: &Interrupts,
    mut show: impl FnMut(&Value, &View),
) -> Result<Followed, Problem> {
    // The series is for the dashboard; nothing here reads it.
    let path = format!("metrics/{}?points=1", api::segment(test_id));
    let mut last_answer = Instant::now();
    let mut stop = Stop::default();
    loop {
        match api.get(&path).and_then(|raw| Ok((view(api, &raw)?, raw))) {
            Ok((result, raw)) => {
                last_answer = Instant::now();
                if result.has_ended() {
                    let (result, interrupted) = (Box::new(result), stop.is_asked);
                    return Ok(Followed::Ended {
                        result,
                        interrupted,
                    });
                }
                show(&raw, &result);
            }
            Err(ApiError::Unreachable { .. } | ApiError::Refused { status: 503, .. })
                if last_answer.elapsed() < AWAY_MAX => {}
            Err(error) => return Err(error.into()),
        }
        let until = Instant::now() + ASK_EVERY;
        while Instant::now() < until && interrupts.count() <= usize::from(stop.is_asked) {
            thread::sleep(LOOK_EVERY);
        }
        match (interrupts.count(), on_interrupt) {
            (0, _) => {}
            (1, OnInterrupt::StopTest) => stop.ask(api, test_id),
            _ => return Ok(Followed::Left),
        }
    }
}

/// The stop of the test, asked for until it is taken.
#[derive(Debug, Default)]
struct Stop {
    is_asked: bool,
    is_taken: bool,
    /// What was said last of why it is not.
    told: String,
}

impl Stop {
    fn ask(&mut self, api: &Api, test_id: &str) {
        self.is_asked = true;
        if self.is_taken {
            return;
        }
        match api.post(&format!("stop/{}", api::segment(test_id)), &json!({})) {
            // The test ends at this very moment; the next answer tells.
            Ok(_) | Err(ApiError::Refused { status: 409, .. }) => self.is_taken = true,
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

fn view(api: &Api, raw: &Value) -> Result<View, ApiError> {
    serde_json::from_value(raw.clone()).map_err(|error| ApiError::Foreign {
        url: api.base().to_owned(),
        reason: format!("its result is of another shape: {error}"),
    })
}
