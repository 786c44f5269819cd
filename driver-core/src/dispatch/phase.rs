//! Where a core is in its load, and what moves it on: the start, the warm-up's end, the plan's end, a
//! stop, a target that is lost.

use proto::units::{NS_PER_MS, NS_PER_S};

use super::due::Loop;
use super::network::Network;
use super::servers::Server;
use super::{Dispatcher, Limits};
use crate::plan::Switch;
use crate::protocol::Protocol;
use crate::recording::Loss;
use crate::source::Source;
use crate::transport::Transport;

/// How long requests in flight are waited for after a stop, ns.
const STOP_GRACE_NS: u64 = 100 * NS_PER_MS;
/// How often a load looks whether it still has a connection, ns.
const CHECK_NS: u64 = NS_PER_S / 4;
/// A closed loop whose target was away for that long ends, ns; of several targets, when all were.
pub(super) const TARGET_LOST_NS: u64 = 5 * NS_PER_S;
/// An open loop without any connection waits that long after its last intended start, ns.
const END_GRACE_NS: u64 = 5 * NS_PER_S;

/// Where a core is in the load.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// Connections are being opened, or open; the start is not known yet.
    Ready,
    /// The load starts at that instant.
    Armed { start_ns: u64 },
    /// Sending, unmeasured, until that instant.
    WarmUp { until_ns: u64 },
    /// Sending.
    Running,
    /// Nothing more is sent; what is in flight is waited for, at most until that instant.
    Draining { until_ns: u64 },
    /// Nothing is in flight any more.
    Over,
}

/// How far the load of one core is.
pub(super) struct Progress {
    pub phase: Phase,
    pub due: Loop,
    /// Start of the phase that sends.
    pub origin_ns: u64,
    /// Whether the measured run has begun.
    pub has_begun: bool,
    /// When to look next whether there is a connection; `u64::MAX` before the start.
    pub check_ns: u64,
    /// Since when no core of this node has had a connection.
    lost_since_ns: Option<u64>,
    /// Whether it was told to stop.
    stopping: bool,
    /// Changes of the rate that were taken on.
    switches: usize,
}

impl Progress {
    pub(super) fn new(due: Loop) -> Self {
        Self {
            phase: Phase::Ready,
            due,
            origin_ns: 0,
            has_begun: false,
            check_ns: u64::MAX,
            lost_since_ns: None,
            stopping: false,
            switches: 0,
        }
    }

    #[inline]
    pub(super) fn measured(&self) -> bool {
        self.phase == Phase::Running
    }

    #[inline]
    pub(super) fn sends(&self) -> bool {
        matches!(self.phase, Phase::Running | Phase::WarmUp { .. })
    }

    /// Whether no connection is needed any more.
    pub(super) fn is_ending(&self) -> bool {
        matches!(self.phase, Phase::Draining { .. } | Phase::Over)
    }

    /// Whether it is a closed loop that ended since its count was used up.
    pub(super) fn has_counted_down(&self) -> bool {
        matches!(self.due, Loop::Closed { counted: true, .. }) && !self.stopping
    }

    /// Whether it is a closed loop: what is to be sent waits for the target.
    pub(super) fn waits(&self) -> bool {
        matches!(
            self.due,
            Loop::Closed { .. } | Loop::Sessions { waits: true }
        )
    }

    /// When a load that sends has to stop, whatever is left.
    pub(super) fn end_ns(&self, limits: &Limits, is_connected: bool) -> u64 {
        match &self.due {
            Loop::Closed { .. } | Loop::Sessions { .. } => limits
                .duration_ns
                .map_or(u64::MAX, |ns| self.origin_ns.saturating_add(ns)),
            // The backlog after the last intended start gets as much time as an answer would, if
            // there is anybody to take it.
            Loop::Open(open) if open.is_exhausted() && open.held_ns > 0 => u64::MAX,
            Loop::Open(open) if open.is_exhausted() => {
                let grace_ns = if is_connected {
                    limits.timeout_ns
                } else {
                    limits.timeout_ns.min(END_GRACE_NS)
                };
                open.last_ns.saturating_add(grace_ns)
            }
            Loop::Open(_) => u64::MAX,
        }
    }

