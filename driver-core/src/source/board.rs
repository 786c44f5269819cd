//! What the sessions of all cores have counted so far, for whoever watches a run that goes on. Each
//! core adds what is new once a second; nobody waits for anybody.

use std::sync::atomic::{AtomicU64, Ordering};

use proto::measure::{PROGRESS_PARTS_MAX, PartProgress, Progress};
use proto::workload::Scenario;

use super::tally::{FlowTally, StepTally, Tally};

/// Counts of a step and of a flow, in the order of [`Progress`].
type Parts<T> = (Vec<[T; 6]>, Vec<[T; 4]>);

/// The counts of all cores.
#[derive(Debug)]
pub struct Board {
    cells: Parts<AtomicU64>,
}

/// What of a [`Board`] is known already: to a core, what it has added; to who watches, what was told.
#[derive(Debug, Clone, Default)]
pub struct Known {
    counts: Parts<u64>,
    /// The step and the flow that are looked at first the next time.
    first: (usize, usize),
}

impl Board {
    /// An empty one for the steps and flows of a scenario.
    #[must_use]
    pub fn new(scenario: &Scenario) -> Self {
        let steps = scenario.steps.iter().map(|_| Default::default());
        let flows = scenario.flows.iter().map(|_| Default::default());
        Self {
            cells: (steps.collect(), flows.collect()),
        }
    }

    /// Nothing known of it yet.
    #[must_use]
    pub fn unknown(&self) -> Known {
        let (steps, flows) = (self.cells.0.len(), self.cells.1.len());
        Known {
            counts: (vec![[0; 6]; steps], vec![[0; 4]; flows]),
            first: (0, 0),
        }
    }

    /// Adds what a core has counted since it last did.
    pub fn add(&self, tally: &Tally, added: &mut Known) {
        let steps = tally.steps.iter().map(StepTally::told);
        add(&self.cells.0, steps, &mut added.counts.0);
        let flows = tally.flows.iter().map(FlowTally::told);
        add(&self.cells.1, flows, &mut added.counts.1);
    }

    /// What changed since it was last told, of at most [`PROGRESS_PARTS_MAX`] steps and flows: of
    /// more, those that were left out come first the next time.
    pub fn news(&self, told: &mut Known) -> Option<Progress> {
        let progress = Progress {
            steps: changed(&self.cells.0, &mut told.counts.0, &mut told.first.0),
            flows: changed(&self.cells.1, &mut told.counts.1, &mut told.first.1),
        };
        (!progress.is_empty()).then_some(progress)
    }
}

fn add<const N: usize>(
    cells: &[[AtomicU64; N]],
    counts: impl Iterator<Item = [u64; N]>,
    added: &mut [[u64; N]],
) {
    for ((cells, now), added) in cells.iter().zip(counts).zip(added) {
        for ((cell, now), added) in cells.iter().zip(now).zip(added) {
            if now > *added {
                cell.fetch_add(now - *added, Ordering::Relaxed);
                *added = now;
            }
        }
    }
}

fn changed<const N: usize>(
    cells: &[[AtomicU64; N]],
    told: &mut [[u64; N]],
    first: &mut usize,
) -> Vec<PartProgress<N>> {
    let mut rows = Vec::new();
    let from = std::mem::take(first);
    for part in (from..cells.len()).chain(0..from) {
        let counts = std::array::from_fn(|at| cells[part][at].load(Ordering::Relaxed));
        if counts == told[part] {
            continue;
        }
        if rows.len() == PROGRESS_PARTS_MAX {
            *first = part;
            break;
        }
        told[part] = counts;
        let part = u32::try_from(part).expect("invariant: a document has at most some thousand");
        rows.push(PartProgress { part, counts });
    }
    rows
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proto::document::{Document, Setting};
    use proto::measure::{FlowCounts, SessionCounts, StepCounts};

    use super::*;

    fn scenario(steps: usize) -> Scenario {
        let steps = vec!["GET /"; steps].join(", ");
        let text = format!("target: http://h/\nsteps: [{steps}]\n");
        Document::read(&text, Setting::default()).unwrap().scenario
    }

    #[test]
    fn what_all_cores_counted_is_told_once() {
        let scenario = scenario(3);
        let board = Board::new(&scenario);
        let mut cores = [
            (Tally::new(&scenario), board.unknown()),
            (Tally::new(&scenario), board.unknown()),
        ];
        let mut told = board.unknown();
        assert_eq!(board.news(&mut told), None);
        let mut seen = SessionCounts::default();
        for round in 1..=3 {
            for (tally, added) in &mut cores {
                let step = &mut tally.steps[1];
                step.taken += 5;
                (step.ok, step.status) = (step.ok + 1, step.status + 1);
                (step.failed, step.lost, step.without_value) = (round, round + 1, round + 2);
                let flow = &mut tally.flows[0];
                flow.started += 4;
                (flow.completed, flow.failed, flow.cut) = (round, 2 * round, 3 * round);
                board.add(tally, added);
                board.add(tally, added);
            }
            let progress = board.news(&mut told).unwrap();
            assert_eq!((progress.steps.len(), progress.flows.len()), (1, 1));
            assert_eq!(board.news(&mut told), None);
            seen.see(&progress);
        }
        let mut whole = Tally::new(&scenario);
        cores.iter().for_each(|(tally, _)| whole.add(tally));
        let counts = whole.counts(&[]);
        let step = StepCounts {
            sent: 30,
            ok: 6,
            status: 6,
            failed: 6,
            lost: 8,
            without_value: 10,
            ..StepCounts::default()
        };
        assert_eq!((&seen.steps[1], &counts.steps[1]), (&step, &step));
        let flow = FlowCounts {
            started: 24,
            completed: 6,
            failed: 12,
            cut: 18,
            ..FlowCounts::default()
        };
        assert_eq!((&seen.flows[0], &counts.flows[0]), (&flow, &flow));
    }

    #[test]
    fn of_many_parts_each_gets_its_turn() {
        let scenario = scenario(PROGRESS_PARTS_MAX * 2 + 10);
        let board = Board::new(&scenario);
        let (mut tally, mut added, mut told) =
            (Tally::new(&scenario), board.unknown(), board.unknown());
        let mut heard = BTreeSet::new();
        for _ in 0..3 {
            tally.steps.iter_mut().for_each(|step| step.taken += 1);
            board.add(&tally, &mut added);
            let progress = board.news(&mut told).unwrap();
            assert!(progress.steps.len() <= PROGRESS_PARTS_MAX);
            heard.extend(progress.steps.iter().map(|row| row.part));
        }
        assert_eq!(heard.len(), scenario.steps.len());
    }
}
