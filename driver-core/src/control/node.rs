//! The driver's control state machine: what a node does about the messages that it reads. Pure:
//! events in, actions out, time is an argument.
//!
//! A node works on one test at a time. A config makes it prepare that test (connections open,
//! buffers rendered) and be ready; a trigger that lists it arms it; the start instant runs it. A
//! config for another test, while nothing is armed or running, makes it prepare that one instead.
//! What it prepared is let go when no trigger comes for [`READY_NS_MAX`]: connections to somebody's
//! server are not held for ever. A trigger for a test that it knows but has not prepared makes it
//! prepare and start late, which the release lag then shows. Topics are read side by side, so that a
//! trigger may come before its config: it is kept for [`EARLY_NS_MAX`](super::EARLY_NS_MAX).

use std::collections::{BTreeMap, VecDeque};

use proto::message::{
    ClockEcho, ClockProbe, Heartbeat, Need, NodeState, Role, TestConfig, WIRE_VERSION,
};
use proto::workload::RateChange;

use super::early::Early;
use super::{Action, Event, Start, Unrun};

mod starts;

use starts::too_late_ms;

/// Configs that a node keeps; the oldest is forgotten first.
pub const CONFIGS_MAX: usize = 64;
/// A trigger, or the end of a preparation, that is later than this after the start instant is not
/// followed any more, ns.
pub const LATE_NS_MAX: u64 = 10_000_000_000;
/// How long a node stays ready without a trigger, ns.
pub const READY_NS_MAX: u64 = 60_000_000_000;
/// Tests whose end is remembered, so that a trigger that comes twice does not start them again.
const ENDED_MAX: usize = 256;

#[derive(Debug, Clone, PartialEq)]
enum State {
    Idle,
    Preparing {
        test_id: String,
        then: Option<Start>,
        /// The files that are lacking.
        needs: Vec<Need>,
    },
    Ready {
        test_id: String,
        since_ns: u64,
    },
    Active {
        test_id: String,
        phase: NodeState,
    },
    Failed {
        test_id: String,
        reason: String,
        since_ns: u64,
    },
}

/// One driver.
#[derive(Debug)]
#[allow(clippy::struct_field_names)] // node_id is its name everywhere
pub struct Node {
    node_id: String,
    /// Which process of that id this is.
    incarnation: u64,
    state: State,
    configs: BTreeMap<String, TestConfig>,
    order: VecDeque<String>,
    /// Tests that are over here, and whether the orchestrator was told so by a report.
    ended: VecDeque<(String, bool)>,
    latest_probe: Option<(ClockProbe, u64)>,
    /// Starts that were read before what they need.
    early: Early,
}

impl Node {
    /// A node that waits for its first test. The incarnation tells it from other processes with
    /// its id.
    #[must_use]
    pub fn new(node_id: &str, incarnation: u64) -> Self {
        Self {
            node_id: node_id.to_owned(),
            incarnation,
            state: State::Idle,
            configs: BTreeMap::new(),
            order: VecDeque::new(),
            ended: VecDeque::new(),
            latest_probe: None,
            early: Early::default(),
        }
    }

    /// Keeps a config without preparing it: one that was published before this driver came up.
    pub fn remember(&mut self, config: TestConfig) {
        let test_id = config.test_id.clone();
        if self.configs.insert(test_id.clone(), config).is_none() {
            self.order.push_back(test_id);
        }
        while self.order.len() > CONFIGS_MAX {
            if let Some(oldest) = self.order.pop_front() {
                self.configs.remove(&oldest);
            }
        }
    }

    /// A config that this node keeps.
    #[must_use]
    pub fn config(&self, test_id: &str) -> Option<&TestConfig> {
        self.configs.get(test_id)
    }

