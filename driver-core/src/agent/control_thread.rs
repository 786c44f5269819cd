//! The control thread: it owns the node, the outbox and the producer, and does what they ask.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam_channel::RecvTimeoutError;
use proto::bus::{BusError, BusSettings};
use proto::measure::{Counters, LatencyFigures, Outcome, Report};
use proto::message::{Control, Metrics, Order, REGISTER_TYPE, Register, TestConfig, TriggerKind};
use proto::workload::Workload;
use proto::{clock, id, log};
use serde_json::json;

use super::cache::Cache;
use super::inbox::{Inbound, TestEvent};
use super::test_thread::{Begin, Settings, TestThread};
use super::topic_reader::Bus;
use super::{AgentError, AgentOptions};
use crate::control::{Action, Event, Node, Outbox, Place, Unrun};
use crate::load::{Executors, Machine, Secrets};

/// Between two heartbeats, ns.
const HEARTBEAT_NS: u64 = 1_000_000_000;
/// Longest sleep of the loop; deliveries are looked for that often.
const NAP: Duration = Duration::from_millis(20);
/// How long a driver that is told to end waits for its last reports to leave.
const FAREWELL_NS: u64 = 5_000_000_000;
/// Tokens of the producer that are no report's: heartbeat and register. Reports count from 1.
const TOKEN_HEARTBEAT: u64 = u64::MAX;
const TOKEN_REGISTER: u64 = u64::MAX - 1;

#[allow(clippy::struct_excessive_bools)] // each stands for one message, not for a state
pub(super) struct ControlThread {
    bus: Bus,
    node: Node,
    node_id: String,
    /// Which process of that id this is.
    incarnation: u64,
    /// Where another process with this id is, for which this one is to end.
    fenced: Option<String>,
    outbox: Outbox,
    settings: Arc<Settings>,
    test: Option<TestThread>,
    tests_begun: u64,
    /// The thread of the test before; the next one waits for its end.
    released: Option<JoinHandle<()>>,
    register: Register,
    registered: bool,
    register_in_flight: bool,
    /// At most one heartbeat is on its way, so that a broker that is away is not flooded with
    /// stale ones when it comes back.
    heartbeat_in_flight: bool,
    heartbeat_wanted: bool,
    next_heartbeat_ns: u64,
    /// Another orchestrator's pulse tells of a restart, after which a driver registers again.
    orchestrator: Option<String>,
}

impl ControlThread {
    /// `bus_settings` are those of the bus.
    pub(super) fn new(
        options: &AgentOptions,
        node_id: &str,
        cpus: &[usize],
        secrets: Secrets,
        bus_settings: &BusSettings,
        bus: Bus,
    ) -> Self {
        let incarnation = id::new_incarnation();
        let register = register(node_id, incarnation, cpus, bus_settings.brokers());
        let settings = Settings {
            machine: Machine {
                executors: Executors::new(cpus),
                directions: options.directions.clone(),
            },
            logs: options.logs.join(node_id),
            default_target: options.target.clone(),
            secrets,
            allow_targets: options.allow_targets.clone(),
            bus: bus_settings.clone(),
            cache: Cache::new(&options.data, options.data_bytes),
        };
        Self {
            bus,
            node: Node::new(node_id, incarnation),
            incarnation,
            fenced: None,
            node_id: node_id.to_owned(),
            outbox: Outbox::default(),
            settings: Arc::new(settings),
            test: None,
            tests_begun: 0,
            released: None,
            register,
            registered: false,
            register_in_flight: false,
            heartbeat_in_flight: false,
            heartbeat_wanted: true,
            next_heartbeat_ns: 0,
            orchestrator: None,
        }
    }

