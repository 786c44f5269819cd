//! From a trigger to the common start: the drivers get ready, the participants are frozen.

use std::collections::BTreeMap;

use proto::log::Level;
use proto::measure::ClockOffset;
use proto::message::{Need, NodeState};
use proto::topic::Topic;
use serde_json::json;

use super::queue::Arming;
use super::registry::Node;
use super::run::Step;
use super::{Action, Actions, Control, Now, OpenRun, Refusal, Reply, log, reasons};

/// From the trigger to the common start, ns: time for the broker and the drivers' polling …
const LEAD_NS: u64 = 300_000_000;
/// … and at most this when the way to the drivers is slow, ns.
const LEAD_NS_MAX: u64 = 5_000_000_000;

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
        self.queue.begin(arming);
        self.ask_to_prepare(&test_id, actions);
    }

    /// Publishes the config again for drivers that came after the test was published, or prepared
    /// another one since.
    fn ask_to_prepare(&mut self, test_id: &str, actions: &mut Actions) {
        let tally = self.registry.tally(test_id);
        let asked = tally.preparing + tally.ready + tally.failed + self.registry.awaited_foreign();
        if asked == self.registry.awaited_len() || self.outbox.holds(Topic::TestConfig, test_id) {
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
        let refusal = Refusal::WrongState {
            test_id: test_id.to_owned(),
            state,
        };
        if let Some(arming) = self.queue.end_if(|arming| arming.test_id == test_id) {
            answer(arming.ticket, refusal, actions);
        }
    }

    /// A client that was told to try again later must not find its test running.
    pub(super) fn client_gone(&mut self, ticket: u64, actions: &mut Actions) {
        let is_its = |arming: &Arming| arming.ticket == Some(ticket);
        if let Some(arming) = self.queue.end_if(is_its) {
            let fields = json!({"test_id": arming.test_id});
            log(actions, Level::Warn, "trigger_given_up", fields);
        }
    }

    /// Arms the test that waits, once every driver that is up is ready, has failed, or had its time.
    pub(super) fn arm_when_ready(&mut self, now: Now, actions: &mut Actions) {
        let Some(arming) = self.queue.arming_mut() else {
            return;
        };
        let test_id = arming.test_id.clone();
        let is_late = arming.is_late(now);
        let tally = self.registry.tally(&test_id);
        let (is_for_all, least) = self
            .runs
            .get(&test_id)
            .map_or((true, 1), |open| (open.is_for_all(), open.drivers_min()));
        let foreign = self.registry.awaited_foreign();
        let ready = tally.ready + if is_for_all { foreign } else { 0 };
        let failed = tally.failed + if is_for_all { 0 } else { foreign };
        let is_everyone_asked = ready + failed >= self.registry.awaited_len();
        let may_more_come = ready > 0 && ready < least;
        if (!is_everyone_asked || may_more_come) && !is_late {
            // A test that is created while another one waits for its drivers draws them away,
            // since they prepare whatever was published last.
            if arming.is_time_to_ask(now) {
                self.ask_to_prepare(&test_id, actions);
            }
        } else if !is_everyone_asked && self.is_getting_files(&test_id) {
            self.wait_for_files(&test_id, now, actions);
        } else if may_more_come {
            self.give_up_arming(&test_id, Some((ready, least)), actions);
        } else if ready > 0 {
            let readiness = self.readiness(&test_id);
            self.arm(&test_id, readiness, now, actions);
        } else if failed > 0 {
            let readiness = self.readiness(&test_id);
            self.fail_to_arm(&test_id, readiness.failed, now, actions);
        } else if is_late {
            self.give_up_arming(&test_id, None, actions);
        }
    }

    /// Whether a driver still prepares a test that has files, which may take minutes; a driver whose
    /// files do not come fails by itself.
    fn is_getting_files(&self, test_id: &str) -> bool {
        let has_files = self
            .runs
            .get(test_id)
            .is_some_and(|open| !open.files().is_empty());
        has_files && self.registry.tally(test_id).preparing > 0
    }

    /// The drivers had the time that a client waits, and some still get their files: the test is
    /// started as soon as they have them.
    fn wait_for_files(&mut self, test_id: &str, now: Now, actions: &mut Actions) {
        let readiness = self.readiness(test_id);
        let Some(arming) = self.queue.end_if(|_| true) else {
            return;
        };
        if let Some(ticket) = arming.ticket {
            let reply = self.enqueue(test_id, None, actions);
            actions.push(Action::Reply(ticket, reply));
        }
        if self
            .queue
            .first()
            .is_some_and(|(_, first)| first == test_id)
        {
            self.queue.has_moved(now);
            let waiting = reasons::of_drivers(&readiness.waiting);
            self.queue.set_trouble(waiting);
        }
        self.show_queue();
    }

    fn readiness(&self, test_id: &str) -> Readiness {
        let mut readiness = Readiness::default();
        let open = self.runs.get(test_id);
        let is_for_all = open.is_none_or(OpenRun::is_for_all);
        for (node_id, node) in self.registry.awaited() {
            let id = node_id.clone();
            if node.is_foreign() && !is_for_all {
                let reason = "it is of another implementation, which knows no documents";
                readiness.failed.insert(id, reason.to_owned());
            } else if node.is_foreign() || node.is(NodeState::Ready, test_id) {
                readiness.ready.push(id);
            } else if node.is(NodeState::Failed, test_id) {
                let reason = node.reason.clone();
                let reason = reason.unwrap_or_else(|| "no reason given".into());
                readiness.failed.insert(id, reason);
            } else if node.is_followed() {
                let since = reasons::time_of_day(node.last_heartbeat_ms);
                let what =
                    format!("silent since {since}; another process of its id waits for its place");
                readiness.waiting.insert(id, what);
            } else {
                let activity = node.activity.unwrap_or(NodeState::Unknown);
                let other = node.test_id.as_deref().unwrap_or("nothing");
                let what = format!("{activity:?} for {other}");
                let what = getting_files(&node.needs).unwrap_or(what);
                readiness.waiting.insert(id, what);
            }
        }
        readiness
    }

    fn arm(&mut self, test_id: &str, readiness: Readiness, now: Now, actions: &mut Actions) {
        let participants = readiness.ready;
        let offset = |id: &String| Some((id.clone(), self.registry.get(id)?.clock()?));
        let clock_offsets: BTreeMap<String, ClockOffset> =
            participants.iter().filter_map(offset).collect();
        let incarnation = |id: &String| Some((id.clone(), self.registry.get(id)?.incarnation?));
        let incarnations: BTreeMap<String, u64> =
            participants.iter().filter_map(incarnation).collect();
        let lead_ns = lead_ns(&clock_offsets, self.pulse.longest_way_ns());
        let start_at_unix_ns = now.wall_ns + lead_ns;
        self.leave_queue(test_id);
        let silent = |(id, node): (&String, &Node)| {
            let since = reasons::time_of_day(node.last_heartbeat_ms);
            let silent = || format!("suspect, no heartbeat since {since}");
            (id.clone(), node.incompatibility().unwrap_or_else(silent))
        };
        let silent: Vec<(String, String)> = self.registry.left_out().map(silent).collect();
        if let Some(open) = self.runs.get_mut(test_id) {
            open.start_mono_ns = Some(now.mono_ns + lead_ns);
            open.run.start_at_unix_ns = Some(start_at_unix_ns);
            open.run.clock_offsets = clock_offsets;
            open.run.incarnations = incarnations;
            open.run.reason = None;
            open.run.excluded = readiness.failed;
            let late = |(id, what)| (id, format!("not ready in time: {what}"));
            let late = readiness.waiting.into_iter().map(late);
            open.run.excluded.extend(late.chain(silent));
        }
        self.runs.freeze(test_id, participants.clone());
        self.step_if_possible(test_id, Step::Configure, now, actions);
        self.step_if_possible(test_id, Step::Arm, now, actions);
        self.save_run(test_id, actions);
        self.send_start(test_id, actions);
        let fields = json!({"test_id": test_id, "participants": participants,
            "start_at_unix_ns": start_at_unix_ns});
        log(actions, Level::Info, "test_armed", fields);
        let arming = self.queue.end_if(|_| true);
        if let Some(ticket) = arming.and_then(|arming| arming.ticket) {
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
        failed: BTreeMap<String, String>,
        now: Now,
        actions: &mut Actions,
    ) {
        let reason = format!(
            "no driver could prepare it: {}",
            reasons::of_drivers(&failed)
        );
        if let Some(open) = self.runs.get_mut(test_id) {
            open.run.excluded = failed;
        }
        let ticket = self.queue.end_if(|_| true).and_then(|arming| arming.ticket);
        answer(ticket, Refusal::CannotPrepare(reason.clone()), actions);
        self.end(test_id, Step::Fail, Some(reason), now, actions);
    }

    /// Nobody became ready in time, or fewer than the test asks for: so many of so many. A client may
    /// ask again; a queued test is tried again for some time, and then skipped.
    fn give_up_arming(
        &mut self,
        test_id: &str,
        too_few: Option<(usize, usize)>,
        actions: &mut Actions,
    ) {
        let readiness = self.readiness(test_id);
        let mut waiting = readiness.waiting;
        if too_few.is_some() {
            waiting.extend(readiness.failed);
            let missing = self.registry.nodes().iter();
            let missing = missing.filter(|(_, node)| !node.is_awaited());
            waiting.extend(missing.map(|(id, _)| (id.clone(), "no heartbeat".to_owned())));
        }
        let waiting = (!waiting.is_empty()).then(|| reasons::of_drivers(&waiting));
        let too_few = too_few.map(|(ready, least)| {
            let others = waiting
                .as_ref()
                .map_or_else(String::new, |what| format!("; {what}"));
            format!(
                "it asks for at least {least} drivers, and {ready} became ready within 5 s{others}"
            )
        });
        let Some(arming) = self.queue.end_if(|_| true) else {
            return;
        };
        if arming.ticket.is_some() {
            let otherwise = || waiting.map_or(Refusal::NoDriver, Refusal::NotReady);
            let refusal = too_few.map_or_else(otherwise, Refusal::TooFew);
            return answer(arming.ticket, refusal, actions);
        }
        let trouble = too_few.unwrap_or_else(|| {
            waiting.map_or_else(
                || "no driver is up".to_owned(),
                |waiting| format!("no driver is ready for it: {waiting}"),
            )
        });
        let fields = json!({"test_id": test_id, "reason": trouble});
        log(actions, Level::Warn, "queued_test_waits", fields);
        self.queue.set_trouble(trouble);
        self.show_queue();
    }

    /// Starts the first of the queue when the drivers are free.
    pub(super) fn start_queued(&mut self, now: Now, actions: &mut Actions) {
        let Some((_, test_id)) = self.queue.first() else {
            return;
        };
        let is_free = self.runs.first_active().is_none() && self.queue.arming().is_none();
        let is_possible = is_free && self.registry.awaited_len() > 0;
        if !is_possible || self.broker_trouble(now).is_some() {
            return;
        }
        let test_id = test_id.clone();
        if self.queue.is_first_hopeless(now) {
            return self.skip(&test_id, actions);
        }
        self.begin_arming(Arming::new(&test_id, None, now), actions);
    }

    /// The first of the queue is left behind, with the reason in its row: it may be triggered
    /// again, and those behind it do not wait for it.
    fn skip(&mut self, test_id: &str, actions: &mut Actions) {
        let trouble = self.queue.trouble().unwrap_or("no driver is ready for it");
        let reason = format!("skipped in the queue, trigger it again: {trouble}");
        let fields = json!({"test_id": test_id, "reason": reason});
        log(actions, Level::Warn, "queued_test_skipped", fields);
        if let Some(open) = self.runs.get_mut(test_id) {
            open.run.reason = Some(reason);
        }
        self.leave_queue(test_id);
        self.save_run(test_id, actions);
    }

    /// A test is queued no longer.
    pub(super) fn leave_queue(&mut self, test_id: &str) {
        let Some(open) = self.runs.get_mut(test_id) else {
            return;
        };
        let place = open.run.queued.take();
        if place.is_some() {
            self.queue.remove(place);
            self.show_queue();
        }
    }

    /// Tells in the rows of the queued tests where they stand and what they wait for.
    pub(super) fn show_queue(&mut self) {
        let first_waits_for = match (self.runs.first_active(), self.queue.trouble()) {
            (Some(running), _) => format!("waits for test {running}"),
            (None, Some(trouble)) => trouble.to_owned(),
            (None, None) => "its drivers get ready".to_owned(),
        };
        for (at, test_id) in self.queue.waiting().enumerate() {
            let reason = match at {
                0 => first_waits_for.clone(),
                1 => "1 test is before it".to_owned(),
                more => format!("{more} tests are before it"),
            };
            self.list.set_queue(test_id, at + 1, reason);
        }
    }
}

/// How far a driver is with the files that it lacks, if it lacks any.
fn getting_files(needs: &[Need]) -> Option<String> {
    let bytes: u64 = needs.iter().map(|need| need.bytes).sum();
    let have: u64 = needs.iter().map(|need| need.from).sum();
    let mb = |bytes: u64| bytes as f64 / 1e6;
    let what = || {
        format!(
            "it has {:.1} of the {:.1} MB of files that it lacked",
            mb(have),
            mb(bytes)
        )
    };
    (!needs.is_empty()).then(what)
}

/// Tells a client, if one waits.
fn answer(ticket: Option<u64>, refusal: Refusal, actions: &mut Actions) {
    if let Some(ticket) = ticket {
        actions.push(Action::Reply(ticket, Reply::Refused(refusal)));
    }
}

/// Time from the trigger to the common start: longer when messages take long, as the clock probes
/// and our own heartbeats tell, so that the trigger is there before the start.
fn lead_ns(clock_offsets: &BTreeMap<String, ClockOffset>, longest_way_ns: u64) -> u64 {
    let slowest = clock_offsets
        .values()
        .map(|offset| offset.uncertainty_ns)
        .max();
    let slow_ns = slowest.unwrap_or(0).max(longest_way_ns);
    LEAD_NS
        .saturating_add(slow_ns.saturating_mul(4))
        .min(LEAD_NS_MAX)
}
