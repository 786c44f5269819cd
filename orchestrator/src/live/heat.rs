//! The samples of runs by time and band, each laid out once for all who look at its heat map.
//!
//! Of a run in memory that takes some milliseconds, and one that is up to a second old is good
//! enough; of one in the store it takes as long as the run has seconds, and does not change.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use proto::summary::HeatGrid;

use super::results::locked;
use crate::control::SeenRun;

/// Runs that are kept: some hundred KB each.
const RUNS_MAX: usize = 8;
/// How long one of a run that goes on is good enough.
const FRESH_FOR: Duration = Duration::from_secs(1);
/// How long one of a run in the store is: of a partial one late reports may still come in.
const STORED_FOR: Duration = Duration::from_secs(60);

/// What was laid out of a run, and when.
#[derive(Debug)]
struct Laid {
    grid: Arc<HeatGrid>,
    /// Of which version of a run in memory.
    version: Option<u64>,
    at: Instant,
}

/// A run's place; who lays it out holds it, and the others wait.
#[derive(Debug)]
struct Desk {
    asked: Instant,
    laid: Arc<Mutex<Option<Laid>>>,
}

/// The grids of the runs that were asked for last.
#[derive(Debug, Default)]
pub(super) struct Heat {
    desks: Mutex<HashMap<String, Desk>>,
}

impl Heat {
    /// That of a run in memory, as far as its seconds are settled.
    pub(super) fn of(&self, seen: &SeenRun) -> Arc<HeatGrid> {
        let desk = self.desk(&seen.run.test_id);
        let mut laid = locked(&desk);
        let is_good = |laid: &&Laid| {
            laid.version == Some(seen.version)
                || laid.version.is_some()
                    && !seen.run.phase.has_ended()
                    && laid.at.elapsed() < FRESH_FOR
        };
        if let Some(laid) = laid.as_ref().filter(is_good) {
            return Arc::clone(&laid.grid);
        }
        keep(&mut laid, seen.heat(), Some(seen.version))
    }

    /// That of a run that is not in memory, which `read` finds in the store if nobody did lately.
    pub(super) fn of_stored<E>(
        &self,
        test_id: &str,
        read: impl FnOnce() -> Result<HeatGrid, E>,
    ) -> Result<Arc<HeatGrid>, E> {
        let desk = self.desk(test_id);
        let mut laid = locked(&desk);
        let is_good = |laid: &&Laid| laid.version.is_none() && laid.at.elapsed() < STORED_FOR;
        if let Some(laid) = laid.as_ref().filter(is_good) {
            return Ok(Arc::clone(&laid.grid));
        }
        Ok(keep(&mut laid, read()?, None))
    }

    fn desk(&self, test_id: &str) -> Arc<Mutex<Option<Laid>>> {
        let mut desks = locked(&self.desks);
        let desk = desks.entry(test_id.to_owned()).or_insert_with(|| Desk {
            asked: Instant::now(),
            laid: Arc::default(),
        });
        desk.asked = Instant::now();
        let laid = Arc::clone(&desk.laid);
        if desks.len() > RUNS_MAX {
            let oldest = desks.iter().min_by_key(|(_, desk)| desk.asked);
            if let Some(oldest) = oldest.map(|(test_id, _)| test_id.clone()) {
                desks.remove(&oldest);
            }
        }
        laid
    }
}

fn keep(laid: &mut Option<Laid>, grid: HeatGrid, version: Option<u64>) -> Arc<HeatGrid> {
    let grid = Arc::new(grid);
    *laid = Some(Laid {
        grid: Arc::clone(&grid),
        version,
        at: Instant::now(),
    });
    grid
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stored_run_is_read_once_and_the_last_few_are_kept() {
        let heat = Heat::default();
        let mut reads = 0;
        let mut of = |test_id: &str| {
            let grid = heat.of_stored(test_id, || {
                reads += 1;
                Ok::<_, ()>(HeatGrid::default())
            });
            assert!(grid.is_ok());
            reads
        };
        assert_eq!((of("a"), of("a")), (1, 1));
        let many: Vec<String> = (0..RUNS_MAX).map(|n| n.to_string()).collect();
        let last = many.iter().map(|test_id| of(test_id)).last();
        assert_eq!(last, Some(1 + RUNS_MAX));
        assert_eq!(of("a"), 2 + RUNS_MAX, "it had to make room");
        let refused = heat.of_stored("b", || Err("no disk"));
        assert_eq!(refused, Err("no disk"));
        assert!(
            heat.of_stored("b", || Ok::<_, ()>(HeatGrid::default()))
                .is_ok()
        );
    }
}