    /// Runs until `stopped`, then stops the load in progress and sees its reports off.
    ///
    /// # Errors
    /// [`AgentError::Fenced`] when another process has this node's id.
    pub(super) fn run(mut self, stopped: impl Fn() -> bool) -> Result<(), AgentError> {
        let cpus = self.settings.machine.executors.cpus();
        if cpus.len() == 1 {
            let remedy = "give --cores with several, or more drivers, for more load";
            log::info("one_core", json!({"cpu": cpus[0], "remedy": remedy}));
        }
        while !stopped() && self.fenced.is_none() {
            self.turn();
        }
        self.apply(Event::Leave);
        let until_ns = clock::monotonic_ns() + FAREWELL_NS;
        while self.has_to_report() && clock::monotonic_ns() < until_ns {
            self.turn();
        }
        log::info(
            "driver_down",
            json!({"node_id": self.node_id, "unsent": self.outbox.len()}),
        );
        let node_id = self.node_id;
        self.fenced.map_or(Ok(()), |address| {
            Err(AgentError::Fenced { node_id, address })
        })
    }

    fn has_to_report(&self) -> bool {
        let runs = self.test.as_ref().is_some_and(TestThread::has_begun);
        runs || !self.outbox.is_empty()
    }

    /// Waits for something to do, and does everything that there is to do.
    fn turn(&mut self) {
        match self.bus.inbound.recv_timeout(NAP) {
            Ok(first) => {
                self.take(first);
                while let Ok(next) = self.bus.inbound.try_recv() {
                    self.take(next);
                }
            }
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {}
        }
        self.apply(Event::Tick);
        if self.bus.listens.load(Ordering::Relaxed) {
            self.register();
            self.beat();
        }
        self.send();
    }

    fn take(&mut self, inbound: Inbound) {
        match inbound {
            Inbound::Config { config, old } => {
                log::message(&config);
                if old {
                    self.node.remember(*config);
                } else {
                    self.apply(Event::Config(*config));
                }
            }
            Inbound::Trigger { trigger, old } => {
                log::message(&trigger);
                // A broker that lost its log may have had these before we noticed. Which starts are
                // too late is known where they say when; others may be hours old. A stop may be of
                // the load that goes on.
                let is_dated = trigger.start_at_unix_ns.is_some();
                if !old || is_dated || trigger.trigger == TriggerKind::Stop {
                    self.apply(Event::Trigger(trigger));
                }
            }
            Inbound::Control {
                control,
                received_unix_ns,
            } => {
                log::message(&control);
                self.greet(&control);
                self.obey(control.order, received_unix_ns);
            }
            Inbound::Test { number, event } => self.test_event(number, event),
        }
    }

    /// Registers again with an orchestrator that was not there before.
    fn greet(&mut self, control: &Control) {
        if self.orchestrator.as_ref() != Some(&control.node_id) {
            self.registered &= self.orchestrator.is_none();
            self.orchestrator = Some(control.node_id.clone());
        }
    }

    fn obey(&mut self, order: Order, received_unix_ns: u64) {
        match order {
            Order::Pulse { probe } => self.apply(Event::Probe {
                probe,
                received_unix_ns,
            }),
            Order::Stop { test_id } => self.apply(Event::Stop { test_id }),
            Order::Rates { test_id, changes } => self.apply(Event::Rates { test_id, changes }),
            Order::Participants {
                test_id,
                first,
                n,
                participants,
                clock_offsets,
                incarnations,
            } => {
                let at = participants.iter().position(|id| *id == self.node_id);
                let index = at.map(|at| first.saturating_add(at as u64));
                // Nobody's place is beyond the last.
                let index = index.filter(|index| *index < n);
                let (Some(Ok(index)), Ok(count)) = (index.map(u32::try_from), u32::try_from(n))
                else {
                    return;
                };
                let place = Place {
                    index,
                    count,
                    clock: clock_offsets.get(&self.node_id).copied(),
                    incarnation: incarnations.get(&self.node_id).copied(),
                };
                self.apply(Event::Placed { test_id, place });
            }
            Order::Fence {
                of_node_id,
                incarnation,
                address,
            } => {
                if of_node_id == self.node_id && incarnation == self.incarnation {
                    self.fenced = Some(address);
                }
            }
            Order::Unknown => {}
        }
    }

