//! The thread of one core: pinned to its CPU before its glommio executor is made (with
//! `Placement::Unbound`, so that glommio does not ask for CPUs that a container's mask hides).

use std::sync::Arc;
use std::thread;

use crossbeam_channel::Sender;
use glommio::{LocalExecutorBuilder, Placement};

use super::PrepareError;
use super::stack::Stack;
use crate::affinity;
use crate::core_loop::{Common, CoreError};
use crate::dispatch::{Readiness, Shared};
use crate::plan::Share;
use crate::ring::Features;

/// Memory that each executor registers for its own file operations, of which there are none.
pub(super) const EXECUTOR_MEMORY: usize = 64 * 1024;
/// Entries of each executor's own rings.
pub(super) const EXECUTOR_RING: usize = 32;

/// What a core says once: it is ready, or why not.
pub(super) type FirstWord = (usize, Result<(Readiness, Features), PrepareError>);

/// What one core's thread needs.
pub(super) struct CoreThread {
    pub(super) common: Common,
    pub(super) stack: Stack,
    pub(super) share: Share,
    pub(super) cpu: usize,
}

impl CoreThread {
    /// The life of a core's thread.
    pub(super) fn run(self, say: &Sender<FirstWord>) {
        let core = self.share.core;
        let shared = Arc::clone(&self.common.shared);
        let _alarm = Alarm(Arc::clone(&shared));
        let refused = match self.load(say) {
            Ok(Ok(())) => return,
            Ok(Err(source)) => PrepareError::Core { core, source },
            Err(error) => error,
        };
        // Before the first word this ends the preparation; afterwards nobody hears it.
        shared.fail(refused.to_string());
        let _ = say.try_send((core, Err(refused)));
    }

    fn load(self, say: &Sender<FirstWord>) -> Result<Result<(), CoreError>, PrepareError> {
        let core = self.share.core;
        if !affinity::pin(self.cpu) {
            return Err(PrepareError::System(format!(
                "core {core} cannot be pinned to CPU {}",
                self.cpu
            )));
        }
        affinity::sharpen_timers();
        let executor = LocalExecutorBuilder::new(Placement::Unbound)
            .name(&format!("load-{core}"))
            .io_memory(EXECUTOR_MEMORY)
            .ring_depth(EXECUTOR_RING)
            .make()
            .map_err(|error| PrepareError::Executor {
                core,
                reason: error.to_string(),
            })?;
        let ready = |readiness, features| {
            let _ = say.try_send((core, Ok((readiness, features))));
        };
        let Self {
            common,
            stack,
            share,
            ..
        } = self;
        Ok(executor.run(stack.run(common, share, ready)))
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
