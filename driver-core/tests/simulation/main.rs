//! The whole dispatcher of a core on a network in memory and a clock of its own, from one seed: late
//! and split answers, resets at any byte, closes of one and of all connections, a target that is away
//! for a while, sends that fail, and a core that is held up; over HTTP/2 also streams that are answered
//! in any order, refused, reset and handed back by a target that leaves.
//!
//! What must hold, whatever happens: the load ends; every request that was planned has one outcome;
//! what was sent is what the network was given; every sample belongs to an answer that came whole, at
//! its instant; and intended instants are those of the schedule.
//!
//! A failure prints its seed. `SEED=n` runs that one alone, `SEEDS=n` that many.

#![allow(clippy::unwrap_used, reason = "a test may fail by a panic")]

mod http1;
mod http2;
mod network;
mod rates;

use std::sync::Arc;

use crossbeam_channel::{Receiver, unbounded};
use driver_core::dispatch::{Dispatcher, Limits, Shared};
use driver_core::plan::{Plan, Switch};
use driver_core::protocol::http1::Http1;
use driver_core::protocol::http2::Http2;
use driver_core::protocol::{Protocol, Template};
use driver_core::recording::{Collector, CoreInterval};
use driver_core::transport::plain::Plain;
use fastrand::Rng;
use hdrhistogram::Histogram;
use proto::document::{Defaults, Params};
use proto::histogram::{Latencies, new};
use proto::measure::{Counters, Outcome, Report};
use proto::workload::{TestType, Workload};

use http1::Http1Target;
use http2::Http2Target;
use network::{Memory, Mischief, Target};

/// Seeds of each test in an ordinary run.
const SEEDS: u64 = 1_000;
/// Events that a turn works off, as in the core loop.
const BATCH_MAX: usize = 256;
/// No load takes more turns.
const TURNS_MAX: u64 = 3_000_000;

fn each_seed(check: impl Fn(u64)) {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse().ok());
    let seeds: Vec<u64> = match number("SEED") {
        Some(seed) => vec![seed],
        None => (0..number("SEEDS").unwrap_or(SEEDS)).collect(),
    };
    for seed in seeds {
        let guard = SeedOnPanic(seed);
        check(seed);
        std::mem::forget(guard);
    }
}

struct SeedOnPanic(u64);

impl Drop for SeedOnPanic {
    fn drop(&mut self) {
        eprintln!("the seed is {}: run again with SEED={}", self.0, self.0);
    }
}

/// One core, its network, and what it handed over.
struct World<P: Protocol, T: Target> {
    dispatcher: Dispatcher<P, Plain>,
    network: Memory<T>,
    shared: Arc<Shared>,
    intervals: Receiver<CoreInterval>,
    plan: Plan,
    /// How likely a turn is held up.
    stalls: f64,
    stop_ns: Option<u64>,
    /// Changes of the rate, and when each is read.
    switches: Vec<(u64, Switch)>,
}

/// What came of it.
struct Done<T: Target> {
    counters: Counters,
    latencies: Latencies,
    last: Report,
    failed: Option<String>,
    network: Memory<T>,
    plan: Plan,
}

/// When every load starts, ns.
const START_NS: u64 = 50_000_000;

fn workload(params: &Params) -> Workload {
    let kind = TestType::Avalanche;
    let defaults = Defaults::of_rest(kind, "http://127.0.0.1:8000/");
    Workload::from_params(kind, 0.0, params, &defaults).unwrap()
}

fn template(plan: &Plan) -> Template {
    Template::fixed(&plan.workload().request, &plan.workload().target, false)
}

impl World<Http1, Http1Target> {
    fn new(seed: u64, params: &Params, mischief: Mischief) -> Self {
        let plan = Plan::new(workload(params));
        let http1 = Http1::new(&[template(&plan)]);
        let request_len = http1.as_fixed(0).unwrap().len();
        let copies = plan.workload().pipeline;
        Self::of(seed, plan, mischief, (http1, request_len, copies))
    }
}

impl World<Http2, Http2Target> {
    fn http2(seed: u64, params: &Params, mischief: Mischief) -> Self {
        let plan = Plan::new(workload(params));
        let http2 = Http2::new(&[template(&plan)], plan.workload().pipeline).unwrap();
        Self::of(seed, plan, mischief, (http2, 100, u32::MAX))
    }
}