    /// What a test's thread tells, unless it was let go of meanwhile.
    fn test_event(&mut self, number: u64, event: TestEvent) {
        let current = self.test.as_ref();
        let Some(test) = current.filter(|test| test.number == number) else {
            return;
        };
        let test_id = test.test_id.clone();
        match event {
            TestEvent::Lacks { needs } => self.apply(Event::Lacks { test_id, needs }),
            TestEvent::Prepared => self.apply(Event::Prepared { test_id }),
            TestEvent::Failed { reason } => {
                self.release();
                let fields = json!({"test_id": test_id, "reason": reason});
                log::error("prepare_failed", fields);
                self.apply(Event::PrepareFailed { test_id, reason });
            }
            TestEvent::Started => self.apply(Event::Started { test_id }),
            TestEvent::Draining => self.apply(Event::Draining { test_id }),
            TestEvent::Report { report, figures } => self.report(&test_id, *report, figures),
            TestEvent::Ended => {
                self.release();
                self.apply(Event::Ended { test_id });
            }
        }
    }

    /// Lets go of the test, if there is one.
    fn release(&mut self) {
        if let Some(test) = self.test.take() {
            self.released = Some(test.release());
        }
    }

    fn apply(&mut self, event: Event) {
        for action in self
            .node
            .apply(event, clock::monotonic_ns(), clock::unix_ns())
        {
            self.act(action);
        }
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::Prepare(config) => self.prepare(&config),
            Action::Release { .. } => self.release(),
            Action::Start(start) => {
                let begin = Begin {
                    at_unix_ns: start.at_unix_ns,
                    index: start.index,
                    count: start.count,
                    clock: start.clock,
                };
                if let Some(test) = &mut self.test {
                    test.start(begin);
                }
            }
            Action::Stop { .. } => {
                if let Some(test) = &self.test {
                    test.stop();
                }
            }
            Action::ChangeRate { changes, .. } => {
                if let Some(test) = &self.test {
                    test.change_rate(changes);
                }
            }
            Action::ReportUnrun {
                test_id,
                cause,
                reason,
            } => self.unrun(&test_id, cause, reason),
            Action::Heartbeat => self.heartbeat_wanted = true,
        }
    }

    fn prepare(&mut self, config: &TestConfig) {
        self.tests_begun += 1;
        let begun = TestThread::prepare(
            self.tests_begun,
            config,
            &self.settings,
            self.bus.sender.clone(),
            self.released.take(),
        );
        match begun {
            Ok(test) => self.test = Some(test),
            Err(error) => {
                let test_id = config.test_id.clone();
                let reason = format!("no thread for the test: {error}");
                self.apply(Event::PrepareFailed { test_id, reason });
            }
        }
    }

    /// Puts a report into the outbox and into the log.
    fn report(&mut self, test_id: &str, mut report: Report, figures: LatencyFigures) {
        report.incarnation = Some(self.incarnation);
        let message = Metrics {
            node_id: self.node_id.clone(),
            test_id: test_id.to_owned(),
            report_id: Some(id::new_report_id()),
            metrics: figures,
            report: Some(report),
        };
        log::message(&message.logged());
        self.outbox.push(message);
    }

    /// The last report of a test that this node did not run.
    fn unrun(&mut self, test_id: &str, cause: Unrun, reason: String) {
        let planned = self
            .node
            .config(test_id)
            .and_then(|config| Workload::from_config(config, &self.settings.default_target).ok())
            .and_then(|workload| workload.planned_per_driver())
            .unwrap_or(0);
        let outcome = match cause {
            Unrun::Missed => Outcome::Missed,
            Unrun::Failed => Outcome::Failed,
            Unrun::Aborted => Outcome::Aborted,
        };
        let report = Report {
            last: true,
            counters: Counters {
                planned,
                not_sent: planned,
                ..Counters::default()
            },
            outcome: Some(outcome),
            reason: Some(reason),
            ..Report::default()
        };
        self.report(test_id, report, LatencyFigures::default());
    }

    /// Sends a heartbeat when one is due or the state changed.
    fn beat(&mut self) {
        let now_ns = clock::monotonic_ns();
        let due = now_ns >= self.next_heartbeat_ns;
        if !(due || self.heartbeat_wanted) || self.heartbeat_in_flight {
            return;
        }
        let heartbeat = self.node.heartbeat(clock::unix_ns());
        match self
            .bus
            .publisher
            .publish(&self.node_id, &heartbeat, TOKEN_HEARTBEAT)
        {
            Ok(()) => {
                log::message(&heartbeat);
                self.heartbeat_in_flight = true;
                self.heartbeat_wanted = false;
                self.next_heartbeat_ns = now_ns + HEARTBEAT_NS;
            }
            Err(error) => trouble("heartbeat", &error),
        }
    }

    /// Says that this node is there, unless that was heard.
    fn register(&mut self) {
        if self.registered || self.register_in_flight {
            return;
        }
        match self
            .bus
            .publisher
            .publish(&self.node_id, &self.register, TOKEN_REGISTER)
        {
            Ok(()) => self.register_in_flight = true,
            Err(error) => trouble("register", &error),
        }
    }

    /// Hands over what waits, and learns what became of what was handed over.
    fn send(&mut self) {
        while let Some((token, message)) = self.outbox.hand_over() {
            match self.bus.publisher.publish(&self.node_id, message, token) {
                Ok(()) => {}
                Err(BusError::QueueFull) => {
                    self.outbox.take_back(token);
                    break;
                }
                // What is wrong with this report need not be with the next.
                Err(error) => {
                    if self.outbox.refuse(token) {
                        trouble("metrics", &error);
                    }
                }
            }
        }
        for delivery in self.bus.publisher.poll(Duration::ZERO) {
            let arrived = delivery.error.is_none();
            match delivery.token {
                TOKEN_HEARTBEAT => {
                    self.heartbeat_in_flight = false;
                    if arrived {
                        self.outbox.retry();
                    }
                }
                TOKEN_REGISTER => {
                    self.register_in_flight = false;
                    self.registered = arrived;
                    if arrived {
                        log::message(&self.register);
                    }
                }
                token => self.outbox.delivered(token, arrived),
            }
        }
    }
}

