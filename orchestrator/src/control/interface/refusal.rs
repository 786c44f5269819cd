//! Why a command cannot be done.

use crate::control::CampaignKind;

/// Why a command cannot be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// There is no such test.
    UnknownTest(String),
    /// The test is past that.
    WrongState {
        /// Which.
        test_id: String,
        /// Its phase.
        state: &'static str,
    },
    /// The test does not run, so that it has no rate to change.
    NotRunning {
        /// Which.
        test_id: String,
        /// Its phase.
        state: &'static str,
    },
    /// The test's rate cannot be changed, and why.
    RateStays {
        /// Which.
        test_id: String,
        /// In words.
        why: String,
        /// What to do instead.
        hint: String,
    },
    /// The test has not ended.
    StillOpen {
        /// Which.
        test_id: String,
        /// Its phase.
        state: &'static str,
    },
    /// It has to do with a campaign.
    Campaign(CampaignRefusal),
    /// What is to be written on a test cannot be, and why.
    WrongLabel(String),
    /// The test has not started, so that nothing is after its start.
    NotStarted(String),
    /// No driver is up.
    NoDriver,
    /// Only drivers are up that speak another version of the wire: one of them, and why it is.
    Incompatible(String),
    /// No driver became ready in time; what they do instead.
    NotReady(String),
    /// Fewer drivers than the test asks for: how many, and what others do instead.
    TooFew(String),
    /// No driver can prepare the test, and why.
    CannotPrepare(String),
    /// The drivers are busy with this test.
    Busy {
        /// Which.
        running: String,
    },
    /// Another client waits for the drivers to get ready for this test.
    GettingReady {
        /// Which.
        test_id: String,
    },
    /// The broker does not answer.
    BrokerAway(String),
    /// The store does not take what it is given.
    StoreAway(String),
    /// Too many tests wait.
    TooMany,
    /// The test has so many bytes as a message, more than the broker takes.
    TooLong(usize),
}

/// Why a command cannot be done that is about a campaign, or its run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CampaignRefusal {
    /// There is none of this kind.
    Unknown {
        /// Which.
        campaign_id: String,
        /// The kind that was asked for.
        kind: CampaignKind,
    },
    /// It has ended.
    Over {
        /// Which.
        campaign_id: String,
        /// Its kind.
        kind: CampaignKind,
        /// Its state.
        state: &'static str,
    },
    /// It goes on.
    Open {
        /// Which.
        campaign_id: String,
        /// Its kind.
        kind: CampaignKind,
    },
    /// It is a campaign, and no test.
    NoTest {
        /// Which.
        campaign_id: String,
        /// Its kind.
        kind: CampaignKind,
    },
    /// The test is a run that a campaign waits for.
    Run {
        /// Which.
        test_id: String,
        /// Its phase.
        state: &'static str,
        /// The campaign.
        campaign_id: String,
        /// Its kind.
        kind: CampaignKind,
    },
    /// Too many go on.
    TooMany,
}
