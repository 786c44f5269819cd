//! What a start, or a stop, that was read leads to: at once, when what it needs has come, or never.

use proto::measure::ClockOffset;
use proto::message::{NodeState, Trigger, TriggerKind};

use super::super::early;
use super::{Action, LATE_NS_MAX, Node, Start, State, Unrun};

impl Node {
    /// A start or a stop was read.
    pub(super) fn triggered(
        &mut self,
        trigger: Trigger,
        now_ns: u64,
        now_unix_ns: u64,
    ) -> Vec<Action> {
        if trigger.trigger == TriggerKind::Stop {
            return self.stopped(&trigger.test_id);
        }
        let place = self.early.place_in(&trigger, &self.node_id);
        let meant = place.and_then(|place| place.incarnation);
        if meant.is_some_and(|incarnation| incarnation != self.incarnation) {
            // Another process with this node's id takes part.
            return Vec::new();
        }
        if self.is_early(&trigger) {
            self.early.keep(trigger, now_ns);
            return Vec::new();
        }
        if self.lacks_a_share(&trigger) {
            let reason = "its document is divided among participants, and the trigger names none";
            return self.unrun(trigger.test_id, Unrun::Missed, reason.to_owned());
        }
        match self.place(&trigger) {
            Some(start) => self.start(start, now_unix_ns),
            None => self
                .overtaken(&trigger)
                .or_else(|| self.missed_while_busy(&trigger))
                .unwrap_or_default(),
        }
    }

    /// Whether it starts a test of which the config is missing here, or the part of the list that
    /// may have this node.
    fn is_early(&self, trigger: &Trigger) -> bool {
        let is_placed = self.early.place_in(trigger, &self.node_id).is_some();
        let concerns_me = is_placed || early::has_more(trigger);
        let is_whole = is_placed && self.configs.contains_key(&trigger.test_id);
        concerns_me && !is_whole && !self.is_over(&trigger.test_id)
    }

    /// Whether it starts a document, which is divided among all, without saying who they are.
    fn lacks_a_share(&self, trigger: &Trigger) -> bool {
        let config = self.configs.get(&trigger.test_id);
        let is_divided = config.is_some_and(|config| config.document.is_some());
        is_divided && trigger.participants.is_none() && !self.is_over(&trigger.test_id)
    }

    /// Whether somebody counts on this node for a start.
    pub(super) fn is_listed(&self, trigger: &Trigger) -> bool {
        let place = self.early.place_in(trigger, &self.node_id);
        trigger.participants.is_some() && place.is_some()
    }

    /// Follows the start of a test that waited, if it has now what it waited for.
    pub(super) fn ripe(
        &mut self,
        test_id: &str,
        now_ns: u64,
        now_unix_ns: u64,
    ) -> Option<Vec<Action>> {
        let waiting = self.early.start_of(test_id)?;
        if self.is_early(waiting) {
            return None;
        }
        let trigger = self.early.take(test_id)?;
        Some(self.triggered(trigger, now_ns, now_unix_ns))
    }

    /// Follows the starts whose configs have come by another way than as news, and gives those up
    /// that have waited too long.
    pub(super) fn follow_up(&mut self, now_ns: u64, now_unix_ns: u64) -> Vec<Action> {
        let mut actions = Vec::new();
        for (test_id, is_old) in self.early.waiting(now_ns) {
            if let Some(more) = self.ripe(&test_id, now_ns, now_unix_ns) {
                actions.extend(more);
            } else if is_old
                && let Some(trigger) = self.early.take(&test_id)
                && self.is_listed(&trigger)
            {
                let reason = "its config did not come within 10 s of the trigger".to_owned();
                actions.extend(self.unrun(test_id, Unrun::Missed, reason));
            }
        }
        actions
    }

    /// A start of another test while this node is at work: whoever counts on it is told that it takes
    /// no part.
    fn missed_while_busy(&mut self, trigger: &Trigger) -> Option<Vec<Action>> {
        let test_id = &trigger.test_id;
        let busy_with = self.current().filter(|_| self.is_busy())?;
        let is_listed = match &trigger.participants {
            Some(_) => self.is_listed(trigger),
            None => self.configs.contains_key(test_id),
        };
        if busy_with == test_id || !is_listed || self.is_over(test_id) {
            return None;
        }
        let reason = format!("the driver was busy with test {busy_with}");
        self.remember_end(test_id, true);
        Some(vec![Action::ReportUnrun {
            test_id: test_id.clone(),
            cause: Unrun::Missed,
            reason,
        }])
    }

