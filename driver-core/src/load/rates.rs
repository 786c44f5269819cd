//! The changes of a test's rate, as this node follows them: from their common instant on or, where it
//! reads one too late for that, from its next whole second on.

use proto::measure::{LateRate, RatesFollowed};
use proto::units::NS_PER_S;
use proto::workload::{RateChange, Unchangeable};

use super::Load;
use crate::plan::{Plan, Switch};

/// How long before its instant the cores are told of a change, at least: each looks once a turn, ns.
const LEAD_NS: u64 = 50_000_000;

/// How far this node is.
#[derive(Debug, Clone, Default)]
pub struct Rates {
    /// Number of this node and of all, where each starts at its place within the gap.
    stagger: Option<(u32, u32)>,
    followed: RatesFollowed,
    /// Whether there was one that it cannot follow: then none after it is.
    is_lost: bool,
}

impl Rates {
    /// Those of a load where nodes are staggered, if they are.
    #[must_use]
    pub fn new(stagger: Option<(u32, u32)>) -> Self {
        Self {
            stagger,
            ..Self::default()
        }
    }

    /// What is reported: `None` before the first.
    #[must_use]
    pub fn reported(&self) -> Option<Box<RatesFollowed>> {
        (self.followed.known > 0).then(|| Box::new(self.followed.clone()))
    }

    /// Takes on what is new among all changes so far, at an instant of the monotonic clock.
    ///
    /// # Errors
    /// The first that this plan cannot follow, which whoever orders it knows before.
    pub fn take_on(
        &mut self,
        changes: &[RateChange],
        plan: &Plan,
        load: &Load,
        now_ns: u64,
    ) -> Result<(), Unchangeable> {
        let Some(start_ns) = load.started_ns().filter(|_| !self.is_lost) else {
            return Ok(());
        };
        let since_ns = now_ns.saturating_sub(start_ns);
        while let Some(change) = usize::try_from(self.followed.known)
            .ok()
            .and_then(|known| changes.get(known))
        {
            let number = self.followed.known;
            let join_ns = join_ns(change.at_ns, since_ns);
            let switch = self.switch(change, join_ns, plan);
            self.is_lost = switch.is_err();
            load.switch(switch?);
            self.followed.known += 1;
            if join_ns > change.at_ns {
                let late_ns = join_ns - change.at_ns;
                self.followed.late.push(LateRate { number, late_ns });
            }
        }
        Ok(())
    }

    /// A change in the time of the cores, which begins with what is measured.
    fn switch(
        &self,
        change: &RateChange,
        join_ns: u64,
        plan: &Plan,
    ) -> Result<Switch, Unchangeable> {
        let workload = plan.workload();
        let end_ns = match plan.cast() {
            // Its load knows its stages.
            Some(cast) => {
                cast.scenario.load.changed(change.at_ns, change.rate)?;
                None
            }
            None => workload.changeable(change.at_ns)?,
        };
        let measured = |ns: u64| ns.saturating_sub(workload.warmup_ns);
        let place_ns = self.stagger.map_or(0, |(index, count)| {
            let gap_ns = 1_000 * NS_PER_S / change.rate.milli();
            gap_ns.saturating_mul(index.into()) / u64::from(count.max(1))
        });
        Ok(Switch {
            at_ns: measured(change.at_ns).saturating_add(place_ns),
            join_ns: measured(join_ns),
            end_ns: end_ns.map(measured),
            rate: change.rate,
        })
    }
}

/// From when on a change of the rate at `at_ns` is followed that is read `since_ns` after the start, ns
/// after it: its own instant, or the next whole second.
#[must_use]
pub fn join_ns(at_ns: u64, since_ns: u64) -> u64 {
    let soonest_ns = since_ns.saturating_add(LEAD_NS);
    if soonest_ns <= at_ns {
        return at_ns;
    }
    soonest_ns.div_ceil(NS_PER_S).saturating_mul(NS_PER_S)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_read_too_late_is_followed_from_the_next_whole_second_on() {
        const S: u64 = NS_PER_S;
        for (at_ns, since_ns, expected_ns) in [
            (5 * S, 3 * S, 5 * S),
            (5 * S, 5 * S - LEAD_NS, 5 * S),
            (5 * S, 5 * S - LEAD_NS + 1, 6 * S),
            (5 * S, 5 * S + 1, 6 * S),
            (5 * S, 7 * S + S / 2, 8 * S),
        ] {
            assert_eq!(join_ns(at_ns, since_ns), expected_ns, "{since_ns}");
        }
    }
}
