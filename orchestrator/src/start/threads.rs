//! Threads that are watched: one that ends on its own ends the process.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::{Builder, JoinHandle};

use proto::log;
use rayon::{ThreadPool, ThreadPoolBuilder};
use rustix::process::{getpriority_process, setpriority_process};
use rustix::thread::gettid;
use serde_json::json;

use super::{StartError, no};

/// Niceness of threads that let others go first: some third of the share of the others.
const BEHIND: i32 = 5;
/// The end of the range.
const NICEST: i32 = 19;

/// Starts threads that must not end before we do; the first that does ends the process.
#[derive(Clone)]
pub(super) struct Threads {
    main: signal_hook::iterator::Handle,
    pub(super) may_end: Arc<AtomicBool>,
    pub(super) ended: Arc<OnceLock<String>>,
}

impl Threads {
    pub(super) fn new(main: signal_hook::iterator::Handle) -> Self {
        Self {
            main,
            may_end: Arc::default(),
            ended: Arc::default(),
        }
    }

    pub(super) fn spawn(
        &self,
        name: &str,
        work: impl FnOnce() + Send + 'static,
    ) -> Result<JoinHandle<()>, StartError> {
        let watched = Watched {
            threads: self.clone(),
            name: name.to_owned(),
        };
        let work = move || {
            // Told also by a panic.
            let _watched = watched;
            work();
        };
        Builder::new()
            .name(name.to_owned())
            .spawn(work)
            .map_err(no("thread"))
    }

    /// As [`Self::spawn`], for a thread that has much to do at times: who waits for an answer, and
    /// who gives it, go first.
    pub(super) fn spawn_behind(
        &self,
        name: &str,
        work: impl FnOnce() + Send + 'static,
    ) -> Result<JoinHandle<()>, StartError> {
        self.spawn(name, move || {
            step_back();
            work();
        })
    }
}

/// A thread a processor for work that they share, all as by [`Threads::spawn_behind`]. A panic in
/// it is one of who gave the work.
pub(super) fn pool_behind(name: &'static str) -> Result<ThreadPool, StartError> {
    ThreadPoolBuilder::new()
        .thread_name(move |number| format!("{name}-{number}"))
        .start_handler(|_| step_back())
        .build()
        .map_err(io::Error::other)
        .map_err(no("thread"))
}

/// Has the calling thread run after all others of the process that want to. Linux counts niceness
/// a thread, not a process: setpriority(2), "C library/kernel differences".
fn step_back() {
    let this = Some(gettid());
    let stepped = getpriority_process(this)
        .and_then(|nice| setpriority_process(this, (nice + BEHIND).min(NICEST)));
    if let Err(error) = stepped {
        log::warn("thread_priority", json!({"error": error.to_string()}));
    }
}

/// Tells when a thread ends.
struct Watched {
    threads: Threads,
    name: String,
}

impl Drop for Watched {
    fn drop(&mut self) {
        if self.threads.may_end.load(Ordering::Relaxed) {
            return;
        }
        log::error("thread_ended", json!({"thread": self.name}));
        let _ = self.threads.ended.set(self.name.clone());
        self.threads.main.close();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use signal_hook::consts::SIGUSR1;
    use signal_hook::iterator::Signals;

    use super::*;

    #[test]
    fn a_thread_that_ends_on_its_own_is_told_to_main_by_its_name() {
        let mut signals = Signals::new([SIGUSR1]).unwrap();
        let threads = Threads::new(signals.handle());
        let thread = threads.spawn("doomed", || panic!("as the test wants it"));
        assert!(thread.unwrap().join().is_err());
        assert_eq!(signals.forever().next(), None, "main is woken");
        assert_eq!(threads.ended.get().map(String::as_str), Some("doomed"));
        let threads = Threads::new(signals.handle());
        threads.may_end.store(true, Ordering::Relaxed);
        threads.spawn("done", || {}).unwrap().join().unwrap();
        assert_eq!(threads.ended.get(), None, "at the end threads may end");
    }

    #[test]
    fn a_thread_that_lets_others_go_first_is_nicer_than_they_are() {
        let nice = || getpriority_process(Some(gettid())).unwrap();
        let signals = Signals::new([SIGUSR1]).unwrap();
        let threads = Threads::new(signals.handle());
        threads.may_end.store(true, Ordering::Relaxed);
        let (sender, told) = channel();
        let tell = sender.clone();
        let behind = threads.spawn_behind("behind", move || tell.send(nice()).unwrap());
        behind.unwrap().join().unwrap();
        let before = threads.spawn("before", move || sender.send(nice()).unwrap());
        before.unwrap().join().unwrap();
        let (behind, before) = (told.recv().unwrap(), told.recv().unwrap());
        assert_eq!((behind, before), ((nice() + BEHIND).min(NICEST), nice()));
    }
}
