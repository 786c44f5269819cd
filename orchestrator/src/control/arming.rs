//! From a trigger to the common start: the drivers get ready, the participants are frozen.

use std::collections::BTreeMap;

use proto::log::Level;
use proto::measure::ClockOffset;
use proto::message::{NodeState, Trigger, TriggerKind};
use proto::topic::Topic;
use serde_json::json;

use super::registry::Node;
use super::run::Step;
use super::{Action, Actions, Control, Now, Refusal, Reply, log};

/// How long a trigger waits for the drivers to be ready, ns.
const READY_WAIT_NS: u64 = 5_000_000_000;
/// How often drivers that prepare something else are asked again meanwhile, ns.
const ASK_AGAIN_NS: u64 = 500_000_000;
/// From the trigger to the common start, ns: time for the broker and the drivers' polling …
const LEAD_NS: u64 = 300_000_000;
/// … and at most this when the way to the drivers is slow, ns.
const LEAD_NS_MAX: u64 = 5_000_000_000;

/// A trigger that waits for ready drivers.
#[derive(Debug)]
pub(super) struct Arming {
    pub(super) test_id: String,
    /// Who is answered; nobody for a queued test.
    ticket: Option<u64>,
    deadline_unix_ns: u64,
    /// When the drivers were last asked to prepare it.
    asked_unix_ns: u64,
}

impl Arming {
    pub(super) fn new(test_id: &str, ticket: Option<u64>, now: Now) -> Self {
        Self {
            test_id: test_id.to_owned(),
            ticket,
            deadline_unix_ns: now.read_unix_ns + READY_WAIT_NS,
            asked_unix_ns: now.read_unix_ns,
        }
    }
}

/// What the drivers that are up say about a test.
#[derive(Debug, Default)]
struct Readiness {
    ready: Vec<String>,
    failed: BTreeMap<String, String>,
    waiting: BTreeMap<String, String>,
}

impl Control {
    /// Begins to wait, and asks the drivers to get ready.
    pub(super) fn begin_arming(&mut self, arming: Arming, actions: &mut Actions) {
        let test_id = arming.test_id.clone();
        self.arming = Some(arming);
        self.ask_to_prepare(&test_id, actions);
    }

    /// A test that is created while another one waits for its drivers draws them away, since they
    /// prepare whatever was published last.
    fn ask_again(&mut self, now: Now, actions: &mut Actions) {
        let Some(arming) = &mut self.arming else {
            return;
        };
        if now.read_unix_ns.saturating_sub(arming.asked_unix_ns) >= ASK_AGAIN_NS {
            arming.asked_unix_ns = now.read_unix_ns;
            let test_id = arming.test_id.clone();
            self.ask_to_prepare(&test_id, actions);
        }
    }

    /// Publishes the config again for drivers that came after the test was published, or prepared
    /// another one since.
    fn ask_to_prepare(&mut self, test_id: &str, actions: &mut Actions) {
        let asked = |node: &Node| {
            node.is_foreign()
                || [NodeState::Preparing, NodeState::Ready, NodeState::Failed]
                    .iter()
                    .any(|state| node.is(*state, test_id))
        };
        let all_asked = self.registry.awaited().all(|(_, node)| asked(node));
        if all_asked || self.outbox.holds(Topic::TestConfig, test_id) {
            return;
        }
        self.send_config(test_id, actions);
    }

    /// Forgets a trigger that waits, and says so to whoever waits for it: the test is in this
    /// state now.
    pub(super) fn cancel_arming(
        &mut self,
        test_id: &str,
        state: &'static str,
        actions: &mut Actions,
    ) {
        if self
            .arming
            .as_ref()
            .is_some_and(|arming| arming.test_id == test_id)
        {
            let refusal = Refusal::WrongState {
                test_id: test_id.to_owned(),
                state,
            };
            self.refuse_arming(refusal, actions);
        }
    }

    /// A client that was told to try again later must not find its test running.
    pub(super) fn client_gone(&mut self, ticket: u64, actions: &mut Actions) {
        if let Some(arming) = self.arming.take_if(|arming| arming.ticket == Some(ticket)) {
            let fields = json!({"test_id": arming.test_id});
            log(actions, Level::Warn, "trigger_given_up", fields);
        }
    }

    fn refuse_arming(&mut self, refusal: Refusal, actions: &mut Actions) {
        let Some(arming) = self.arming.take() else {
            return;
        };
        if let Some(ticket) = arming.ticket {
            actions.push(Action::Reply(ticket, Reply::Refused(refusal)));
        } else {
            let fields = json!({"test_id": arming.test_id, "refusal": format!("{refusal:?}")});
            log(actions, Level::Warn, "queued_test_waits", fields);
        }
    }

