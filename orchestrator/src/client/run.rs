//! `client run` and `client watch`.

use std::time::Duration;

use serde_json::{Value, json};

use super::api::{self, Api, ApiError};
use super::cli::RunOptions;
use super::ending::{Ending, Problem};
use super::follow::{Followed, Interrupts, OnInterrupt, follow};
use super::progress::Progress;
use super::{document, print};
use crate::report;

/// A test that nobody follows is stopped: attempts where the orchestrator does not answer, after
/// the first one, and the time between them.
const STOP_ATTEMPTS: u32 = 5;
const STOP_PAUSE: Duration = Duration::from_secs(1);

/// Creates a test, triggers it, follows it, prints its result.
///
/// # Errors
/// [`Problem::Api`] with the orchestrator's own words.
pub fn run(api: &Api, options: &RunOptions, as_json: bool) -> Result<Ending, Problem> {
    let interrupts = Interrupts::take()?;
    let (created, queue) = if let Some(load) = &options.load {
        let parameters = load.options().parameters()?;
        (api.post(&load.path(), &parameters)?, load.options().queue)
    } else {
        let sent = document::outgoing(&options.document)?;
        document::upload(api, &sent.uploads, |line| eprintln!("{line}"))?;
        (api.post_text("tests", &sent.body)?, options.document.queue)
    };
    let Some(test_id) = created["TestId"].as_str() else {
        return Err(ApiError::Foreign {
            url: api.base().to_owned(),
            reason: format!("it answered {created}"),
        }
        .into());
    };
    let mut progress = Progress::new(as_json);
    progress.note(&format!("test {test_id}: {}/#/test/{test_id}", api.base()));
    let outcome = launch(api, test_id, queue, &interrupts, &mut progress);
    progress.finish();
    match outcome {
        Ok(followed) => conclude(api, test_id, &followed, as_json),
        Err(failure) => {
            abandon(api, test_id, failure.was_triggered);
            Err(failure.problem)
        }
    }
}

/// Why a test was not followed to its end.
struct Failure {
    problem: Problem,
    /// Whether load may be running.
    was_triggered: bool,
}

/// Triggers a test and follows it to its end.
fn launch(
    api: &Api,
    test_id: &str,
    queue: bool,
    interrupts: &Interrupts,
    progress: &mut Progress,
) -> Result<Followed, Failure> {
    let failed = |was_triggered| {
        move |problem| Failure {
            problem,
            was_triggered,
        }
    };
    let trigger = format!("trigger/{}", api::segment(test_id));
    let triggered = api
        .post(&trigger, &json!({ "queue": queue }))
        .map_err(|error| {
            // Only a refusal says that nothing was started.
            let was_triggered = !matches!(error, ApiError::Refused { .. });
            failed(was_triggered)(error.into())
        })?;
    progress.note(&told(&triggered));
    let on_interrupt = OnInterrupt::StopTest;
    follow(api, test_id, on_interrupt, interrupts, |_, result| {
        progress.show(result);
    })
    .map_err(failed(true))
}

/// Leaves no load running that nobody follows, and no test behind that was never started.
fn abandon(api: &Api, test_id: &str, was_triggered: bool) {
    let id = api::segment(test_id);
    let mut stopped = api.post(&format!("stop/{id}"), &json!({}));
    for _ in 0..STOP_ATTEMPTS {
        if !matches!(stopped, Err(ApiError::Unreachable { .. })) {
            break;
        }
        std::thread::sleep(STOP_PAUSE);
        stopped = api.post(&format!("stop/{id}"), &json!({}));
    }
    match stopped {
        Ok(_) if was_triggered => eprintln!("client: test {test_id} is stopped"),
        Ok(_) => {
            if let Err(error) = api.delete(&format!("tests/{id}")) {
                eprintln!("client: test {test_id} is left, and cannot be deleted: {error}");
            }
        }
        // It was over before.
        Err(ApiError::Refused { .. }) => {}
        Err(error) => {
            eprintln!("client: test {test_id} could not be stopped, load may be running: {error}");
        }
    }
}

/// Follows a test that was triggered elsewhere. With JSON each answer is a line.
///
/// # Errors
/// [`Problem::Api`] with the orchestrator's own words.
pub fn watch(api: &Api, test_id: &str, as_json: bool) -> Result<Ending, Problem> {
    let interrupts = Interrupts::take()?;
    let mut progress = Progress::new(as_json);
    let followed = follow(
        api,
        test_id,
        OnInterrupt::Leave,
        &interrupts,
        |raw, result| {
            progress.show(result);
            if as_json {
                // A reader that went away is noticed at the end.
                let _ = print(&format!("{raw}\n"));
            }
        },
    )?;
    progress.finish();
    conclude(api, test_id, &followed, as_json)
}

fn told(triggered: &Value) -> String {
    if triggered["queued"] == true {
        return match triggered["running_test_id"].as_str() {
            Some(running) => format!("queued behind {running}"),
            None => "queued; it starts when its drivers are ready for it".to_owned(),
        };
    }
    let participants = triggered["participants"].as_array().map_or(0, Vec::len);
    format!("triggered on {participants} drivers")
}

fn conclude(
    api: &Api,
    test_id: &str,
    followed: &Followed,
    as_json: bool,
) -> Result<Ending, Problem> {
    match followed {
        Followed::Left => {
            eprintln!("left; the test may still run: client watch {test_id}");
            Ok(Ending::Interrupted)
        }
        Followed::Ended {
            result,
            interrupted,
        } => {
            if as_json {
                // The whole of it, with the series that the following left out.
                let whole = api.get(&format!("metrics/{}", api::segment(test_id)))?;
                print(&format!("{whole}\n"))?;
            } else {
                print(&report::table(result))?;
            }
            Ok(if *interrupted {
                Ending::Interrupted
            } else {
                Ending::of(result)
            })
        }
    }
}
