//! A crowd of simulated drivers under a real orchestrator.
//!
//! One thread plays all of them: heartbeats are due at instants of their own, spread evenly over each
//! second; reports are due together, or spread too where the embedded broker's 5 MiB have to hold what
//! is under way. Reports are encoded before the test is triggered. The main thread asks the
//! orchestrator meanwhile, and notes how old the oldest report is that it was not shown yet.

use std::path::Path;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use proto::bus::{BusSettings, Publisher};
use proto::clock::unix_ns;
use proto::histogram::SparseLatencies;
use proto::measure::Outcome;
use proto::message::{Heartbeat, NodeState, Register, Role, WIRE_VERSION};
use proto::topic::Topic;
use serde::Deserialize;

use super::{NS_PER_S, Options, PATIENCE, bus, message, node_id};
use crate::machine;
use crate::results::Sample;
use crate::rig::Error;
use crate::scenario::cluster::{Cluster, Size};
use crate::statistics::quantile_of;

/// Pause of the thread that plays when nothing is due.
const TICK: Duration = Duration::from_millis(1);
/// Pause between two questions to the orchestrator.
const ASK_EVERY: Duration = Duration::from_millis(25);

/// What the crowd is told.
enum Cue {
    /// Be ready for a test, with these reports.
    Ready(String, Reports),
    /// Report on that many seconds from an instant on, ns since 1970.
    Start { start_ns: u64, seconds: u64 },
    /// Enough.
    End,
}

/// The reports of all nodes, encoded: those of the first second first, the last ones at the end.
type Reports = Vec<Vec<u8>>;

/// When each report was published, in their order.
type Published = Arc<Mutex<Vec<Instant>>>;

/// Runs one test of simulated drivers.
pub(super) fn measure(
    options: &Options,
    folder: &Path,
    (nodes, size): (u32, Size),
    latencies: &SparseLatencies,
) -> Result<Sample, Error> {
    let cluster = Cluster::start(folder, options.kafka.as_deref(), size, &[])?;
    // One client speaks for all: by single messages, as a driver sends, it could not keep up.
    let linger = [("linger.ms".to_owned(), "10".to_owned())];
    let settings = BusSettings::new(cluster.bootstrap(), "crowd", &linger).map_err(bus)?;
    let publisher = Publisher::new(&settings).map_err(bus)?;
    let published = Published::default();
    let (cues, told) = channel();
    let crowd = Crowd {
        publisher,
        nodes,
        spread_ns: if options.reports_together() {
            0
        } else {
            NS_PER_S
        },
        encoded: Reports::new(),
        published: Arc::clone(&published),
        state: NodeState::Idle,
        test_id: None,
        beats: Due::new(unix_ns(), nodes, NS_PER_S),
        reports: None,
    };
    let player = thread::spawn(move || crowd.play(&told));
    let seconds = u64::from(options.seconds);
    let encode = |test_id: &str| encode(test_id, nodes, seconds, latencies);
    let sample = ask(&cluster, &cues, options, nodes, &published, encode);
    // It may have ended with an error of its own, which says more.
    let _ = cues.send(Cue::End);
    let played = player
        .join()
        .map_err(|_| Error::Nothing("the crowd panicked".to_owned()))?;
    played?;
    sample
}

/// What is looked for in a result.
#[derive(Deserialize)]
struct Seen {
    state: String,
    ok: u64,
    coverage: Missing,
}

#[derive(Deserialize)]
struct Missing {
    reports_missing: u64,
}