    /// When a load of which nothing is left stops waiting for another rate.
    fn release_ns(&self) -> u64 {
        match &self.due {
            Loop::Open(open) if open.is_exhausted() && open.held_ns > 0 => open.held_ns,
            _ => u64::MAX,
        }
    }

    /// When the request that has waited longest is past its deadline.
    fn next_shed_ns(&self, limits: &Limits) -> u64 {
        match (&self.due, limits.deadline_ns) {
            (Loop::Open(open), Some(deadline_ns)) if open.backlog() > 0 => open
                .instant_ns(open.released, self.origin_ns)
                .saturating_add(deadline_ns)
                .saturating_add(1),
            _ => u64::MAX,
        }
    }
}

impl<P: Protocol, T: Transport, S: Source> Dispatcher<P, T, S> {
    /// When something besides a send is to be done for the plan's sake.
    pub fn next_chore_ns(&self) -> u64 {
        let progress = &self.progress;
        let end_ns = match progress.phase {
            Phase::Draining { until_ns } => until_ns,
            Phase::Running => progress.end_ns(&self.limits, self.servers.at(0).open > 0),
            _ => u64::MAX,
        };
        let release_ns = progress.release_ns();
        end_ns
            .min(release_ns)
            .min(progress.next_shed_ns(&self.limits))
    }

    /// What the control side and the clock ask for. `cpu_ns` is the CPU time of the core so far.
    pub fn obey(&mut self, now_ns: u64, cpu_ns: impl Fn() -> u64) {
        if self.shared.stopped() && !self.progress.stopping {
            self.progress.stopping = true;
            self.begin_draining(now_ns, now_ns + STOP_GRACE_NS);
        }
        if self.progress.phase == Phase::Ready
            && let Some(start_ns) = self.shared.started()
        {
            self.progress.phase = Phase::Armed { start_ns };
            if let Loop::Open(open) = &mut self.progress.due {
                open.measured = open.measured.delayed(self.shared.stagger_ns());
            }
        }
        if let Phase::Armed { start_ns } = self.progress.phase
            && now_ns >= start_ns
        {
            self.begin(start_ns, &cpu_ns);
        }
        // A core that was held up may be past the warm-up already.
        if let Phase::WarmUp { until_ns } = self.progress.phase
            && now_ns >= until_ns
        {
            self.begin_measured(until_ns, cpu_ns());
        }
        if self.progress.has_begun {
            while let Some(switch) = self.shared.switched(self.progress.switches) {
                self.progress.switches += 1;
                self.switch(switch, now_ns);
            }
        }
    }

    /// Changes the rate, of what was not due up to now.
    fn switch(&mut self, switch: Switch, now_ns: u64) {
        let origin_ns = self.progress.origin_ns;
        let passed_ns = now_ns.saturating_sub(origin_ns);
        let switch = Switch {
            join_ns: switch.join_ns.max(passed_ns.saturating_add(1)),
            ..switch
        };
        if let Loop::Open(open) = &mut self.progress.due {
            open.switch(&switch, origin_ns);
        }
        self.source.switch(&switch);
    }

    fn begin(&mut self, start_ns: u64, cpu_ns: impl Fn() -> u64) {
        self.progress.check_ns = start_ns.saturating_add(CHECK_NS);
        // A target that only closes idle connections is there; one that refuses is not.
        for number in 0..self.servers.count() {
            let is_away = self.servers.at(number).is_away();
            if self.limits.preflight && is_away && self.shared.live(number) == 0 {
                self.fail_without([self.servers.at(number)], "at the start");
            }
        }
        if self.limits.warmup_ns == 0 {
            return self.begin_measured(start_ns, cpu_ns());
        }
        let until_ns = start_ns.saturating_add(self.limits.warmup_ns);
        self.progress.phase = Phase::WarmUp { until_ns };
        self.progress.origin_ns = start_ns;
        if let Loop::Open(open) = &mut self.progress.due {
            open.begin(open.measured.warm_up(), start_ns, 0);
        }
    }

