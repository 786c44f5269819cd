//! `GET /tests`, `/tests/{id}`, `/metrics/{id}`.

use std::ops::Range;
use std::sync::Arc;

use proto::histogram::SparseLatencies;
use proto::summary::{SeriesRow, downsample};

use super::call::take_flag;
use super::nodes::Page;
use super::{Answer, Call, Worker, reply, store_away};
use crate::control::{SeenRun, Selection, Snapshot, SortBy, TestDetail};
use crate::live::ResultText;
use crate::report;
use crate::store::StoredTest;

/// Nodes of a result without a `nodes_limit`: each is some 3 kB.
const RESULT_NODES: usize = 1_000;

impl Worker {
    pub(super) fn tests(&mut self, call: &Call) -> Answer {
        let wanted = match selection(call) {
            Ok(wanted) => wanted,
            Err(answer) => return answer,
        };
        let rows = self.api.live.snapshot().tests(&wanted);
        let rows: Vec<&_> = rows.iter().map(AsRef::as_ref).collect();
        Answer::json(&rows)
    }

    pub(super) fn test(&mut self, test_id: &str) -> Answer {
        let detail = self.detail(test_id);
        detail.map_or_else(|answer| answer, |detail| Answer::json(&detail))
    }

    pub(super) fn detail(&mut self, test_id: &str) -> Result<TestDetail, Answer> {
        let snapshot = self.api.live.snapshot();
        if let Some(detail) = snapshot.detail(test_id) {
            return Ok(detail);
        }
        let row = snapshot.row(test_id);
        let row = row.ok_or_else(|| unknown(&snapshot, test_id))?;
        let stored = self
            .reader()?
            .detail(test_id)
            .map_err(|error| store_away(&error))?;
        let stored = stored.ok_or_else(|| not_written(test_id))?;
        Ok(TestDetail {
            row: row.as_ref().clone(),
            ..stored
        })
    }

    pub(super) fn metrics(&mut self, test_id: &str, call: &Call) -> Answer {
        let asked = call.count("series_from").and_then(|from| {
            let points = call.count("points")?;
            let view = View {
                from: from.unwrap_or(0),
                points: points.map(to_usize),
            };
            let nodes = Page::asked(call, "nodes_offset", "nodes_limit", RESULT_NODES)?;
            Ok((view, nodes, wants_text(call)?))
        });
        let answer = asked.and_then(|(view, nodes, as_text)| {
            if as_text {
                return self.report(test_id);
            }
            let body = self.result(test_id, view, nodes.range())?;
            Ok(Answer::new(200, "application/json", body.into_bytes()))
        });
        answer.unwrap_or_else(|refusal| refusal)
    }

    /// The result as text for people.
    fn report(&mut self, test_id: &str) -> Result<Answer, Answer> {
        let result = self.result_without_series(test_id)?;
        let view = serde_json::from_str(&result).map_err(|error| store_away(&error))?;
        let text = report::table(&view).into_bytes();
        Ok(Answer::new(200, "text/plain; charset=utf-8", text))
    }

    /// The result as JSON with these of its nodes: of a test that goes on from the snapshot, else from
    /// the store.
    pub(super) fn result(
        &mut self,
        test_id: &str,
        view: View,
        nodes: Range<usize>,
    ) -> Result<String, Answer> {
        let Some(seen) = self.seen(test_id)? else {
            return self.stored_result(test_id, view, nodes);
        };
        let series = to_json(&view.of(seen.series(view.from)));
        let made = self.api.live.result(&seen);
        Ok(made.json_in(seen.run.phase, nodes, &series))
    }

    /// The run, if it is in memory: one that ended long ago is not, and the store has it.
    pub(super) fn seen(&self, test_id: &str) -> Result<Option<Arc<SeenRun>>, Answer> {
        let snapshot = self.api.live.snapshot();
        match snapshot.row(test_id) {
            Some(_) => Ok(snapshot.run(test_id).cloned()),
            None => Err(unknown(&snapshot, test_id)),
        }
    }

