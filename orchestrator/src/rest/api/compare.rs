//! `GET /compare`: two sets of stored results, line by line.

use std::collections::BTreeSet;

use proto::comparison::{self, Run, TOLERANCE, Terms};
use proto::summary::Judgement;
use serde_json::json;

use super::call::take_flag;
use super::{Answer, Call, Worker};
use crate::comparison::{Asked, Member, Objections};
use crate::control::run::Phase;
use crate::control::{Selection, TestDetail, TestRow};
use crate::report;

/// Most runs of a set.
const RUNS_MAX: usize = 100;
/// Runs of a set that is named, unless the caller says how many.
const RUNS: usize = 10;
/// Most runs of a name that are looked at for those that may be compared.
const LOOKED_AT_MAX: usize = 200;

/// Which runs make a set.
enum Wanted {
    /// Those, with commas between, or the one of that id.
    Ids(String),
    /// The newest of that name, or with that tag, that may be compared.
    Named(Label),
}

enum Label {
    Name(String),
    Tag(String, String),
}

impl Label {
    fn is_on(&self, row: &TestRow) -> bool {
        match self {
            Self::Name(name) => row.labels.name.as_ref() == Some(name),
            Self::Tag(tag, value) => row.labels.tags.get(tag) == Some(value),
        }
    }

    fn shown(&self) -> String {
        match self {
            Self::Name(name) => format!("the name {name:?}"),
            Self::Tag(tag, value) => format!("the tag {tag}={value}"),
        }
    }
}

impl Worker {
    pub(super) fn compare(&mut self, call: &Call) -> Answer {
        self.try_compare(call).unwrap_or_else(|answer| answer)
    }

    fn try_compare(&mut self, call: &Call) -> Result<Answer, Answer> {
        let (base, test) = (wanted(call, "base")?, wanted(call, "test")?);
        let tolerance = tolerance(call)?;
        let anyway = take_flag(&mut call.query_values(), "anyway")?;
        let most = most_runs(call)?;
        let test = match &test {
            Wanted::Ids(ids) => self.members(ids)?,
            Wanted::Named(label) => self.named(label, most, None)?,
        };
        let base = match &base {
            Wanted::Ids(ids) => self.members(ids)?,
            Wanted::Named(label) => self.named(label, most, Some(&test))?,
        };
        let objections = Objections::of(&base, &test);
        if !anyway && !objections.words.is_empty() {
            let error = format!("not to be compared: {}", objections.words.join("; "));
            let hint = "compare runs that ended, are valid and were asked the same; anyway=1 (client: \
                        --anyway) compares them all the same";
            return Err(Answer::error(409, &error, hint));
        }
        let terms = Terms {
            tolerance,
            differences: objections.words,
            loads_differ: objections.loads_differ,
        };
        let runs = |members: Vec<Member>| -> Vec<Run> {
            members.into_iter().map(|member| member.run).collect()
        };
        let compared = comparison::compare(&runs(base), &runs(test), &terms);
        Ok(Answer::json(&compared))
    }

    /// The tests of those ids.
    fn members(&mut self, text: &str) -> Result<Vec<Member>, Answer> {
        let mut seen = BTreeSet::new();
        let ids: Vec<&str> = text
            .split(',')
            .map(str::trim)
            .filter(|id| !id.is_empty())
            // Twice the same run is one run.
            .filter(|id| seen.insert(*id))
            .collect();
        if ids.is_empty() {
            let error = format!("there is no test in {text:?}");
            return Err(Answer::error(404, &error, "GET /tests lists them"));
        }
        if ids.len() > RUNS_MAX {
            let error = format!("{} ids; a set has 1 to {RUNS_MAX}", ids.len());
            return Err(Answer::error(400, &error, "GET /compare?base=A,B&test=C,D"));
        }
        ids.into_iter()
            .map(|id| {
                let detail = self.detail(id)?;
                self.member(&detail)
            })
            .collect()
    }

