//! The campaigns: those that go on, and what the others came to. A campaign is runs of one document
//! after each other, each an ordinary test; what each of them came to is stored with it, and which
//! comes next is computed from that alone, so that a process that is killed goes on as if nothing had
//! happened. What it is for, and so what its runs amount to, is its [`Goal`].

mod goal;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use proto::document::{Document, InvalidDocument};
use proto::summary::Wanted;
use rpds::RedBlackTreeMapSync;
use serde::{Deserialize, Serialize};

use super::{Labels, Now};
pub(super) use goal::EndedRun;
pub use goal::{CampaignKind, CapacityGoal, Goal};

/// Campaigns that go on at once, at most: they take turns on the drivers.
pub(super) const OPEN_CAMPAIGNS_MAX: usize = 16;
/// Ended campaigns that are kept, the newest.
const ENDED_CAMPAIGNS_MAX: usize = 200;

/// How far a campaign is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CampaignState {
    /// It makes one run after another.
    Running,
    /// It came to its end.
    Done,
    /// It was stopped; what was known by then stands.
    Aborted,
    /// It could not go on; what was known by then stands.
    Failed,
}

impl CampaignState {
    /// The name in the API.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Done => "done",
            Self::Aborted => "aborted",
            Self::Failed => "failed",
        }
    }

    /// Whether it is over.
    #[must_use]
    pub const fn has_ended(self) -> bool {
        !matches!(self, Self::Running)
    }
}

/// What a run of a campaign is, as its document has to be told.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum RunPlan {
    /// Of a search, a rate that is offered.
    Rate(Wanted),
    /// Of a set, the same as the others.
    Alike {},
}

impl RunPlan {
    /// The document of the run.
    ///
    /// # Errors
    /// What a rate that is out of range makes of it.
    pub(super) fn document(self, document: Document) -> Result<Document, InvalidDocument> {
        match self {
            Self::Rate(wanted) => document.at_rate(wanted.rate),
            Self::Alike {} => Ok(document),
        }
    }
}

/// The run that a campaign waits for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CampaignRun {
    /// The test.
    pub test_id: String,
    /// What it is.
    #[serde(flatten)]
    pub plan: RunPlan,
}

/// One campaign.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Campaign {
    /// Its id; its runs have that with a number behind.
    pub test_id: String,
    /// Its place in the order of creation.
    pub number: u64,
    /// What its document says about itself.
    pub labels: Labels,
    /// The server that is loaded.
    pub target: String,
    /// What it is for, with what its runs came to.
    pub goal: Goal,
    /// How far it is.
    pub state: CampaignState,
    /// Why it ended, or what it waits for.
    pub reason: Option<String>,
    /// When it was created, ms since 1970.
    pub created_unix_ms: u64,
    /// When it ended, ms since 1970.
    pub ended_unix_ms: Option<u64>,
    /// Who takes part in every run.
    pub participants: Vec<String>,
    /// Whether a stop was asked for.
    pub stop_requested: bool,
    /// The document as JSON, with its secrets; gone when the campaign has ended.
    pub document: Option<String>,
    /// The run that it waits for.
    pub run: Option<CampaignRun>,
    /// The number of the next run, from 1.
    pub next_run: u64,
    /// Runs that failed since the last that did not.
    pub failures: u32,
}

/// All of them, by id, as they stand. A clone shares what does not change after it.
pub(super) type SeenCampaigns = RedBlackTreeMapSync<String, Arc<Campaign>>;

/// A campaign that goes on, beyond what is stored of it.
#[derive(Debug)]
struct Open {
    /// The run that comes next, made of what is stored whenever that changes.
    next: Option<RunPlan>,
    /// Not before this instant of the monotonic clock, ns, comes the next run.
    rest_until_ns: u64,
}

/// All campaigns.
#[derive(Debug, Default)]
pub(super) struct Campaigns {
    seen: SeenCampaigns,
    open: BTreeMap<String, Open>,
    /// The ended ones by number.
    ended: BTreeSet<(u64, String)>,
    last_number: u64,
}

