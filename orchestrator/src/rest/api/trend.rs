//! `GET /trend`: the stored runs of one name, the oldest first, and each set against the one before.

use proto::comparison::{self, SET_TAG, Terms, Trend, TrendRun, TrendStep};
use proto::summary::Judgement;

use super::{Answer, Call, Worker};
use crate::comparison::{Member, Objections};
use crate::control::run::Phase;
use crate::control::{Selection, TestRow};

/// Most runs, and how many unless the caller says otherwise: the newest.
const RUNS_MAX: u64 = 500;
const RUNS: u64 = 100;

impl Worker {
    pub(super) fn trend(&mut self, call: &Call) -> Answer {
        self.try_trend(call).unwrap_or_else(|answer| answer)
    }

    fn try_trend(&mut self, call: &Call) -> Result<Answer, Answer> {
        let Some(name) = call.param::<String>("name", "a text")? else {
            let hint = "GET /trend?name=NAME; names are those of documents, of client run --name, and \
                        of PATCH /tests/{id}";
            return Err(Answer::error(400, "name: it is missing", hint));
        };
        let most = call.count("runs")?.unwrap_or(RUNS);
        if !(1..=RUNS_MAX).contains(&most) {
            let error = format!("runs: {most} is not within 1 to {RUNS_MAX}");
            return Err(Answer::error(
                400,
                &error,
                "the newest so many runs of the name",
            ));
        }
        let rows = self.api.live.snapshot().tests(&Selection::default());
        let named = rows
            .iter()
            .filter(|row| row.labels.name.as_ref() == Some(&name));
        let ended = named.filter(|row| row.state.has_ended());
        let most = usize::try_from(most).unwrap_or(usize::MAX);
        let mut runs: Vec<TrendRun> = ended.take(most).map(|row| run(row)).collect();
        if runs.is_empty() {
            let error = format!("no run of the name {name:?} has ended");
            return Err(Answer::error(
                404,
                &error,
                "GET /tests?search=… lists tests by their names",
            ));
        }
        runs.reverse();
        let mut trend = Trend {
            name,
            runs,
            steps: Vec::new(),
        };
        trend.steps = self.steps(&trend)?;
        Ok(Answer::json(&trend))
    }

    /// What the judge says of each set against the one before. Each is read once.
    fn steps(&mut self, trend: &Trend) -> Result<Vec<TrendStep>, Answer> {
        let mut steps = Vec::new();
        let mut before: Option<(&str, Vec<Member>)> = None;
        for (set, ids) in trend.sets() {
            let members = ids.iter().map(|id| {
                let detail = self.detail(id)?;
                self.member(&detail)
            });
            let members = members.collect::<Result<Vec<Member>, Answer>>()?;
            if let Some((last, base)) = &before {
                steps.push(step((last, base), (set, &members)));
            }
            before = Some((set, members));
        }
        Ok(steps)
    }
}

fn step((last, base): (&str, &[Member]), (set, test): (&str, &[Member])) -> TrendStep {
    let objections = Objections::of(base, test);
    if !objections.words.is_empty() {
        return TrendStep::unlike(last, set, objections.words);
    }
    let runs = |members: &[Member]| -> Vec<comparison::Run> {
        members.iter().map(|member| member.run.clone()).collect()
    };
    let compared = comparison::compare(&runs(base), &runs(test), &Terms::default());
    TrendStep::new(last, set, &compared)
}

fn run(row: &TestRow) -> TrendRun {
    let outcome = row.outcome.as_ref();
    let is_valid = outcome.is_some_and(|outcome| outcome.verdict != Judgement::Invalid);
    let set = row.labels.tags.get(SET_TAG).unwrap_or(&row.test_id);
    TrendRun {
        test_id: row.test_id.clone(),
        set: set.clone(),
        created_unix_ms: row.created_unix_ms,
        state: row.state.name().to_owned(),
        counted: row.state == Phase::Done && is_valid,
        ok_per_second: outcome.and_then(|outcome| outcome.ok_per_second),
        p50_ms: outcome.and_then(|outcome| outcome.p50_ms),
        p99_ms: outcome.and_then(|outcome| outcome.p99_ms),
        error_rate: outcome.and_then(|outcome| outcome.error_rate),
        verdict: outcome.map(|outcome| outcome.verdict.to_string()),
        breached: outcome.map_or(0, |outcome| outcome.breached),
    }
}
