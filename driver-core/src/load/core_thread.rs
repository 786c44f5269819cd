//! One core's part in a load, on its thread.

use std::sync::Arc;
use std::thread;

use crossbeam_channel::Sender;
use glommio::LocalExecutor;

use super::PrepareError;
use super::stack::Stack;
use crate::core_loop::Common;
use crate::dispatch::{Readiness, Shared};
use crate::plan::Share;
use crate::ring::Features;
use crate::source::replay::Feed;

/// What a core says once: it is ready, or why not.
pub(super) type FirstWord = (usize, Result<(Vec<Readiness>, Features), PrepareError>);

/// What one core's thread does in a load.
pub(super) struct CoreThread {
    pub(super) common: Common,
    pub(super) stack: Stack,
    pub(super) share: Share,
    /// What of a log that is replayed comes to this core.
    pub(super) feed: Option<Feed>,
}

impl CoreThread {
    /// From the first connection to the last answer.
    pub(super) fn run(self, executor: &LocalExecutor, say: &Sender<FirstWord>) {
        let core = self.share.core;
        let shared = Arc::clone(&self.common.shared);
        let _alarm = Alarm(Arc::clone(&shared));
        let ready = |readiness, features| {
            let _ = say.try_send((core, Ok((readiness, features))));
        };
        let Self {
            common,
            stack,
            share,
            feed,
        } = self;
        if let Err(source) = executor.run(stack.run(common, (share, feed), ready)) {
            let refused = PrepareError::Core { core, source };
            // Before the first word this ends the preparation; afterwards nobody hears it.
            shared.fail(refused.to_string());
            let _ = say.try_send((core, Err(refused)));
        }
    }
}

/// Ends the load on all cores when the thread that holds it panics.
struct Alarm(Arc<Shared>);

impl Drop for Alarm {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0
                .fail("a core's thread panicked: a bug in the engine".to_owned());
        }
    }
}
