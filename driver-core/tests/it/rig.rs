//! Describes a load, runs it, and checks the books of every run.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, bounded};
use driver_core::affinity;
use driver_core::load::{Directions, Executors, Load, LoadOutcome, Machine, PrepareError};
use driver_core::plan::Plan;
use driver_core::recording::{Collector, CoreInterval};
use driver_core::ring::Setup;
use proto::clock::monotonic_ns;
use proto::document::{Defaults, Params};
use proto::histogram::Latencies;
use proto::measure::{Counters, Outcome, Report, SecondRow};
use proto::workload::{RateSpec, Stage, TestType, Workload};

use crate::server::Server;

/// Tests that measure time or own cores run one at a time.
static CORES: Mutex<()> = Mutex::new(());

/// No load in these tests takes longer.
const PATIENCE: Duration = Duration::from_secs(90);

/// Waits for the cores to be free.
pub(crate) fn own_the_cores() -> MutexGuard<'static, ()> {
    CORES.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A load to be run.
pub(crate) struct Rig {
    kind: TestType,
    gap_s: f64,
    params: Params,
    cores: usize,
    setup: Setup,
    directions: Directions,
    stop_after: Option<Duration>,
}

/// What came of it.
pub(crate) struct Done {
    pub(crate) counters: Counters,
    pub(crate) latencies: Latencies,
    pub(crate) seconds: Vec<SecondRow>,
    pub(crate) last: Report,
    pub(crate) outcome: LoadOutcome,
    pub(crate) intervals: Vec<(usize, u64)>,
}

impl Rig {
    /// A closed loop of 4 connections against `server`.
    pub(crate) fn on(server: &Server) -> Self {
        Self::at(&server.url())
    }

    pub(crate) fn at(url: &str) -> Self {
        let params = Params {
            target: Some(url.to_owned()),
            connections: Some(4),
            timeout_ms: Some(5_000.0),
            ..Params::default()
        };
        Self {
            kind: TestType::Avalanche,
            gap_s: 1.0,
            params,
            cores: 1,
            setup: Setup::Newest,
            directions: Directions::default(),
            stop_after: None,
        }
    }

    pub(crate) fn requests(mut self, requests: u64) -> Self {
        self.params.requests = Some(requests);
        self
    }

    pub(crate) fn seconds(mut self, seconds: f64) -> Self {
        self.params.duration_s = Some(seconds);
        self
    }

    pub(crate) fn connections(mut self, connections: u64) -> Self {
        self.params.connections = Some(connections);
        self
    }

    pub(crate) fn pipeline(mut self, depth: u64) -> Self {
        self.params.pipeline = Some(depth);
        self
    }

    pub(crate) fn rate(mut self, rate: &str) -> Self {
        self.params.rate = Some(rate.parse::<RateSpec>().unwrap());
        self
    }

    pub(crate) fn stages(mut self, stages: &str) -> Self {
        let stages = stages
            .split(',')
            .map(|stage| stage.parse::<Stage>().unwrap());
        self.params.stages = Some(stages.collect());
        self
    }

    pub(crate) fn bursts(mut self, burst: u64, gap_s: f64) -> Self {
        (self.kind, self.gap_s, self.params.burst) = (TestType::Tsunami, gap_s, Some(burst));
        self
    }

    pub(crate) fn timeout_ms(mut self, ms: f64) -> Self {
        self.params.timeout_ms = Some(ms);
        self
    }

    pub(crate) fn deadline_ms(mut self, ms: f64) -> Self {
        self.params.deadline_ms = Some(ms);
        self
    }

    pub(crate) fn warmup_s(mut self, seconds: f64) -> Self {
        self.params.warmup_s = Some(seconds);
        self
    }

    pub(crate) fn method(mut self, method: &str) -> Self {
        self.params.method = Some(method.to_owned());
        self
    }

    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        let headers = self.params.headers.get_or_insert_default();
        headers.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(crate) fn body(mut self, body: &str) -> Self {
        self.params.body = Some(body.to_owned());
        self
    }