/// Creates and triggers a test, and looks at its result until it has ended.
fn ask(
    cluster: &Cluster,
    cues: &Sender<Cue>,
    options: &Options,
    nodes: u32,
    published: &Published,
    encode: impl Fn(&str) -> Reports,
) -> Result<Sample, Error> {
    let (seconds, samples) = (u64::from(options.seconds), u64::from(options.samples));
    let tell = |cue| {
        cues.send(cue)
            .map_err(|_| Error::Nothing("the crowd left".to_owned()))
    };
    cluster.wait_until_up(nodes as usize)?;
    let created = cluster.post(&format!("/avalanche?duration_s={seconds}"))?;
    let test_id = created["TestId"].as_str().unwrap_or_default().to_owned();
    tell(Cue::Ready(test_id.clone(), encode(&test_id)))?;
    let armed = cluster.post(&format!("/trigger/{test_id}"))?;
    let start_ns = armed["start_at_unix_ns"].as_u64().unwrap_or_else(unix_ns);
    tell(Cue::Start { start_ns, seconds })?;
    let pid = cluster.orchestrator_pid();
    let cpu_s = || machine::cpu_seconds(pid).unwrap_or(f64::NAN);
    let merger_pids = cluster.merger_pids();
    let mergers_cpu_s = || {
        let each = merger_pids.iter().map(|&pid| machine::cpu_seconds(pid));
        each.sum::<Option<f64>>().unwrap_or(f64::NAN)
    };
    let (begin, cpu_before_s, mergers_before_s) = (Instant::now(), cpu_s(), mergers_cpu_s());
    let path = format!("/metrics/{test_id}?points=1");
    let (mut ages_ms, mut answers_ms) = (Vec::new(), Vec::new());
    let result = loop {
        let asked = Instant::now();
        let text = cluster.text(&path)?;
        answers_ms.push(asked.elapsed().as_secs_f64() * 1e3);
        // All but this would take longer to read than it took to come.
        let result: Seen = cluster.read(&path, text)?;
        ages_ms.push(oldest_unseen_ms(published, result.ok / samples, asked));
        let state = result.state.as_str();
        if ["done", "partial", "aborted", "failed"].contains(&state) {
            break result;
        }
        if begin.elapsed() > Duration::from_secs(seconds) + PATIENCE {
            return Err(Error::Nothing(format!("test {test_id} is still {state}")));
        }
        thread::sleep(ASK_EVERY);
    };
    let elapsed_s = begin.elapsed().as_secs_f64();
    let cores = (cpu_s() - cpu_before_s) / elapsed_s;
    let merger_cores = (mergers_cpu_s() - mergers_before_s) / elapsed_s;
    let expected = u64::from(nodes) * seconds * samples;
    let missing = result.coverage.reports_missing;
    let uncounted = expected.abs_diff(result.ok) / samples;
    let at = |values: &[f64], quantile| quantile_of(values, quantile).unwrap_or(f64::NAN);
    let [merged, all] =
        ["dlts_reports_merged_total", "dlts_reports_total"].map(|name| cluster.exposed(name));
    let of_mergers = [
        ("merger_cores", merger_cores),
        ("merged_share", merged? / all?),
    ];
    let of_mergers = of_mergers.into_iter().filter(|_| !merger_pids.is_empty());
    Ok([
        ("shown_after_p50_ms", at(&ages_ms, 0.5)),
        ("shown_after_max_ms", at(&ages_ms, 1.0)),
        ("rest_p50_ms", at(&answers_ms, 0.5)),
        ("rest_p99_ms", at(&answers_ms, 0.99)),
        ("cores", cores),
        ("rss_mib", machine::rss_max_mib(pid).unwrap_or(f64::NAN)),
        ("lost", (missing + uncounted) as f64),
    ]
    .into_iter()
    .chain(of_mergers)
    .map(|(name, value)| (name.to_owned(), value))
    .collect())
}

/// How old the oldest report was, when it was asked, of those that the answer does not have.
fn oldest_unseen_ms(published: &Published, shown: u64, asked: Instant) -> f64 {
    let published = published.lock().unwrap_or_else(PoisonError::into_inner);
    let oldest = usize::try_from(shown).ok().and_then(|at| published.get(at));
    oldest.map_or(0.0, |at| {
        asked.saturating_duration_since(*at).as_secs_f64() * 1e3
    })
}