    /// Takes one event at these instants of the monotonic and the wall clock.
    pub fn apply(&mut self, event: Event, now_ns: u64, now_unix_ns: u64) -> Vec<Action> {
        match event {
            Event::Config(config) => self.configured(config, now_ns, now_unix_ns),
            Event::Trigger(trigger) => self.triggered(trigger, now_ns, now_unix_ns),
            Event::Placed { test_id, place } => {
                self.early.keep_place(&test_id, place, now_ns);
                self.ripe(&test_id, now_ns, now_unix_ns).unwrap_or_default()
            }
            Event::Stop { test_id } => self.stopped(&test_id),
            Event::Rates { test_id, changes } => self.rates_changed(test_id, changes),
            Event::Probe {
                probe,
                received_unix_ns,
            } => {
                self.latest_probe = Some((probe, received_unix_ns));
                Vec::new()
            }
            Event::Lacks { test_id, needs } => self.lacks(&test_id, needs),
            Event::Prepared { test_id } => self.prepared(test_id, now_ns, now_unix_ns),
            Event::PrepareFailed { test_id, reason } => self.failed(test_id, reason, now_ns),
            Event::Started { test_id } => self.advance(&test_id, NodeState::Running),
            Event::Draining { test_id } => self.advance(&test_id, NodeState::Draining),
            Event::Ended { test_id } => self.ended(&test_id),
            Event::Tick => {
                let mut actions = self.follow_up(now_ns, now_unix_ns);
                actions.extend(self.expire(now_ns));
                actions
            }
            Event::Leave => match self.current().cloned() {
                Some(test_id) => self.stopped(&test_id),
                None => Vec::new(),
            },
        }
    }

    /// The heartbeat that describes the node now.
    #[must_use]
    pub fn heartbeat(&self, now_unix_ns: u64) -> Heartbeat {
        let (state, test_id, reason) = match &self.state {
            State::Idle => (NodeState::Idle, None, None),
            State::Preparing { test_id, .. } => (NodeState::Preparing, Some(test_id), None),
            State::Ready { test_id, .. } => (NodeState::Ready, Some(test_id), None),
            State::Active { test_id, phase } => (*phase, Some(test_id), None),
            State::Failed {
                test_id, reason, ..
            } => (NodeState::Failed, Some(test_id), Some(reason.clone())),
        };
        let needs = match &self.state {
            State::Preparing { needs, .. } => needs.clone(),
            _ => Vec::new(),
        };
        let echo = self
            .latest_probe
            .map(|(probe, received_unix_ns)| ClockEcho {
                probe_id: probe.probe_id,
                sent_unix_ns: probe.sent_unix_ns,
                received_unix_ns,
                echoed_unix_ns: now_unix_ns,
            });
        Heartbeat {
            node_id: self.node_id.clone(),
            heartbeat: true,
            timestamp: Some((now_unix_ns / 1_000_000).to_string()),
            role: Role::Driver,
            state: Some(state),
            test_id: test_id.cloned(),
            reason,
            probe: None,
            echo,
            incarnation: Some(self.incarnation),
            wire: Some(WIRE_VERSION),
            needs,
        }
    }

    fn configured(&mut self, config: TestConfig, now_ns: u64, now_unix_ns: u64) -> Vec<Action> {
        let test_id = config.test_id.clone();
        self.remember(config);
        if self.is_over(&test_id) {
            return Vec::new();
        }
        if let Some(actions) = self.ripe(&test_id, now_ns, now_unix_ns) {
            return actions;
        }
        match &mut self.state {
            State::Active { .. } | State::Preparing { then: Some(_), .. } => Vec::new(),
            State::Preparing {
                test_id: current, ..
            } if *current == test_id => Vec::new(),
            // Asked again for what is ready: the wait for its trigger begins anew.
            State::Ready {
                test_id: current,
                since_ns,
            } if *current == test_id => {
                *since_ns = now_ns;
                vec![Action::Heartbeat]
            }
            _ => self.prepare(test_id, None),
        }
    }

    fn prepare(&mut self, test_id: String, then: Option<Start>) -> Vec<Action> {
        let Some(config) = self.configs.get(&test_id).cloned() else {
            return Vec::new();
        };
        let mut actions = self.release();
        self.state = State::Preparing {
            test_id,
            then,
            needs: Vec::new(),
        };
        actions.extend([Action::Prepare(Box::new(config)), Action::Heartbeat]);
        actions
    }

    /// Lets go of a prepared load, or of one in preparation.
    fn release(&mut self) -> Vec<Action> {
        match std::mem::replace(&mut self.state, State::Idle) {
            State::Ready { test_id, .. } | State::Preparing { test_id, .. } => {
                vec![Action::Release { test_id }]
            }
            _ => Vec::new(),
        }
    }

    fn stopped(&mut self, test_id: &str) -> Vec<Action> {
        if let Some(trigger) = self.early.take(test_id) {
            if !self.is_listed(&trigger) {
                return Vec::new();
            }
            let reason = "stopped before its config was read".to_owned();
            return self.unrun(trigger.test_id, Unrun::Aborted, reason);
        }
        if self.current().map(String::as_str) != Some(test_id) {
            // Its start is on another topic, and may be read only now.
            if !self.is_over(test_id) {
                self.remember_end(test_id, false);
            }
            return Vec::new();
        }
        match &self.state {
            State::Active { .. } => vec![Action::Stop {
                test_id: test_id.to_owned(),
            }],
            State::Preparing { then: Some(_), .. } => {
                let reason = "stopped before it was prepared".to_owned();
                self.unrun(test_id.to_owned(), Unrun::Aborted, reason)
            }
            _ => {
                self.remember_end(test_id, false);
                let mut actions = self.release();
                actions.push(Action::Heartbeat);
                actions
            }
        }
    }

