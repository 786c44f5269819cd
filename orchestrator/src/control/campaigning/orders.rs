//! What people want of a campaign that there is: to stop it, to forget it, to write on its runs.

use crate::control::campaigns::{CampaignKind, CampaignState, Goal, RunPlan};
use crate::control::labels::Labels;
use crate::control::{Actions, CampaignRefusal, Control, LabelsPatch, Now, Refusal, Reply};

use super::stopped;

impl Control {
    /// Stops a campaign and the run that it waits for.
    pub(in crate::control) fn stop_campaign(
        &mut self,
        test_id: &str,
        now: Now,
        actions: &mut Actions,
    ) -> Result<Reply, Refusal> {
        let campaign = self.campaigns.get(test_id);
        let campaign = campaign.ok_or_else(|| Refusal::UnknownTest(test_id.to_owned()))?;
        if campaign.state.has_ended() {
            return Err(Refusal::Campaign(CampaignRefusal::Over {
                campaign_id: test_id.to_owned(),
                kind: campaign.goal.kind(),
                state: campaign.state.name(),
            }));
        }
        let run_id = campaign.run.as_ref().map(|run| run.test_id.clone());
        if let Some(run_id) = &run_id
            && self
                .runs
                .get(run_id)
                .is_some_and(|open| open.is_active() && !open.run.stop_requested)
        {
            self.check_broker(now)?;
        }
        self.change_campaign(test_id, actions, |campaign| campaign.stop_requested = true);
        let mut cannot_be_stopped = Vec::new();
        match run_id.map(|run_id| self.stop(&run_id, now, actions)) {
            Some(Ok(Reply::Stopped {
                cannot_be_stopped: ids,
                ..
            })) => cannot_be_stopped = ids,
            Some(_) => {}
            None => {
                let reason = Some(stopped());
                self.end_campaign(test_id, CampaignState::Aborted, reason, now, actions);
            }
        }
        let state = self.campaigns.get(test_id).map(|campaign| campaign.state);
        Ok(Reply::Stopped {
            test_id: test_id.to_owned(),
            state: state.map_or("aborted", CampaignState::name),
            cannot_be_stopped,
        })
    }

    /// Forgets a campaign that has ended; its runs are tests of their own.
    pub(in crate::control) fn delete_campaign(
        &mut self,
        test_id: &str,
        kind: CampaignKind,
        actions: &mut Actions,
    ) -> Result<Reply, Refusal> {
        let campaign_id = test_id.to_owned();
        let campaign = self.campaigns.get(test_id);
        let Some(campaign) = campaign.filter(|campaign| campaign.goal.kind() == kind) else {
            return Err(Refusal::Campaign(CampaignRefusal::Unknown {
                campaign_id,
                kind,
            }));
        };
        if !campaign.state.has_ended() {
            return Err(Refusal::Campaign(CampaignRefusal::Open {
                campaign_id,
                kind,
            }));
        }
        self.store.clone().map_err(Refusal::StoreAway)?;
        self.forget_campaign(test_id, actions);
        let test_id = test_id.to_owned();
        Ok(Reply::Deleted { test_id })
    }

    /// Writes on all runs of a set: those that there are, and those to come. What finds them stays.
    pub(in crate::control) fn label_set(
        &mut self,
        test_id: &str,
        patch: &LabelsPatch,
        actions: &mut Actions,
    ) -> Result<Reply, Refusal> {
        let unknown = || CampaignRefusal::Unknown {
            campaign_id: test_id.to_owned(),
            kind: CampaignKind::Repeat,
        };
        let campaign = self.campaigns.get(test_id);
        let campaign = campaign.ok_or_else(|| Refusal::Campaign(unknown()))?;
        let Goal::Repeat(set) = &campaign.goal else {
            return Err(Refusal::Campaign(unknown()));
        };
        self.store.clone().map_err(Refusal::StoreAway)?;
        let patched = |labels: &Labels| {
            let labels = labels.patched(patch);
            let labels = labels.and_then(|labels| {
                let plan = RunPlan::Alike {};
                campaign.goal.labels_of(&labels, test_id, plan)
            });
            labels.map_err(Refusal::WrongLabel)
        };
        let labels = patched(&campaign.labels)?;
        let ended = set.runs.iter().filter_map(|run| run.test_id.as_ref());
        let ids = ended.chain(campaign.run.as_ref().map(|run| &run.test_id));
        let rows = ids.filter_map(|run_id| self.list.get(run_id));
        let of_runs = rows.map(|row| Ok((row.test_id.clone(), patched(&row.labels)?)));
        for (run_id, labels) in of_runs.collect::<Result<Vec<_>, Refusal>>()? {
            self.label_run(&run_id, labels, actions);
        }
        self.change_campaign(test_id, actions, |campaign| campaign.labels = labels);
        let campaign = self.campaigns.get(test_id).cloned();
        let campaign = campaign.ok_or_else(|| Refusal::Campaign(unknown()))?;
        Ok(Reply::SetLabeled(Box::new(campaign)))
    }
}
