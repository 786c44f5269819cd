//! Following a campaign, whose runs the orchestrator makes one after the other: it is asked now and then
//! until it has ended.

use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::api::{self, Api, ApiError};
use super::ending::Problem;
use super::follow::{Interrupts, OnInterrupt, goes_on};

/// How often the orchestrator is asked; a run takes seconds.
const ASK_EVERY: Duration = Duration::from_millis(500);
/// How often Ctrl-C is looked for between two questions.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// How long an orchestrator may be away (a restart) before the following ends.
const AWAY_MAX: Duration = Duration::from_secs(30);

/// How a following ended.
pub(super) enum Followed {
    /// With the campaign.
    Ended {
        /// The last answer.
        last: Value,
        /// Whether Ctrl-C had stopped it.
        is_stopped: bool,
    },
    /// By Ctrl-C.
    Left,
}

/// A campaign that is followed.
pub(super) struct Campaign<'a> {
    api: &'a Api,
    /// Where it is asked for.
    path: String,
    /// What people call one.
    noun: &'static str,
    interrupts: &'a Interrupts,
    on_interrupt: OnInterrupt<'a>,
    is_stopped: bool,
    /// The last answer.
    heard: Instant,
}

impl<'a> Campaign<'a> {
    /// One of a kind: its collection's path, and what people call one.
    pub(super) fn new(
        api: &'a Api,
        (path, noun): (&str, &'static str),
        test_id: &str,
        interrupts: &'a Interrupts,
        on_interrupt: OnInterrupt<'a>,
    ) -> Self {
        Self {
            api,
            path: format!("{path}/{}", api::segment(test_id)),
            noun,
            interrupts,
            on_interrupt,
            is_stopped: false,
            heard: Instant::now(),
        }
    }

    /// Follows it to its end, and gives `hear` each answer.
    ///
    /// # Errors
    /// [`Problem::Api`] when the orchestrator refuses, or stays away; those of `hear`.
    pub(super) fn follow(
        mut self,
        mut hear: impl FnMut(&Value) -> Result<(), Problem>,
    ) -> Result<Followed, Problem> {
        loop {
            match self.api.get(&self.path) {
                Ok(answer) => {
                    hear(&answer)?;
                    if answer["state"] != "running" {
                        return Ok(Followed::Ended {
                            last: answer,
                            is_stopped: self.is_stopped,
                        });
                    }
                    // `hear` may have taken its time.
                    self.heard = Instant::now();
                }
                Err(ApiError::Unreachable { .. } | ApiError::Refused { status: 503, .. })
                    if self.heard.elapsed() < AWAY_MAX => {}
                Err(error) => return Err(error.into()),
            }
            if self.is_left() {
                eprintln!("left; the {} may go on: GET /{}", self.noun, self.path);
                return Ok(Followed::Left);
            }
        }
    }

    /// Waits for the next question; whether Ctrl-C ended that.
    fn is_left(&mut self) -> bool {
        let begin = Instant::now();
        while begin.elapsed() < ASK_EVERY {
            match (self.interrupts.count(), self.on_interrupt) {
                (0, _) => {}
                (1, OnInterrupt::Stop(_)) if self.is_stopped => {}
                (1, OnInterrupt::Stop(id)) => self.stop(id),
                _ => return true,
            }
            thread::sleep(LOOK_EVERY);
        }
        false
    }

    fn stop(&mut self, id: &str) {
        let path = format!("stop/{}", api::segment(id));
        match self.api.post(&path, &json!({})) {
            Ok(stopped) => {
                self.is_stopped = true;
                if let Some(words) = goes_on(&stopped) {
                    eprintln!("client: {words}");
                }
            }
            // It ends at this very moment; the next answer tells.
            Err(ApiError::Refused { status: 409, .. }) => self.is_stopped = true,
            Err(error) => {
                let noun = self.noun;
                eprintln!("client: the {noun} goes on, since it cannot be stopped: {error}");
                thread::sleep(ASK_EVERY);
            }
        }
    }
}
