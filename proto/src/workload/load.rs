//! The load of a scenario: its stages, and the one grid of instants at which sessions arrive.
//!
//! The grid belongs to the whole run. A party (a driver, a core of it) walks all of it and takes the
//! arrivals of its own numbers, so that any number of parties together are exactly the whole, even
//! or Poisson alike; what is planned is counted by the same walk.

use super::share::{Part, next_random};
use super::{Pace, Rate};

mod course;

pub use course::Course;

/// Longest stage, ns: a day. With the fastest rate, all products below fit 127 bits.
pub const STAGE_NS_MAX: u64 = 86_400 * 1_000_000_000;
/// Most sessions that a stage can name.
pub const SESSIONS_MAX: u64 = 1_000_000_000_000;

/// Most sessions of Poisson stages, since each driver draws the arrivals of all.
pub(crate) const POISSON_MAX: u64 = 50_000_000;

/// Units of area under a rate in one session: a rate of thousandths a second over nanoseconds,
/// twice, so that the area under a slope is whole too.
const AREA_OF_SESSION: u128 = 2_000_000_000_000;

const _: () = {
    let (rate, duration) = (Rate::MILLI_MAX as u128, STAGE_NS_MAX as u128);
    assert!(2 * rate * duration < i128::MAX as u128 / duration);
};

/// When sessions start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Load {
    /// One after another.
    pub stages: Vec<LoadStage>,
    /// Sessions at once of the whole run, at most; what arrives beyond them is shed.
    pub sessions_max: Option<u64>,
    /// Where random arrivals come from: the same seed, the same arrivals.
    pub seed: u64,
}

/// A part of a load.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LoadStage {
    /// How sessions arrive in it.
    pub arrivals: StageArrivals,
    /// Its length, ns; `None` for one that ends with its last session, which is then the last stage.
    pub for_ns: Option<u64>,
    /// Most sessions that it starts, of all parties together.
    pub sessions: Option<u64>,
    /// Whether it only warms up, and no number counts it.
    pub is_warmup: bool,
}

/// How sessions arrive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StageArrivals {
    /// At a rate that is linear in time, whatever the answers do.
    Open {
        /// At the start of the stage.
        from: Rate,
        /// At its end.
        to: Rate,
        /// Whether the times between are random (a Poisson process) instead of even.
        is_poisson: bool,
    },
    /// So many at once, on a fixed grid.
    Bursts {
        /// Sessions of one burst, at least 1.
        size: u64,
        /// Between the starts of subsequent bursts, ns; at least 1.
        every_ns: u64,
    },
    /// So many sessions at once: where one ends, the next starts.
    Closed {
        /// How many, of all parties together; at least 1.
        sessions: u64,
    },
    /// One for each request of a log, at the log's own instants. A replay is the whole load, and its
    /// entries are not on the grid: whoever plays them reads them from its file.
    Replay {
        /// How much faster than they came.
        pace: Pace,
        /// How many they are, once the file is known.
        requests: Option<u64>,
    },
}

/// A session that arrives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SessionArrival {
    /// Its number among all of the run's arrivals, of all parties and open stages, from 0.
    pub number: u64,
    /// When it is intended to start, ns after the start of the load.
    pub at_ns: u64,
    /// The stage that it belongs to.
    pub stage: usize,
}

impl Load {
    /// When a stage starts, ns after the start of the load.
    #[must_use]
    pub fn stage_start_ns(&self, stage: usize) -> u64 {
        let before = self.stages.iter().take(stage);
        before.fold(0, |sum, stage| {
            sum.saturating_add(stage.for_ns.unwrap_or(0))
        })
    }

    /// The length of all stages, ns; `None` when the last one ends with its sessions.
    #[must_use]
    pub fn duration_ns(&self) -> Option<u64> {
        let mut ends = self.stages.iter().map(|stage| stage.for_ns);
        ends.try_fold(0_u64, |sum, for_ns| Some(sum.saturating_add(for_ns?)))
    }

    /// The arrivals of open stages and bursts that are `part`'s, in order.
    pub fn arrivals(&self, part: Part) -> impl Iterator<Item = SessionArrival> {
        let mut walk = Arrivals::new(self, part);
        std::iter::from_fn(move || walk.next(self))
    }

    /// Sessions of `part` that are planned from the start, without warm-up; `None` where a closed
    /// stage has no count of sessions, so that the answers decide.
    #[must_use]
    pub fn planned(&self, part: Part) -> Option<u64> {
        let (mut before, mut planned, mut random) = (0_u64, 0_u64, self.seed);
        for stage in &self.stages {
            if !stage.is_open() {
                if !stage.is_warmup {
                    planned = planned.saturating_add(part.share(stage.sessions?));
                }
                continue;
            }
            if stage.is_uncounted() {
                return None;
            }
            let count = stage.count(&mut random);
            let after = before.saturating_add(count);
            if !stage.is_warmup {
                planned = planned.saturating_add(part.share(after) - part.share(before));
            }
            before = after;
        }
        Some(planned)
    }
}