    /// Arms the test that waits, once every driver that is up is ready, has failed, or had its time.
    pub(super) fn arm_when_ready(&mut self, now: Now, actions: &mut Actions) {
        let Some(arming) = &mut self.arming else {
            return;
        };
        // Both are instants of a clock that may have stepped back.
        arming.deadline_unix_ns = arming
            .deadline_unix_ns
            .min(now.read_unix_ns + READY_WAIT_NS);
        arming.asked_unix_ns = arming.asked_unix_ns.min(now.read_unix_ns);
        let test_id = arming.test_id.clone();
        let is_late = now.read_unix_ns >= arming.deadline_unix_ns;
        let readiness = self.readiness(&test_id);
        if !readiness.waiting.is_empty() && !is_late {
            return self.ask_again(now, actions);
        }
        if !readiness.ready.is_empty() {
            self.arm(&test_id, readiness, now, actions);
        } else if !readiness.failed.is_empty() {
            self.fail_to_arm(&test_id, &readiness.failed, now, actions);
        } else if is_late {
            self.give_up_arming(&readiness, actions);
        }
    }

    fn readiness(&self, test_id: &str) -> Readiness {
        let mut readiness = Readiness::default();
        for (node_id, node) in self.registry.awaited() {
            let id = node_id.clone();
            if node.is_foreign() || node.is(NodeState::Ready, test_id) {
                readiness.ready.push(id);
            } else if node.is(NodeState::Failed, test_id) {
                let reason = node
                    .reason
                    .clone()
                    .unwrap_or_else(|| "no reason given".into());
                readiness.failed.insert(id, reason);
            } else {
                let activity = node.activity.unwrap_or(NodeState::Unknown);
                let other = node.test_id.as_deref().unwrap_or("nothing");
                readiness
                    .waiting
                    .insert(id, format!("{activity:?} for {other}"));
            }
        }
        readiness
    }

    fn arm(&mut self, test_id: &str, readiness: Readiness, now: Now, actions: &mut Actions) {
        let participants = readiness.ready;
        let offset = |id: &String| Some((id.clone(), self.registry.get(id)?.clock()?));
        let clock_offsets: BTreeMap<String, ClockOffset> =
            participants.iter().filter_map(offset).collect();
        let start_at_unix_ns = now.read_unix_ns + lead_ns(&clock_offsets);
        let trigger = Trigger {
            test_id: test_id.to_owned(),
            trigger: TriggerKind::Start,
            start_at_unix_ns: Some(start_at_unix_ns),
            participants: Some(participants.clone()),
            clock_offsets: clock_offsets.clone(),
        };
        if let Some(live) = self.open.get_mut(test_id) {
            live.run.start_at_unix_ns = Some(start_at_unix_ns);
            live.run.participants.clone_from(&participants);
            live.run.clock_offsets = clock_offsets;
            live.run.queued = None;
            live.run.excluded = readiness.failed;
            let late = |(id, what)| (id, format!("not ready in time: {what}"));
            live.run
                .excluded
                .extend(readiness.waiting.into_iter().map(late));
        }
        self.step_if_possible(test_id, Step::Configure, now, actions);
        self.step_if_possible(test_id, Step::Arm, now, actions);
        self.save_run(test_id, actions);
        self.send_trigger(trigger, actions);
        let fields = json!({"test_id": test_id, "participants": participants,
            "start_at_unix_ns": start_at_unix_ns});
        log(actions, Level::Info, "test_armed", fields);
        let ticket = self.arming.take().and_then(|arming| arming.ticket);
        if let Some(ticket) = ticket {
            let reply = Reply::Triggered {
                test_id: test_id.to_owned(),
                state: self.phase_name(test_id),
                start_at_unix_ns,
                participants,
            };
            actions.push(Action::Reply(ticket, reply));
        }
    }

    /// Nobody can prepare it: the run is over, with the reason.
    fn fail_to_arm(
        &mut self,
        test_id: &str,
        failed: &BTreeMap<String, String>,
        now: Now,
        actions: &mut Actions,
    ) {
        let reasons: Vec<String> = failed
            .iter()
            .map(|(id, reason)| format!("{id}: {reason}"))
            .collect();
        let reason = format!("no driver could prepare it: {}", reasons.join("; "));
        if let Some(live) = self.open.get_mut(test_id) {
            live.run.excluded.clone_from(failed);
        }
        self.refuse_arming(Refusal::CannotPrepare(reason.clone()), actions);
        self.end(test_id, Step::Fail, Some(reason), now, actions);
    }

    /// Nobody became ready in time. A client may ask again; a queued test stays in the queue, and is
    /// tried again as long as it is the first of it.
    fn give_up_arming(&mut self, readiness: &Readiness, actions: &mut Actions) {
        let refusal = if readiness.waiting.is_empty() {
            Refusal::NoDriver
        } else {
            let waiting = readiness.waiting.iter();
            let texts: Vec<String> = waiting.map(|(id, what)| format!("{id}: {what}")).collect();
            Refusal::NotReady(texts.join("; "))
        };
        self.refuse_arming(refusal, actions);
    }
}

/// Time from the trigger to the common start: longer when messages take long, as the clock probes
/// tell, so that the trigger is there before the start.
fn lead_ns(clock_offsets: &BTreeMap<String, ClockOffset>) -> u64 {
    let slowest = clock_offsets
        .values()
        .map(|offset| offset.uncertainty_ns)
        .max();
    LEAD_NS
        .saturating_add(slowest.unwrap_or(0).saturating_mul(4))
        .min(LEAD_NS_MAX)
}