impl<P: Protocol, T: Target> World<P, T> {
    fn of(
        seed: u64,
        plan: Plan,
        mischief: Mischief,
        (protocol, request_len, copies): (P, usize, u32),
    ) -> Self {
        let share = plan.share(0, 1);
        let requests = plan.workload().limit.requests.unwrap_or(0);
        let shared = Arc::new(Shared::new(1, requests));
        let (give, intervals) = unbounded();
        let limits = Limits::new(&plan, request_len, copies, &[1]);
        let mut network = Memory::new(seed, share.connections, request_len, mischief);
        network.counts_from_ns = START_NS + plan.workload().warmup_ns;
        let dispatcher = Dispatcher::new(
            &plan,
            &share,
            limits,
            (protocol, Plain),
            Arc::clone(&shared),
            give,
            0,
        );
        Self {
            dispatcher,
            network,
            shared,
            intervals,
            plan,
            stalls: 0.0,
            stop_ns: None,
            switches: Vec::new(),
        }
    }

    /// Runs the load to its end, as the core loop does.
    fn run(mut self) -> Done<T> {
        fastrand::seed(self.network.rng.u64(..));
        self.dispatcher.open_connections(0, &mut self.network);
        self.shared.start(START_NS, 0);
        for turn in 0.. {
            assert!(turn < TURNS_MAX, "the load does not end");
            let now_ns = self.network.now_ns;
            self.dispatcher.keep_seconds(now_ns, || now_ns / 2);
            for _ in 0..BATCH_MAX {
                let Some((slot, event)) = self.network.poll() else {
                    break;
                };
                self.dispatcher.take(slot, event, now_ns, &mut self.network);
            }
            if self.stop_ns.is_some_and(|stop_ns| now_ns >= stop_ns) {
                self.shared.stop();
            }
            while let Some((_, switch)) = self.switches.first().filter(|(at, _)| now_ns >= *at) {
                self.shared.switch(*switch);
                self.switches.remove(0);
            }
            self.dispatcher.obey(now_ns, || now_ns / 2);
            if now_ns >= self.dispatcher.next_upkeep_ns() {
                self.dispatcher
                    .upkeep(now_ns, || now_ns / 2, &mut self.network);
            }
            let is_full = self.dispatcher.release(now_ns, &mut self.network);
            if self.dispatcher.is_over() {
                break;
            }
            self.pass_time(is_full);
        }
        self.finish()
    }

    fn pass_time(&mut self, is_full: bool) {
        let now_ns = self.network.now_ns;
        let rng = &mut self.network.rng;
        let mut next_ns = now_ns + rng.u64(200..5_000);
        if rng.f64() < self.stalls {
            next_ns += rng.u64(0..300_000_000);
        }
        if !is_full {
            let until_ns = [
                self.network.next_ns(),
                self.dispatcher.next_send_ns(),
                self.dispatcher.next_upkeep_ns(),
                self.dispatcher.next_chore_ns(),
                self.stop_ns.filter(|ns| *ns > now_ns).unwrap_or(u64::MAX),
                self.switches.first().map_or(u64::MAX, |(at_ns, _)| *at_ns),
                now_ns + 1_000_000_000,
            ];
            next_ns = next_ns.max(until_ns.into_iter().min().unwrap());
        }
        self.network.now_ns = next_ns;
    }

    fn finish(mut self) -> Done<T> {
        let now_ns = self.network.now_ns;
        self.dispatcher
            .finish(now_ns, now_ns / 2, &mut self.network);
        let mut collector = Collector::new(1);
        let mut sum = Counters::default();
        for interval in self.intervals.try_iter() {
            let report = collector.absorb(&interval);
            report.iter().for_each(|report| sum.add(&report.counters));
        }
        assert!(collector.is_complete());
        collector
            .flush()
            .iter()
            .for_each(|report| sum.add(&report.counters));
        let last = collector.last(Outcome::Done, None);
        assert_eq!(sum, last.counters, "the seconds do not add up to the whole");
        let latencies = Latencies::from(&last.latencies);
        Done {
            counters: last.counters.clone(),
            latencies,
            last,
            failed: self.shared.failure(),
            network: self.network,
            plan: self.plan,
        }
    }
}

