//! `client run` and `client watch`.

use std::time::Duration;

use proto::ci::{Asked, Findings};
use proto::comparison::SET_TAG;
use proto::secret::shown_command;
use serde_json::{Value, json};

use super::api::{self, Api, ApiError};
use super::cli::{RunOptions, RunTerms};
use super::comparison::reported;
use super::ending::{Ending, Problem};
use super::follow::{Followed, Interrupts, OnInterrupt, follow};
use super::progress::Progress;
use super::{capacity, document, print, repeat, set};
use crate::report;

/// A test that nobody follows is stopped: attempts where the orchestrator does not answer, after
/// the first one, and the time between them.
const STOP_ATTEMPTS: u32 = 5;
const STOP_PAUSE: Duration = Duration::from_secs(1);

/// Creates a test, triggers it, follows it, prints its result; or several after each other.
///
/// # Errors
/// [`Problem::Api`] with the orchestrator's own words.
pub fn run(api: &Api, options: &RunOptions, as_json: bool) -> Result<Ending, Problem> {
    let interrupts = Interrupts::take()?;
    let (source, terms) = Source::read(options)?;
    let times = terms.times(source.repeat())?;
    terms.report.check(as_json)?;
    let done = source.upload(api).map_err(Problem::from).and_then(|()| {
        match &source {
            _ if times == 1 => {}
            Source::Load(..) => {
                return repeat::repeat(api, &source, (terms, times), &interrupts, as_json);
            }
            Source::Document(sent) => {
                let title = source.title(terms);
                return set::repeat(api, sent, &title, (terms, times), &interrupts, as_json);
            }
        }
        let test_id = source.create(api, &labels(terms, None))?;
        let followed = launch(api, &test_id, terms.queue, &interrupts, as_json)?;
        let (title, asked) = (source.title(terms), source.asked());
        let findings = match &followed {
            Followed::Ended { brief, .. } => Findings::of_run(&title, brief, &asked),
            Followed::Left => Findings::of_error(&title, &left(&test_id)),
        };
        terms.report.write(&findings)?;
        let is_quiet = terms.report.take_stdout();
        conclude(api, &test_id, &followed, Shown::of(as_json, is_quiet))
    });
    reported(&terms.report, || source.title(terms), done)
}

/// What of a result is printed.
#[derive(Clone, Copy)]
enum Shown {
    Table,
    Json,
    /// Something else stands on standard output.
    Nothing,
}

impl Shown {
    const fn of(as_json: bool, is_quiet: bool) -> Self {
        match (as_json, is_quiet) {
            (_, true) => Self::Nothing,
            (true, _) => Self::Json,
            (false, _) => Self::Table,
        }
    }
}

/// What tests are made of, as often as it takes.
pub(super) enum Source {
    /// The path of the call that makes one, and its parameters.
    Load(String, Value),
    /// A document.
    Document(Box<document::Outgoing>),
}

impl Source {
    fn read(options: &RunOptions) -> Result<(Self, &RunTerms), Problem> {
        if let Some(load) = &options.load {
            let of_load = load.options();
            let source = Self::Load(load.path(), of_load.parameters()?);
            return Ok((source, &of_load.terms));
        }
        let sent = document::outgoing(&options.document)?;
        Ok((Self::Document(Box::new(sent)), &options.document.terms))
    }

    /// What it is called in a report.
    pub(super) fn title(&self, terms: &RunTerms) -> String {
        let own = match self {
            Self::Load(path, _) => path.clone(),
            Self::Document(sent) if sent.name.is_empty() => "document".to_owned(),
            Self::Document(sent) => sent.name.clone(),
        };
        terms.name.clone().unwrap_or(own)
    }

    /// What a document asks for.
    pub(super) fn asked(&self) -> Asked {
        match self {
            Self::Load(..) => Asked::default(),
            Self::Document(sent) => sent.asked.clone(),
        }
    }

    fn repeat(&self) -> u32 {
        match self {
            Self::Load(..) => 1,
            Self::Document(sent) => sent.repeat,
        }
    }

    fn upload(&self, api: &Api) -> Result<(), ApiError> {
        match self {
            Self::Load(..) => Ok(()),
            Self::Document(sent) => {
                document::upload(api, &sent.uploads, |line| eprintln!("{line}"))
            }
        }
    }

