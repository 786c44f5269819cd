//! `GET /tests/{id}/lines`: what each node of a run did, second by second.

use std::sync::Arc;

use proto::summary::{LINE_POINTS_MAX, LinesOf, NodeCourses, NodeLines};
use serde::Serialize;

use super::query::to_usize;
use super::{Answer, Call, Worker, store_away};

/// The answer.
#[derive(Serialize)]
struct Told<'a> {
    test_id: &'a str,
    of: &'a str,
    #[serde(flatten)]
    lines: NodeLines,
}

impl Worker {
    pub(super) fn lines(&mut self, test_id: &str, call: &Call) -> Answer {
        self.try_lines(test_id, call)
            .unwrap_or_else(|answer| answer)
    }

    fn try_lines(&mut self, test_id: &str, call: &Call) -> Result<Answer, Answer> {
        let of = call.param::<String>("of", "a text")?;
        let of = of.as_deref().unwrap_or("ok");
        let mut known = LinesOf::NAMES.iter();
        let Some((_, which)) = known.find(|(name, _)| *name == of) else {
            let names = LinesOf::NAMES.map(|(name, _)| name).join(", ");
            let error = format!("of: {of:?} is none of {names}");
            return Err(Answer::error(400, &error, "see /openapi.json"));
        };
        let points = call.count("points")?.map_or(LINE_POINTS_MAX, to_usize);
        if !(1..=LINE_POINTS_MAX).contains(&points) {
            let error = format!("points: {points} is not within 1 to {LINE_POINTS_MAX}");
            return Err(Answer::error(400, &error, "the most points of a line"));
        }
        let lines = self.courses(test_id)?.lines(*which, points);
        Ok(Answer::json(&Told { test_id, of, lines }))
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
}