/// Messages of all nodes in turn, one each second from each.
struct Due {
    start_ns: u64,
    nodes: u64,
    /// Over which part of a second they are spread.
    spread_ns: u64,
    done: u64,
}

impl Due {
    fn new(start_ns: u64, nodes: u32, spread_ns: u64) -> Self {
        Self {
            start_ns,
            nodes: nodes.into(),
            spread_ns,
            done: 0,
        }
    }

    /// The node and the second whose turn has come.
    fn next(&mut self, now_ns: u64) -> Option<(u32, u64)> {
        let (node, second) = (self.done % self.nodes, self.done / self.nodes);
        let due_ns = self.start_ns + second * NS_PER_S + node * self.spread_ns / self.nodes;
        (due_ns <= now_ns).then(|| {
            self.done += 1;
            (
                u32::try_from(node).expect("invariant: below the number of nodes"),
                second,
            )
        })
    }
}

/// All simulated drivers.
struct Crowd {
    publisher: Publisher,
    nodes: u32,
    /// Over which part of a second reports are spread.
    spread_ns: u64,
    encoded: Reports,
    published: Published,
    state: NodeState,
    test_id: Option<String>,
    beats: Due,
    /// The reports that are due, and of how many seconds.
    reports: Option<(Due, u64)>,
}

impl Crowd {
    fn play(mut self, told: &Receiver<Cue>) -> Result<(), Error> {
        for node in 0..self.nodes {
            let register = Register {
                node_id: node_id(node),
                node_ip: "127.0.0.1:0".to_owned(),
                message_type: proto::message::REGISTER_TYPE.to_owned(),
                version: None,
                cores: Some(1),
                hostname: None,
                incarnation: None,
            };
            let sent = self.publisher.publish(&register.node_id, &register, 0);
            sent.map_err(bus)?;
        }
        loop {
            match told.recv_timeout(TICK) {
                Ok(Cue::End) => break,
                Ok(Cue::Ready(test_id, encoded)) => {
                    self.test_id = Some(test_id);
                    self.encoded = encoded;
                    self.change(NodeState::Ready)?;
                }
                Ok(Cue::Start { start_ns, seconds }) => {
                    // A second's report comes when it is over.
                    let first = Due::new(start_ns + NS_PER_S, self.nodes, self.spread_ns);
                    self.reports = Some((first, seconds));
                    self.change(NodeState::Running)?;
                }
                Err(_) => {}
            }
            self.send_what_is_due(unix_ns())?;
            // A driver would send it again; here it would spoil the measurement.
            let deliveries = self.publisher.poll(Duration::ZERO);
            if let Some(error) = deliveries.into_iter().find_map(|delivery| delivery.error) {
                return Err(bus(error));
            }
        }
        self.publisher.flush(PATIENCE);
        Ok(())
    }

    /// All say at once that their state is another.
    fn change(&mut self, state: NodeState) -> Result<(), Error> {
        self.state = state;
        (0..self.nodes).try_for_each(|node| self.beat(node))
    }

    fn beat(&self, node: u32) -> Result<(), Error> {
        let heartbeat = Heartbeat {
            node_id: node_id(node),
            heartbeat: true,
            timestamp: None,
            role: Role::Driver,
            state: Some(self.state),
            test_id: self.test_id.clone(),
            reason: None,
            probe: None,
            echo: None,
            incarnation: None,
            wire: Some(WIRE_VERSION),
            needs: Vec::new(),
        };
        let sent = self.publisher.publish(&heartbeat.node_id, &heartbeat, 0);
        sent.map_err(bus)
    }

    fn send_what_is_due(&mut self, now_ns: u64) -> Result<(), Error> {
        while let Some((node, _)) = self.beats.next(now_ns) {
            self.beat(node)?;
        }
        let Some((mut due, seconds)) = self.reports.take() else {
            return Ok(());
        };
        while let Some((node, second)) = due.next(now_ns) {
            if second > seconds {
                self.test_id = None;
                return self.change(NodeState::Idle);
            }
            self.report(node, second, second == seconds)?;
        }
        self.reports = Some((due, seconds));
        Ok(())
    }

