//! What clients ask for: create, trigger, stop.

use proto::document::Document;
use proto::log::Level;
use proto::message::TestConfig;
use proto::summary::Summary;
use proto::units::NS_PER_MS;
use serde_json::json;

use super::labels::Labels;
use super::queue::Arming;
use super::registry::Node;
use super::run::{Run, Step};
use super::{
    Action, Actions, CampaignRefusal, Change, Command, Control, LabelsPatch, MESSAGE_LEN_MAX, Note,
    Now, OPEN_BYTES_MAX, OPEN_RUNS_MAX, OpenRun, Refusal, Reply, log,
};

/// What keeps the drivers from starting another test.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Busy {
    /// This test runs.
    Running(String),
    /// A client waits for the drivers to get ready for this test.
    Arming(String),
}

impl Control {
    pub(super) fn command(
        &mut self,
        ticket: u64,
        command: Command,
        now: Now,
        actions: &mut Actions,
    ) {
        let outcome = match command {
            Command::Create {
                test_id,
                workload,
                queue,
            } => self
                .create(workload.to_config(&test_id), queue, now, actions)
                .map(Some),
            Command::Compose {
                test_id,
                document,
                queue,
            } => self
                .compose(&test_id, &document, queue, now, actions)
                .map(Some),
            Command::Trigger { test_id, queue } => {
                self.trigger(ticket, &test_id, queue, now, actions)
            }
            Command::Delete { test_id } => self.delete(&test_id, now, actions).map(Some),
            Command::Label { test_id, patch } => self.label(&test_id, &patch, actions).map(Some),
            Command::Note {
                test_id,
                text,
                after_start_ns,
            } => self
                .note(&test_id, text, after_start_ns, now, actions)
                .map(Some),
            Command::ChangeRate { test_id, rate, by } => {
                let changed = self.change_rate(&test_id, rate, by, now, actions);
                changed.map(Some)
            }
            Command::Stop { test_id } if self.campaigns.get(&test_id).is_some() => {
                self.stop_campaign(&test_id, now, actions).map(Some)
            }
            Command::Stop { test_id } => self.stop(&test_id, now, actions).map(Some),
            Command::Seek {
                test_id,
                document,
                bounds,
            } => self
                .seek(&test_id, &document, bounds, now, actions)
                .map(Some),
            Command::Repeat {
                test_id,
                document,
                queue,
            } => self
                .repeat(&test_id, &document, queue, now, actions)
                .map(Some),
            Command::LabelSet { test_id, patch } => {
                self.label_set(&test_id, &patch, actions).map(Some)
            }
            Command::DeleteCampaign { test_id, kind } => {
                self.delete_campaign(&test_id, kind, actions).map(Some)
            }
        };
        match outcome {
            Ok(Some(reply)) => actions.push(Action::Reply(ticket, reply)),
            // The reply comes when the drivers are ready.
            Ok(None) => {}
            Err(refusal) => actions.push(Action::Reply(ticket, Reply::Refused(refusal))),
        }
    }

    /// Creates a test that is a document, which says what it is called.
    fn compose(
        &mut self,
        test_id: &str,
        document: &Document,
        queue: bool,
        now: Now,
        actions: &mut Actions,
    ) -> Result<Reply, Refusal> {
        let labels = Labels::of(document).map_err(Refusal::WrongLabel)?;
        let reply = self.create(document.to_config(test_id), queue, now, actions)?;
        if let Some(row) = self.list.set_labels(test_id, labels) {
            actions.push(Action::Persist(Change::Row(Box::new(row))));
        }
        Ok(reply)
    }

    pub(super) fn create(
        &mut self,
        config: TestConfig,
        queue: bool,
        now: Now,
        actions: &mut Actions,
    ) -> Result<Reply, Refusal> {
        self.check_broker(now)?;
        self.store.clone().map_err(Refusal::StoreAway)?;
        if self.runs.open_len() >= OPEN_RUNS_MAX || self.runs.open_bytes() >= OPEN_BYTES_MAX {
            return Err(Refusal::TooMany);
        }
        let test_id = &config.test_id.clone();
        let len = proto::codec::encode(&config).len();
        if len > MESSAGE_LEN_MAX {
            return Err(Refusal::TooLong(len));
        }
        let mut run = Run::new(config, self.list.next_number(), now.happened_ms);
        run.queue_when_busy = queue;
        let open = OpenRun::new(run, Summary::default(), &self.settings.default_target)
            .map_err(|error| Refusal::CannotPrepare(error.to_string()))?;
        self.runs.insert(open);
        self.save_run(test_id, actions);
        self.send_config(test_id, actions);
        self.retain(now, actions);
        log(
            actions,
            Level::Info,
            "test_created",
            json!({"test_id": test_id}),
        );
        Ok(Reply::Created {
            test_id: test_id.to_owned(),
        })
    }

