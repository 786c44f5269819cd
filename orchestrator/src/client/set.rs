//! `client run FILE --repeat N`: runs of one document after each other, which the orchestrator makes
//! whatever becomes of this process, and how far their figures are spread. Each is a test of its own; a
//! tag makes them a set that `client compare` and `client gate` take.

use proto::ci::Findings;
use proto::comparison::SET_TAG;
use proto::summary::{Brief, Repeats, RepeatsWithResults, words};
use serde_json::Value;

use super::api::{self, Api, ApiError};
use super::campaign::{Campaign, Followed};
use super::cli::RunTerms;
use super::document::Outgoing;
use super::ending::{Ending, Problem};
use super::follow::{Interrupts, OnInterrupt, follow, read};
use super::print;
use super::progress::Progress;
use super::run::{abandon, labels};

/// Begins a set, follows it to its end, and prints its runs and their spread.
///
/// # Errors
/// [`Problem::Api`] with the orchestrator's own words.
pub(super) fn repeat(
    api: &Api,
    sent: &Outgoing,
    title: &str,
    (terms, times): (&RunTerms, u32),
    interrupts: &Interrupts,
    as_json: bool,
) -> Result<Ending, Problem> {
    let path = if terms.queue {
        "tests?start=1&queue=1"
    } else {
        "tests?start=1"
    };
    let begun = api.post_text(path, &sent.body_of_set(times, terms.rest))?;
    let Some(set_id) = begun["TestId"].as_str() else {
        return Err(ApiError::Foreign {
            url: api.base().to_owned(),
            reason: format!("it answered {begun}"),
        }
        .into());
    };
    let of_set = format!("repeats/{}", api::segment(set_id));
    let labelled = api.patch(&of_set, &labels(terms, None));
    labelled.inspect_err(|_| abandon(api, set_id, true))?;
    if !as_json {
        eprintln!("set {set_id}: {}/#/repeats/{set_id}", api.base());
    }
    let is_quiet = as_json || terms.report.take_stdout();
    let followed = Follower::new(api, set_id, interrupts, OnInterrupt::Stop(set_id), as_json);
    let ended = Follower {
        is_quiet,
        ..followed
    }
    .follow_to_end()?;
    let results = results(api, &ended.set)?;
    let briefs: Vec<Brief> = results
        .iter()
        .map(|result| read(api, result))
        .collect::<Result<_, _>>()?;
    let findings = Findings::of_set(title, &ended.set, &briefs, &sent.asked);
    terms.report.write(&findings)?;
    if as_json {
        ended.print_json(&results)?;
    } else if !is_quiet {
        ended.print()?;
    }
    Ok(ended.set.standing().into())
}

/// Follows a set that was begun elsewhere, and prints its runs and their spread; Ctrl-C leaves it.
///
/// # Errors
/// [`Problem::Api`] with the orchestrator's own words.
pub(super) fn watch(
    api: &Api,
    set_id: &str,
    interrupts: &Interrupts,
    as_json: bool,
) -> Result<Ending, Problem> {
    let follower = Follower::new(api, set_id, interrupts, OnInterrupt::Leave, as_json);
    let ended = follower.follow_to_end()?;
    if as_json {
        ended.print_json(&results(api, &ended.set)?)?;
    } else {
        ended.print()?;
    }
    if ended.is_left {
        return Ok(Ending::Interrupted);
    }
    Ok(ended.set.standing().into())
}

/// The results of the runs, whole; of one that was deleted since there is none.
fn results(api: &Api, set: &Repeats) -> Result<Vec<Value>, ApiError> {
    let ids = set.runs.iter().filter_map(|run| run.test_id.as_ref());
    let whole = |id: &String| match api.result(id) {
        Ok(result) => Some(Ok(result)),
        Err(ApiError::Refused { status: 404, .. }) => None,
        Err(error) => Some(Err(error)),
    };
    ids.filter_map(whole).collect()
}

