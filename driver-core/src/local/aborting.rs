//! What ends a run early: conditions of its document, judged each second.

use proto::document::{AbortCondition, Bound, Document};
use proto::measure::Report;
use proto::summary::{Statistics, ThresholdResult};

/// The conditions, and for how long each has held until now.
#[derive(Debug, Default)]
pub(super) struct Aborting {
    conditions: Vec<(AbortCondition, u64)>,
}

impl Aborting {
    /// Those of a document, if there is one.
    pub(super) fn new(document: Option<&Document>) -> Self {
        let conditions = document.map(|document| document.abort.iter());
        Self {
            conditions: conditions
                .into_iter()
                .flatten()
                .map(|condition| (condition.clone(), 0))
                .collect(),
        }
    }

    /// Takes what an interval came to; why the run has to end, if it has to.
    pub(super) fn judge(&mut self, interval: &Report) -> Option<String> {
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
                reason.get_or_insert_with(|| format!("aborted: {condition}"));
            }
        }
        reason
    }
}

#[cfg(test)]
mod tests {
    use proto::document::Setting;
    use proto::measure::{Counters, ErrorCounters};

    use super::*;

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
        let mut aborting = Aborting::new(Some(&document));
        let rows = [(7, 3), (8, 2), (7, 3), (0, 0), (7, 3)];
        for (at, (ok, failed)) in (0..).zip(rows) {
            assert_eq!(aborting.judge(&second(at, ok, failed)), None, "{at}");
        }
        let reason = aborting.judge(&second(5, 0, 1)).unwrap();
        assert_eq!(reason, "aborted: error_rate > 20% for 2.00s");
    }
}