impl Campaigns {
    /// As they were stored. How long those between two runs have rested is not known: they rest anew.
    pub(super) fn restore(stored: Vec<Campaign>, now: Now) -> Self {
        let mut campaigns = Self::default();
        for campaign in stored {
            let (test_id, rest_ns) = (campaign.test_id.clone(), campaign.goal.rest_ns());
            campaigns.insert(campaign);
            campaigns.rest_until(&test_id, now.mono_ns.saturating_add(rest_ns));
        }
        campaigns
    }

    /// The place of the next one.
    pub(super) fn next_number(&self) -> u64 {
        self.last_number + 1
    }

    /// Takes in one that is new here.
    pub(super) fn insert(&mut self, campaign: Campaign) {
        self.last_number = self.last_number.max(campaign.number);
        if campaign.state.has_ended() {
            self.ended
                .insert((campaign.number, campaign.test_id.clone()));
        } else {
            let open = Open {
                next: campaign.goal.next(),
                rest_until_ns: 0,
            };
            self.open.insert(campaign.test_id.clone(), open);
        }
        self.seen
            .insert_mut(campaign.test_id.clone(), Arc::new(campaign));
    }

    /// All as they stand.
    pub(super) fn seen(&self) -> &SeenCampaigns {
        &self.seen
    }

    pub(super) fn get(&self, test_id: &str) -> Option<&Campaign> {
        self.seen.get(test_id).map(AsRef::as_ref)
    }

    /// Those that go on.
    pub(super) fn open(&self) -> Vec<String> {
        self.open.keys().cloned().collect()
    }

    pub(super) fn open_len(&self) -> usize {
        self.open.len()
    }

    /// Changes one; as it is to be stored.
    pub(super) fn change(
        &mut self,
        test_id: &str,
        change: impl FnOnce(&mut Campaign),
    ) -> Option<Campaign> {
        let campaign = Arc::make_mut(self.seen.get_mut(test_id)?);
        change(campaign);
        if let Some(open) = self.open.get_mut(test_id) {
            open.next = campaign.goal.next();
        }
        if campaign.state.has_ended() && self.open.remove(test_id).is_some() {
            self.ended
                .insert((campaign.number, campaign.test_id.clone()));
        }
        Some(campaign.clone())
    }

    /// The campaign that waits for this run.
    pub(super) fn of_run(&self, run_id: &str) -> Option<&Campaign> {
        let (test_id, _) = run_id.rsplit_once('-')?;
        let campaign = self
            .get(test_id)
            .filter(|_| self.open.contains_key(test_id))?;
        let waits_for = |run: &CampaignRun| run.test_id == run_id;
        campaign
            .run
            .as_ref()
            .is_some_and(waits_for)
            .then_some(campaign)
    }

    /// The run that comes next in one that goes on.
    pub(super) fn next_run(&self, test_id: &str) -> Option<RunPlan> {
        self.open.get(test_id)?.next
    }

    /// No run comes before this instant of the monotonic clock.
    pub(super) fn rest_until(&mut self, test_id: &str, mono_ns: u64) {
        if let Some(open) = self.open.get_mut(test_id) {
            open.rest_until_ns = mono_ns;
        }
    }

    /// Until when none comes.
    pub(super) fn rests_until_ns(&self, test_id: &str) -> u64 {
        self.open.get(test_id).map_or(0, |open| open.rest_until_ns)
    }

    pub(super) fn remove(&mut self, test_id: &str) {
        if let Some(campaign) = self.seen.get(test_id) {
            self.ended.remove(&(campaign.number, test_id.to_owned()));
        }
        self.open.remove(test_id);
        self.seen.remove_mut(test_id);
    }

    /// The oldest of the ended ones that is one too many.
    pub(super) fn surplus(&self) -> Option<String> {
        let is_surplus = self.ended.len() > ENDED_CAMPAIGNS_MAX;
        let (_, test_id) = self.ended.first().filter(|_| is_surplus)?;
        Some(test_id.clone())
    }
}
