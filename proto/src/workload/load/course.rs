//! The arrivals of a load whose rate is changed on the way.

use super::super::share::{Part, mixed};
use super::super::{Rate, Unchangeable, last_change_ns};
use super::{Arrivals, Load, LoadStage, POISSON_MAX, SessionArrival, StageArrivals};

impl Load {
    /// The load that takes the place of this one from `at_ns` after its start on: what is left of the
    /// stage there, at another rate, and the stages after it. With it the number of that stage.
    ///
    /// # Errors
    /// [`Unchangeable`] where no rate can be changed then.
    pub fn changed(&self, at_ns: u64, rate: Rate) -> Result<(Self, usize), Unchangeable> {
        let (number, end_ns) = self.stage_at(at_ns)?;
        let stage = self.stages[number];
        stage.has_rate()?;
        let StageArrivals::Open { is_poisson, .. } = stage.arrivals else {
            return Err(Unchangeable::Closed);
        };
        let first = LoadStage {
            arrivals: StageArrivals::Open {
                from: rate,
                to: rate,
                is_poisson,
            },
            for_ns: Some(end_ns - at_ns),
            ..stage
        };
        if let Some(drawn) = first.expected().filter(|_| is_poisson)
            && drawn > POISSON_MAX
        {
            let most = POISSON_MAX;
            return Err(Unchangeable::TooManyDrawn { drawn, most });
        }
        let rest = self.stages[number + 1..].iter().copied();
        let changed = Self {
            stages: std::iter::once(first).chain(rest).collect(),
            sessions_max: self.sessions_max,
            // Not the chance of the arrivals before it once more.
            seed: mixed(self.seed ^ mixed(at_ns)),
        };
        Ok((changed, number))
    }

    /// Until when another rate could bring more arrivals though none is left at this one, ns after the
    /// start: of a load whose last stage has a rate; 0 for others.
    #[must_use]
    pub fn held_ns(&self) -> u64 {
        let last = self.stages.last().filter(|stage| stage.has_rate().is_ok());
        let end_ns = last.and_then(|_| self.duration_ns());
        end_ns.map_or(0, last_change_ns)
    }

    /// The stage at an instant, and when it ends.
    fn stage_at(&self, at_ns: u64) -> Result<(usize, u64), Unchangeable> {
        let mut end_ns = 0_u64;
        for (number, stage) in self.stages.iter().enumerate() {
            end_ns = end_ns.saturating_add(stage.for_ns.unwrap_or(u64::MAX));
            if at_ns < end_ns {
                return Ok((number, end_ns));
            }
        }
        Err(Unchangeable::Over { end_ns })
    }
}

/// The walk of one party over the grid of a load, and over those that changes put in its place.
#[derive(Debug, Clone)]
pub struct Course {
    part: Part,
    walk: Arrivals,
    /// Those that were put in its place, by their instants.
    grids: Vec<Grid>,
    /// How many of them have begun.
    begun: usize,
}

/// A load that takes the place of the one before it.
#[derive(Debug, Clone)]
struct Grid {
    load: Load,
    /// Its first stage, by its number in the load that was asked for.
    stage: usize,
    /// When it begins, ns after the start of the load that was asked for.
    start_ns: u64,
    /// From when on this party follows it: later, where it was told late.
    join_ns: u64,
}

impl Course {
    /// At the beginning of a load.
    #[must_use]
    pub fn new(load: &Load, part: Part) -> Self {
        Self {
            part,
            walk: Arrivals::new(load, part),
            grids: Vec::new(),
            begun: 0,
        }
    }

    /// Changes the rate from `at_ns` after the start of `load` on, where this party follows it from
    /// `join_ns` on. What [`Self::next`] said before and lies not before `join_ns` is void. Changes
    /// come in the order of their instants.
    ///
    /// # Errors
    /// [`Unchangeable`]; nothing is changed then.
    pub fn change(
        &mut self,
        load: &Load,
        at_ns: u64,
        join_ns: u64,
        rate: Rate,
    ) -> Result<(), Unchangeable> {
        let last = self.grids.last();
        let (before, stage, start_ns) =
            last.map_or((load, 0, 0), |grid| (&grid.load, grid.stage, grid.start_ns));
        // One that came out of its order, which nobody who orders them does, begins where the last did.
        let at_ns = at_ns.max(start_ns);
        let (changed, number) = before.changed(at_ns.saturating_sub(start_ns), rate)?;
        self.grids.push(Grid {
            load: changed,
            stage: stage + number,
            start_ns: at_ns,
            join_ns: join_ns.max(at_ns),
        });
        Ok(())
    }

    /// The party's next arrival. The load has to be the same each time.
    pub fn next(&mut self, load: &Load) -> Option<SessionArrival> {
        loop {
            let grid = self.begun.checked_sub(1).map(|at| &self.grids[at]);
            let current = grid.map_or(load, |grid| &grid.load);
            let arrival = self.walk.next(current).map(|arrival| match grid {
                None => arrival,
                Some(grid) => grid.placed(arrival),
            });
            let until_ns = self.grids.get(self.begun).map(|next| next.join_ns);
            let goes_on = |arrival: &SessionArrival| until_ns.is_none_or(|ns| arrival.at_ns < ns);
            let Some(arrival) = arrival.filter(goes_on) else {
                let next = self.grids.get(self.begun)?;
                self.walk = Arrivals::new(&next.load, self.part);
                self.begun += 1;
                continue;
            };
            if grid.is_none_or(|grid| arrival.at_ns >= grid.join_ns) {
                return Some(arrival);
            }
        }
    }
}

impl Grid {
    /// An arrival of its load as one of the whole.
    fn placed(&self, arrival: SessionArrival) -> SessionArrival {
        SessionArrival {
            at_ns: self.start_ns.saturating_add(arrival.at_ns),
            stage: self.stage + arrival.stage,
            ..arrival
        }
    }
}

#[cfg(test)]
mod tests;