    /// The rate of a test changes: at once where it has started here, else when it does.
    fn rates_changed(&mut self, test_id: String, changes: Vec<RateChange>) -> Vec<Action> {
        match &self.state {
            State::Active {
                test_id: current, ..
            } if *current == test_id => vec![Action::ChangeRate { test_id, changes }],
            _ => {
                if !self.is_over(&test_id) {
                    self.early.keep_rates(&test_id, changes);
                }
                Vec::new()
            }
        }
    }

    /// What is lacking is asked for, and what has come acknowledged, by the next heartbeat.
    fn lacks(&mut self, test_id: &str, lacking: Vec<Need>) -> Vec<Action> {
        match &mut self.state {
            State::Preparing {
                test_id: current,
                needs,
                ..
            } if current == test_id => {
                *needs = lacking;
                vec![Action::Heartbeat]
            }
            _ => Vec::new(),
        }
    }

    fn prepared(&mut self, test_id: String, now_ns: u64, now_unix_ns: u64) -> Vec<Action> {
        if self.current() != Some(&test_id) {
            // Prepared for nothing: another test came in between.
            return vec![Action::Release { test_id }];
        }
        let State::Preparing { then, .. } = &mut self.state else {
            return Vec::new();
        };
        let Some(start) = then.take() else {
            self.state = State::Ready {
                test_id,
                since_ns: now_ns,
            };
            return vec![Action::Heartbeat];
        };
        if let Some(late_ms) = too_late_ms(&start, now_unix_ns) {
            let reason = format!("prepared only {late_ms} ms after the start");
            return self.unrun(test_id, Unrun::Missed, reason);
        }
        self.arm(start)
    }

    fn failed(&mut self, test_id: String, reason: String, now_ns: u64) -> Vec<Action> {
        match &self.state {
            State::Preparing {
                test_id: current,
                then,
                ..
            } if *current == test_id => {
                if then.is_some() {
                    self.state = State::Idle;
                    return self.unrun(test_id, Unrun::Failed, reason);
                }
                self.state = State::Failed {
                    test_id,
                    reason,
                    since_ns: now_ns,
                };
                vec![Action::Heartbeat]
            }
            _ => Vec::new(),
        }
    }

    fn advance(&mut self, test_id: &str, to: NodeState) -> Vec<Action> {
        match &mut self.state {
            State::Active {
                test_id: current,
                phase,
            } if current == test_id && *phase != to => {
                *phase = to;
                vec![Action::Heartbeat]
            }
            _ => Vec::new(),
        }
    }

    fn ended(&mut self, test_id: &str) -> Vec<Action> {
        if !matches!(&self.state, State::Active { test_id: current, .. } if current == test_id) {
            return Vec::new();
        }
        self.remember_end(test_id, true);
        self.state = State::Idle;
        vec![Action::Heartbeat]
    }

    /// Lets go of what nobody triggered.
    fn expire(&mut self, now_ns: u64) -> Vec<Action> {
        let since_ns = match &self.state {
            State::Ready { since_ns, .. } | State::Failed { since_ns, .. } => *since_ns,
            _ => return Vec::new(),
        };
        if now_ns.saturating_sub(since_ns) < READY_NS_MAX {
            return Vec::new();
        }
        let mut actions = self.release();
        actions.push(Action::Heartbeat);
        actions
    }

    fn current(&self) -> Option<&String> {
        match &self.state {
            State::Idle => None,
            State::Preparing { test_id, .. }
            | State::Ready { test_id, .. }
            | State::Active { test_id, .. }
            | State::Failed { test_id, .. } => Some(test_id),
        }
    }

    fn is_over(&self, test_id: &str) -> bool {
        self.ended.iter().any(|(ended, _)| ended == test_id)
    }

    fn remember_end(&mut self, test_id: &str, reported: bool) {
        self.ended.push_back((test_id.to_owned(), reported));
        if self.ended.len() > ENDED_MAX {
            self.ended.pop_front();
        }
    }
}

#[cfg(test)]
mod tests;
