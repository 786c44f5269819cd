//! What searches and sets have in common at the REST interface.

use serde_json::Value;

use super::{Answer, Worker, reply};
use crate::control::{Campaign, CampaignKind, CampaignRefusal, Command, Refusal, Reply};

impl Worker {
    /// All campaigns of a kind, newest first, as `shown` shows them, but with the number of their
    /// drivers, and with that of the runs so far in place of the list of them, which has this name.
    pub(super) fn campaigns(
        &self,
        kind: CampaignKind,
        runs: &str,
        shown: fn(&Campaign) -> Option<Value>,
    ) -> Answer {
        let campaigns = self.api.live.snapshot().campaigns(kind);
        let rows = campaigns.iter().filter_map(|campaign| {
            let mut row = shown(campaign)?;
            if let Some(fields) = row.as_object_mut() {
                let list = fields.remove(runs);
                let done = list.as_ref().and_then(Value::as_array).map_or(0, Vec::len);
                fields.insert(format!("{runs}_done"), done.into());
                fields.remove("participants");
                fields.insert("nodes".to_owned(), campaign.participants.len().into());
            }
            Some(row)
        });
        Answer::json(&rows.collect::<Vec<_>>())
    }

    /// One campaign as far as it has come; `shown` knows those of the kind.
    pub(super) fn campaign(
        &self,
        kind: CampaignKind,
        campaign_id: &str,
        shown: fn(&Campaign) -> Option<Value>,
    ) -> Answer {
        let snapshot = self.api.live.snapshot();
        let campaign = snapshot.campaign(campaign_id);
        if let Some(shown) = campaign.and_then(|campaign| shown(campaign)) {
            return Answer::json(&shown);
        }
        let unknown = CampaignRefusal::Unknown {
            campaign_id: campaign_id.to_owned(),
            kind,
        };
        let unknown = Reply::Refused(Refusal::Campaign(unknown));
        reply::answer(unknown, &self.api.bootstrap)
    }

    pub(super) fn delete_campaign(&self, kind: CampaignKind, campaign_id: &str) -> Answer {
        self.command(Command::DeleteCampaign {
            test_id: campaign_id.to_owned(),
            kind,
        })
    }
}
