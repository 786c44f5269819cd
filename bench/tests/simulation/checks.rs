//! What must hold of a world when it has come to its end.

use std::time::Duration;

use orchestrator::control::{Campaign, CampaignState, Goal, PartitionRow, Reply};
use proto::codec;
use proto::histogram::SparseLatencies;
use proto::message::Metrics;
use proto::summary::{Capacity, CapacityAnswer, Repeats};
use proto::topic::Topic;
use serde_json::Value;

use crate::driver::{CAPACITY, Driver, RATE};
use crate::foreign;
use crate::world::{REST_MS, SECOND, World};

/// A report that was in the log for so long is counted before its run ends without it …
const UNREAD_NS: u64 = 5 * SECOND;
/// … and where messages are late, for so long.
const UNREAD_LATE_NS: u64 = 10 * SECOND;

impl World {
    /// No driver that lives was taken for one that does not.
    pub(crate) fn assert_nobody_is_lost(&self) {
        for test_id in self.orchestrator.test_ids() {
            let lost = &self.orchestrator.run(&test_id).lost;
            let was_told = !self.orchestrator.was_not_told(&test_id);
            assert!(lost.is_empty() || !was_told, "{test_id}: {lost:?}");
        }
    }

    /// A run has ended: what other implementations reported on it, and lay in the log for some time, was
    /// counted.
    pub(crate) fn assert_foreign_is_read(&self, test_id: &str) {
        if self.orchestrator.was_not_told(test_id) {
            return;
        }
        let until_ns = self.readable_since(self.unread_ns());
        for foreign in &self.foreigners {
            let number_of = |payload: &[u8]| foreign::number_of(payload, &foreign.id, test_id);
            let partitions = 0..self.bus.partitions;
            let logs = partitions.map(|number| self.bus.all((Topic::Metrics, number)));
            let old = logs
                .flatten()
                .filter(|stored| stored.visible_ns <= until_ns);
            let newest = old
                .filter_map(|stored| number_of(&stored.payload))
                .next_back();
            let key = (test_id.to_owned(), foreign.id.clone(), -1);
            let counted = self.orchestrator.disk.reports.get(&key);
            let counted = counted.and_then(|payload| number_of(payload));
            assert!(
                counted >= newest,
                "{test_id} {}: {counted:?} < {newest:?}",
                foreign.id
            );
        }
    }

    /// A run has ended: nobody was given up in it whose last report lay unread in the log for some time.
    pub(crate) fn assert_no_last_report_is_unread(&self, test_id: &str) {
        let lost = &self.orchestrator.run(test_id).lost;
        if lost.is_empty() || self.orchestrator.was_not_told(test_id) {
            return;
        }
        let until_ns = self.readable_since(self.unread_ns());
        for number in 0..self.bus.partitions {
            let place = (Topic::Metrics, number);
            let counted = self.orchestrator.disk.cursors.get(&place).copied();
            // Nobody can see that a log is another one which is longer when it is first seen.
            let shadow = self.orchestrator.disk.shadows.get(&number).copied();
            let all = self.bus.all(place).iter().enumerate();
            let all = all.skip(shadow.unwrap_or(0).max(counted.unwrap_or(0)));
            for (at, stored) in all.filter(|(_, stored)| stored.visible_ns <= until_ns) {
                let message: Metrics = codec::decode(&mut stored.payload.clone()).unwrap();
                let is_last = message.report.is_some_and(|report| report.last);
                let is_its = is_last && message.test_id == test_id;
                let why = lost.get(&message.node_id).filter(|_| is_its);
                let node_id = &message.node_id;
                assert_eq!(
                    why, None,
                    "{test_id} {node_id} reported its end as {at} of {number}, counted to {counted:?}"
                );
            }
        }
    }

    /// For so long a report may be there to be read and be missed.
    fn unread_ns(&self) -> u64 {
        if self.faults.messages {
            UNREAD_LATE_NS
        } else {
            UNREAD_NS
        }
    }

