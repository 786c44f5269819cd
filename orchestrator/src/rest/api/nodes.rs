//! `GET /nodes`, all of them or a page.
//!
//! With thousands of drivers their lists are megabytes, and who asks once a second wants few of
//! them: how many there are, those that are down, or the next fifty.

use std::collections::BTreeMap;
use std::ops::Range;

use proto::clock;
use proto::message::NodeState;
use serde::Serialize;

use super::call::take_flag;
use super::{Answer, Call, Worker};
use crate::control::registry::{INCOMPATIBLE, Liveness};
use crate::control::{NodeRow, Now};

/// The states that a driver can be in.
const STATES: [&str; 4] = [
    Liveness::Up.name(),
    Liveness::Suspect.name(),
    Liveness::Down.name(),
    INCOMPATIBLE,
];

/// A part of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Page {
    offset: usize,
    limit: usize,
}

impl Page {
    /// The page that a query asks for with these two parameters; `most` without a limit.
    ///
    /// # Errors
    /// The answer to a value that is no count.
    pub(super) fn asked(
        call: &Call,
        offset: &str,
        limit: &str,
        most: usize,
    ) -> Result<Self, Answer> {
        let of = |name| {
            call.count(name)
                .map(|count| count.map(super::query::to_usize))
        };
        Ok(Self {
            offset: of(offset)?.unwrap_or(0),
            limit: of(limit)?.unwrap_or(most),
        })
    }

    /// Which of a list are on it.
    pub(super) fn range(self) -> Range<usize> {
        self.offset..self.offset.saturating_add(self.limit)
    }
}

/// All drivers in numbers.
#[derive(Debug, Default, PartialEq, Serialize)]
struct Summary {
    /// Drivers that are known.
    nodes: usize,
    /// Cores of those that are up.
    cores_up: u64,
    /// By state.
    states: BTreeMap<&'static str, usize>,
    /// Those that are up, by what they do; drivers of other implementations do not say.
    activities: BTreeMap<NodeState, usize>,
}

impl Summary {
    fn of(rows: &[NodeRow]) -> Self {
        let mut summary = Self {
            nodes: rows.len(),
            ..Self::default()
        };
        for row in rows {
            *summary.states.entry(row.state).or_default() += 1;
            if row.state != "up" {
                continue;
            }
            summary.cores_up += row.cores.unwrap_or(0);
            if let Some(activity) = row.activity {
                *summary.activities.entry(activity).or_default() += 1;
            }
        }
        summary
    }
}

impl Worker {
    pub(super) fn nodes(&mut self, call: &Call) -> Answer {
        let answer = self.asked_nodes(call);
        answer.unwrap_or_else(|refusal| refusal)
    }

    fn asked_nodes(&mut self, call: &Call) -> Result<Answer, Answer> {
        let search: String = call.param("search", "a text")?.unwrap_or_default();
        let state: Option<String> = call.param("state", "a text")?;
        if let Some(unknown) = state.as_deref().filter(|state| !STATES.contains(state)) {
            let error = format!("state: {unknown:?} is none of {}", STATES.join(", "));
            return Err(Answer::error(400, &error, "see /openapi.json"));
        }
        let role: Option<String> = call.param("role", "a text")?;
        match role.as_deref() {
            None | Some("driver") => {}
            Some("merger") => return Ok(Answer::json(&self.api.live.snapshot().mergers)),
            Some(unknown) => {
                let error = format!("role: {unknown:?} is neither driver nor merger");
                return Err(Answer::error(400, &error, "see /openapi.json"));
            }
        }
        let page = Page::asked(call, "offset", "limit", usize::MAX)?;
        let now = Now::new(clock::unix_ns(), clock::monotonic_ns());
        let mut rows = self.api.live.snapshot().nodes(now);
        rows.retain(|row| {
            let is_named = row.node_id.contains(&search)
                || row
                    .hostname
                    .as_ref()
                    .is_some_and(|host| host.contains(&search));
            is_named && state.as_ref().is_none_or(|state| row.state == state)
        });
        if take_flag(&mut call.query_values(), "summary")? {
            return Ok(Answer::json(&Summary::of(&rows)));
        }
        let Range { start, end } = page.range();
        let end = end.min(rows.len());
        Ok(Answer::json(&&rows[start.min(end)..end]))
    }
}