    /// Whether this node is at work, or about to be.
    fn is_busy(&self) -> bool {
        matches!(
            self.state,
            State::Active { .. } | State::Preparing { then: Some(_), .. }
        )
    }

    /// This node's part in a start, if it has one: it knows the test, is listed where there is a
    /// list, and has neither run it nor is running anything.
    fn place(&self, trigger: &Trigger) -> Option<Start> {
        let test_id = &trigger.test_id;
        if self.is_busy() || self.is_over(test_id) || !self.configs.contains_key(test_id) {
            return None;
        }
        let place = self.early.place_in(trigger, &self.node_id)?;
        let shift_ns = place.clock.map_or(0, ClockOffset::applied_ns);
        Some(Start {
            test_id: test_id.clone(),
            at_unix_ns: trigger
                .start_at_unix_ns
                .map(|at| at.saturating_add_signed(shift_ns)),
            index: place.index,
            count: place.count,
            clock: place.clock,
        })
    }

    fn start(&mut self, start: Start, now_unix_ns: u64) -> Vec<Action> {
        if let Some(late_ms) = too_late_ms(&start, now_unix_ns) {
            let reason = format!("the trigger came {late_ms} ms late");
            return self.unrun(start.test_id, Unrun::Missed, reason);
        }
        match &mut self.state {
            State::Ready { test_id, .. } if *test_id == start.test_id => self.arm(start),
            State::Preparing { test_id, then, .. } if *test_id == start.test_id => {
                *then = Some(start);
                Vec::new()
            }
            State::Failed {
                test_id, reason, ..
            } if *test_id == start.test_id => {
                let reason = reason.clone();
                self.unrun(start.test_id, Unrun::Failed, reason)
            }
            _ => self.prepare(start.test_id.clone(), Some(start)),
        }
    }

    pub(super) fn arm(&mut self, start: Start) -> Vec<Action> {
        self.state = State::Active {
            test_id: start.test_id.clone(),
            phase: NodeState::Armed,
        };
        let test_id = start.test_id.clone();
        let mut actions = vec![Action::Start(start), Action::Heartbeat];
        if let Some(changes) = self.early.take_rates(&test_id) {
            actions.push(Action::ChangeRate { test_id, changes });
        }
        actions
    }

    /// Ends a test that this node did not run, with a report so that nobody waits for it.
    pub(super) fn unrun(&mut self, test_id: String, cause: Unrun, reason: String) -> Vec<Action> {
        let mut actions = Vec::new();
        if self.current() == Some(&test_id) {
            actions = self.release();
        }
        self.remember_end(&test_id, true);
        actions.extend([
            Action::ReportUnrun {
                test_id,
                cause,
                reason,
            },
            Action::Heartbeat,
        ]);
        actions
    }

    /// A start that comes after the stop that it preceded: whoever listed this node waits for a
    /// report of it, which is made now, once.
    fn overtaken(&mut self, trigger: &Trigger) -> Option<Vec<Action>> {
        let is_listed = self.is_listed(trigger);
        let test_id = trigger.test_id.clone();
        let unreported = |(ended, reported): &&mut (String, bool)| *ended == test_id && !*reported;
        let entry = self
            .ended
            .iter_mut()
            .find(unreported)
            .filter(|_| is_listed)?;
        entry.1 = true;
        let reason = "stopped before it was started".to_owned();
        Some(vec![Action::ReportUnrun {
            test_id,
            cause: Unrun::Aborted,
            reason,
        }])
    }
}

/// By how much it is too late for a start, ms, if it is.
pub(super) fn too_late_ms(start: &Start, now_unix_ns: u64) -> Option<u64> {
    let late_ns = now_unix_ns.saturating_sub(start.at_unix_ns?);
    (late_ns > LATE_NS_MAX).then_some(late_ns / 1_000_000)
}