    /// What is missing in a result is said to be.
    pub(crate) fn assert_what_is_missing_is_said(&self) {
        for (test_id, result) in &self.orchestrator.disk.results {
            let drivers = self.drivers.iter();
            let sent: u64 = drivers.map(|driver| sent_by(driver, test_id)).sum();
            let coverage = &result["coverage"];
            let is_said = is_in(&coverage["unfinished_nodes"], |_| true)
                || int(&coverage["reports_missing"]) > 0;
            let is_whole = int(&result["sent"]) == sent;
            let was_told = !self.orchestrator.was_not_told(test_id);
            assert!(is_whole || is_said || !was_told, "{test_id}: {result}");
        }
    }

    /// Each partition is merged, once all is well.
    pub(crate) fn assert_mergers_are_relied_on(&mut self) {
        let now_ns = self.now_ns;
        let snapshot = self.orchestrator.snapshot(now_ns).unwrap();
        let is_merged = |row: &PartitionRow| row.merger_id.is_some();
        assert!(
            snapshot.partitions.iter().all(is_merged),
            "{:?}",
            snapshot.partitions
        );
    }

    /// Somebody reads of two mergers, one of each group, that they have the same partition.
    pub(crate) fn assert_rivals_are_named(&self) {
        let names = |text: &String| text.contains(" m") && text.contains(" n");
        let is_of_two = |text: &&String| text.contains("read by two mergers");
        let mut told = self.troubles.iter().filter(is_of_two);
        assert!(told.any(names), "{:?}", self.troubles);
    }

    pub(crate) fn assert_all_ended(&self) {
        let nobody = self.drivers.iter().all(|driver| !driver.alive);
        let wanted = &self.wanted;
        assert!(wanted.is_empty() || nobody, "not taken: {wanted:?}");
        for test_id in self.orchestrator.test_ids() {
            let phase = self.orchestrator.phase(&test_id);
            let ended = ["done", "partial", "aborted", "failed"].contains(&phase);
            // A test that nobody could start, since every driver is dead, may wait.
            let of_campaign = |id: &String| test_id.starts_with(&format!("{id}-"));
            let is_of_one = self.orchestrator.disk.campaigns.keys().any(of_campaign);
            let is_wanted = wanted.iter().any(|(id, _)| *id == test_id);
            let waits = nobody && (is_wanted || is_of_one);
            assert!(ended || waits, "{test_id} is still {phase}");
        }
    }

    pub(crate) fn assert_states(&self, allowed: &[&str]) {
        for test_id in self.orchestrator.test_ids() {
            let phase = self.orchestrator.phase(&test_id);
            let why = self.orchestrator.reason(&test_id);
            assert!(allowed.contains(&phase), "{test_id} is {phase}: {why:?}");
        }
    }

    /// Every campaign has ended, has a run for each of its numbers, and claims nothing that is not so.
    pub(crate) fn assert_campaigns(&self, allowed: &[CampaignState]) {
        let nobody = self.drivers.iter().all(|driver| !driver.alive);
        for (test_id, campaign) in &self.orchestrator.disk.campaigns {
            let Campaign { state, reason, .. } = campaign;
            assert!(
                allowed.contains(state) || nobody && *state == CampaignState::Running,
                "{test_id} is {state:?}: {reason:?}"
            );
            let tests = self.orchestrator.test_ids();
            for number in 1..campaign.next_run {
                assert!(tests.contains(&format!("{test_id}-{number}")), "{number}");
            }
            let of_campaign = |id: &&String| id.starts_with(&format!("{test_id}-"));
            let runs = tests.iter().filter(of_campaign).count();
            assert_eq!(runs as u64, campaign.next_run - 1, "{test_id}");
            match &campaign.goal {
                Goal::Capacity(search) => assert_search(*state, &search.answer(&campaign.target)),
                Goal::Repeat(set) => self.assert_set(campaign, set),
            }
        }
    }

    /// How many sets have all their runs.
    pub(crate) fn sets_done(&self) -> usize {
        let campaigns = self.orchestrator.disk.campaigns.values();
        let is_done = |campaign: &&Campaign| {
            matches!(campaign.goal, Goal::Repeat(_)) && campaign.state == CampaignState::Done
        };
        campaigns.filter(is_done).count()
    }