    /// `None`: the reply comes later.
    fn trigger(
        &mut self,
        ticket: u64,
        test_id: &str,
        queue: bool,
        now: Now,
        actions: &mut Actions,
    ) -> Result<Option<Reply>, Refusal> {
        let open = self.waiting(test_id)?;
        let queue = queue || open.run.queue_when_busy;
        self.check_broker(now)?;
        match self.busy_with() {
            Some(Busy::Arming(other)) if other == test_id || !queue => {
                return Err(Refusal::GettingReady { test_id: other });
            }
            Some(Busy::Running(running)) if !queue => return Err(Refusal::Busy { running }),
            Some(Busy::Arming(other) | Busy::Running(other)) => {
                return Ok(Some(self.enqueue(test_id, Some(other), actions)));
            }
            None if queue && self.queue.is_another_first(test_id) => {
                return Ok(Some(self.enqueue(test_id, None, actions)));
            }
            None => {}
        }
        if self.registry.awaited_len() == 0 {
            return Err(self.no_driver());
        }
        self.begin_arming(Arming::new(test_id, Some(ticket), now), actions);
        self.arm_when_ready(now, actions);
        Ok(None)
    }

    /// Why nobody could take part.
    pub(super) fn no_driver(&self) -> Refusal {
        let why =
            |(id, node): (&String, &Node)| Some(format!("{id} is {}", node.incompatibility()?));
        let first = self.registry.left_out().find_map(why);
        first.map_or(Refusal::NoDriver, Refusal::Incompatible)
    }

    /// Why nothing can be done with what is no test.
    fn unknown(&self, test_id: &str) -> Refusal {
        let campaign_id = test_id.to_owned();
        match self.campaigns.get(test_id) {
            Some(campaign) => Refusal::Campaign(CampaignRefusal::NoTest {
                campaign_id,
                kind: campaign.goal.kind(),
            }),
            None => Refusal::UnknownTest(campaign_id),
        }
    }

    /// The run, if it still waits for its trigger.
    fn waiting(&self, test_id: &str) -> Result<&OpenRun, Refusal> {
        if let Some(open) = self.runs.get(test_id).filter(|open| open.is_waiting()) {
            return Ok(open);
        }
        let row = self.list.get(test_id);
        let row = row.ok_or_else(|| self.unknown(test_id))?;
        Err(Refusal::WrongState {
            test_id: test_id.to_owned(),
            state: row.state.name(),
        })
    }

    /// What keeps the drivers from starting another test. A queued test whose drivers get ready
    /// does not: it gives way, and keeps its place.
    pub(super) fn busy_with(&self) -> Option<Busy> {
        if let Some(running) = self.runs.first_active() {
            return Some(Busy::Running(running.clone()));
        }
        let arming = self.queue.arming().filter(|arming| arming.ticket.is_some());
        arming.map(|arming| Busy::Arming(arming.test_id.clone()))
    }

    pub(super) fn enqueue(
        &mut self,
        test_id: &str,
        running: Option<String>,
        actions: &mut Actions,
    ) -> Reply {
        let mut place = 0;
        if let Some(open) = self.runs.get_mut(test_id) {
            place = self.queue.add(test_id, open.run.queued);
            open.run.queued = Some(place);
            open.run.reason = None;
        }
        self.save_run(test_id, actions);
        self.show_queue();
        Reply::Queued {
            test_id: test_id.to_owned(),
            state: self.phase_name(test_id),
            running,
            position: self.queue.position(place),
        }
    }

    pub(super) fn stop(
        &mut self,
        test_id: &str,
        now: Now,
        actions: &mut Actions,
    ) -> Result<Reply, Refusal> {
        match self.runs.get(test_id) {
            None => drop(self.waiting(test_id)?),
            // The drivers must be told; a test that waits, or was stopped already, is so without.
            Some(open) if open.is_active() && !open.run.stop_requested => self.check_broker(now)?,
            Some(_) => {}
        }
        self.leave_queue(test_id);
        let cannot_be_stopped = self.foreign_at_work(test_id);
        let observed_ms = self.registry.observed_ms();
        let open = self.runs.get_mut(test_id);
        let open = open.ok_or_else(|| Refusal::UnknownTest(test_id.to_owned()))?;
        let was_requested = std::mem::replace(&mut open.run.stop_requested, true);
        open.stop_at_ms.get_or_insert(observed_ms);
        let is_active = open.is_active();
        if !was_requested {
            self.send_stop(test_id, actions);
            log(
                actions,
                Level::Info,
                "test_stop",
                json!({"test_id": test_id}),
            );
        }
        if is_active {
            self.step_if_possible(test_id, Step::Drain, now, actions);
            self.save_run(test_id, actions);
            self.settle(test_id, now, actions);
        } else {
            self.cancel_arming(test_id, "aborted", actions);
            self.end(
                test_id,
                Step::Abort,
                Some("stopped before it was started".into()),
                now,
                actions,
            );
        }
        Ok(Reply::Stopped {
            test_id: test_id.to_owned(),
            state: self.phase_name(test_id),
            cannot_be_stopped,
        })
    }

