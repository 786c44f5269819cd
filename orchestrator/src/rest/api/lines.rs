//! `GET /tests/{id}/lines`: what each node of a run did, or each step, second by second.

use std::sync::Arc;

use proto::summary::{LINE_POINTS_MAX, Lines, LinesOf, NodeCourses, StepCourses, StepLinesOf};
use serde::{Deserialize, Serialize};

use super::query::to_usize;
use super::{Answer, Call, Worker, store_away};

/// The answer.
#[derive(Serialize)]
struct Told<'a> {
    test_id: &'a str,
    by: &'a str,
    of: &'a str,
    #[serde(flatten)]
    lines: Lines,
}

/// What a stored result says of steps.
#[derive(Deserialize)]
struct StoredSteps {
    #[serde(default)]
    steps: Vec<StoredStep>,
}

#[derive(Deserialize)]
struct StoredStep {
    name: String,
}

/// Whose lines they are.
#[derive(Clone, Copy)]
enum By {
    Node,
    Step,
}

impl By {
    const NAMES: [(&'static str, Self); 2] = [("node", Self::Node), ("step", Self::Step)];
}

impl Worker {
    pub(super) fn lines(&mut self, test_id: &str, call: &Call) -> Answer {
        self.try_lines(test_id, call)
            .unwrap_or_else(|answer| answer)
    }

    fn try_lines(&mut self, test_id: &str, call: &Call) -> Result<Answer, Answer> {
        let by = call.param::<String>("by", "a text")?;
        let by = by.as_deref().unwrap_or("node");
        let of = call.param::<String>("of", "a text")?;
        let of = of.as_deref().unwrap_or("ok");
        let points = call.count("points")?.map_or(LINE_POINTS_MAX, to_usize);
        if !(1..=LINE_POINTS_MAX).contains(&points) {
            let error = format!("points: {points} is not within 1 to {LINE_POINTS_MAX}");
            return Err(Answer::error(400, &error, "the most points of a line"));
        }
        let lines = match named("by", by, &By::NAMES)? {
            By::Node => {
                let which = named("of", of, &LinesOf::NAMES)?;
                self.courses(test_id)?.lines(which, points)
            }
            By::Step => {
                // A count that nodes have and steps have not is no mistake in the call.
                named("of", of, &LinesOf::NAMES)?;
                let counts = named("of", of, &StepLinesOf::NAMES);
                let which = counts.map_err(|_| {
                    let error = format!("steps do not count {of}; they count sent, ok and errors");
                    Answer::error(404, &error, "ask for one of these, or by=node")
                })?;
                self.step_courses(test_id)?.lines(which, points)
            }
        };
        Ok(Answer::json(&Told {
            test_id,
            by,
            of,
            lines,
        }))
    }

    fn courses(&mut self, test_id: &str) -> Result<Arc<NodeCourses>, Answer> {
        if let Some(seen) = self.seen(test_id)? {
            return Ok(self.api.live.courses(&seen));
        }
        let live = Arc::clone(&self.api.live);
        live.courses_of_stored(test_id, || {
            let mut courses = NodeCourses::default();
            self.reader()?
                .each_node_second(test_id, |node_id, row| courses.add(node_id, &row.counts))
                .map_err(|error| store_away(&error))?;
            Ok(courses)
        })
    }

    fn step_courses(&mut self, test_id: &str) -> Result<Arc<StepCourses>, Answer> {
        if let Some(seen) = self.seen(test_id)? {
            return Ok(self.api.live.steps(&seen));
        }
        let live = Arc::clone(&self.api.live);
        live.steps_of_stored(test_id, || {
            let result = self.result_without_series(test_id)?;
            let result = serde_json::from_str(&result);
            let StoredSteps { steps } = result.map_err(|error| store_away(&error))?;
            let grid = self.reader()?.steps(test_id);
            Ok(StepCourses {
                names: steps.into_iter().map(|step| step.name).collect(),
                grid: grid.map_err(|error| store_away(&error))?,
            })
        })
    }
}

/// What a parameter names.
fn named<T: Copy>(param: &str, value: &str, known: &[(&str, T)]) -> Result<T, Answer> {
    let found = known.iter().find(|(name, _)| *name == value);
    found.map(|(_, it)| *it).ok_or_else(|| {
        let names: Vec<&str> = known.iter().map(|(name, _)| *name).collect();
        let error = format!("{param}: {value:?} is none of {}", names.join(", "));
        Answer::error(400, &error, "see /openapi.json")
    })
}
