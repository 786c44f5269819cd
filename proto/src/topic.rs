//! The topics of the bus: five of the reference, and three of ours.

use std::fmt;

/// A topic of the bus. What we make has one partition, so that its messages have one order; only
/// [`Self::Metrics`] may have several, since reports are told apart by what they say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Topic {
    /// Drivers announce themselves: [`crate::message::Register`].
    Register,
    /// The orchestrator publishes what a test is: [`crate::message::TestConfig`].
    TestConfig,
    /// The orchestrator starts or stops a test: [`crate::message::Trigger`].
    Trigger,
    /// Drivers report once a second: [`crate::message::Metrics`].
    Metrics,
    /// Every node says that it lives: [`crate::message::Heartbeat`].
    Heartbeat,
    /// Our orchestrator speaks to our drivers: [`crate::message::Control`]. Other orchestrators do
    /// not have it.
    Control,
    /// Files for the drivers that ask for them: [`crate::transfer::Chunk`]. Ours alone, and read by
    /// drivers that need a file, from when they ask for it.
    Data,
    /// What mergers read of [`Self::Metrics`], for the orchestrator: [`crate::message::Merged`]. Ours
    /// alone.
    Merged,
}

impl Topic {
    /// Every topic, those of the reference in the order of a test's life.
    pub const ALL: [Self; 8] = [
        Self::Register,
        Self::TestConfig,
        Self::Trigger,
        Self::Metrics,
        Self::Heartbeat,
        Self::Control,
        Self::Data,
        Self::Merged,
    ];

    /// The name on the wire.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Register => "register",
            Self::TestConfig => "test_config",
            Self::Trigger => "trigger",
            Self::Metrics => "metrics",
            Self::Heartbeat => "heartbeat",
            Self::Control => "control",
            Self::Data => "data",
            Self::Merged => "merged",
        }
    }

    /// Whether other implementations of the reference do not have it.
    #[must_use]
    pub const fn is_ours(self) -> bool {
        matches!(self, Self::Control | Self::Data | Self::Merged)
    }

    /// Whether the orchestrator reads it.
    #[must_use]
    pub const fn is_folded(self) -> bool {
        !matches!(self, Self::Data)
    }

    /// The topic of that name, if it is one of ours.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|topic| topic.name() == name)
    }
}

impl fmt::Display for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