impl<T: Target> Done<T> {
    /// What holds of every load.
    fn check(&self) {
        let c = &self.counters;
        assert_eq!(c.check(), Ok(()), "{c:#?}");
        assert_eq!(c.sent, self.network.sends_ns.len() as u64, "{c:#?}");
        assert_eq!(c.ok, self.network.good_ns.len() as u64, "{c:#?}");
        assert_eq!(c.errors.status, self.network.bad, "{c:#?}");
        assert_eq!(c.returned, self.network.returned, "{c:#?}");
        assert_eq!(c.connections_opened, self.network.opened, "{c:#?}");
        let l = &self.latencies;
        assert_eq!(l.response.len(), c.ok);
        assert_eq!(l.release_lag.len(), c.sent);
        assert_eq!(l.error.len(), c.errors.total());
        assert_eq!(
            l.connect.get().map_or(0, Histogram::len),
            self.network.connected
        );
        assert_eq!(l.first_byte.get().map_or(0, Histogram::len), c.ok);
        // Every sample is that of an answer that came whole, and none is invented.
        let mut service = new();
        for ns in &self.network.good_ns {
            service.record((*ns).max(1)).unwrap();
        }
        assert_eq!(l.service, service);
    }

    /// The n-th send is the n-th of the schedule where none was shed or refused.
    fn check_grid(&self) {
        let open_loop = self.plan.share(0, 1).open_loop.unwrap();
        let mut lags = new();
        for (nth, sent_ns) in (0..).zip(&self.network.sends_ns) {
            let intended_ns = START_NS + open_loop.intended_ns(nth).unwrap();
            assert!(*sent_ns >= intended_ns, "request {nth} was sent early");
            lags.record((sent_ns - intended_ns).max(1)).unwrap();
        }
        assert_eq!(self.latencies.release_lag, lags);
    }
}

/// A load of a random kind and size.
fn random_params(rng: &mut Rng) -> Params {
    let is_open = rng.bool();
    let by_count = rng.bool();
    Params {
        connections: Some(rng.u64(1..20)),
        pipeline: Some([1, 1, 2, 16][rng.usize(0..4)]),
        requests: by_count.then(|| rng.u64(1..1_500)),
        duration_s: (!by_count).then(|| [0.3, 1.0, 2.5][rng.usize(0..3)]),
        rate: is_open.then(|| rng.u32(20..3_000).to_string().parse().unwrap()),
        timeout_ms: Some([20.0, 100.0, 1_000.0][rng.usize(0..3)]),
        deadline_ms: (is_open && rng.bool()).then_some(30.0),
        warmup_s: (rng.u8(..) < 60).then_some(0.2),
        ..Params::default()
    }
}

fn random_mischief(rng: &mut Rng) -> Mischief {
    let mut maybe = |share: f64| if rng.bool() { rng.f64() * share } else { 0.0 };
    Mischief {
        refuses: maybe(0.5),
        hangs: 0.0,
        splits: maybe(0.9),
        resets: maybe(0.1),
        closes: maybe(0.1),
        holds: maybe(0.02),
        surplus: maybe(0.05),
        fails: maybe(0.3),
        breaks: maybe(0.05),
        returns: maybe(0.1),
        leaves: maybe(0.05),
        mass_close_ns: None,
        away_ns: None,
    }
}

#[test]
fn a_good_target_gets_every_request_of_the_plan_on_its_grid() {
    each_seed(|seed| {
        let mut rng = Rng::with_seed(seed);
        let params = Params {
            requests: Some(rng.u64(1..1_500)),
            duration_s: None,
            deadline_ms: None,
            warmup_s: None,
            timeout_ms: Some(60_000.0),
            rate: Some(rng.u32(20..3_000).to_string().parse().unwrap()),
            ..random_params(&mut rng)
        };
        let mischief = Mischief {
            splits: 0.3,
            ..Mischief::default()
        };
        let mut world = World::new(seed, &params, mischief);
        world.stalls = 0.01;
        let done = world.run();
        done.check();
        done.check_grid();
        assert_eq!(
            done.counters.ok, done.counters.planned,
            "{:#?}",
            done.counters
        );
        assert_eq!(done.failed, None);
    });
}

#[test]
fn whatever_the_target_does_every_request_has_one_outcome() {
    each_seed(|seed| {
        let mut rng = Rng::with_seed(seed ^ 0x5eed);
        let params = random_params(&mut rng);
        let mischief = random_mischief(&mut rng);
        let mut world = World::new(seed, &params, mischief);
        world.stalls = if rng.bool() { 0.02 } else { 0.0 };
        world.run().check();
    });
}