    fn report(&self, node: u32, second: u64, last: bool) -> Result<(), Error> {
        let nodes = u64::from(self.nodes);
        let at = usize::try_from(second * nodes + u64::from(node));
        let payload = at.ok().and_then(|at| self.encoded.get(at));
        let payload = payload.expect("invariant: all seconds and the last one are encoded");
        let sent = self
            .publisher
            .publish_bytes(Topic::Metrics, &node_id(node), payload, 0);
        sent.map_err(bus)?;
        if !last {
            let mut published = self
                .published
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            published.push(Instant::now());
        }
        Ok(())
    }
}

/// All reports of a test: a second's of all nodes, then the next, and the last ones at the end.
fn encode(test_id: &str, nodes: u32, seconds: u64, latencies: &SparseLatencies) -> Reports {
    let mut all = latencies.clone();
    (1..seconds).for_each(|_| all.add(latencies));
    let reports = (0..=seconds).flat_map(|second| (0..nodes).map(move |node| (node, second)));
    let encoded = reports.map(|(node, second)| {
        let is_last = second == seconds;
        let mut message = message(node, second, if is_last { &all } else { latencies });
        test_id.clone_into(&mut message.test_id);
        if is_last && let Some(report) = &mut message.report {
            report.last = true;
            report.interval_start_ns = 0;
            report.interval_end_ns = second * NS_PER_S;
            report.seconds.clear();
            report.outcome = Some(Outcome::Done);
        }
        proto::codec::encode(&message)
    });
    encoded.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_of_a_second_are_spread_over_it() {
        let mut due = Due::new(1000, 4, NS_PER_S);
        assert_eq!(due.next(999), None);
        assert_eq!(due.next(1000), Some((0, 0)));
        assert_eq!(due.next(1000), None);
        let later = 1000 + 3 * NS_PER_S / 4;
        assert_eq!(due.next(later), Some((1, 0)));
        assert_eq!(due.next(later), Some((2, 0)));
        assert_eq!(due.next(later), Some((3, 0)));
        assert_eq!(due.next(later), None);
        assert_eq!(due.next(1000 + NS_PER_S), Some((0, 1)));
    }

    #[test]
    fn messages_of_a_burst_are_due_together() {
        let mut due = Due::new(1000, 3, 0);
        let at_once: Vec<_> = std::iter::from_fn(|| due.next(1000)).collect();
        assert_eq!(at_once, [(0, 0), (1, 0), (2, 0)]);
        assert_eq!(due.next(1000 + NS_PER_S), Some((0, 1)));
    }

    #[test]
    fn the_reports_of_a_test_are_those_of_each_second_and_a_last_one_of_each_node() {
        let reports = encode("t", 2, 3, &super::super::samples(10));
        assert_eq!(reports.len(), 2 * 4);
        let mut last = reports.last().unwrap().clone();
        let last: proto::message::Metrics = proto::codec::decode(&mut last).unwrap();
        assert_eq!((last.node_id, last.test_id), (node_id(1), "t".to_owned()));
        let report = last.report.unwrap();
        assert!(report.last);
        assert_eq!(
            (report.counters.ok, report.latencies.service.len()),
            (30, 30)
        );
    }

    #[test]
    fn the_age_is_that_of_the_first_report_that_is_not_shown() {
        let (published, begin) = (Published::default(), Instant::now());
        published.lock().unwrap().push(begin);
        let asked = begin + Duration::from_millis(40);
        assert!((oldest_unseen_ms(&published, 0, asked) - 40.0).abs() < 1e-6);
        assert!(oldest_unseen_ms(&published, 1, asked).abs() < 1e-6);
    }
}