impl LoadStage {
    /// Whether sessions arrive whatever the answers do.
    #[must_use]
    pub fn is_open(&self) -> bool {
        !matches!(self.arrivals, StageArrivals::Closed { .. })
    }

    /// Whether only the file of its replay can say how many its sessions are.
    fn is_uncounted(&self) -> bool {
        let StageArrivals::Replay { requests, .. } = self.arrivals else {
            return false;
        };
        requests.is_none() || self.for_ns.is_some()
    }

    /// Sessions that the rate asks for over the stage, before any is left out; `None` where it has
    /// no rate or no length.
    #[must_use]
    pub fn expected(&self) -> Option<u64> {
        match self.arrivals {
            StageArrivals::Open { from, to, .. } => {
                let area = Slope::new(from, to, self.for_ns?).area().unsigned_abs();
                u64::try_from(area.div_ceil(AREA_OF_SESSION)).ok()
            }
            _ => None,
        }
    }

    /// Arrivals of all parties in this stage, which is not closed. `random` goes on as the walk of a
    /// party would take it on.
    fn count(&self, random: &mut u64) -> u64 {
        let most = self.sessions.unwrap_or(u64::MAX);
        match self.arrivals {
            StageArrivals::Closed { .. } => 0,
            StageArrivals::Replay { requests, .. } => requests.unwrap_or(0).min(most),
            StageArrivals::Bursts { size, every_ns } => {
                let bursts = self.length_ns().div_ceil(every_ns);
                bursts.saturating_mul(size).min(most)
            }
            StageArrivals::Open {
                is_poisson: false, ..
            } => self.expected().unwrap_or(u64::MAX).min(most),
            StageArrivals::Open { from, to, .. } => {
                let area = Slope::new(from, to, self.length_ns()).area();
                let mut walk = Walk::default();
                while walk.step(random, area, most).is_some() {}
                walk.nth
            }
        }
    }

    /// The rate of a Poisson stage.
    fn poisson(&self) -> Option<Slope> {
        match self.arrivals {
            StageArrivals::Open {
                from,
                to,
                is_poisson: true,
            } => Some(Slope::new(from, to, self.length_ns())),
            _ => None,
        }
    }

    fn length_ns(&self) -> u64 {
        self.for_ns.unwrap_or(STAGE_NS_MAX)
    }
}

/// The walk of one party over the grid of a load.
#[derive(Debug, Clone)]
pub struct Arrivals {
    part: Part,
    /// The next arrival that is this party's.
    number: u64,
    /// Arrivals of all parties in the stages before.
    before: u64,
    stage: usize,
    start_ns: u64,
    /// Arrivals of all parties in this stage, where no chance decides.
    count: u64,
    walk: Walk,
    random: u64,
}

/// How far in a Poisson stage the walk is.
#[derive(Debug, Clone, Copy, Default)]
struct Walk {
    /// Arrivals of this stage so far, of all parties.
    nth: u64,
    /// The sum of unit-exponential gaps so far, in 2^-40ths.
    gaps: u128,
}

impl Walk {
    /// One arrival on: the area that it is at, unless that is beyond the stage's or there are `most`.
    fn step(&mut self, random: &mut u64, area: i128, most: u64) -> Option<u128> {
        if self.nth >= most {
            return None;
        }
        self.gaps += exponential(random);
        let wanted = (self.gaps * AREA_OF_SESSION) >> GAP_BITS;
        if wanted >= area.unsigned_abs() {
            return None;
        }
        self.nth += 1;
        Some(wanted)
    }
}

impl Arrivals {
    /// At the beginning of a load.
    #[must_use]
    pub fn new(load: &Load, part: Part) -> Self {
        let mut walk = Self {
            part,
            number: part.index,
            before: 0,
            stage: 0,
            start_ns: 0,
            count: 0,
            walk: Walk::default(),
            random: load.seed,
        };
        walk.enter(load);
        walk
    }

    /// The party's next arrival. The load has to be the same each time.
    pub fn next(&mut self, load: &Load) -> Option<SessionArrival> {
        loop {
            let stage = load.stages.get(self.stage)?;
            let at_ns = match stage.poisson() {
                Some(slope) => self.next_random(stage, slope),
                None => self.next_even(stage),
            };
            if let Some(at_ns) = at_ns {
                let number = self.number;
                self.number += self.part.of;
                return Some(SessionArrival {
                    number,
                    at_ns: self.start_ns.saturating_add(at_ns),
                    stage: self.stage,
                });
            }
            self.start_ns = self.start_ns.saturating_add(stage.for_ns.unwrap_or(0));
            self.stage += 1;
            self.enter(load);
        }
    }

