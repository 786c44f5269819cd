//! From the start of a load to its last report: reads what the cores hand over, keeps their logs,
//! watches their CPUs, and passes the node's reports on. The same for a driver in a cluster and
//! for a run on its own.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError};
use proto::measure::{Addresses, ClockOffset, Environment, Health, Outcome, Report, ServerReport};

use crate::cpu::{CpuWatch, environment, spin_share};
use crate::load::{Load, LoadOutcome, Server, link};
use crate::recording::{Collector, CoreInterval, CoreLog};
use crate::source::Cast;
use crate::source::board::Known;

/// What following a load needs to know besides the load.
#[derive(Debug, Clone, Default)]
pub struct FollowOptions {
    /// The test.
    pub test_id: String,
    /// CPUs of the cores, in their order.
    pub cpus: Vec<usize>,
    /// Folder of the per-core logs; `None` for none.
    pub logs: Option<PathBuf>,
    /// The start in the node's wall clock, ns since 1970, for the logs.
    pub start_unix_ns: u64,
    /// How much later than the common start this node's first request is intended.
    pub stagger_ns: u64,
    /// The node's clock offset, as it was told.
    pub clock: Option<ClockOffset>,
    /// The sessions that are played, where the test is a document.
    pub cast: Option<Cast>,
    /// Values that no report may tell.
    pub hidden: Vec<String>,
}

/// Who is told how a load goes on.
pub trait Follower {
    /// A report: every interval's, and the last one. The collector knows the run so far.
    fn report(&mut self, report: Report, so_far: &Collector);

    /// Called every [`LOOK_EVERY`] or so while the load goes on.
    fn look(&mut self, load: &Load) {
        let _ = load;
    }

    /// The logs of the cores cannot be written from here on; said once.
    fn logs_failed(&mut self, error: &io::Error);
}

/// How often a [`Follower`] gets to look at the load.
pub const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Follows a load that has been started until its end, and says how that was.
pub fn follow(
    options: FollowOptions,
    load: Load,
    intervals: &Receiver<CoreInterval>,
    follower: &mut impl Follower,
) -> LoadOutcome {
    let mut following = Following::new(options, &load);
    if let Err(error) = following.open_logs() {
        following.count_dropped();
        follower.logs_failed(&error);
    }
    loop {
        follower.look(&load);
        match intervals.recv_timeout(LOOK_EVERY) {
            Ok(interval) => {
                if let Err(error) = following.log(&interval) {
                    follower.logs_failed(&error);
                }
                if let Some(report) = following.absorb(&interval) {
                    follower.report(report, &following.collector);
                }
            }
            Err(RecvTimeoutError::Timeout) => {}
            // Every core has dropped its sender, so every core has ended, in order or not.
            Err(RecvTimeoutError::Disconnected) => break,
        }
    }
    if let Some(report) = following.collector.flush() {
        let report = following.of_interval(report);
        follower.report(report, &following.collector);
    }
    let servers = load.servers().to_vec();
    let outcome = load.join();
    let how = match (&outcome.failed, outcome.stopped) {
        (Some(_), _) => Outcome::Failed,
        (None, true) => Outcome::Aborted,
        (None, false) => Outcome::Done,
    };
    let cast = following.options.cast.as_ref();
    let last = Report {
        sessions: cast.map(|cast| Box::new(cast.counts())),
        environment: Some(following.environment.clone()),
        ..following.collector.last(how, outcome.failed.clone())
    };
    let last = told_of_servers(last, &servers, &following.collector);
    follower.report(following.stamped(last), &following.collector);
    outcome
}

/// A last report with what the servers came to: where there are several, each for itself, and of all
/// what they have in common.
fn told_of_servers(report: Report, servers: &[Server], collector: &Collector) -> Report {
    let numbered = servers.iter().enumerate();
    let each = numbered.map(|(number, server)| server.report(collector.handshakes(number)));
    let each: Vec<ServerReport> = each.collect();
    let mut addresses = Addresses::default();
    each.iter()
        .for_each(|server| addresses.absorb(&server.addresses));
    let mut report = Report {
        addresses,
        ..report
    };
    match <[ServerReport; 1]>::try_from(each) {
        Ok([only]) => (report.http, report.tls) = (only.http, only.tls),
        Err(several) => report.servers = several,
    }
    report
}