#[test]
fn a_stop_at_any_instant_leaves_the_books_in_order() {
    each_seed(|seed| {
        let mut rng = Rng::with_seed(seed ^ 0x5709);
        let params = random_params(&mut rng);
        let mischief = random_mischief(&mut rng);
        let mut world = World::new(seed, &params, mischief);
        world.stop_ns = Some(rng.u64(0..1_500_000_000));
        world.run().check();
    });
}

#[test]
fn a_target_that_is_away_refuses_what_falls_due_and_gets_the_rest() {
    each_seed(|seed| {
        let mut rng = Rng::with_seed(seed ^ 0xa3a1);
        let params = Params {
            requests: None,
            duration_s: Some(3.0),
            rate: Some(rng.u32(20..500).to_string().parse().unwrap()),
            deadline_ms: None,
            warmup_s: None,
            timeout_ms: Some(1_000.0),
            ..random_params(&mut rng)
        };
        let away_from_ns = START_NS + rng.u64(200_000_000..1_000_000_000);
        let mischief = Mischief {
            mass_close_ns: Some(away_from_ns),
            away_ns: Some((away_from_ns, away_from_ns + 1_000_000_000)),
            ..Mischief::default()
        };
        let done = World::new(seed, &params, mischief).run();
        done.check();
        let c = &done.counters;
        assert!(c.refused > 0 && c.not_sent == 0, "{c:#?}");
        // A second of three, less the first attempts and with the last back-off.
        let share = c.refused as f64 / c.planned as f64;
        assert!((0.2..0.5).contains(&share), "{share}: {c:#?}");
        assert!(done.last.health.away_ns > 500_000_000);
    });
}

#[test]
fn a_closed_loop_whose_target_never_comes_back_ends_as_lost() {
    each_seed(|seed| {
        let mut rng = Rng::with_seed(seed ^ 0x1057);
        let params = Params {
            requests: Some(1_000_000),
            rate: None,
            duration_s: None,
            deadline_ms: None,
            warmup_s: None,
            ..random_params(&mut rng)
        };
        let lost_ns = START_NS + rng.u64(1..100_000_000);
        let mischief = Mischief {
            mass_close_ns: Some(lost_ns),
            away_ns: Some((lost_ns, u64::MAX)),
            ..Mischief::default()
        };
        let done = World::new(seed, &params, mischief).run();
        done.check();
        let why = done.failed.as_deref().unwrap();
        assert!(why.starts_with("target_lost: "), "{why}");
        assert!(done.counters.not_sent > 0);
        let end_ns = done.network.now_ns;
        assert!(end_ns < lost_ns + 8_000_000_000, "{end_ns} after {lost_ns}");
    });
}

#[test]
fn streams_that_are_answered_in_any_order_are_those_of_the_plan() {
    each_seed(|seed| {
        let mut rng = Rng::with_seed(seed ^ 0x0425);
        let params = Params {
            requests: Some(rng.u64(1..1_500)),
            duration_s: None,
            deadline_ms: None,
            warmup_s: None,
            timeout_ms: Some(60_000.0),
            ..random_params(&mut rng)
        };
        let is_open = params.rate.is_some();
        let mischief = Mischief {
            splits: 0.3,
            surplus: 0.05,
            ..Mischief::default()
        };
        let mut world = World::http2(seed, &params, mischief);
        world.stalls = 0.01;
        let done = world.run();
        done.check();
        if is_open {
            done.check_grid();
        }
        let c = &done.counters;
        assert_eq!((c.ok, done.failed.as_ref()), (c.planned, None), "{c:#?}");
    });
}

#[test]
fn whatever_becomes_of_its_stream_every_request_has_one_outcome() {
    each_seed(|seed| {
        let mut rng = Rng::with_seed(seed ^ 0x2bad);
        let params = random_params(&mut rng);
        let mischief = random_mischief(&mut rng);
        let mut world = World::http2(seed, &params, mischief);
        world.stalls = if rng.bool() { 0.02 } else { 0.0 };
        world.stop_ns = (rng.u8(..) < 80).then(|| rng.u64(0..1_500_000_000));
        world.run().check();
    });
}
