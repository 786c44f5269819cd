//! How a campaign goes on: a run is created and queued, its end is judged, and what was found is kept.
//! A step of it is durable together with the run that it is about.

mod orders;

use proto::document::{Document, Setting};
use proto::log::Level;
use proto::summary::{CapacityBounds, REST_NS, Repeats, TestResult};
use proto::units::ns_to_seconds;
use proto::workload::Threshold;
use serde_json::json;

use super::campaigns::{
    Campaign, CampaignRun, CampaignState, CapacityGoal, EndedRun, Goal, OPEN_CAMPAIGNS_MAX, RunPlan,
};
use super::commands::Busy;
use super::labels::Labels;
use super::run::Phase;
use super::{Action, Actions, CampaignRefusal, Change, Control, Now, Refusal, Reply, log};

/// Runs that may fail one after another before the campaign does.
const FAILURES_MAX: u32 = 3;
/// Between a run that failed and the next, ns: what was away may be back.
const FAILURE_REST_NS: u64 = 3_000_000_000;
/// Why a search ends that has found nothing yet, or not all.
const HOUR_IS_OVER: &str = "its hour is over: this is what was known by then";

impl Control {
    /// Begins a search for a capacity; its first run is created at once.
    pub(super) fn seek(
        &mut self,
        test_id: &str,
        document: &Document,
        bounds: CapacityBounds,
        now: Now,
        actions: &mut Actions,
    ) -> Result<Reply, Refusal> {
        let searched = document
            .searched()
            .map_err(|invalid| Refusal::CannotPrepare(invalid.to_string()))?;
        let thresholds = document.thresholds.iter().map(ToString::to_string);
        let goal = Goal::Capacity(CapacityGoal {
            thresholds: thresholds.collect(),
            unit: document.arrives().to_owned(),
            bounds,
            length_ns: searched.length_ns(),
            runs: Vec::new(),
        });
        let reply = self.begin(test_id, document, goal, now, actions)?;
        let fields = json!({"test_id": test_id, "bounds": bounds});
        log(actions, Level::Info, "capacity_search", fields);
        Ok(reply)
    }

    /// Begins a set of runs of a document that asks for several; the first is created at once. Where it
    /// may not `queue`, drivers that are busy are a reason to refuse it.
    pub(super) fn repeat(
        &mut self,
        test_id: &str,
        document: &Document,
        queue: bool,
        now: Now,
        actions: &mut Actions,
    ) -> Result<Reply, Refusal> {
        match self.busy_with().filter(|_| !queue) {
            Some(Busy::Running(running)) => return Err(Refusal::Busy { running }),
            Some(Busy::Arming(test_id)) => return Err(Refusal::GettingReady { test_id }),
            None => {}
        }
        let rest_ns = document.rest_ns.unwrap_or(REST_NS);
        let set = Repeats::new(document.repeat, ns_to_seconds(rest_ns));
        let fields = json!({"test_id": test_id, "runs": set.asked, "rest_s": set.rest_s});
        let once = document.clone().once();
        let reply = self.begin(test_id, &once, Goal::Repeat(set), now, actions)?;
        log(actions, Level::Info, "repeat_set", fields);
        Ok(reply)
    }

    /// Begins a campaign; its first run is created at once.
    fn begin(
        &mut self,
        test_id: &str,
        document: &Document,
        goal: Goal,
        now: Now,
        actions: &mut Actions,
    ) -> Result<Reply, Refusal> {
        if self.registry.awaited_len() == 0 {
            return Err(self.no_driver());
        }
        if self.campaigns.open_len() >= OPEN_CAMPAIGNS_MAX {
            return Err(Refusal::Campaign(CampaignRefusal::TooMany));
        }
        self.campaigns.insert(Campaign {
            test_id: test_id.to_owned(),
            number: self.campaigns.next_number(),
            labels: Labels::of(document).map_err(Refusal::WrongLabel)?,
            target: document.workload(None).target.shown(),
            goal,
            state: CampaignState::Running,
            reason: None,
            created_unix_ms: now.wall_ns / 1_000_000,
            ended_unix_ms: None,
            participants: Vec::new(),
            stop_requested: false,
            document: Some(document.to_json()),
            run: None,
            next_run: 1,
            failures: 0,
        });
        let next = self.campaigns.next_run(test_id);
        let made = next.map_or(Ok(()), |plan| self.make_run(test_id, plan, now, actions));
        if let Err(refusal) = made {
            self.campaigns.remove(test_id);
            return Err(refusal);
        }
        let test_id = test_id.to_owned();
        Ok(Reply::Created { test_id })
    }

