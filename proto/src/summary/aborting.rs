//! What ends a run early: conditions of its document, judged each second.

use super::{Statistics, ThresholdResult};
use crate::document::{AbortCondition, Bound, Document};
use crate::measure::Report;

/// The conditions, and for how long each has held until now.
#[derive(Debug, Clone, Default)]
pub struct Aborting {
    conditions: Vec<(AbortCondition, u64)>,
}

impl Aborting {
    /// Those of a document.
    #[must_use]
    pub fn new(document: &Document) -> Self {
        let conditions = document.abort.iter();
        Self {
            conditions: conditions.map(|condition| (condition.clone(), 0)).collect(),
        }
    }

    /// Takes what an interval came to; the condition that ends the run, if one does.
    pub fn judge(&mut self, interval: &Report) -> Option<String> {
        let ns = interval
            .interval_end_ns
            .saturating_sub(interval.interval_start_ns);
        let latencies = &interval.latencies;
        let statistics = [
            &latencies.response,
            &latencies.service,
            &latencies.release_lag,
        ];
        let statistics = statistics.map(Statistics::of_sparse);
        let mut reason = None;
        for (condition, held_ns) in &mut self.conditions {
            let Bound::Requests(threshold) = &condition.condition.bound else {
                continue;
            };
            let [response, service, lag] = &statistics;
            let judged = ThresholdResult::of_interval(
                threshold,
                &interval.counters,
                [response, service, lag],
                ns as f64 / 1e9,
            );
            *held_ns = if judged.pass { *held_ns + ns } else { 0 };
            // Cores hand over a little before or after the whole second.
            if *held_ns + ns / 2 >= condition.for_ns && judged.pass {
                reason.get_or_insert_with(|| condition.to_string());
            }
        }
        reason
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::Setting;
    use crate::measure::{Counters, ErrorCounters};

    fn second(second: u64, ok: u64, failed: u64) -> Report {
        Report {
            interval_start_ns: second * 1_000_000_000,
            interval_end_ns: (second + 1) * 1_000_000_000,
            counters: Counters {
                sent: ok + failed,
                ok,
                errors: ErrorCounters {
                    status: failed,
                    ..ErrorCounters::default()
                },
                ..Counters::default()
            },
            ..Report::default()
        }
    }

    #[test]
    fn a_condition_ends_a_run_when_it_has_held_for_its_time_without_a_break() {
        let text =
            "target: http://h/\nabort: [error_rate > 20% for 2s, requests_per_second < 1 for 9s]\n";
        let document = Document::read(text, Setting::default()).unwrap();
        let mut aborting = Aborting::new(&document);
        let rows = [(7, 3), (8, 2), (7, 3), (0, 0), (7, 3)];
        for (at, (ok, failed)) in (0..).zip(rows) {
            assert_eq!(aborting.judge(&second(at, ok, failed)), None, "{at}");
        }
        let reason = aborting.judge(&second(5, 0, 1)).unwrap();
        assert_eq!(reason, "error_rate > 20% for 2.00s");
    }
}
