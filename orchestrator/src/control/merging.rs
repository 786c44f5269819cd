//! What mergers say of `metrics`, and which of its messages are read from the topic itself.

use std::collections::BTreeMap;

use proto::log::Level;
use proto::message::{MergedPart, Metrics};
use proto::topic::Topic;
use serde_json::json;

use super::mergers::{Heard, MergedRange, RangePart, UntouchedReport};
use super::run::Phase;
use super::{Action, Actions, Change, Control, Event, Line, Now, StoredPart, log};

impl Control {
    /// A message of a partition of `metrics`, or that there is none, up to the offset `next`.
    pub(super) fn metrics_read(
        &mut self,
        partition: i32,
        next: i64,
        event: Option<Box<Event>>,
        now: Now,
        actions: &mut Actions,
    ) {
        let is_new = self.mergers.pass(partition, next);
        if let Some(event) = event.filter(|_| is_new) {
            self.dispatch(*event, now, actions);
        }
        self.count_ranges(partition, now, actions);
    }

    /// The partitions that there are.
    pub(super) fn partitions_found(&mut self, partitions: &[i32]) {
        self.mergers.know(partitions);
    }

    /// A partition ends there by now.
    pub(super) fn partition_ends(&mut self, partition: i32, end: i64) {
        let observed_ms = self.registry.observed_ms();
        self.mergers.note_end(partition, end, observed_ms);
    }

    /// Partitions are read from their beginning, as those of another log, which has this number.
    pub(super) fn partitions_forgotten(&mut self, log_number: u64, partitions: &[i32]) {
        let observed_ms = self.registry.observed_ms();
        self.mergers.forget(log_number, partitions, observed_ms);
    }

    /// A merger says what it read.
    pub(super) fn merged_read(&mut self, range: MergedRange, now: Now, actions: &mut Actions) {
        let (partition, merger_id) = (range.partition, range.merger_id.clone());
        let observed_ms = self.registry.observed_ms();
        match self.mergers.hear(range, observed_ms, now) {
            Heard::Nothing => {}
            Heard::Ignored => return,
            Heard::Begins => {
                let fields = json!({"merger_id": merger_id, "partition": partition});
                log(actions, Level::Info, "partition_merged", fields);
            }
            Heard::Contested(other) => {
                let detail = "two processes read it, so that most of it is read again here: is one \
                              of another --group, or do two have one --merger-id?";
                let fields = json!({"partition": partition, "merger_id": merger_id,
                    "other": other, "detail": detail});
                log(actions, Level::Warn, "partition_contested", fields);
            }
            Heard::Refused(reason) => {
                let fields = json!({"merger_id": merger_id, "partition": partition,
                    "reason": reason});
                return log(actions, Level::Warn, "merger_refused", fields);
            }
        }
        self.count_ranges(partition, now, actions);
    }

    /// Observed time goes on: partitions of which no merger was heard are read by ourselves.
    pub(super) fn notice_silent_mergers(&mut self, now: Now, actions: &mut Actions) {
        let observed_ms = self.registry.observed_ms();
        for partition in self.mergers.silent(observed_ms, now) {
            let detail = "no merger reads it; the orchestrator reads it itself until one does";
            let fields = json!({"partition": partition, "detail": detail});
            log(actions, Level::Warn, "partition_not_merged", fields);
            self.ask(partition, actions);
        }
    }

    /// Counts what follows on what was counted, as far as it was said.
    fn count_ranges(&mut self, partition: i32, now: Now, actions: &mut Actions) {
        while let Some(range) = self.mergers.next(partition) {
            if self.can_be_counted(&range) {
                self.mergers.take(&range);
                self.count(range, now, actions);
            } else {
                self.mergers.refuse(&range);
            }
        }
        self.ask(partition, actions);
    }

    fn ask(&mut self, partition: i32, actions: &mut Actions) {
        let asked = self.mergers.ask(partition);
        actions.extend(asked.map(Action::ReadRaw));
    }

    /// Whether a range says exactly what its messages would: no report of it was counted, is of
    /// another process than the one that takes part, or of a run that is not in memory.
    fn can_be_counted(&self, range: &MergedRange) -> bool {
        let mut of_test: BTreeMap<&str, Vec<&MergedPart>> = BTreeMap::new();
        for RangePart { part, .. } in &range.parts {
            of_test.entry(&part.test_id).or_default().push(part);
        }
        of_test.iter().all(|(test_id, parts)| {
            let run = self.runs.peek(test_id);
            run.map_or_else(|| self.is_over(test_id), |run| run.takes(parts))
        })
    }

    /// Whether no report on a test counts any more.
    fn is_over(&self, test_id: &str) -> bool {
        match self.list.get(test_id) {
            Some(row) => row.is_complete || !row.state.has_ended(),
            None => self.tombstones.holds(test_id),
        }
    }

    fn count(&mut self, range: MergedRange, now: Now, actions: &mut Actions) {
        let MergedRange {
            partition,
            from,
            parts,
            untouched,
            skipped,
            ..
        } = range;
        for part in parts {
            self.count_part(part, (partition, from), now, actions);
        }
        for UntouchedReport { offset, message } in untouched {
            let event = match message {
                Ok((message, payload)) => Event::Metrics(message, payload),
                Err(error) => malformed(offset, 1, error),
            };
            self.dispatch(event, now, actions);
        }
        for skipped in skipped {
            let event = malformed(skipped.offset, skipped.count, skipped.error);
            self.dispatch(event, now, actions);
        }
    }

    /// As if each of its reports had come on its own.
    fn count_part(
        &mut self,
        part: RangePart,
        (partition, from): (i32, i64),
        now: Now,
        actions: &mut Actions,
    ) {
        let RangePart {
            part,
            latencies,
            payload,
        } = part;
        let test_id = part.test_id.clone();
        let reports = part.reports.len() as u64;
        let is_open = self.runs.get(&test_id).is_some();
        let Some(run) = self.runs.in_memory(&test_id) else {
            match self.list.get(&test_id) {
                Some(_) => self.counts.duplicates += reports,
                None => self.counts.of_deleted += reports,
            }
            return;
        };
        run.absorb_part(&part, &latencies);
        let is_armed = run.run.phase == Phase::Armed;
        self.counts.reports += reports;
        self.counts.reports_merged += reports;
        actions.push(Action::Persist(Change::Part(StoredPart {
            test_id: test_id.clone(),
            partition,
            from,
            second: part.second,
            reports,
            payload,
        })));
        let mut messages = Vec::with_capacity(part.reports.len());
        messages.extend(part.reports.into_iter().map(|report| report.0));
        if is_open && is_armed {
            for Metrics { node_id, .. } in &messages {
                self.start(&test_id, node_id, now, actions);
            }
        }
        for message in messages {
            let line = Box::new(message.without_histograms());
            actions.push(Action::Log(Line::Metrics(line)));
        }
        if is_open {
            self.abort_if_met(&test_id, now, actions);
        } else {
            self.runs.mark_changed(&test_id);
        }
    }
}

/// What a merger skipped is counted as what we would have skipped.
fn malformed(offset: i64, count: u64, error: String) -> Event {
    Event::Malformed {
        topic: Topic::Metrics,
        offset,
        count,
        error,
    }
}