    /// Creates a run, which starts as soon as the drivers are free.
    fn make_run(
        &mut self,
        test_id: &str,
        plan: RunPlan,
        now: Now,
        actions: &mut Actions,
    ) -> Result<(), Refusal> {
        let campaign = self.campaigns.get(test_id);
        let campaign = campaign.ok_or_else(|| Refusal::UnknownTest(test_id.to_owned()))?;
        let json = campaign.document.as_deref().unwrap_or_default();
        let document = Document::read(json, Setting::default())
            .and_then(|document| plan.document(document))
            .map_err(|invalid| Refusal::CannotPrepare(invalid.to_string()))?;
        let labels = campaign.goal.labels_of(&campaign.labels, test_id, plan);
        let labels = labels.map_err(Refusal::WrongLabel)?;
        let run_id = format!("{test_id}-{}", campaign.next_run);
        self.create(document.to_config(&run_id), false, now, actions)?;
        self.label_run(&run_id, labels, actions);
        self.change_campaign(test_id, actions, |campaign| {
            campaign.next_run += 1;
            campaign.run = Some(CampaignRun {
                test_id: run_id.clone(),
                plan,
            });
        });
        self.enqueue(&run_id, None, actions);
        Ok(())
    }

    /// Time passes: whoever has rested goes on.
    pub(super) fn campaigns_on(&mut self, now: Now, actions: &mut Actions) {
        for test_id in self.campaigns.open() {
            self.campaign_on(&test_id, now, actions);
        }
    }

    fn campaign_on(&mut self, test_id: &str, now: Now, actions: &mut Actions) {
        let Some(campaign) = self.campaigns.get(test_id) else {
            return;
        };
        if let Some(run) = campaign.run.clone() {
            return self.look_after(test_id, &run.test_id, now, actions);
        }
        let Some(plan) = self.campaigns.next_run(test_id) else {
            return self.end_campaign(test_id, CampaignState::Done, None, now, actions);
        };
        if campaign.stop_requested {
            let reason = Some(stopped());
            return self.end_campaign(test_id, CampaignState::Aborted, reason, now, actions);
        }
        if now.mono_ns < self.campaigns.rests_until_ns(test_id) {
            return;
        }
        if is_over_after_a_run(campaign, now) {
            let reason = Some(HOUR_IS_OVER.to_owned());
            return self.end_campaign(test_id, CampaignState::Done, reason, now, actions);
        }
        match self.make_run(test_id, plan, now, actions) {
            Ok(()) => {}
            // What is away now comes back. To read a document again is not worth each turn.
            Err(Refusal::BrokerAway(_) | Refusal::StoreAway(_) | Refusal::TooMany) => {
                self.campaigns
                    .rest_until(test_id, now.mono_ns + FAILURE_REST_NS);
            }
            Err(refusal) => {
                let reason = format!("its next run cannot be made: {}", in_words(refusal));
                self.give_up(test_id, None, reason, now, actions);
            }
        }
    }

    /// A run that waits and that the queue has left behind, or that waits for too long, ends, and the
    /// campaign with it.
    fn look_after(&mut self, test_id: &str, run_id: &str, now: Now, actions: &mut Actions) {
        let Some(open) = self.runs.get(run_id) else {
            let reason = format!("its run {run_id} is not known any more");
            return self.give_up(test_id, Some(run_id), reason, now, actions);
        };
        let arming = self.queue.arming();
        let is_arming = arming.is_some_and(|arming| arming.test_id == run_id);
        let campaign = self.campaigns.get(test_id);
        let is_late = campaign.is_some_and(|campaign| is_over(campaign, now));
        if !open.is_waiting() || is_arming || open.run.queued.is_some() && !is_late {
            return;
        }
        let why = if is_late {
            HOUR_IS_OVER.to_owned()
        } else {
            let why = open.run.reason.as_deref().unwrap_or("it was not started");
            format!("its run {run_id} could not start: {why}")
        };
        self.change_campaign(test_id, actions, |campaign| campaign.reason = Some(why));
        // It waits, so that nobody has to be told.
        let _ = self.stop(run_id, now, actions);
    }