    /// Creates a test with these labels, a merge patch of its own; its id.
    pub(super) fn create(&self, api: &Api, labels: &Value) -> Result<String, Problem> {
        let created = match self {
            Self::Load(path, parameters) => api.post(path, parameters)?,
            Self::Document(sent) => api.post_text("tests", &sent.body())?,
        };
        let Some(test_id) = created["TestId"].as_str() else {
            return Err(ApiError::Foreign {
                url: api.base().to_owned(),
                reason: format!("it answered {created}"),
            }
            .into());
        };
        label(api, test_id, labels)?;
        Ok(test_id.to_owned())
    }
}

/// What is written on a test: the command, its name, and the set that it belongs to.
pub(super) fn labels(terms: &RunTerms, set: Option<&str>) -> Value {
    let arguments = std::env::args_os().map(|text| text.to_string_lossy().into_owned());
    let mut labels = json!({ "command": shown_command(arguments) });
    if let Some(name) = &terms.name {
        labels["name"] = json!(name);
    }
    if let Some(first) = set {
        labels["tags"] = json!({ SET_TAG: first });
    }
    labels
}

/// Labels a test that was not started; one that cannot be is left by nobody.
pub(super) fn label(api: &Api, test_id: &str, labels: &Value) -> Result<(), Problem> {
    let labelled = api.patch(&format!("tests/{}", api::segment(test_id)), labels);
    labelled.map(drop).map_err(|error| {
        abandon(api, test_id, false);
        error.into()
    })
}

/// Triggers a test and follows it to its end. Where that fails, the test is not left behind.
pub(super) fn launch(
    api: &Api,
    test_id: &str,
    queue: bool,
    interrupts: &Interrupts,
    as_json: bool,
) -> Result<Followed, Problem> {
    let mut progress = Progress::new(as_json);
    progress.note(&format!("test {test_id}: {}/#/test/{test_id}", api.base()));
    let outcome = trigger(api, test_id, queue, interrupts, &mut progress);
    progress.finish();
    outcome.map_err(|failure| {
        abandon(api, test_id, failure.was_triggered);
        failure.problem
    })
}

/// Why a test was not followed to its end.
struct Failure {
    problem: Problem,
    /// Whether load may be running.
    was_triggered: bool,
}

/// Triggers a test and follows it to its end.
fn trigger(
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
    let on_interrupt = OnInterrupt::Stop(test_id);
    follow(api, test_id, on_interrupt, interrupts, |_, result| {
        progress.show(result);
    })
    .map_err(failed(true))
}

/// Leaves no load running that nobody follows, and no test behind that was never started.
pub(super) fn abandon(api: &Api, test_id: &str, was_triggered: bool) {
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

/// Follows a test that was triggered elsewhere, or a set or a search that was begun there. With JSON
/// each answer of a test is a line.
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
    );
    progress.finish();
    let followed = match followed {
        Err(Problem::Api(ApiError::Refused { status: 404, .. }))
            if is_one_of(api, "repeats", test_id)? =>
        {
            return set::watch(api, test_id, &interrupts, as_json);
        }
        Err(Problem::Api(ApiError::Refused { status: 404, .. }))
            if is_one_of(api, "capacity", test_id)? =>
        {
            return capacity::watch(api, test_id, &interrupts, as_json);
        }
        followed => followed?,
    };
    conclude(api, test_id, &followed, Shown::of(as_json, false))
}

/// Whether a collection of campaigns has one of this id.
fn is_one_of(api: &Api, collection: &str, id: &str) -> Result<bool, ApiError> {
    match api.get(&format!("{collection}/{}", api::segment(id))) {
        Ok(_) => Ok(true),
        Err(ApiError::Refused { status: 404, .. }) => Ok(false),
        Err(error) => Err(error),
    }
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

/// Said of a test that goes on without who began it.
fn left(test_id: &str) -> String {
    format!("left; the test may still run: client watch {test_id}")
}

fn conclude(
    api: &Api,
    test_id: &str,
    followed: &Followed,
    shown: Shown,
) -> Result<Ending, Problem> {
    match followed {
        Followed::Left => {
            eprintln!("{}", left(test_id));
            Ok(Ending::Interrupted)
        }
        Followed::Ended {
            result,
            brief,
            interrupted,
        } => {
            match shown {
                Shown::Json => {
                    // The whole of it, with the series that the following left out.
                    let whole = api.result(test_id)?;
                    print(&format!("{whole}\n"))?;
                }
                Shown::Table => print(&report::table(result))?,
                Shown::Nothing => {}
            }
            Ok(if *interrupted {
                Ending::Interrupted
            } else {
                brief.standing().into()
            })
        }
    }
}