    /// A set has a row for each run that ended, in their order; those count that the same drivers did to
    /// their end; and each rested.
    fn assert_set(&self, campaign: &Campaign, set: &Repeats) {
        let Campaign { test_id, state, .. } = campaign;
        let ids: Vec<&str> = set
            .runs
            .iter()
            .filter_map(|run| run.test_id.as_deref())
            .collect();
        let waits = u64::from(campaign.run.is_some());
        let expected: Vec<String> = (1..campaign.next_run - waits)
            .map(|number| format!("{test_id}-{number}"))
            .collect();
        assert_eq!(ids, expected, "{test_id}");
        // The last run may be what ended it otherwise.
        let is_done = *state == CampaignState::Done;
        assert!(set.is_complete() || !is_done, "{set:?}");
        assert_eq!(set.interrupted, *state == CampaignState::Aborted, "{set:?}");
        for run in set.runs.iter().filter(|run| run.counted) {
            let run_id = run.test_id.as_deref().unwrap();
            assert_eq!(self.orchestrator.phase(run_id), "done");
            let mut participants = self.orchestrator.participants(run_id).to_vec();
            participants.sort_unstable();
            assert_eq!(participants, campaign.participants, "{run_id}");
            let ok = &self.orchestrator.disk.results[run_id]["requests_per_second"];
            assert_eq!(run.figures.requests_per_second, ok.as_f64(), "{run_id}");
        }
        let counted = set.runs.iter().filter(|run| run.counted).count();
        assert!(set.spread.iter().all(|one| one.runs <= counted), "{set:?}");
        assert_eq!(set.spread.is_empty(), counted == 0, "{set:?}");
        for pair in ids.windows(2) {
            let created_ms = self.orchestrator.created_ms(pair[1]);
            let ended_ms = self.orchestrator.ended_ms(pair[0]);
            assert!(created_ms >= ended_ms + REST_MS, "{pair:?}");
        }
    }

    /// Every result is what the drivers did, node by node.
    pub(crate) fn assert_exact(&self) {
        for (test_id, result) in &self.orchestrator.disk.results {
            let sent: u64 = self
                .drivers
                .iter()
                .map(|driver| sent_by(driver, test_id))
                .sum();
            assert_eq!(
                int(&result["sent"]),
                sent,
                "{test_id}: {}",
                result["coverage"]
            );
            if self.orchestrator.was_not_told(test_id) {
                continue;
            }
            assert_eq!(
                result["coverage"]["unfinished_nodes"]
                    .as_array()
                    .unwrap()
                    .len(),
                0,
                "{test_id} is {}: {:?}",
                self.orchestrator.phase(test_id),
                self.orchestrator.reason(test_id)
            );
            let nodes = result["nodes"].as_array().unwrap();
            assert_eq!(nodes.len(), self.orchestrator.participants(test_id).len());
            assert_eq!(result["accounting"]["holds"], true, "{result}");
            self.assert_times(test_id);
            self.assert_rates(test_id, result);
        }
    }

    /// The samples are those of one recording of all drivers.
    fn assert_times(&self, test_id: &str) {
        let times = self
            .drivers
            .iter()
            .filter_map(|driver| driver.times.get(test_id));
        let times: Vec<&SparseLatencies> = times.collect();
        let counted = &self.orchestrator.disk.samples[test_id];
        assert_eq!(*counted, SparseLatencies::sum(&times), "{test_id}");
    }

    /// How many messages of `metrics` the orchestrator read itself, and how many it counted merged.
    pub(crate) fn read(&self) -> (u64, u64) {
        (self.orchestrator.read_raw, self.orchestrator.disk.merged)
    }

    /// A run for a time sent what its rates ask for, as far as its nodes say that they followed them.
    fn assert_rates(&self, test_id: &str, result: &Value) {
        let none = Vec::new();
        let rows = result["rate_changes"].as_array().unwrap_or(&none);
        let ordered = self.orchestrator.rates(test_id);
        assert_eq!(rows.len(), ordered.len(), "{test_id}");
        let (Some(seconds), "done") = (
            self.orchestrator.seconds(test_id),
            self.orchestrator.phase(test_id),
        ) else {
            return;
        };
        for node in result["nodes"].as_array().unwrap() {
            let id = &node["node_id"];
            let joins: Vec<(u64, u64)> = rows
                .iter()
                .zip(ordered)
                .filter(|(row, _)| !is_in(&row["not_followed"], |other| other == id))
                .map(|(row, change)| {
                    let late = row["late"].as_array().into_iter().flatten();
                    let mut late = late.filter(|late| late["node_id"] == *id);
                    let late_s = late.next().and_then(|late| late["late_s"].as_f64());
                    let late = Duration::from_secs_f64(late_s.unwrap_or(0.0)).as_secs();
                    (change.at_ns / SECOND + late, change.rate.milli() / 1000)
                })
                .collect();
            let in_second = |second: u64| {
                let in_force = joins.iter().rev().find(|(from, _)| *from <= second);
                in_force.map_or(RATE, |(_, rate)| *rate)
            };
            let expected: u64 = (0..seconds).map(in_second).sum();
            assert_eq!(int(&node["sent"]), expected, "{test_id} {id}: {rows:?}");
            assert_eq!(int(&node["planned"]), expected, "{test_id} {id}");
        }
    }