    pub(crate) fn cores(mut self, cores: usize) -> Self {
        self.cores = cores;
        self
    }

    pub(crate) fn directions(mut self, directions: Directions) -> Self {
        self.directions = directions;
        self
    }

    pub(crate) fn setup(mut self, setup: Setup) -> Self {
        self.setup = setup;
        self
    }

    pub(crate) fn stop_after(mut self, delay: Duration) -> Self {
        self.stop_after = Some(delay);
        self
    }

    pub(crate) fn workload(&self) -> Workload {
        let defaults = Defaults::of_rest(self.kind, "http://127.0.0.1:1/");
        Workload::from_params(self.kind, self.gap_s, &self.params, &defaults).unwrap()
    }

    pub(crate) fn prepare(&self) -> Result<(Load, Receiver<CoreInterval>), PrepareError> {
        let allowed = affinity::allowed();
        let cpus: Vec<usize> = allowed.iter().copied().cycle().take(self.cores).collect();
        let (give, intervals) = bounded(4 * self.cores);
        let plan = Plan::new(self.workload());
        let machine = Machine {
            executors: Executors::new(&cpus),
            directions: self.directions.clone(),
        };
        Ok((
            Load::prepare_with(&plan, &machine, &give, self.setup, drop)?,
            intervals,
        ))
    }

    /// Runs the load to its end.
    pub(crate) fn run(self) -> Done {
        let (load, intervals) = self.prepare().unwrap();
        load.start(monotonic_ns() + 5_000_000);
        if let Some(delay) = self.stop_after {
            let stopper = load.stopper();
            thread::spawn(move || {
                thread::sleep(delay);
                stopper.stop();
            });
        }
        collect(load, &intervals)
    }
}

/// Reads the intervals of a load that was started, and checks that its books balance.
pub(crate) fn collect(load: Load, intervals: &Receiver<CoreInterval>) -> Done {
    let mut collector = Collector::new(load.cores());
    let (mut seconds, mut seen) = (Vec::new(), Vec::new());
    let mut sum = Counters::default();
    let mut take = |report: Report| {
        sum.add(&report.counters);
        seconds.extend(report.seconds);
    };
    while !collector.is_complete() {
        match intervals.recv_timeout(PATIENCE) {
            Ok(interval) => {
                seen.push((interval.core, interval.second));
                collector.absorb(&interval).into_iter().for_each(&mut take);
            }
            Err(RecvTimeoutError::Timeout) => panic!("the load takes longer than {PATIENCE:?}"),
            Err(RecvTimeoutError::Disconnected) => panic!("a core ended without its last interval"),
        }
    }
    collector.flush().into_iter().for_each(&mut take);
    let outcome = load.join();
    let last = collector.last(Outcome::Done, None);
    let counters = last.counters.clone();
    assert_eq!(counters.check(), Ok(()), "{counters:#?}");
    assert_eq!(sum, counters, "the seconds do not add up to the whole");
    assert_eq!(
        counters.status_codes.values().sum::<u64>(),
        counters.completed
    );
    let latencies = Latencies::from(&last.latencies);
    assert_eq!(latencies.response.len(), counters.ok);
    assert_eq!(latencies.release_lag.len(), counters.sent);
    assert_eq!(latencies.error.len(), counters.errors.total());
    Done {
        counters,
        latencies,
        seconds,
        last,
        outcome,
        intervals: seen,
    }
}

impl Done {
    /// A quantile of the response time, ms.
    pub(crate) fn response_ms(&self, quantile: f64) -> f64 {
        self.latencies.response.value_at_quantile(quantile) as f64 / 1e6
    }

    /// A quantile of the service time, ms.
    pub(crate) fn service_ms(&self, quantile: f64) -> f64 {
        self.latencies.service.value_at_quantile(quantile) as f64 / 1e6
    }
}