    fn stored_result(
        &mut self,
        test_id: &str,
        view: View,
        nodes: Range<usize>,
    ) -> Result<String, Answer> {
        let texts = self
            .reader()?
            .result_texts(test_id)
            .map_err(|error| store_away(&error))?;
        let (result, mut series) = texts.ok_or_else(|| not_written(test_id))?;
        if view.from > 0 || view.points.is_some() {
            let mut rows: Vec<SeriesRow> =
                serde_json::from_str(&series).map_err(|error| store_away(&error))?;
            rows.retain(|row| row.counts.second >= view.from);
            series = to_json(&view.of(rows));
        }
        let text = ResultText::read(&result).map_err(|error| store_away(&error))?;
        Ok(text.with(nodes, &series))
    }

    /// The result as JSON with an empty series.
    pub(super) fn result_without_series(&mut self, test_id: &str) -> Result<String, Answer> {
        self.result(test_id, View::NOTHING, 0..usize::MAX)
    }

    /// Second by second.
    pub(super) fn series(&mut self, test_id: &str) -> Result<Vec<SeriesRow>, Answer> {
        match self.seen(test_id)? {
            Some(seen) => Ok(seen.series(0)),
            None => Ok(self.stored(test_id)?.series),
        }
    }

    /// The merged samples.
    pub(super) fn latencies(&mut self, test_id: &str) -> Result<SparseLatencies, Answer> {
        match self.seen(test_id)? {
            Some(seen) => Ok(seen.latencies()),
            None => Ok(self.stored(test_id)?.latencies),
        }
    }

    fn stored(&mut self, test_id: &str) -> Result<StoredTest, Answer> {
        let stored = self
            .reader()?
            .result(test_id)
            .map_err(|error| store_away(&error))?;
        stored.ok_or_else(|| not_written(test_id))
    }
}

/// Whether a result is asked for as text: by its parameter, or as the only thing that is taken.
fn wants_text(call: &Call) -> Result<bool, Answer> {
    let is_taken = |accept: &str| accept.trim_start().starts_with("text/plain");
    let is_flagged = take_flag(&mut call.query_values(), "summary")?;
    Ok(is_flagged || call.header("Accept").is_some_and(is_taken))
}

/// Which tests are wanted, as the query says.
fn selection(call: &Call) -> Result<Selection, Answer> {
    let sort = call.param::<String>("sort", "a text")?;
    let name = sort.as_deref().map(|text| text.trim_start_matches('-'));
    let known = |name: &str| SortBy::NAMES.iter().find(|(known, _)| *known == name);
    if let Some(unknown) = name.filter(|name| known(name).is_none()) {
        let names = SortBy::NAMES.map(|(name, _)| name).join(", ");
        let error = format!("sort: {unknown:?} is none of {names}, each with a - before it or not");
        return Err(Answer::error(400, &error, "see /openapi.json"));
    }
    Ok(Selection {
        search: call.param("search", "a text")?.unwrap_or_default(),
        sort: name.and_then(known).map(|(_, sort)| *sort),
        is_reversed: sort.is_some_and(|text| text.starts_with('-')),
        offset: call.count("offset")?.map_or(0, to_usize),
        limit: call.count("limit")?.map(to_usize),
    })
}

/// Which part of a series is wanted.
#[derive(Debug, Clone, Copy)]
pub(super) struct View {
    from: u64,
    points: Option<usize>,
}

impl View {
    /// All of it.
    pub(super) const ALL: Self = Self {
        from: 0,
        points: None,
    };

    /// None of it.
    const NOTHING: Self = Self {
        from: u64::MAX,
        points: None,
    };

    fn of(self, rows: Vec<SeriesRow>) -> Vec<SeriesRow> {
        match self.points {
            Some(points) => downsample(&rows, points),
            None => rows,
        }
    }
}

/// The test is known, and its result is not in the store: the disk was full when it ended.
/// What is no test may be a campaign.
fn unknown(snapshot: &Snapshot, test_id: &str) -> Answer {
    match snapshot.campaign(test_id) {
        Some(campaign) => reply::no_test(test_id, campaign.goal.kind()),
        None => reply::unknown_test(test_id),
    }
}

fn not_written(test_id: &str) -> Answer {
    let error = format!("the result of {test_id} could not be written yet");
    Answer::error(
        503,
        &error,
        "make room on the disk; GET /healthz shows the store",
    )
}

pub(super) fn to_usize(count: u64) -> usize {
    usize::try_from(count).unwrap_or(usize::MAX)
}

fn to_json<T: serde::Serialize>(value: &T) -> String {
    serde_json::to_string(value).expect("invariant: results have string keys and finite numbers")
}
