//! SIGINT and SIGTERM of a run on its own: the first ends it in good order, the next one at once.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use crossbeam_channel::{Receiver, bounded};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use signal_hook::low_level::emulate_default_handler;

/// Whether the run was interrupted.
pub(super) struct Interrupts {
    /// Whether signals do what they do to any process.
    by_default: Arc<AtomicBool>,
    first: Receiver<()>,
}

impl Interrupts {
    /// Takes the signals over.
    ///
    /// # Errors
    /// Of the system, which has no handler or no thread for it.
    pub(super) fn watch() -> io::Result<Self> {
        let mut signals = Signals::new([SIGINT, SIGTERM])?;
        let (tell, first) = bounded(1);
        let by_default = Arc::new(AtomicBool::new(false));
        let shared = Arc::clone(&by_default);
        let watch = move || {
            for signal in &mut signals {
                if shared.swap(true, Ordering::Relaxed) {
                    // Fails only for signals that there are not.
                    let _ = emulate_default_handler(signal);
                }
                let _ = tell.try_send(());
            }
        };
        thread::Builder::new()
            .name("signals".to_owned())
            .spawn(watch)?;
        Ok(Self { by_default, first })
    }

    /// Gets a message with the first signal.
    pub(super) fn first(&self) -> &Receiver<()> {
        &self.first
    }

    /// From here on a signal ends the process at once: there is nothing left to end in good order.
    pub(super) fn let_go(&self) {
        self.by_default.store(true, Ordering::Relaxed);
    }
}