    fn begin_measured(&mut self, origin_ns: u64, cpu_ns: u64) {
        self.progress.phase = Phase::Running;
        self.progress.origin_ns = origin_ns;
        self.progress.has_begun = true;
        self.books.handover().begin(origin_ns, cpu_ns);
        if let Loop::Open(open) = &mut self.progress.due {
            open.begin(open.measured.clone(), origin_ns, self.limits.warmup_ns);
        }
        self.source.begin(origin_ns);
    }

    /// Sends nothing more; requests in flight are waited for until then, and bounded by their own
    /// timeout.
    pub(super) fn begin_draining(&mut self, now_ns: u64, until_ns: u64) {
        if !self.progress.is_ending() {
            self.shared.drains();
            if self.progress.has_begun {
                let window_ns = self.window_ns();
                self.books.handover().sending_ends(now_ns, window_ns);
            }
            self.source.stop(now_ns);
        }
        self.progress.phase = Phase::Draining { until_ns };
    }

    /// The length of the plan, ns, of a load that went through all of it: an open loop's period
    /// includes the gap after its last request, as a rate does.
    fn window_ns(&self) -> Option<u64> {
        match &self.progress.due {
            Loop::Open(open) if open.is_exhausted() => open.measured.window_ns(),
            Loop::Open(_) => None,
            Loop::Closed { .. } | Loop::Sessions { .. } => self.limits.duration_ns,
        }
    }

    /// Ends what has to end; nothing may be in flight any more that would end a sleep.
    pub(super) fn drain<N: Network>(&mut self, now_ns: u64, net: &mut N) {
        let Phase::Draining { until_ns } = self.progress.phase else {
            return;
        };
        if self.books.flying() > 0 && now_ns >= until_ns {
            for slot in 0..self.slots() {
                self.lose(slot, Loss::Aborted, now_ns, net);
            }
        }
        if self.books.flying() == 0 {
            self.progress.phase = Phase::Over;
        }
    }

    /// Whether the load is over.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.progress.phase == Phase::Over
    }

    /// Ends a closed loop as failed when no core has had a connection for long. An open loop goes
    /// on: what it cannot send is counted, and its plan has an end.
    pub(super) fn check_target(&mut self, now_ns: u64) {
        if now_ns < self.progress.check_ns {
            return;
        }
        self.progress.check_ns = now_ns.saturating_add(CHECK_NS);
        let count = self.servers.count();
        if (0..count).any(|server| self.shared.live(server) > 0) {
            self.progress.lost_since_ns = None;
            return;
        }
        let since_ns = *self.progress.lost_since_ns.get_or_insert(now_ns);
        let is_lost = now_ns.saturating_sub(since_ns) >= TARGET_LOST_NS;
        if is_lost && self.progress.waits() && !self.progress.is_ending() {
            self.fail_without(self.servers.all(), "for 5 s");
        }
    }

    fn fail_without<'s>(&'s self, lost: impl IntoIterator<Item = &'s Server<S::Job>>, when: &str)
    where
        S::Job: 's,
    {
        let lost: Vec<&Server<S::Job>> = lost.into_iter().collect();
        let names: Vec<&str> = lost.iter().map(|server| &*server.name).collect();
        let name = names.join(", ");
        let why = lost
            .iter()
            .find_map(|server| server.connect_error.as_deref());
        let why = why.unwrap_or("it closes every connection");
        self.shared.fail(format!(
            "target_lost: no connection to {name} {when} ({why})"
        ));
    }

    /// What was planned and neither sent nor given up was not sent.
    pub(super) fn settle_accounts(&mut self) {
        match self.progress.due {
            Loop::Closed { leased, counted } => {
                self.books.hand_back(leased);
                self.shared.give_back(leased);
                let left = self.shared.leave();
                if counted && self.limits.planned {
                    self.books.leave_unsent(left.unwrap_or(0));
                }
            }
            Loop::Open(_) | Loop::Sessions { .. } => {
                let _ = self.shared.leave();
            }
        }
        self.books.give_up();
    }
}