    /// A run has ended: if a campaign waited for it, it is judged.
    pub(super) fn judge_run(
        &mut self,
        run_id: &str,
        result: &TestResult,
        now: Now,
        actions: &mut Actions,
    ) {
        let Some(campaign) = self.campaigns.of_run(run_id) else {
            return;
        };
        let Some(CampaignRun { plan, .. }) = campaign.run else {
            return;
        };
        let test_id = campaign.test_id.clone();
        let rest_ns = campaign.goal.rest_ns();
        let may_fail = campaign.goal.may_fail() && campaign.failures + 1 < FAILURES_MAX;
        match self.run_counts(campaign, run_id) {
            Counts::Yes(participants, thresholds) => {
                let run = EndedRun {
                    test_id: run_id,
                    result,
                    thresholds: &thresholds,
                };
                self.campaigns.rest_until(&test_id, now.mono_ns + rest_ns);
                let mut said = None;
                self.change_campaign(&test_id, actions, |campaign| {
                    campaign.run = None;
                    campaign.failures = 0;
                    campaign.participants = participants;
                    said = Some(campaign.goal.count(&run, plan));
                });
                if let Some((event, mut fields)) = said {
                    fields["test_id"] = json!(run_id);
                    log(actions, Level::Info, event, fields);
                }
            }
            Counts::Failed(reason) if may_fail => {
                let rest_ns = rest_ns.max(FAILURE_REST_NS);
                self.campaigns.rest_until(&test_id, now.mono_ns + rest_ns);
                self.change_campaign(&test_id, actions, |campaign| {
                    campaign.run = None;
                    campaign.failures += 1;
                    campaign.goal.failed(Some(run_id), &reason);
                });
            }
            Counts::Failed(reason) => self.give_up(&test_id, Some(run_id), reason, now, actions),
            Counts::Apart(reason) => {
                self.change_campaign(&test_id, actions, |campaign| {
                    campaign.goal.apart(result, &reason);
                });
                self.end_campaign(&test_id, CampaignState::Failed, Some(reason), now, actions);
            }
            Counts::No(CampaignState::Failed, reason) => {
                self.give_up(&test_id, Some(run_id), reason, now, actions);
            }
            Counts::No(state, reason) => {
                self.change_campaign(&test_id, actions, |campaign| {
                    campaign.goal.interrupted(result);
                });
                self.end_campaign(&test_id, state, Some(reason), now, actions);
            }
        }
    }

    /// Whether what a run came to says anything about the target.
    fn run_counts(&self, campaign: &Campaign, run_id: &str) -> Counts {
        let Some(open) = self.runs.get(run_id) else {
            return Counts::Failed(format!("its run {run_id} is not known any more"));
        };
        let run = &open.run;
        let why = run
            .reason
            .clone()
            .unwrap_or_else(|| "no reason given".to_owned());
        match run.phase {
            Phase::Done => {}
            // A condition of the document on what the target does.
            Phase::Aborted if run.aborted_by.is_some() => {}
            Phase::Aborted => {
                let unless_told = if campaign.stop_requested {
                    stopped()
                } else {
                    format!("its run {run_id} was stopped")
                };
                // An hour that is over ends a search that found something as one between two runs.
                let is_found = campaign.goal.is_found();
                let state = match campaign.reason.as_deref() {
                    Some(HOUR_IS_OVER) if is_found => CampaignState::Done,
                    Some(_) => CampaignState::Failed,
                    None => CampaignState::Aborted,
                };
                return Counts::No(state, campaign.reason.clone().unwrap_or(unless_told));
            }
            Phase::Partial => {
                let reason = format!("the drivers changed in its run {run_id}: {why}");
                return Counts::Apart(reason);
            }
            _ => return Counts::Failed(format!("its run {run_id} failed: {why}")),
        }
        let mut participants = run.participants.clone();
        participants.sort_unstable();
        if !campaign.participants.is_empty() && campaign.participants != participants {
            let of = |ids: &[String]| super::reasons::joined(ids.to_vec());
            let reason = format!(
                "the drivers changed: its run {run_id} was on {}, those before it on {}; begin it again",
                of(&participants),
                of(&campaign.participants)
            );
            return Counts::Apart(reason);
        }
        Counts::Yes(participants, open.thresholds().to_vec())
    }

