//! The executors of a node's cores, kept from one load to the next.
//!
//! glommio 0.9 never lets go of the eventfd of an executor that has run anything (each task's header
//! holds the executor's notifier, and is freed without being dropped), so that an executor made for
//! each load would cost a descriptor a load and core. One that is kept costs one.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Mutex, PoisonError};
use std::thread;

use crossbeam_channel::{Receiver, Sender, bounded};
use glommio::{LocalExecutor, LocalExecutorBuilder, Placement};

use super::PrepareError;
use crate::affinity;

/// Memory that each executor registers for its own file operations, of which there are none.
pub(super) const EXECUTOR_MEMORY: usize = 64 * 1024;
/// Entries of each executor's own rings.
pub(super) const EXECUTOR_RING: usize = 32;

/// A thread a core, pinned to its CPU before its glommio executor is made (with
/// `Placement::Unbound`, so that glommio does not ask for CPUs that a container's mask hides). Each
/// is made when its core is first needed, and ends with this.
pub struct Executors {
    cores: Vec<Core>,
}

struct Core {
    cpu: usize,
    jobs: Mutex<Option<Sender<Job>>>,
}

/// What a core does, and what says that it has ended.
struct Job {
    work: Box<dyn FnOnce(&LocalExecutor) + Send>,
    ended: Sender<()>,
}

impl Executors {
    /// For a core on each of these CPUs.
    #[must_use]
    pub fn new(cpus: &[usize]) -> Self {
        let core = |cpu: &usize| Core {
            cpu: *cpu,
            jobs: Mutex::new(None),
        };
        Self {
            cores: cpus.iter().map(core).collect(),
        }
    }

    /// Number of cores.
    #[must_use]
    pub fn count(&self) -> usize {
        self.cores.len()
    }

    /// The CPUs, in the order of the cores.
    #[must_use]
    pub fn cpus(&self) -> Vec<usize> {
        self.cores.iter().map(|core| core.cpu).collect()
    }

    /// Has a core do something, after what it does already. `ended` is dropped when that is over, or
    /// has panicked.
    ///
    /// # Errors
    /// [`PrepareError`] when the core has no executor and none can be made.
    pub(super) fn run(
        &self,
        core: usize,
        work: impl FnOnce(&LocalExecutor) + Send + 'static,
        ended: Sender<()>,
    ) -> Result<(), PrepareError> {
        let mut job = Job {
            work: Box::new(work),
            ended,
        };
        let Core { cpu, jobs } = &self.cores[core];
        let mut jobs = jobs.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(living) = &*jobs {
            match living.send(job) {
                Ok(()) => return Ok(()),
                // Its thread has ended by a panic.
                Err(unsent) => job = unsent.into_inner(),
            }
        }
        let made = jobs.insert(make(core, *cpu)?);
        let lost = |_| PrepareError::System(format!("the thread of core {core} has ended"));
        made.send(job).map_err(lost)
    }
}

impl fmt::Debug for Executors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.cpus()).finish()
    }
}

/// Makes the thread of a core and its executor.
fn make(core: usize, cpu: usize) -> Result<Sender<Job>, PrepareError> {
    let (give, jobs) = bounded(1);
    let (say, made) = bounded(1);
    thread::Builder::new()
        .name(format!("load-{core}"))
        .spawn(move || live(core, cpu, &say, jobs))
        .map_err(|error| PrepareError::System(error.to_string()))?;
    let lost = |_| PrepareError::System(format!("the thread of core {core} panicked"));
    made.recv().map_err(lost)??;
    Ok(give)
}

/// The life of a core's thread.
fn live(core: usize, cpu: usize, say: &Sender<Result<(), PrepareError>>, jobs: Receiver<Job>) {
    let (word, executor) = match executor(core, cpu) {
        Ok(executor) => (Ok(()), Some(executor)),
        Err(error) => (Err(error), None),
    };
    let _ = say.send(word);
    let Some(executor) = executor else {
        return;
    };
    while let Ok(Job { work, ended }) = jobs.recv() {
        let outcome = catch_unwind(AssertUnwindSafe(|| work(&executor)));
        if outcome.is_err() {
            // Nobody knows in what state the executor is; the next job gets a new one. Whoever waits
            // for the end of this one must not find the old one.
            drop(jobs);
            drop(ended);
            return;
        }
    }
}

fn executor(core: usize, cpu: usize) -> Result<LocalExecutor, PrepareError> {
    if !affinity::pin(cpu) {
        return Err(PrepareError::System(format!(
            "core {core} cannot be pinned to CPU {cpu}"
        )));
    }
    affinity::sharpen_timers();
    LocalExecutorBuilder::new(Placement::Unbound)
        .name(&format!("load-{core}"))
        .io_memory(EXECUTOR_MEMORY)
        .ring_depth(EXECUTOR_RING)
        .make()
        .map_err(|error| PrepareError::Executor {
            core,
            reason: error.to_string(),
        })
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[test]
    fn a_core_is_kept_until_it_panics_and_is_then_made_anew() {
        let executors = Executors::new(&affinity::allowed()[..1]);
        let (tell, told) = mpsc::channel();
        let thread_of = |panics: bool| {
            let (ended, end) = bounded(1);
            let tell = tell.clone();
            let work = move |executor: &LocalExecutor| {
                executor.run(async move {
                    tell.send(thread::current().id()).unwrap();
                    assert!(!panics, "a panic that the test wants");
                });
            };
            executors.run(0, work, ended).unwrap();
            assert!(end.recv().is_err(), "the end is told by a drop");
            told.recv().unwrap()
        };
        let first = thread_of(false);
        assert_eq!(thread_of(true), first);
        let second = thread_of(false);
        assert_ne!(second, first);
        assert_eq!(thread_of(false), second);
    }
}
