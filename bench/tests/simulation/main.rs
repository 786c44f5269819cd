//! The whole control plane in one thread, on a clock of its own, from one seed: the orchestrator's
//! state, the drivers' state machines and outboxes, a store and a bus, while messages come late,
//! twice, or only after a retry, the broker goes away, drivers freeze and die, and the orchestrator
//! is killed and restarted; mergers, whose book is the real one too, die, sleep through their replacement
//! and wake up, read late, do not reach a leader, and are two groups; `metrics` is deleted and made anew.
//!
//! What must hold, whatever happens: every run ends, and none while a report that could change it lies
//! unread in the log; a result never counts what was not sent, nor anything twice; and where no driver
//! died and nothing was deleted, the result is exactly what the drivers did.
//!
//! A failure prints its seed. `SEED=n` runs that one alone, `SEEDS=n` that many.

#![allow(clippy::unwrap_used, reason = "a test may fail by a panic")]
#![allow(
    clippy::struct_excessive_bools,
    reason = "each fault and each message is one"
)]

mod bus;
mod checks;
mod disk;
mod driver;
mod foreign;
mod group;
mod merger;
mod orchestrator;
mod world;

use std::cell::Cell;

use ::orchestrator::control::CampaignState;
use world::{Faults, World};

/// Seeds of each test in an ordinary run.
const SEEDS: u64 = 400;

/// Of them, those of campaigns, which last several times as long.
const CAMPAIGN_SEEDS: u64 = 100;
/// And those of a single fault of mergers.
const MERGER_SEEDS: u64 = 100;

fn seeds(count: u64) -> Vec<u64> {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse().ok());
    match number("SEED") {
        Some(seed) => vec![seed],
        None => (0..number("SEEDS").unwrap_or(count)).collect(),
    }
}

/// Runs a world from each seed; a panic is preceded by the seed that leads to it.
fn each_seed(faults: Faults, check: impl Fn(&mut World)) {
    let has_single =
        faults.leaders || faults.lags || faults.rivals || faults.remakes || faults.foreigners > 0;
    let count = match (faults.campaigns, has_single) {
        (true, _) => CAMPAIGN_SEEDS,
        (false, true) => MERGER_SEEDS,
        (false, false) => SEEDS,
    };
    for seed in seeds(count) {
        let guard = SeedOnPanic(seed);
        let mut world = World::new(seed, faults);
        world.run();
        world.assert_rates_are_kept();
        check(&mut world);
        std::mem::forget(guard);
    }
}

struct SeedOnPanic(u64);

impl Drop for SeedOnPanic {
    fn drop(&mut self) {
        eprintln!("the seed is {}: run again with SEED={}", self.0, self.0);
    }
}

#[test]
fn without_faults_every_run_is_done_and_exact() {
    each_seed(Faults::default(), |world| {
        world.assert_all_ended();
        world.assert_exact();
        world.assert_states(&["done", "aborted"]);
    });
}

#[test]
fn rates_are_changed_in_most_worlds_and_followed_in_time_without_faults() {
    let changed = Cell::new(0);
    each_seed(Faults::default(), |world| {
        changed.set(changed.get() + world.rates_changed());
        world.assert_rates_in_time();
    });
    let worlds = seeds(SEEDS).len();
    assert!(worlds < 100 || changed.get() > worlds, "{}", changed.get());
}

#[test]
fn late_and_doubled_messages_and_outages_change_nothing() {
    let faults = Faults {
        messages: true,
        outages: true,
        ..Faults::default()
    };
    each_seed(faults, |world| {
        world.assert_all_ended();
        world.assert_exact();
    });
}

#[test]
fn a_killed_orchestrator_comes_to_the_same_result() {
    let faults = Faults {
        messages: true,
        outages: true,
        kills: true,
        ..Faults::default()
    };
    each_seed(faults, |world| {
        world.assert_all_ended();
        world.assert_exact();
    });
}

#[test]
fn dying_and_freezing_drivers_leave_results_that_claim_no_more_than_happened() {
    let faults = Faults {
        messages: true,
        outages: true,
        kills: true,
        deaths: true,
        ..Faults::default()
    };
    each_seed(faults, |world| {
        world.assert_all_ended();
        world.assert_no_more_than_happened();
    });
}

/// Messages that the orchestrator read itself, and those that it counted merged, of all worlds.
#[derive(Default)]
struct Reading {
    raw: Cell<u64>,
    merged: Cell<u64>,
}

impl Reading {
    fn add(&self, world: &World) {
        let (raw, merged) = world.read();
        self.raw.set(self.raw.get() + raw);
        self.merged.set(self.merged.get() + merged);
    }

    /// Panics unless so many came merged for each one that was read itself.
    fn assert_merged(&self, to_raw: std::ops::Range<u64>) {
        let (raw, merged) = (self.raw.get(), self.merged.get());
        let is_so = raw * to_raw.start <= merged && merged <= raw.saturating_mul(to_raw.end);
        assert!(
            is_so || seeds(SEEDS).len() < 100,
            "{raw} raw, {merged} merged"
        );
    }
}