    /// What was answered to people who changed a rate is so, whatever was killed then.
    pub(crate) fn assert_rates_are_kept(&self) {
        for (_, reply) in &self.orchestrator.replies {
            let Reply::RateChanged {
                test_id,
                change,
                number,
                ..
            } = reply
            else {
                continue;
            };
            let kept = self.orchestrator.rates(test_id);
            assert_eq!(kept.get(number - 1), Some(change), "{test_id}");
            assert!(kept.is_sorted_by(|one, next| one.at_ns < next.at_ns));
        }
    }

    /// Every node took every change on at its instant.
    pub(crate) fn assert_rates_in_time(&self) {
        for (test_id, result) in &self.orchestrator.disk.results {
            for row in result["rate_changes"].as_array().into_iter().flatten() {
                let is_late = row.get("late").or(row.get("not_followed"));
                assert_eq!(is_late, None, "{test_id}");
            }
        }
    }

    /// How many changes of a rate were answered.
    pub(crate) fn rates_changed(&self) -> usize {
        let replies = self.orchestrator.replies.iter();
        let is_changed = |(_, reply): &&(u64, Reply)| matches!(reply, Reply::RateChanged { .. });
        replies.filter(is_changed).count()
    }

    /// No result claims what did not happen, nor anything twice.
    pub(crate) fn assert_no_more_than_happened(&self) {
        for (test_id, result) in &self.orchestrator.disk.results {
            let in_histogram = self.orchestrator.disk.samples[test_id].response.len();
            let missing = result["coverage"]["times_missing"].as_u64().unwrap_or(0);
            assert_eq!(
                in_histogram + missing,
                int(&result["ok"]),
                "{test_id}: {result}"
            );
            for node in result["nodes"].as_array().unwrap() {
                let of_node = |driver: &&Driver| node["node_id"] == driver.id.as_str();
                let Some(driver) = self.drivers.iter().find(of_node) else {
                    assert!(
                        self.foreigners
                            .iter()
                            .any(|f| node["node_id"] == f.id.as_str())
                    );
                    continue;
                };
                let truth = sent_by(driver, test_id);
                let counted = int(&node["sent"]);
                assert!(
                    counted <= truth,
                    "{test_id} {}: {counted} > {truth}",
                    driver.id
                );
                let finished = !node["outcome"].is_null();
                assert!(
                    !finished || counted == truth,
                    "{test_id} {}: {node}",
                    driver.id
                );
            }
        }
    }
}

/// What a search claims is so, and one that came to its end knows both ends.
fn assert_search(state: CampaignState, answer: &CapacityAnswer) {
    let Capacity { at_least, below } = answer.capacity;
    assert!(at_least.is_none_or(|low| low <= CAPACITY), "{at_least:?}");
    assert!(below.is_none_or(|high| high > CAPACITY), "{below:?}");
    let is_whole = at_least.is_some() && below.is_some();
    assert!(
        state != CampaignState::Done || is_whole,
        "{at_least:?} {below:?}"
    );
}

fn sent_by(driver: &Driver, test_id: &str) -> u64 {
    driver
        .sent
        .iter()
        .filter(|(test, _)| test == test_id)
        .map(|(_, sent)| sent)
        .sum()
}

fn is_in(list: &Value, is: impl Fn(&Value) -> bool) -> bool {
    list.as_array().into_iter().flatten().any(is)
}

fn int(value: &Value) -> u64 {
    value
        .as_u64()
        .unwrap_or_else(|| panic!("{value} is no count"))
}
