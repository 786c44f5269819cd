//! `client capacity FILE`: searches the highest rate at which a document's thresholds hold, on all
//! drivers, and follows the search to its end.

use std::path::Path;
use std::time::{Duration, Instant};

use proto::document::{Document, placed};
use proto::summary::{CapacityAnswer, CapacityEnding};
use serde_json::{Value, json};

use super::api::{self, Api, ApiError};
use super::cli::{CapacityOptions, DocumentOptions, RunTerms};
use super::document;
use super::ending::{Ending, Problem};
use super::follow::{Interrupts, goes_on};
use super::print;

/// How often the orchestrator is asked; a step takes seconds.
const ASK_EVERY: Duration = Duration::from_millis(500);
/// How often Ctrl-C is looked for between two questions.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// How long an orchestrator may be away (a restart) before the following ends.
const AWAY_MAX: Duration = Duration::from_secs(30);

/// Searches, prints each step and the answer.
///
/// # Errors
/// [`Problem::Document`] with what the document lacks, [`Problem::Api`] with the orchestrator's own
/// words.
pub fn capacity(api: &Api, options: &CapacityOptions, as_json: bool) -> Result<Ending, Problem> {
    let interrupts = Interrupts::take()?;
    check(&options.file, &options.env)?;
    let sent = document::outgoing(&DocumentOptions {
        file: Some(options.file.clone()),
        env: options.env.clone(),
        terms: RunTerms::default(),
    })?;
    document::upload(api, &sent.uploads, |line| eprintln!("{line}"))?;
    let begun = api.post_text(&path(options), &sent.body)?;
    let Some(test_id) = begun["TestId"].as_str() else {
        return Err(foreign(api, &begun).into());
    };
    if !as_json {
        let base = api.base();
        eprintln!("search {test_id}: {base}/#/capacity/{test_id}");
    }
    Following {
        api,
        test_id,
        interrupts: &interrupts,
        told: 0,
        is_quiet: as_json,
        is_stopped: false,
        heard: Instant::now(),
    }
    .follow(as_json)
}

/// Checks here what the orchestrator would refuse without the places in the file.
fn check(file: &Path, env: &[(String, String)]) -> Result<(), Problem> {
    let target = Some(document::ANY_TARGET.to_owned());
    let document = Document::open(file, env, target).map_err(Problem::Document)?;
    let searched = document.searched();
    searched.map_err(|invalid| Problem::Document(placed(file, &invalid)))?;
    Ok(())
}

fn path(options: &CapacityOptions) -> String {
    let bounds = [
        ("from", options.from.map(|rate| rate.to_string())),
        ("to", options.to.map(|rate| rate.to_string())),
        ("precision", options.precision.clone()),
    ];
    let given = bounds.into_iter().filter_map(|(name, value)| {
        let value = value?;
        Some(format!("{name}={}", api::segment(&value)))
    });
    let query: Vec<String> = given.collect();
    if query.is_empty() {
        return "capacity".to_owned();
    }
    format!("capacity?{}", query.join("&"))
}

struct Following<'a> {
    api: &'a Api,
    test_id: &'a str,
    interrupts: &'a Interrupts,
    /// Steps that were printed.
    told: usize,
    is_quiet: bool,
    is_stopped: bool,
    /// The last answer.
    heard: Instant,
}