#[test]
fn mergers_change_nothing_and_leave_little_to_read() {
    let faults = Faults {
        mergers: 3,
        ..Faults::default()
    };
    let reading = Reading::default();
    each_seed(faults, |world| {
        world.assert_all_ended();
        world.assert_exact();
        world.assert_states(&["done", "aborted"]);
        reading.add(world);
    });
    let (raw, merged) = (reading.raw.get(), reading.merged.get());
    assert!(raw * 20 < merged, "{raw} raw, {merged} merged");
}

#[test]
fn killed_sleeping_and_rival_mergers_come_to_the_same_result() {
    for mergers in [1, 3] {
        let faults = Faults {
            messages: true,
            outages: true,
            kills: true,
            mergers,
            ..Faults::default()
        };
        let reading = Reading::default();
        each_seed(faults, |world| {
            world.assert_all_ended();
            world.assert_exact();
            world.assert_nobody_is_lost();
            reading.add(world);
        });
        reading.assert_merged(1..50);
    }
}

#[test]
fn mergers_of_dying_drivers_claim_no_more_than_happened() {
    let faults = Faults {
        messages: true,
        outages: true,
        kills: true,
        deaths: true,
        mergers: 2,
        ..Faults::default()
    };
    each_seed(faults, |world| {
        world.assert_all_ended();
        world.assert_no_more_than_happened();
    });
}

/// Two mergers, and nothing else …
const MERGED: Faults = Faults {
    messages: false,
    outages: false,
    kills: false,
    deaths: false,
    mergers: 2,
    leaders: false,
    lags: false,
    rivals: false,
    remakes: false,
    foreigners: 0,
    campaigns: false,
};
/// … and the same killed, asleep, deaf and ended, on a bus that delays, beside an orchestrator that dies.
const TROUBLED: Faults = Faults {
    messages: true,
    outages: true,
    kills: true,
    ..MERGED
};

#[test]
fn what_a_merger_does_not_reach_is_read_by_the_orchestrator() {
    for kind in [MERGED, TROUBLED] {
        let faults = Faults {
            leaders: true,
            ..kind
        };
        let reading = Reading::default();
        each_seed(faults, |world| {
            world.assert_all_ended();
            world.assert_exact();
            world.assert_nobody_is_lost();
            world.assert_mergers_are_relied_on();
            reading.add(world);
        });
        reading.assert_merged(1..100);
    }
}

#[test]
fn idle_drivers_whose_last_reports_a_merger_reads_late_are_not_lost() {
    for kind in [MERGED, TROUBLED] {
        let faults = Faults { lags: true, ..kind };
        each_seed(faults, |world| {
            world.assert_all_ended();
            world.assert_exact();
            world.assert_nobody_is_lost();
            world.assert_mergers_are_relied_on();
        });
    }
}

#[test]
fn of_reports_that_are_deleted_what_was_not_read_is_missing_and_said_to_be() {
    for kind in [MERGED, TROUBLED] {
        let faults = Faults {
            remakes: true,
            ..kind
        };
        let remade = Cell::new(0);
        each_seed(faults, |world| {
            world.assert_all_ended();
            world.assert_no_more_than_happened();
            world.assert_what_is_missing_is_said();
            world.assert_mergers_are_relied_on();
            remade.set(remade.get() + world.remade);
        });
        let worlds = seeds(MERGER_SEEDS).len();
        assert!(worlds < 100 || remade.get() > worlds, "{}", remade.get());
    }
}

#[test]
fn two_groups_that_merge_the_same_are_named_and_change_nothing() {
    for kind in [MERGED, TROUBLED] {
        let faults = Faults {
            rivals: true,
            ..kind
        };
        each_seed(faults, |world| {
            world.assert_all_ended();
            world.assert_exact();
            world.assert_nobody_is_lost();
            world.assert_rivals_are_named();
        });
    }
}

#[test]
fn no_run_ends_while_reports_of_other_implementations_lie_unread() {
    for kind in [MERGED, TROUBLED] {
        let faults = Faults {
            foreigners: 2,
            ..kind
        };
        each_seed(faults, |world| {
            world.assert_all_ended();
            world.assert_no_more_than_happened();
            world.assert_what_is_missing_is_said();
            world.assert_nobody_is_lost();
        });
    }
}

#[test]
fn searches_and_sets_come_to_their_end_beside_the_tests_of_others() {
    let faults = Faults {
        campaigns: true,
        ..Faults::default()
    };
    let done = Cell::new(0);
    each_seed(faults, |world| {
        world.assert_all_ended();
        world.assert_exact();
        world.assert_campaigns(&[CampaignState::Done, CampaignState::Aborted]);
        done.set(done.get() + world.sets_done());
    });
    let worlds = seeds(CAMPAIGN_SEEDS).len();
    assert!(worlds < 100 || done.get() > worlds / 2, "{}", done.get());
}

#[test]
fn searches_and_sets_of_a_killed_orchestrator_go_on_and_claim_nothing_that_is_not_so() {
    let ended = [
        CampaignState::Done,
        CampaignState::Aborted,
        CampaignState::Failed,
    ];
    for deaths in [false, true] {
        let faults = Faults {
            messages: true,
            outages: true,
            kills: true,
            deaths,
            campaigns: true,
            ..Faults::default()
        };
        each_seed(faults, |world| {
            world.assert_all_ended();
            world.assert_campaigns(&ended);
            world.assert_no_more_than_happened();
        });
    }
}