/// A full queue is the outbox's to deal with; anything else is for people.
fn trouble(what: &str, error: &BusError) {
    if !matches!(error, BusError::QueueFull) {
        log::warn(
            "unsent",
            json!({"message": what, "reason": error.to_string()}),
        );
    }
}

fn register(node_id: &str, incarnation: u64, cpus: &[usize], brokers: &str) -> Register {
    let uname = rustix::system::uname();
    let hostname = uname.nodename().to_string_lossy().into_owned();
    Register {
        node_id: node_id.to_owned(),
        // The port is 0: a driver listens nowhere.
        node_ip: address(brokers).map_or_else(
            || format!("{hostname}:0"),
            |ip| SocketAddr::new(ip, 0).to_string(),
        ),
        message_type: REGISTER_TYPE.to_owned(),
        version: Some(env!("CARGO_PKG_VERSION").to_owned()),
        cores: Some(cpus.len() as u64),
        hostname: Some(hostname),
        incarnation: Some(incarnation),
    }
}

/// The address of this host on its way to the first broker.
fn address(brokers: &str) -> Option<IpAddr> {
    let first = brokers.split(',').next()?.trim();
    let broker = first.to_socket_addrs().ok()?.next()?;
    let any: IpAddr = match broker {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    // Nothing is sent: a datagram socket that is connected has a route.
    let socket = UdpSocket::bind((any, 0)).ok()?;
    socket.connect(broker).ok()?;
    Some(socket.local_addr().ok()?.ip())
}

#[cfg(test)]
mod tests;
