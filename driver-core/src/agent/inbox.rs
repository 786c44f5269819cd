//! What reaches the control thread, through one bounded queue: from the topics and from the thread of
//! the test.

use proto::measure::{LatencyFigures, Report};
use proto::message::{Control, Need, TestConfig, Trigger};

/// Messages that wait for the control thread.
pub(super) const INBOX_MAX: usize = 1024;

/// What reaches the control thread.
pub(super) enum Inbound {
    /// A test. `old` when it was there before this driver listened.
    Config {
        config: Box<TestConfig>,
        old: bool,
    },
    Trigger {
        trigger: Trigger,
        old: bool,
    },
    /// What an orchestrator of ours says.
    Control {
        control: Control,
        received_unix_ns: u64,
    },
    /// What the thread of the test of that number tells.
    Test {
        number: u64,
        event: TestEvent,
    },
}

/// What a test's thread tells.
pub(super) enum TestEvent {
    Lacks {
        needs: Vec<Need>,
    },
    Prepared,
    Failed {
        reason: String,
    },
    Started,
    Draining,
    Report {
        report: Box<Report>,
        figures: LatencyFigures,
    },
    Ended,
}