    fn enter(&mut self, load: &Load) {
        self.walk = Walk::default();
        let stage = load.stages.get(self.stage);
        let even = stage.filter(|stage| stage.poisson().is_none());
        self.count = even.map_or(0, |stage| stage.count(&mut self.random));
    }

    /// This party's next arrival in a stage without chance, ns after the stage's start. At its end
    /// `None`, and the stage's arrivals are counted.
    fn next_even(&mut self, stage: &LoadStage) -> Option<u64> {
        let nth = self.number - self.before;
        if nth >= self.count {
            self.before += self.count;
            return None;
        }
        match stage.arrivals {
            StageArrivals::Closed { .. } | StageArrivals::Replay { .. } => None,
            StageArrivals::Bursts { size, every_ns } => (nth / size).checked_mul(every_ns),
            StageArrivals::Open { from, to, .. } => {
                let slope = Slope::new(from, to, stage.length_ns());
                slope.instant_ns(u128::from(nth) * AREA_OF_SESSION)
            }
        }
    }

    /// The same in a Poisson stage, where every arrival before it has to be drawn.
    fn next_random(&mut self, stage: &LoadStage, slope: Slope) -> Option<u64> {
        let most = stage.sessions.unwrap_or(u64::MAX);
        let area = slope.area();
        loop {
            let Some(wanted) = self.walk.step(&mut self.random, area, most) else {
                self.before += self.walk.nth;
                return None;
            };
            if self.before + self.walk.nth - 1 == self.number {
                return slope.instant_ns(wanted);
            }
        }
    }
}

/// Binary places of an exponential gap.
const GAP_BITS: u32 = 40;

/// A unit-exponential variate in 2^-40ths, by von Neumann's method: comparisons of uniform numbers
/// only, so that it is the same on every machine, which no library's logarithm is.
fn exponential(random: &mut u64) -> u128 {
    let mut whole = 0_u128;
    loop {
        let first = next_random(random);
        let (mut last, mut run) = (first, 1_u32);
        loop {
            let next = next_random(random);
            if next >= last {
                break;
            }
            last = next;
            run += 1;
        }
        if run % 2 == 1 {
            return (whole << GAP_BITS) + u128::from(first >> (64 - GAP_BITS));
        }
        whole += 1;
    }
}

/// A rate that is linear over a stage, to be inverted exactly.
#[derive(Debug, Clone, Copy)]
struct Slope {
    from: i128,
    to: i128,
    length_ns: u64,
}

impl Slope {
    fn new(from: Rate, to: Rate, length_ns: u64) -> Self {
        Self {
            from: i128::from(from.milli()),
            to: i128::from(to.milli()),
            length_ns,
        }
    }

    /// The area under the whole.
    fn area(&self) -> i128 {
        (self.from + self.to) * i128::from(self.length_ns)
    }

    /// The first instant whose area is at least `wanted`; `None` past the end.
    fn instant_ns(&self, wanted: u128) -> Option<u64> {
        let wanted = i128::try_from(wanted).ok()?;
        if wanted >= self.area() {
            return None;
        }
        if self.from == self.to {
            let at = wanted.unsigned_abs().div_ceil(2 * self.from.unsigned_abs());
            return u64::try_from(at).ok();
        }
        Some(self.bracketed(wanted))
    }

    /// The guess is right to a few ns; widened from there until it encloses the exact instant.
    fn bracketed(&self, wanted: i128) -> u64 {
        let guess = self.guess(wanted as f64).min(self.length_ns);
        let (mut low, mut high, mut step) = (guess, guess, 1_u64);
        while low > 0 && self.reaches(low, wanted) {
            low = low.saturating_sub(step);
            step *= 2;
        }
        step = 1;
        while !self.reaches(high, wanted) {
            high = (high + step).min(self.length_ns);
            step *= 2;
        }
        while high - low > 1 {
            let middle = low + (high - low) / 2;
            if self.reaches(middle, wanted) {
                high = middle;
            } else {
                low = middle;
            }
        }
        if self.reaches(low, wanted) { low } else { high }
    }

    fn reaches(&self, t: u64, wanted: i128) -> bool {
        let (t, d) = (i128::from(t), i128::from(self.length_ns));
        2 * self.from * d * t + (self.to - self.from) * t * t >= wanted * d
    }

    /// The solution in floating point, in the form that does not cancel.
    fn guess(&self, wanted: f64) -> u64 {
        let (from, to, d) = (self.from as f64, self.to as f64, self.length_ns as f64);
        let root = (from * from + (to - from) / d * wanted).max(0.0).sqrt();
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // clamped, then checked
        let t = (wanted / (from + root)).clamp(0.0, d) as u64;
        t
    }
}

#[cfg(test)]
mod tests;