    /// Ends a run by a condition of its document. While the drivers cannot be told, the next second
    /// tells whether it still holds.
    pub(super) fn abort_if_met(&mut self, test_id: &str, now: Now, actions: &mut Actions) {
        let Some(open) = self.runs.get_mut(test_id) else {
            return;
        };
        let Some(condition) = open.take_met() else {
            return;
        };
        open.run.aborted_by = Some(condition.clone());
        let stopped = self.stop(test_id, now, actions);
        if stopped.is_err() {
            if let Some(open) = self.runs.get_mut(test_id) {
                open.run.aborted_by = None;
            }
            return;
        }
        let fields = json!({"test_id": test_id, "condition": condition});
        log(actions, Level::Warn, "test_aborted", fields);
    }

    /// Deletes a test that has ended.
    fn delete(&mut self, test_id: &str, now: Now, actions: &mut Actions) -> Result<Reply, Refusal> {
        let row = self.list.get(test_id);
        let row = row.ok_or_else(|| self.unknown(test_id))?;
        if !row.state.has_ended() {
            let (test_id, state) = (test_id.to_owned(), row.state.name());
            if let Some(campaign) = self.campaigns.of_run(&test_id) {
                return Err(Refusal::Campaign(CampaignRefusal::Run {
                    test_id,
                    state,
                    campaign_id: campaign.test_id.clone(),
                    kind: campaign.goal.kind(),
                }));
            }
            return Err(Refusal::StillOpen { test_id, state });
        }
        self.store.clone().map_err(Refusal::StoreAway)?;
        self.forget(test_id, now, actions);
        log(
            actions,
            Level::Info,
            "test_deleted",
            json!({"test_id": test_id}),
        );
        let test_id = test_id.to_owned();
        Ok(Reply::Deleted { test_id })
    }

    /// Writes on a test.
    fn label(
        &mut self,
        test_id: &str,
        patch: &LabelsPatch,
        actions: &mut Actions,
    ) -> Result<Reply, Refusal> {
        let row = self.list.get(test_id);
        let row = row.ok_or_else(|| self.unknown(test_id))?;
        self.store.clone().map_err(Refusal::StoreAway)?;
        let labels = row.labels.patched(patch).map_err(Refusal::WrongLabel)?;
        self.set_labels(test_id, labels, actions)
    }

    /// Writes on a test what happened at an instant.
    fn note(
        &mut self,
        test_id: &str,
        text: String,
        after_start_ns: Option<u64>,
        now: Now,
        actions: &mut Actions,
    ) -> Result<Reply, Refusal> {
        let row = self.list.get(test_id);
        let row = row.ok_or_else(|| self.unknown(test_id))?;
        self.store.clone().map_err(Refusal::StoreAway)?;
        let at_unix_ms = match (after_start_ns, row.started_unix_ms) {
            (None, _) => now.wall_ns / NS_PER_MS,
            (Some(after_ns), Some(started_ms)) => started_ms.saturating_add(after_ns / NS_PER_MS),
            (Some(_), None) => return Err(Refusal::NotStarted(test_id.to_owned())),
        };
        let labels = row.labels.with_note(Note { at_unix_ms, text });
        let labels = labels.map_err(Refusal::WrongLabel)?;
        self.set_labels(test_id, labels, actions)
    }

    fn set_labels(
        &mut self,
        test_id: &str,
        labels: Labels,
        actions: &mut Actions,
    ) -> Result<Reply, Refusal> {
        let row = self.list.set_labels(test_id, labels);
        let row = Box::new(row.ok_or_else(|| Refusal::UnknownTest(test_id.to_owned()))?);
        actions.push(Action::Persist(Change::Row(row.clone())));
        Ok(Reply::Labeled(row))
    }

    /// Participants of other implementations, or of another version of the wire, that have not
    /// finished: they do not read what we say to ours.
    pub(super) fn foreign_at_work(&self, test_id: &str) -> Vec<String> {
        let Some(open) = self.runs.get(test_id).filter(|open| open.is_active()) else {
            return Vec::new();
        };
        let is_foreign = |id: &&String| {
            let node = self.registry.get(id);
            let is_deaf = |node: &Node| node.is_foreign() || node.other_wire.is_some();
            node.is_some_and(is_deaf) && !open.has_finished(id)
        };
        let participants = open.run.participants.iter();
        participants.filter(is_foreign).cloned().collect()
    }

    /// Whether commands that need the broker can be taken.
    pub(super) fn check_broker(&self, now: Now) -> Result<(), Refusal> {
        match self.broker_trouble(now) {
            None => Ok(()),
            Some(trouble) => Err(Refusal::BrokerAway(trouble)),
        }
    }
}
