//! Sessions that come when a log says so.

use super::super::replay::Next;
use super::Sessions;

/// When to look again for a block that is not here yet, ns. What is late is sent late, and counted
/// from when it was intended.
const LATE_NS: u64 = 200_000;

impl Sessions {
    /// The load starts: entries are this party's from here on.
    pub(super) fn begin_replay(&mut self) {
        self.feed_due_ns = u64::MAX;
        if let Some(feed) = &mut self.feed {
            feed.take_place(self.part);
            self.feed_due_ns = self.start_ns;
        }
    }

    /// Starts the sessions of all entries whose instant has come; says how many could not.
    pub(super) fn advance_replay(&mut self, now_ns: u64) -> u64 {
        let Some(mut feed) = self.feed.take() else {
            return 0;
        };
        let mut shed = 0;
        self.feed_due_ns = loop {
            match feed.peek() {
                Next::Over => {
                    self.feed_due_ns = u64::MAX;
                    return shed;
                }
                Next::Late => break now_ns.saturating_add(LATE_NS),
                Next::Entry { at_ns, flow, path } => {
                    let at_ns = self.start_ns.saturating_add(at_ns);
                    if at_ns > now_ns {
                        break at_ns;
                    }
                    shed += u64::from(!self.start_flow(flow, 0, at_ns, Some(path)));
                }
            }
            feed.pass();
        };
        self.feed = Some(feed);
        shed
    }

    /// Nothing more of the log is played.
    pub(super) fn stop_replay(&mut self) {
        (self.feed, self.feed_due_ns) = (None, u64::MAX);
    }
}