    /// The newest good runs with a label that were asked the same: as those of `test`, and none of
    /// these, where they are given; else as the newest.
    fn named(
        &mut self,
        label: &Label,
        most: usize,
        test: Option<&[Member]>,
    ) -> Result<Vec<Member>, Answer> {
        let rows = self.api.live.snapshot().tests(&Selection::default());
        let is_taken = |row: &TestRow| {
            let members = test.unwrap_or_default();
            members.iter().any(|member| member.run.id == row.test_id)
        };
        let good = rows
            .iter()
            .filter(|row| label.is_on(row) && is_good(row) && !is_taken(row));
        let mut like = test.and_then(|test| test.first().map(|first| first.asked.clone()));
        let mut members = Vec::new();
        for row in good.take(LOOKED_AT_MAX) {
            let detail = self.detail(&row.test_id)?;
            let asked = asked(&detail);
            if !like.get_or_insert_with(|| asked.clone()).is_like(&asked) {
                continue;
            }
            members.push(self.member(&detail)?);
            if members.len() == most {
                break;
            }
        }
        if members.is_empty() {
            let error = format!("no good run with {} is to be compared", label.shown());
            let hint = "good runs are done, valid and within their thresholds; those of the base were \
                        asked the same as the test";
            return Err(Answer::error(404, &error, hint));
        }
        Ok(members)
    }

    pub(super) fn member(&mut self, detail: &TestDetail) -> Result<Member, Answer> {
        let test_id = &detail.row.test_id;
        let latencies = self.latencies(test_id)?;
        let result = self.result_without_series(test_id)?;
        let view: report::View = serde_json::from_str(&result).map_err(|_| Answer::busy())?;
        let tally = &view.tally;
        let reached = tally.sent.saturating_sub(tally.returned);
        Ok(Member {
            run: Run {
                requests_per_second: tally.requests_per_second,
                tried: reached.saturating_add(tally.refused),
                failed: tally.errors.total().saturating_add(tally.refused),
                ..Run::new(test_id, &latencies)
            },
            doubts: doubts(&view, detail.row.state),
            asked: asked(detail),
        })
    }
}

fn asked(detail: &TestDetail) -> Asked {
    let drivers = detail.participants.len();
    let asked = Asked::new(&json!(detail.config), &detail.row.target, drivers);
    asked.with_rates(&detail.rate_changes)
}

/// Whether it may stand for what was good: done, believed, and within its thresholds.
fn is_good(row: &TestRow) -> bool {
    let is_good = |outcome: &crate::control::Outcome| {
        outcome.verdict != Judgement::Invalid && outcome.breached == 0
    };
    row.state == Phase::Done && row.outcome.as_ref().is_some_and(is_good)
}

fn doubts(view: &report::View, state: Phase) -> Vec<String> {
    let mut doubts = Vec::new();
    if state != Phase::Done {
        let word = if state.has_ended() {
            "it ended"
        } else {
            "it is"
        };
        doubts.push(format!("{word} {}", state.name()));
    }
    if state.has_ended() && view.verdict.verdict == Judgement::Invalid {
        let why = view.verdict.reasons.join(", ");
        doubts.push(format!("its verdict is invalid ({why})"));
    }
    doubts
}

fn wanted(call: &Call, side: &str) -> Result<Wanted, Answer> {
    let Some(text) = call.param::<String>(side, "a text")? else {
        let error = format!("{side}: it is missing");
        let hint = "GET /compare?base=ID,…&test=ID,…; a set is also name:NAME or tag:TAG=VALUE";
        return Err(Answer::error(400, &error, hint));
    };
    Ok(match text.split_once(':') {
        Some(("name", name)) => Wanted::Named(Label::Name(name.to_owned())),
        Some(("tag", tag)) => {
            let (tag, value) = tag.split_once('=').unwrap_or((tag, ""));
            Wanted::Named(Label::Tag(tag.to_owned(), value.to_owned()))
        }
        _ => Wanted::Ids(text),
    })
}

fn tolerance(call: &Call) -> Result<f64, Answer> {
    let tolerance = call
        .param::<f64>("tolerance", "a share such as 0.05")?
        .unwrap_or(TOLERANCE);
    if !(0.0..=10.0).contains(&tolerance) {
        let error = format!("tolerance: {tolerance} is not within 0 to 10");
        let hint = "0.05 takes a change of 5 % for none";
        return Err(Answer::error(400, &error, hint));
    }
    Ok(tolerance)
}

fn most_runs(call: &Call) -> Result<usize, Answer> {
    match call.count("runs")? {
        None => Ok(RUNS),
        Some(runs) => usize::try_from(runs)
            .ok()
            .filter(|runs| (1..=RUNS_MAX).contains(runs))
            .ok_or_else(|| {
                let error = format!("runs: {runs} is not within 1 to {RUNS_MAX}");
                Answer::error(400, &error, "the newest so many runs of a name or tag")
            }),
    }
}