    fn label_run(&mut self, run_id: &str, labels: Labels, actions: &mut Actions) {
        if let Some(row) = self.list.set_labels(run_id, labels) {
            actions.push(Action::Persist(Change::Row(Box::new(row))));
        }
    }

    fn forget_campaign(&mut self, test_id: &str, actions: &mut Actions) {
        self.campaigns.remove(test_id);
        actions.push(Action::Persist(Change::ForgetCampaign(test_id.to_owned())));
    }

    /// A campaign cannot go on, for what became of a run or since there can be none.
    fn give_up(
        &mut self,
        test_id: &str,
        run_id: Option<&str>,
        reason: String,
        now: Now,
        actions: &mut Actions,
    ) {
        self.change_campaign(test_id, actions, |campaign| {
            campaign.goal.failed(run_id, &reason);
        });
        self.end_campaign(test_id, CampaignState::Failed, Some(reason), now, actions);
    }

    fn end_campaign(
        &mut self,
        test_id: &str,
        state: CampaignState,
        reason: Option<String>,
        now: Now,
        actions: &mut Actions,
    ) {
        self.change_campaign(test_id, actions, |campaign| {
            campaign.state = state;
            campaign.reason = reason;
            campaign.run = None;
            if state == CampaignState::Aborted {
                campaign.goal.stop();
            }
            campaign.ended_unix_ms = Some((now.wall_ns / 1_000_000).max(campaign.created_unix_ms));
            // What it needed its secrets for is over.
            campaign.document = None;
        });
        if let Some(campaign) = self.campaigns.get(test_id) {
            let (event, mut fields) = campaign.goal.ending();
            fields["test_id"] = json!(test_id);
            fields["state"] = json!(state);
            fields["reason"] = json!(campaign.reason);
            log(actions, Level::Info, event, fields);
        }
        while let Some(oldest) = self.campaigns.surplus() {
            self.forget_campaign(&oldest, actions);
        }
    }

    fn change_campaign(
        &mut self,
        test_id: &str,
        actions: &mut Actions,
        change: impl FnOnce(&mut Campaign),
    ) {
        if let Some(campaign) = self.campaigns.change(test_id, change) {
            actions.push(Action::Persist(Change::Campaign(Box::new(campaign))));
        }
    }
}

/// Whether its time is over.
fn is_over(campaign: &Campaign, now: Now) -> bool {
    let bound = campaign.goal.time_bound();
    bound.is_some_and(|bound| elapsed_ns(campaign, now) > bound.max.as_nanos())
}

/// Whether its time would be over before the end of another run.
fn is_over_after_a_run(campaign: &Campaign, now: Now) -> bool {
    let bound = campaign.goal.time_bound();
    bound.is_some_and(|bound| {
        elapsed_ns(campaign, now) + u128::from(bound.run_ns) > bound.max.as_nanos()
    })
}

fn elapsed_ns(campaign: &Campaign, now: Now) -> u128 {
    let created_ns = campaign.created_unix_ms * 1_000_000;
    now.wall_ns.saturating_sub(created_ns).into()
}

/// What a run that has ended is to its campaign.
enum Counts {
    /// It is judged: who took part, and the thresholds of the whole run.
    Yes(Vec<String>, Vec<Threshold>),
    /// It says nothing, and may be tried again.
    Failed(String),
    /// Other drivers took part in it than in those before, which ends the campaign.
    Apart(String),
    /// It ends the campaign.
    No(CampaignState, String),
}

fn in_words(refusal: Refusal) -> String {
    match refusal {
        Refusal::CannotPrepare(why) => why,
        Refusal::TooLong(len) => format!("it has {len} bytes as a message"),
        other => format!("{other:?}"),
    }
}

fn stopped() -> String {
    "stopped".to_owned()
}
