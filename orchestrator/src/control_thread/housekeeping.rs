//! The thread that compacts, deletes, gives room back, and looks at the folder of files, one order at a
//! time, beside the fold.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crossbeam_channel::{Receiver, Sender, bounded};

use crate::control::KeptFile;
use crate::files::Files;
use crate::store::{Keeper, StoreError};

/// Orders that wait: one of each kind.
const ORDERS_MAX: usize = 3;

#[derive(Debug)]
enum Order {
    Compact(String),
    Tidy,
    Look,
}

/// What was done.
#[derive(Debug)]
pub(super) enum Done {
    /// A run was compacted, or why it was not; `None` when the process ends before.
    Compacted(String, Option<Result<(), String>>),
    /// Nothing is left to delete.
    Tidied(Result<(), StoreError>),
    /// The files beside the store. A folder that cannot be read counts as empty: uploads say why.
    Looked(Vec<KeptFile>),
}

/// The thread's work.
#[derive(Debug)]
pub struct Housekeeper {
    keeper: Keeper,
    files: Arc<Files>,
    orders: Receiver<Order>,
    done: Sender<Done>,
    stop: Arc<AtomicBool>,
}

/// How the control thread gives orders and hears of them.
#[derive(Debug)]
pub(super) struct House {
    orders: Sender<Order>,
    done: Receiver<Done>,
    is_compacting: bool,
    is_tidying: bool,
    is_looking: bool,
}

/// The two ends.
pub(super) fn house(
    keeper: Keeper,
    files: Arc<Files>,
    stop: Arc<AtomicBool>,
) -> (House, Housekeeper) {
    let (orders, incoming) = bounded(ORDERS_MAX);
    let (done, outgoing) = bounded(ORDERS_MAX);
    let house = House {
        orders,
        done: outgoing,
        is_compacting: false,
        is_tidying: false,
        is_looking: false,
    };
    let housekeeper = Housekeeper {
        keeper,
        files,
        orders: incoming,
        done,
        stop,
    };
    (house, housekeeper)
}

impl House {
    /// Has a run compacted.
    pub(super) fn compact(&mut self, test_id: String) {
        self.is_compacting = self.orders.try_send(Order::Compact(test_id)).is_ok();
    }

    /// Has what is doomed deleted.
    pub(super) fn tidy(&mut self) {
        self.is_tidying |= self.orders.try_send(Order::Tidy).is_ok();
    }

    /// Has the folder of files looked at, if that is not under way.
    pub(super) fn look(&mut self) {
        if !self.is_looking {
            self.is_looking = self.orders.try_send(Order::Look).is_ok();
        }
    }

    /// Whether what changes the store is done.
    pub(super) fn is_idle(&self) -> bool {
        !self.is_compacting && !self.is_tidying
    }

    /// What was done since the last call.
    pub(super) fn done(&mut self) -> Vec<Done> {
        let done: Vec<Done> = self.done.try_iter().collect();
        for done in &done {
            match done {
                Done::Compacted(..) => self.is_compacting = false,
                Done::Tidied(_) => self.is_tidying = false,
                Done::Looked(_) => self.is_looking = false,
            }
        }
        done
    }

    /// Waits until the thread has let go of the file.
    pub(super) fn end(self) {
        let Self { orders, done, .. } = self;
        drop(orders);
        done.iter().for_each(drop);
    }
}

impl Housekeeper {
    /// Works until the control thread ends.
    pub fn run(mut self) {
        for order in self.orders.clone() {
            let done = match order {
                Order::Compact(test_id) => self.compact(test_id),
                Order::Tidy => Done::Tidied(self.tidy()),
                Order::Look => Done::Looked(self.look()),
            };
            if self.done.send(done).is_err() {
                return;
            }
        }
    }

    fn look(&self) -> Vec<KeptFile> {
        let files = self.files.list().unwrap_or_default().into_iter();
        let kept = files.map(|file| KeptFile {
            sha256: file.sha256,
            bytes: file.bytes,
            used_unix_ms: file.used_unix_ms,
        });
        kept.collect()
    }

    fn compact(&mut self, test_id: String) -> Done {
        let stop = Arc::clone(&self.stop);
        let outcome = self
            .keeper
            .compact(&test_id, || !stop.load(Ordering::Relaxed));
        let outcome = match outcome {
            Ok(true) => Some(self.tidy().map_err(|error| error.to_string())),
            Ok(false) => None,
            Err(error) => Some(Err(error.to_string())),
        };
        Done::Compacted(test_id, outcome)
    }

    fn tidy(&mut self) -> Result<(), StoreError> {
        while !self.stop.load(Ordering::Relaxed) && self.keeper.tidy()? {}
        Ok(())
    }
}