impl Following<'_> {
    fn follow(mut self, as_json: bool) -> Result<Ending, Problem> {
        let path = format!("capacity/{}", api::segment(self.test_id));
        loop {
            match self.api.get(&path) {
                Ok(search) => {
                    self.heard = Instant::now();
                    let answer = self.answer(&search)?;
                    self.tell(&answer)?;
                    if search["state"] != "running" {
                        return self.conclude(&search, &answer, as_json);
                    }
                }
                Err(ApiError::Unreachable { .. } | ApiError::Refused { status: 503, .. })
                    if self.heard.elapsed() < AWAY_MAX => {}
                Err(error) => return Err(error.into()),
            }
            if self.is_left() {
                eprintln!("left; the search may go on: GET /capacity/{}", self.test_id);
                return Ok(Ending::Interrupted);
            }
        }
    }

    /// Waits for the next question; the first Ctrl-C stops the search, the second leaves it.
    fn is_left(&mut self) -> bool {
        let begin = Instant::now();
        while begin.elapsed() < ASK_EVERY {
            match self.interrupts.count() {
                0 => {}
                1 if self.is_stopped => {}
                1 => self.stop(),
                _ => return true,
            }
            std::thread::sleep(LOOK_EVERY);
        }
        false
    }

    fn stop(&mut self) {
        let path = format!("stop/{}", api::segment(self.test_id));
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
                eprintln!("client: the search goes on, since it cannot be stopped: {error}");
                std::thread::sleep(ASK_EVERY);
            }
        }
    }

    fn answer(&self, search: &Value) -> Result<CapacityAnswer, Problem> {
        let answer = serde_json::from_value(search.clone());
        answer.map_err(|error| foreign(self.api, &json!(error.to_string())).into())
    }

    fn tell(&mut self, answer: &CapacityAnswer) -> Result<(), Problem> {
        for step in answer.steps.iter().skip(self.told) {
            if !self.is_quiet {
                print(&format!("{}\n", step.in_words()))?;
            }
        }
        self.told = answer.steps.len();
        Ok(())
    }

    fn conclude(
        &self,
        search: &Value,
        answer: &CapacityAnswer,
        as_json: bool,
    ) -> Result<Ending, Problem> {
        if as_json {
            print(&format!("{search}\n"))?;
        } else {
            print(&format!("{}\n", answer.in_words()))?;
            if let Some(reason) = search["reason"].as_str() {
                let state = search["state"].as_str().unwrap_or_default();
                print(&format!("{state}: {reason}\n"))?;
            }
        }
        if self.is_stopped {
            return Ok(Ending::Interrupted);
        }
        Ok(ending(search["state"].as_str(), answer))
    }
}

/// What a search amounts to. One that did not come to its end is no basis for a threshold.
fn ending(state: Option<&str>, answer: &CapacityAnswer) -> Ending {
    match (state, answer.ending()) {
        (Some("done"), CapacityEnding::Found) => Ending::Ok,
        (Some("done"), CapacityEnding::Breached) => Ending::ThresholdBreached,
        (Some("failed"), _) if answer.steps.is_empty() => Ending::Error,
        _ => Ending::Invalid,
    }
}

fn foreign(api: &Api, answered: &Value) -> ApiError {
    ApiError::Foreign {
        url: api.base().to_owned(),
        reason: format!("it answered {answered}"),
    }
}

#[cfg(test)]
mod tests {
    use proto::summary::{Capacity, CapacityBounds};

    use super::*;

    fn options(from: Option<f64>, precision: Option<&str>) -> CapacityOptions {
        CapacityOptions {
            file: "shop.yaml".into(),
            env: Vec::new(),
            from,
            to: None,
            precision: precision.map(str::to_owned),
        }
    }

    #[test]
    fn the_bounds_go_into_the_query() {
        assert_eq!(path(&options(None, None)), "capacity");
        let both = path(&options(Some(100.0), Some("5%")));
        assert_eq!(both, "capacity?from=100&precision=5%25");
    }

    #[test]
    fn a_search_ends_with_the_code_of_what_it_found() {
        let answer = |at_least, below| CapacityAnswer {
            target: "http://h/".into(),
            thresholds: Vec::new(),
            unit: "requests".into(),
            bounds: CapacityBounds::default(),
            capacity: Capacity { at_least, below },
            wide: false,
            limited_by: None,
            collapsed: false,
            steps: Vec::new(),
        };
        let both = answer(Some(100.0), Some(104.0));
        let wide = CapacityAnswer {
            wide: true,
            ..both.clone()
        };
        for (state, answer, expected) in [
            ("done", &both, Ending::Ok),
            ("done", &wide, Ending::Invalid),
            ("done", &answer(None, Some(1.0)), Ending::ThresholdBreached),
            ("done", &answer(Some(5.0), None), Ending::Invalid),
            ("aborted", &both, Ending::Invalid),
            ("failed", &answer(None, None), Ending::Error),
        ] {
            assert_eq!(ending(Some(state), answer), expected, "{state} {answer:?}");
        }
    }
}