struct Following {
    options: FollowOptions,
    collector: Collector,
    watch: CpuWatch,
    /// As it was when the load began.
    environment: Environment,
    /// Seconds of which the CPUs were sampled.
    watched: u64,
    spin_shares: Vec<f64>,
    logs: Vec<CoreLog>,
    logs_failed: bool,
    /// What was told of the sessions' progress.
    told: Known,
}

impl Following {
    fn new(options: FollowOptions, load: &Load) -> Self {
        let cores = load.cores();
        let collector = Collector::new(cores);
        let cpus: Vec<usize> = options.cpus.iter().copied().take(cores).collect();
        let watch = CpuWatch::new(&cpus);
        let cast = options.cast.as_ref();
        let told = cast.map_or_else(Known::default, |cast| cast.board.unknown());
        let servers = load.servers().iter();
        let addresses: Vec<_> = servers.flat_map(|it| it.addresses.used.clone()).collect();
        Self {
            options,
            collector,
            watch,
            environment: link::add(environment(&cpus), &addresses),
            watched: 0,
            spin_shares: vec![0.0; cores],
            logs: Vec::new(),
            logs_failed: false,
            told,
        }
    }

    fn open_logs(&mut self) -> io::Result<()> {
        let Some(directory) = &self.options.logs else {
            return Ok(());
        };
        let open = |core| {
            let mut log = CoreLog::open(directory, core)?;
            log.begin(&self.options.test_id, self.options.start_unix_ns)?;
            Ok(log)
        };
        let logs: io::Result<_> = (0..self.spin_shares.len()).map(open).collect();
        self.logs = logs?;
        Ok(())
    }

    fn absorb(&mut self, interval: &CoreInterval) -> Option<Report> {
        let wall_ns = interval.end_ns.saturating_sub(interval.start_ns);
        self.spin_shares[interval.core] = spin_share(&interval.health, wall_ns);
        // Once a second, with the first core that hands it over.
        if interval.second >= self.watched {
            self.watched = interval.second + 1;
            let machine = self.watch.sample(&self.spin_shares);
            self.collector.observe(&machine);
        }
        let report = self.collector.absorb(interval)?;
        Some(self.of_interval(report))
    }

    /// A report of an interval, with what its sessions have come to that was not told before.
    fn of_interval(&mut self, report: Report) -> Report {
        let cast = self.options.cast.as_ref();
        let progress = cast.and_then(|cast| cast.board.news(&mut self.told));
        Report {
            progress: progress.map(Box::new),
            ..self.stamped(report)
        }
    }

    /// A line that cannot be written is counted, not waited for. The first error is returned.
    fn log(&mut self, interval: &CoreInterval) -> io::Result<()> {
        let Some(log) = self.logs.get_mut(interval.core) else {
            return Ok(());
        };
        let written = log.write(&self.options.test_id, interval);
        if written.is_err() {
            self.count_dropped();
        }
        let is_known = self.logs_failed;
        self.logs_failed |= written.is_err();
        if is_known { Ok(()) } else { written }
    }

    fn count_dropped(&mut self) {
        self.collector.observe(&Health {
            dropped: 1,
            ..Health::default()
        });
    }

    /// Hides secrets, adds what the node was told of its clock, and takes its intended place within the gap out of
    /// its first send: what is left is by how much it missed it.
    fn stamped(&self, report: Report) -> Report {
        let stagger_ns = i64::try_from(self.options.stagger_ns).unwrap_or(i64::MAX);
        let missed_by = |first_ns: i64| first_ns.saturating_sub(stagger_ns);
        let mut bad_answers = report.bad_answers;
        bad_answers.mask(&self.options.hidden);
        Report {
            clock: self.options.clock,
            first_send_ns: report.first_send_ns.map(missed_by),
            bad_answers,
            ..report
        }
    }
}