/// A set that is not followed any more.
struct Ended<'a> {
    set_id: &'a str,
    set: Repeats,
    /// Why it ended, where there is a reason.
    reason: Option<String>,
    /// Whether it goes on, since Ctrl-C left it.
    is_left: bool,
}

impl Ended<'_> {
    fn print(&self) -> Result<(), Problem> {
        print(&format!("\n{}", words::spread(&self.set)))?;
        if let Some(reason) = &self.reason {
            print(&format!("{reason}\n"))?;
        }
        let set_id = self.set_id;
        print(&format!(
            "the set is {SET_TAG}={set_id}: client compare BASE tag:{SET_TAG}={set_id}\n"
        ))
    }

    fn print_json(&self, results: &[Value]) -> Result<(), Problem> {
        let set = &self.set;
        let json = proto::codec::encode(&RepeatsWithResults { set, results });
        print(&format!("{}\n", String::from_utf8_lossy(&json)))
    }
}

struct Follower<'a> {
    api: &'a Api,
    set_id: &'a str,
    interrupts: &'a Interrupts,
    on_interrupt: OnInterrupt<'a>,
    as_json: bool,
    /// Whether something else stands on standard output.
    is_quiet: bool,
    /// The set, as it was heard last.
    set: Repeats,
    /// The last run that was followed.
    followed: Option<String>,
}

impl<'a> Follower<'a> {
    fn new(
        api: &'a Api,
        set_id: &'a str,
        interrupts: &'a Interrupts,
        on_interrupt: OnInterrupt<'a>,
        as_json: bool,
    ) -> Self {
        Self {
            api,
            set_id,
            interrupts,
            on_interrupt,
            as_json,
            is_quiet: as_json,
            set: Repeats::new(1, 0.0),
            followed: None,
        }
    }

    /// Prints its rows as they come, until it has ended or is left.
    fn follow_to_end(mut self) -> Result<Ended<'a>, Problem> {
        let (api, set_id) = (self.api, self.set_id);
        let what = ("repeats", "set of runs");
        let campaign = Campaign::new(api, what, set_id, self.interrupts, self.on_interrupt);
        let followed = campaign.follow(|answer| self.hear(answer))?;
        let is_left = matches!(followed, Followed::Left);
        let mut set = self.set;
        set.interrupted |= is_left;
        let reason = match &followed {
            Followed::Ended { last, .. } => last["reason"].as_str().map(|reason| {
                let state = last["state"].as_str().unwrap_or_default();
                format!("{state}: {reason}")
            }),
            Followed::Left => None,
        };
        Ok(Ended {
            set_id,
            set,
            reason,
            is_left,
        })
    }

    /// Prints the rows that are new, and follows the run that goes on.
    fn hear(&mut self, answer: &Value) -> Result<(), Problem> {
        let told = self.set.runs.len();
        self.set = read(self.api, answer)?;
        for row in self.set.runs.iter().skip(told) {
            if row.run == 1 {
                self.say(&words::repeats_head())?;
            }
            self.say(&words::repeat(row))?;
        }
        let run = answer["run"]["test_id"].as_str();
        match run.filter(|run| self.followed.as_deref() != Some(run)) {
            Some(run) => self.follow(run),
            None => Ok(()),
        }
    }

    /// Shows how a run goes on, to its end.
    fn follow(&mut self, run_id: &str) -> Result<(), Problem> {
        self.followed = Some(run_id.to_owned());
        let mut progress = Progress::new(self.as_json);
        let base = self.api.base();
        progress.note(&format!("test {run_id}: {base}/#/test/{run_id}"));
        let show = |_: &Value, result: &_| progress.show(result);
        let followed = follow(self.api, run_id, self.on_interrupt, self.interrupts, show);
        progress.finish();
        followed.map(drop)
    }

    fn say(&self, line: &str) -> Result<(), Problem> {
        if self.is_quiet {
            return Ok(());
        }
        print(&format!("{line}\n"))
    }
}
