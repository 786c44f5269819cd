//! `POST /avalanche` and `POST /tsunami/{seconds}`.

use std::ops::RangeInclusive;

use proto::document::{Defaults, InvalidParam, Params};
use proto::units;
use proto::workload::{TestType, Workload};
use serde_json::{Map, Value, json};

use super::call::take_flag;
use super::{Answer, Call, Worker, reply};
use crate::control::{Command, Reply};

/// Longest gap between the loads of a tsunami, s.
const GAP_S_MAX: f64 = 3600.0;
/// Requests of one load: checked also where an avalanche or a rate makes no use of it.
const BURST: RangeInclusive<u64> = 1..=1_000_000;

impl Worker {
    pub(super) fn create(&mut self, kind: TestType, seconds: Option<&str>, call: &Call) -> Answer {
        let (workload, queue) = match self.workload(kind, seconds, call) {
            Ok(parsed) => parsed,
            Err(answer) => return answer,
        };
        let test_id = proto::id::new_test_id();
        let workload = Box::new(workload);
        let command = Command::Create {
            test_id,
            workload,
            queue,
        };
        match self.api.handle.command(command) {
            Ok(Reply::Created { test_id }) => Answer::json(&json!({"TestId": test_id})),
            Ok(other) => reply::answer(other, &self.api.bootstrap),
            Err(_) => Answer::busy(),
        }
    }

    fn workload(
        &self,
        kind: TestType,
        seconds: Option<&str>,
        call: &Call,
    ) -> Result<(Workload, bool), Answer> {
        let gap_s = seconds.map_or(Ok(0.0), gap)?;
        let values = call.values()?;
        if !call.body.is_empty() {
            // What the body overrides must be right all the same.
            let mut query_wins = values.clone();
            query_wins.extend(call.query_values());
            self.parse(kind, gap_s, query_wins)?;
        }
        let (workload, queue) = self.parse(kind, gap_s, values)?;
        if !self.api.access.admits(&workload.target) {
            let shown = workload.target.shown();
            let error = format!("target: {shown} is not on this machine");
            let hint = format!(
                "start the orchestrator and the drivers with --allow-target {}:{}",
                workload.target.host, workload.target.port
            );
            return Err(Answer::error(400, &error, &hint));
        }
        Ok((workload, queue))
    }

    fn parse(
        &self,
        kind: TestType,
        gap_s: f64,
        mut values: Map<String, Value>,
    ) -> Result<(Workload, bool), Answer> {
        let queue = take_flag(&mut values, "queue")?;
        let mut wrong: Vec<InvalidParam> = Vec::new();
        loop {
            let error = match self.read(kind, gap_s, values.clone()) {
                Ok(workload) if wrong.is_empty() => return Ok((workload, queue)),
                Ok(_) => return Err(invalid(&wrong)),
                Err(error) => error,
            };
            // What is wrong is left out, so that what else is can be told too; but not what is only
            // wrong since that is missing.
            let names = |one: &InvalidParam| error.problem.contains(&one.name);
            let is_known = Params::NAMES.contains(&error.name.as_str());
            let is_of_another = is_known && wrong.iter().any(names);
            let is_left_out = values.remove(&error.name).is_some();
            if !is_of_another {
                wrong.push(error);
            }
            if !is_left_out {
                return Err(invalid(&wrong));
            }
        }
    }

    fn read(
        &self,
        kind: TestType,
        gap_s: f64,
        values: Map<String, Value>,
    ) -> Result<Workload, InvalidParam> {
        let params = Params::from_values(values)?;
        if let Some(burst) = params.burst.filter(|burst| !BURST.contains(burst)) {
            let (least, most) = (BURST.start(), BURST.end());
            return Err(InvalidParam {
                name: "burst".to_owned(),
                problem: format!("{burst} is not within {least} to {most}"),
            });
        }
        let defaults = Defaults::of_rest(kind, &self.api.default_target);
        Workload::from_params(kind, gap_s, &params, &defaults)
    }
}

/// The seconds of the path.
fn gap(text: &str) -> Result<f64, Answer> {
    let is_gap = |s: &f64| *s <= GAP_S_MAX && units::seconds_to_ns(*s).is_some_and(|ns| ns > 0);
    let with_unit = || {
        units::parse_duration_ns(text)
            .ok()
            .map(units::ns_to_seconds)
    };
    let seconds = text.parse().ok().or_else(with_unit).filter(is_gap);
    seconds.ok_or_else(|| {
        let error = format!("seconds: {text:?} is not a number over 0 and up to {GAP_S_MAX}");
        Answer::error(400, &error, "for example POST /tsunami/2, or /tsunami/0.25")
    })
}

/// One or more.
fn invalid(wrong: &[InvalidParam]) -> Answer {
    let error = match wrong {
        [first, _, ..] => format!("{} things are wrong; the first: {first}", wrong.len()),
        all => all.iter().map(ToString::to_string).collect(),
    };
    let each = wrong
        .iter()
        .map(|one| json!({"at": one.name, "error": one.problem}));
    let further = json!({"errors": each.collect::<Vec<_>>()});
    let hint = "the parameters are described in /openapi.json";
    Answer::error_with(400, &error, hint, further)
}
