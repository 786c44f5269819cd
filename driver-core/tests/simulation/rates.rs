//! Loads whose rate is changed on the way.

use proto::workload::Rate;

use super::*;

const S: u64 = 1_000_000_000;

/// A change at a second to so many thousandths a second.
fn switch(at: u64, milli: u64) -> Switch {
    Switch {
        at_ns: at * S,
        join_ns: at * S,
        end_ns: Some(3 * S),
        rate: Rate::from_milli(milli).unwrap(),
    }
}

fn params(rng: &mut Rng, per_second: u32) -> Params {
    Params {
        requests: None,
        duration_s: Some(3.0),
        rate: Some(per_second.to_string().parse().unwrap()),
        deadline_ms: None,
        warmup_s: None,
        timeout_ms: Some(60_000.0),
        ..random_params(rng)
    }
}

#[test]
fn a_changed_rate_is_sent_on_its_own_grid_to_the_end_of_the_plan() {
    each_seed(|seed| {
        let mut rng = Rng::with_seed(seed ^ 0x5a7e);
        let before = rng.u32(1..1_000);
        let (second, third) = (rng.u64(1..1_000), rng.u64(1..1_000));
        let params = params(&mut rng, before);
        let mut world = World::new(seed, &params, Mischief::default());
        world.switches = [(1, second), (2, third)]
            .map(|(at, rate)| {
                let read_ns = START_NS + at * S - rng.u64(1_000_000..900_000_000);
                (read_ns, switch(at, rate * 1000))
            })
            .into();
        let done = world.run();
        done.check();
        let mut intended = Vec::new();
        for (at, rate) in [(0, u64::from(before)), (1, second), (2, third)] {
            intended.extend((0..rate).map(|n| START_NS + at * S + (n * S).div_ceil(rate)));
        }
        let c = &done.counters;
        let planned = intended.len() as u64;
        assert_eq!(
            (c.planned, c.offered, c.ok),
            (planned, planned, planned),
            "{c:#?}"
        );
        let mut lags = new();
        for (sent_ns, intended_ns) in done.network.sends_ns.iter().zip(intended) {
            assert!(*sent_ns >= intended_ns);
            lags.record((sent_ns - intended_ns).max(1)).unwrap();
        }
        assert_eq!(done.latencies.release_lag, lags);
    });
}

#[test]
fn a_load_at_next_to_no_rate_waits_for_another_one() {
    each_seed(|seed| {
        let mut rng = Rng::with_seed(seed ^ 0x9a05e);
        let params = params(&mut rng, 100);
        let mut world = World::new(seed, &params, Mischief::default());
        world.switches = vec![
            (START_NS + S / 2, switch(1, Rate::MILLI_MIN)),
            (START_NS + 3 * S / 2, switch(2, 50_000)),
        ];
        let done = world.run();
        done.check();
        let c = &done.counters;
        assert_eq!((c.planned, c.ok), (100 + 1 + 50, 100 + 1 + 50), "{c:#?}");
    });
}

#[test]
fn whatever_happens_while_rates_change_the_books_are_in_order() {
    each_seed(|seed| {
        let mut rng = Rng::with_seed(seed ^ 0xb00c5);
        let params = Params {
            rate: Some(rng.u32(20..1_000).to_string().parse().unwrap()),
            ..random_params(&mut rng)
        };
        let mischief = random_mischief(&mut rng);
        let mut world = World::new(seed, &params, mischief);
        world.stalls = if rng.bool() { 0.02 } else { 0.0 };
        world.stop_ns = (rng.u8(..) < 80).then(|| rng.u64(0..1_500_000_000));
        let end_ns = world.plan.workload().limit.duration_ns;
        let mut at_ns = 0;
        for _ in 0..rng.u8(0..4) {
            at_ns += rng.u64(1..700_000_000);
            let rate = Rate::from_milli(rng.u64(1..2_000_000)).unwrap();
            let switch = Switch {
                at_ns,
                join_ns: at_ns + rng.u64(0..2) * rng.u64(0..300_000_000),
                end_ns,
                rate,
            };
            // Also later than they are to be followed.
            let read_ns = (START_NS + at_ns + rng.u64(0..S)).saturating_sub(S / 2);
            world.switches.push((read_ns, switch));
        }
        world
            .switches
            .retain(|(_, switch)| end_ns.is_none_or(|end_ns| switch.at_ns < end_ns));
        let done = world.run();
        done.check();
    });
}
