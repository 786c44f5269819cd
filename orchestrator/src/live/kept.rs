//! What is made of all seconds of a run, once for all who look at it.
//!
//! Of a run in memory that takes some milliseconds, and one that is up to a second old is good
//! enough; of one in the store it takes as long as the run has seconds, and does not change.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::results::locked;
use crate::control::SeenRun;

/// Runs that are kept: some hundred KB each.
const RUNS_MAX: usize = 8;
/// How long one of a run that goes on is good enough.
const FRESH_FOR: Duration = Duration::from_secs(1);
/// How long one of a run in the store is: of a partial one late reports may still come in.
const STORED_FOR: Duration = Duration::from_secs(60);

/// What was made of a run, and when.
#[derive(Debug)]
struct Made<T> {
    it: Arc<T>,
    /// Of which version of a run in memory.
    version: Option<u64>,
    at: Instant,
}

/// A run's place; who makes it holds it, and the others wait.
type Place<T> = Arc<Mutex<Option<Made<T>>>>;

#[derive(Debug)]
struct Desk<T> {
    asked: Instant,
    place: Place<T>,
}

/// What was made of the runs that were asked for last.
#[derive(Debug)]
pub(super) struct Kept<T> {
    desks: Mutex<HashMap<String, Desk<T>>>,
}

impl<T> Default for Kept<T> {
    fn default() -> Self {
        Self {
            desks: Mutex::default(),
        }
    }
}

impl<T> Kept<T> {
    /// That of a run in memory, as far as its seconds are settled.
    pub(super) fn of(&self, seen: &SeenRun, make: impl FnOnce(&SeenRun) -> T) -> Arc<T> {
        let place = self.place(&seen.run.test_id);
        let mut made = locked(&place);
        let is_good = |made: &&Made<T>| {
            made.version == Some(seen.version)
                || made.version.is_some()
                    && !seen.run.phase.has_ended()
                    && made.at.elapsed() < FRESH_FOR
        };
        if let Some(made) = made.as_ref().filter(is_good) {
            return Arc::clone(&made.it);
        }
        keep(&mut made, make(seen), Some(seen.version))
    }

    /// That of a run that is not in memory, which `read` finds in the store if nobody did lately.
    pub(super) fn of_stored<E>(
        &self,
        test_id: &str,
        read: impl FnOnce() -> Result<T, E>,
    ) -> Result<Arc<T>, E> {
        let place = self.place(test_id);
        let mut made = locked(&place);
        let is_good = |made: &&Made<T>| made.version.is_none() && made.at.elapsed() < STORED_FOR;
        if let Some(made) = made.as_ref().filter(is_good) {
            return Ok(Arc::clone(&made.it));
        }
        Ok(keep(&mut made, read()?, None))
    }

    fn place(&self, test_id: &str) -> Place<T> {
        let mut desks = locked(&self.desks);
        let desk = desks.entry(test_id.to_owned()).or_insert_with(|| Desk {
            asked: Instant::now(),
            place: Arc::default(),
        });
        desk.asked = Instant::now();
        let place = Arc::clone(&desk.place);
        if desks.len() > RUNS_MAX {
            let oldest = desks.iter().min_by_key(|(_, desk)| desk.asked);
            if let Some(oldest) = oldest.map(|(test_id, _)| test_id.clone()) {
                desks.remove(&oldest);
            }
        }
        place
    }
}

fn keep<T>(made: &mut Option<Made<T>>, it: T, version: Option<u64>) -> Arc<T> {
    let it = Arc::new(it);
    *made = Some(Made {
        it: Arc::clone(&it),
        version,
        at: Instant::now(),
    });
    it
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stored_run_is_read_once_and_the_last_few_are_kept() {
        let kept = Kept::default();
        let mut reads = 0;
        let mut of = |test_id: &str| {
            let made = kept.of_stored(test_id, || {
                reads += 1;
                Ok::<_, &str>(7)
            });
            assert!(made.is_ok());
            reads
        };
        assert_eq!((of("a"), of("a")), (1, 1));
        let many: Vec<String> = (0..RUNS_MAX).map(|n| n.to_string()).collect();
        let last = many.iter().map(|test_id| of(test_id)).last();
        assert_eq!(last, Some(1 + RUNS_MAX));
        assert_eq!(of("a"), 2 + RUNS_MAX, "it had to make room");
        let refused = kept.of_stored("b", || Err("no disk"));
        assert_eq!(refused, Err("no disk"));
        assert!(kept.of_stored("b", || Ok::<_, &str>(7)).is_ok());
    }
}
