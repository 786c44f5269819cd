//! The changes of a test's rate, and which nodes did not follow one as it was ordered.

use serde::{Deserialize, Serialize};

use super::result::Context;
use super::{NodeSummary, Summary};
use crate::units;
use crate::workload::RateChange;

/// A change of the rate while the test ran.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RateRow {
    /// From which second on, counted from the common start.
    pub at_s: f64,
    /// The rate from then on, a second: of all drivers where the test is a document, else of each.
    pub rate: f64,
    /// Who ordered it, as they said.
    pub by: Option<String>,
    /// Nodes that took it on later.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub late: Vec<LateNode>,
    /// Nodes that never did, though they sent beyond its instant; known when they have ended.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub not_followed: Vec<String>,
}

/// A node that took a change on late.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LateNode {
    /// The node.
    pub node_id: String,
    /// By how much, s; until then it went on at the rate before.
    pub late_s: f64,
}

impl From<&RateChange> for RateRow {
    /// As it was ordered.
    fn from(change: &RateChange) -> Self {
        Self {
            at_s: units::ns_to_seconds(change.at_ns),
            rate: change.rate.per_second(),
            by: change.by.clone(),
            late: Vec::new(),
            not_followed: Vec::new(),
        }
    }
}

impl RateRow {
    /// As a line: when, to what, by whom. Who did not follow stands among the reasons of the verdict.
    #[must_use]
    pub fn in_words(&self) -> String {
        let by = self.by.as_ref().map(|by| format!(", by {by}"));
        let by = by.unwrap_or_default();
        format!("from second {} on at {}/s{by}", self.at_s, self.rate)
    }
}

impl NodeSummary {
    /// By how much the node was late for a change, ns; 0 when it was not, as far as is known.
    pub(super) fn rate_late_ns(&self, number: usize) -> u64 {
        let late = self.rates.iter().flat_map(|rates| &rates.late);
        let of_it = late.filter(|late| late.number == number as u64);
        of_it.map(|late| late.late_ns).max().unwrap_or(0)
    }

    /// Whether the node sent beyond a change of this number without taking it on.
    pub(super) fn ignored_rate(&self, number: usize, context: &Context<'_>) -> bool {
        let known = self.rates.as_ref().map_or(0, |rates| rates.known);
        let sent_ns = self.totals().window_ns().saturating_add(context.warmup_ns);
        self.has_ended() && known <= number as u64 && sent_ns > context.rates[number].at_ns
    }
}

impl Summary {
    /// The changes of the rate, and who did not follow.
    pub(super) fn rate_rows(&self, context: &Context<'_>) -> Vec<RateRow> {
        let row = |(number, change): (usize, &RateChange)| RateRow {
            late: self.late(number),
            not_followed: self.ignored(number, context),
            ..RateRow::from(change)
        };
        context.rates.iter().enumerate().map(row).collect()
    }

    fn late(&self, number: usize) -> Vec<LateNode> {
        let late = |(node_id, node): (&String, &NodeSummary)| {
            let late_ns = node.rate_late_ns(number);
            (late_ns > 0).then(|| LateNode {
                node_id: node_id.clone(),
                late_s: units::ns_to_seconds(late_ns),
            })
        };
        self.nodes().iter().filter_map(late).collect()
    }

    fn ignored(&self, number: usize, context: &Context<'_>) -> Vec<String> {
        let ignored = self
            .nodes()
            .iter()
            .filter(|(_, node)| node.ignored_rate(number, context));
        ignored.map(|(node_id, _)| node_id.clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::result::Plan;
    use super::*;
    use crate::measure::{LatencyFigures, Outcome, Report};
    use crate::message::Metrics;
    use crate::units::NS_PER_S;
    use crate::workload::Rate;

    /// Who is said not to have followed a change at second 6 after so long a warm-up, of nodes that
    /// sent for so long after it.
    fn not_followed(warmup_s: u64, sent_s: u64) -> Vec<String> {
        let mut summary = Summary::default();
        let report = Report {
            last: true,
            outcome: Some(Outcome::Done),
            sending_ns: Some(sent_s * NS_PER_S),
            ..Report::default()
        };
        summary.absorb(&Metrics {
            node_id: "n".into(),
            test_id: "t".into(),
            report_id: None,
            metrics: LatencyFigures::default(),
            report: Some(report),
        });
        let changes = [RateChange {
            at_ns: 6 * NS_PER_S,
            rate: Rate::from_milli(1_000).unwrap(),
            by: None,
        }];
        let rows = summary.rate_rows(&Context {
            test_id: "t",
            test_type: "TSUNAMI",
            state: "done",
            closed_loop: false,
            in_flight: None,
            level_load: false,
            ended: true,
            plan: Plan::Unknown,
            expected: &[],
            document: None,
            warmup_ns: warmup_s * NS_PER_S,
            rates: &changes,
            aborted_by: None,
            thresholds: &[],
            series_from: 0,
        });
        rows[0].not_followed.clone()
    }

    #[test]
    fn who_sent_beyond_a_change_without_it_is_named_whatever_the_warm_up_was() {
        assert_eq!(not_followed(0, 8), ["n"]);
        assert!(not_followed(0, 5).is_empty());
        assert_eq!(not_followed(4, 5), ["n"]);
        assert!(not_followed(4, 2).is_empty());
    }
}
