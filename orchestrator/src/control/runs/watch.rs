//! The conditions of a document that end its run, held against the merged seconds of all its
//! drivers.

use std::collections::BTreeMap;

use proto::document::Document;
use proto::histogram::SparseLatencies;
use proto::measure::Report;
use proto::message::MergedPart;
use proto::summary::Aborting;

/// A second is not waited for any longer when one so much later has begun.
const PATIENCE: u64 = 3;

/// What has been reported of the seconds that were not judged yet.
#[derive(Debug, Clone)]
pub(super) struct Watch {
    aborting: Aborting,
    /// What nodes said, merged, and how many, by the second that their samples are counted in: a
    /// driver that was held up counts its reports behind those of the others from then on.
    seconds: BTreeMap<u64, (Report, usize)>,
    /// The first that was not judged.
    next: u64,
}

impl Watch {
    /// Of a document that has such conditions.
    pub(super) fn new(document: &Document) -> Option<Self> {
        (!document.abort.is_empty()).then(|| Self {
            aborting: Aborting::new(document),
            seconds: BTreeMap::new(),
            next: 0,
        })
    }

    /// Takes a report of one of `awaited` nodes; the condition that ends the run, if one does. What
    /// nodes sent later in one piece, because the broker was away, comes too late to end anything.
    pub(super) fn take(&mut self, report: &Report, awaited: usize) -> Option<String> {
        if report.last || report.sequence_first != report.sequence || report.second() < self.next {
            return None;
        }
        self.add(report);
        self.judge(awaited)
    }

    /// Whether [`Self::take_part`] can take it: each of its reports is of one interval.
    pub(super) fn takes(part: &MergedPart) -> bool {
        let mut reports = part.reports.iter().filter_map(|one| one.0.report.as_ref());
        reports.all(|report| report.sequence_first == report.sequence)
    }

    /// As [`Self::take`], of nodes whose samples came merged.
    pub(super) fn take_part(
        &mut self,
        part: &MergedPart,
        latencies: &SparseLatencies,
        awaited: usize,
    ) -> Option<String> {
        if part.second < self.next {
            return None;
        }
        let reports = part.reports.iter().filter_map(|one| one.0.report.as_ref());
        reports.for_each(|report| self.add(report));
        if let Some((merged, _)) = self.seconds.get_mut(&part.second) {
            merged.latencies.add(latencies);
        }
        self.judge(awaited)
    }

    fn add(&mut self, report: &Report) {
        let (merged, nodes) = self.seconds.entry(report.second()).or_insert_with(|| {
            let start = Report {
                interval_start_ns: report.interval_start_ns,
                ..Report::default()
            };
            (start, 0)
        });
        merged.interval_start_ns = merged.interval_start_ns.min(report.interval_start_ns);
        merged.interval_end_ns = merged.interval_end_ns.max(report.interval_end_ns);
        merged.counters.add(&report.counters);
        merged.latencies.add(&report.latencies);
        *nodes += 1;
    }

    /// Judges the seconds that are reported.
    fn judge(&mut self, awaited: usize) -> Option<String> {
        let newest = *self.seconds.last_key_value()?.0;
        let mut reason = None;
        while let Some(second) = self.seconds.first_entry() {
            let is_old = second.key().saturating_add(PATIENCE) <= newest;
            if second.get().1 < awaited && !is_old {
                break;
            }
            let (number, (merged, _)) = second.remove_entry();
            self.next = number.saturating_add(1);
            reason = reason.or_else(|| self.aborting.judge(&merged));
        }
        reason
    }
}

#[cfg(test)]
mod tests {
    use proto::document::Setting;
    use proto::measure::{Counters, ErrorCounters};

    use super::*;

    const NS: u64 = 1_000_000_000;

    fn watch() -> Watch {
        let text = "target: http://h/\nabort: [error_rate > 20% for 2s]\n";
        let document = Document::read(text, Setting::default()).unwrap();
        Watch::new(&document).unwrap()
    }

    fn second(sequence: u64, ok: u64, failed: u64) -> Report {
        Report {
            sequence_first: sequence,
            sequence,
            interval_start_ns: sequence * NS,
            interval_end_ns: (sequence + 1) * NS,
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
    fn seconds_are_judged_as_all_nodes_together_have_them() {
        let mut watch = watch();
        for sequence in 0..5 {
            assert_eq!(
                watch.take(&second(sequence, 0, 10), 2),
                None,
                "one node alone"
            );
            assert_eq!(
                watch.take(&second(sequence, 90, 0), 2),
                None,
                "a tenth of all"
            );
        }
        assert_eq!(watch.take(&second(5, 0, 50), 2), None);
        assert_eq!(watch.take(&second(5, 90, 0), 2), None);
        assert_eq!(watch.take(&second(6, 0, 50), 2), None);
        let reason = watch.take(&second(6, 90, 0), 2).unwrap();
        assert!(reason.contains("error_rate > 20%"), "{reason}");
    }

    #[test]
    fn a_driver_whose_reports_are_counted_behind_those_of_others_is_judged_with_them() {
        let mut watch = watch();
        let behind = |at: u64, ok, failed| {
            let mut report = second(at, ok, failed);
            report.sequence_first -= 1;
            report.sequence -= 1;
            report
        };
        for at in 1..6 {
            assert_eq!(watch.take(&second(at, 90, 0), 2), None);
            assert_eq!(watch.take(&behind(at, 70, 20), 2), None);
            assert!(watch.seconds.is_empty(), "second {at} waits for nobody");
        }
        for at in 6..8 {
            watch.take(&second(at, 0, 50), 2);
            let ends = watch.take(&behind(at, 90, 0), 2).is_some();
            assert_eq!(ends, at == 7, "two seconds above a fifth, and no more");
        }
    }

    #[test]
    fn a_node_that_says_nothing_is_not_waited_for_for_ever() {
        let mut watch = watch();
        let reasons: Vec<bool> = (0..6)
            .map(|sequence| watch.take(&second(sequence, 0, 10), 2).is_some())
            .collect();
        assert_eq!(reasons, [false, false, false, false, true, true]);
        assert_eq!(
            watch.take(&second(0, 0, 10), 2),
            None,
            "it was judged without"
        );
        assert!(watch.seconds.len() <= 3);
    }

    #[test]
    fn a_document_without_conditions_is_not_watched() {
        let document = Document::read("target: http://h/\n", Setting::default()).unwrap();
        assert!(Watch::new(&document).is_none());
    }
}
