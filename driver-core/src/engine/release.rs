//! What is to be sent now, and when the load is over.

use proto::units::{NS_PER_MS, NS_PER_S};

use super::Engine;
use super::connection::Flight;
use super::course::{Kind, Phase};
use crate::recording::Loss;

/// How long requests in flight are waited for after a stop, ns.
const STOP_GRACE_NS: u64 = 100 * NS_PER_MS;
/// Sends that are handed over in one call, with one actual start. The kernel takes about 2 µs for
/// each, so the last one leaves some 0.1 ms after that instant. Half as many cost 1 % of the
/// throughput.
const SENDS_A_CALL: usize = 64;
/// How often a load looks whether it still has a connection, ns.
const CHECK_NS: u64 = NS_PER_S;
/// A load without any connection fails after that long, ns.
const TARGET_LOST_NS: u64 = 30 * NS_PER_S;

impl Engine {
    /// The instant that must be met exactly: the start, or the next intended send. While every
    /// connection is taken there is none: the next send then waits for an answer.
    pub(super) fn next_send_ns(&self) -> u64 {
        let next_ns = match &self.load.kind {
            Kind::Open(open) if !self.ready.is_empty() => open.next_ns,
            _ => u64::MAX,
        };
        match self.load.phase {
            Phase::Armed { start_ns } => start_ns,
            Phase::WarmUp { until_ns } => until_ns.min(next_ns),
            Phase::Running => next_ns,
            Phase::Ready | Phase::Draining { .. } | Phase::Over => u64::MAX,
        }
    }

    /// What the control side and the clock ask for.
    pub(super) fn obey(&mut self, now_ns: u64) {
        if self.shared.stopped() && !self.load.stopping {
            self.load.stopping = true;
            self.begin_draining(now_ns + STOP_GRACE_NS);
        }
        if self.load.phase == Phase::Ready
            && let Some(start_ns) = self.shared.started()
        {
            self.load.phase = Phase::Armed { start_ns };
            if let Kind::Open(open) = &mut self.load.kind {
                open.measured = open.measured.delayed(self.shared.stagger_ns());
            }
        }
        match self.load.phase {
            Phase::Armed { start_ns } if now_ns >= start_ns => self.begin(start_ns),
            Phase::WarmUp { until_ns } if now_ns >= until_ns => self.begin_measured(until_ns),
            _ => {}
        }
    }

    fn begin(&mut self, start_ns: u64) {
        self.load.check_ns = start_ns.saturating_add(CHECK_NS);
        // A target that only closes idle connections is there; one that refuses is not.
        if self.refused && self.shared.live() == 0 {
            self.fail_without_target("at the start");
        }
        if self.limits.warmup_ns == 0 {
            return self.begin_measured(start_ns);
        }
        let until_ns = start_ns.saturating_add(self.limits.warmup_ns);
        self.load.phase = Phase::WarmUp { until_ns };
        self.load.origin_ns = start_ns;
        if let Kind::Open(open) = &mut self.load.kind {
            open.begin(open.measured.warm_up(), start_ns);
        }
    }

    fn begin_measured(&mut self, origin_ns: u64) {
        self.load.phase = Phase::Running;
        self.load.origin_ns = origin_ns;
        self.tape.begin(origin_ns);
        if let Kind::Open(open) = &mut self.load.kind {
            open.begin(open.measured.clone(), origin_ns);
        }
    }

    /// Assigns what is due to free connections, as much as one call may carry. Says whether that was
    /// not all.
    pub(super) fn release(&mut self, now_ns: u64) -> bool {
        if matches!(self.load.phase, Phase::Running | Phase::WarmUp { .. }) {
            match &self.load.kind {
                Kind::Closed { .. } => self.release_closed(now_ns),
                Kind::Open(_) => self.release_open(now_ns),
            }
        }
        // Looked at in the same turn: nothing may be in flight any more that would end a sleep.
        if let Phase::Draining { until_ns } = self.load.phase {
            self.drain(now_ns, until_ns);
        }
        self.touched.len() >= SENDS_A_CALL
    }

    /// Every free connection gets its next requests.
    fn release_closed(&mut self, now_ns: u64) {
        if self.load.measured() && now_ns >= self.load.end_ns(&self.limits) {
            return self.begin_draining(u64::MAX);
        }
        while self.touched.len() < SENDS_A_CALL {
            let Some(slot) = self.next_ready() else {
                return;
            };
            let connection = &self.connections[slot as usize];
            let fitting = self.limits.copies - connection.unsent;
            let room = (self.limits.pipeline - connection.in_flight).min(fitting);
            let intended_ns = connection.free_since_ns.max(self.load.origin_ns);
            let count = self.lease(room);
            if count == 0 {
                return self.begin_draining(u64::MAX);
            }
            if self.load.measured() {
                self.count_offered(u64::from(count));
            }
            self.take_ready();
            self.assign(slot, intended_ns, now_ns, count);
        }
    }

    /// Up to `room` requests of the common count.
    fn lease(&mut self, room: u32) -> u32 {
        let measured = self.load.measured();
        let Kind::Closed {
            leased,
            counted: true,
        } = &mut self.load.kind
        else {
            return room;
        };
        if !measured {
            return room;
        }
        if *leased == 0 {
            *leased = self.shared.lease();
        }
        let count = u64::from(room).min(*leased);
        *leased -= count;
        u32::try_from(count).expect("invariant: at most room")
    }

    /// Everything due is offered; what finds a connection is sent, what is past its deadline shed.
    fn release_open(&mut self, now_ns: u64) {
        self.offer(now_ns);
        self.shed(now_ns);
        while self.touched.len() < SENDS_A_CALL && self.has_backlog() {
            let Some(slot) = self.take_ready() else { break };
            let Kind::Open(open) = &mut self.load.kind else {
                return;
            };
            let intended_ns = open.instant_ns(open.released, self.load.origin_ns);
            open.released += 1;
            self.assign(slot, intended_ns, now_ns, 1);
        }
        self.end_open(now_ns);
    }

    /// Offers what is intended up to an instant.
    pub(super) fn offer(&mut self, until_ns: u64) {
        if !matches!(self.load.phase, Phase::Running | Phase::WarmUp { .. }) {
            return;
        }
        let Kind::Open(open) = &mut self.load.kind else {
            return;
        };
        let offered = open.offer(until_ns, self.load.origin_ns);
        if self.load.measured() && offered > 0 {
            self.count_offered(offered);
        }
    }

    /// Sheds what was intended longer ago than the deadline allows.
    fn shed(&mut self, now_ns: u64) {
        let (Kind::Open(open), Some(deadline_ns)) = (&mut self.load.kind, self.limits.deadline_ns)
        else {
            return;
        };
        let in_time_ns = now_ns.saturating_sub(deadline_ns);
        let shed = open.shed(in_time_ns, self.load.origin_ns);
        if self.load.measured() {
            self.tape.recorder.counts.shed += shed;
        }
    }

    fn has_backlog(&self) -> bool {
        matches!(&self.load.kind, Kind::Open(open) if open.backlog() > 0)
    }

    fn end_open(&mut self, now_ns: u64) {
        let Kind::Open(open) = &self.load.kind else {
            return;
        };
        let exhausted = open.next_ns == u64::MAX;
        let done = exhausted && open.backlog() == 0;
        if self.load.measured() && (done || now_ns >= self.load.end_ns(&self.limits)) {
            self.begin_draining(u64::MAX);
        }
    }

    fn count_offered(&mut self, requests: u64) {
        self.tape.recorder.counts.offered += requests;
        if !self.limits.planned {
            self.load.planned += requests;
            self.tape.recorder.counts.planned += requests;
        }
    }

    /// The connection that has been free longest. One that is still busy with a long send has to
    /// wait for the end of that, which queues it again.
    fn next_ready(&mut self) -> Option<u32> {
        loop {
            let slot = *self.ready.front()?;
            let connection = &mut self.connections[slot as usize];
            if connection.can_take(self.limits.pipeline) {
                return Some(slot);
            }
            connection.queued = false;
            self.ready.pop_front();
        }
    }

    fn take_ready(&mut self) -> Option<u32> {
        let slot = self.next_ready()?;
        self.connections[slot as usize].queued = false;
        self.ready.pop_front()
    }

    fn assign(&mut self, slot: u32, intended_ns: u64, now_ns: u64, count: u32) {
        let measured = self.load.measured();
        let connection = &mut self.connections[slot as usize];
        if connection.unsent == 0 {
            self.touched.push(slot);
        }
        connection.assign(Flight {
            intended_ns,
            sent_ns: now_ns,
            count,
            measured,
        });
        let more = connection.unsent < self.limits.copies;
        self.flying += u64::from(count);
        if more {
            self.enqueue(slot);
        }
        if measured {
            let bytes = u64::from(count) * self.limits.request_len as u64;
            self.tape.recorder.counts.bytes_sent += bytes;
            self.tape.note_send(now_ns);
            self.tape.recorder.sent(intended_ns, now_ns, count);
        } else {
            self.tape.recorder.counts.warmup_sent += u64::from(count);
        }
    }

    /// Puts a connection that can take a request at the end of the queue.
    pub(super) fn enqueue(&mut self, slot: u32) {
        let connection = &mut self.connections[slot as usize];
        if !connection.queued && connection.can_take(self.limits.pipeline) {
            connection.queued = true;
            self.ready.push_back(slot);
        }
    }

    /// Removes a connection that has ended from the queue. Rare, so a pass over it will do.
    pub(super) fn dequeue(&mut self, slot: u32) {
        if std::mem::take(&mut self.connections[slot as usize].queued) {
            self.ready.retain(|queued| *queued != slot);
        }
    }

    /// Sends nothing more; requests in flight are waited for until then, and bounded by their own
    /// timeout.
    pub(super) fn begin_draining(&mut self, until_ns: u64) {
        if !self.is_ending() {
            self.shared.drains();
        }
        self.load.phase = Phase::Draining { until_ns };
    }

    fn drain(&mut self, now_ns: u64, until_ns: u64) {
        if self.flying > 0 && now_ns >= until_ns {
            for slot in 0..self.connections.len() {
                self.lose(slot, Loss::Aborted, now_ns);
            }
        }
        if self.flying == 0 {
            self.load.phase = Phase::Over;
        }
    }

    /// Whether no connection is needed any more.
    pub(super) fn is_ending(&self) -> bool {
        matches!(self.load.phase, Phase::Draining { .. } | Phase::Over)
    }

    pub(super) fn is_over(&self) -> bool {
        self.load.phase == Phase::Over
    }

    /// Ends the load as failed when no core has had a connection for long.
    pub(super) fn check_target(&mut self, now_ns: u64) {
        if now_ns < self.load.check_ns {
            return;
        }
        self.load.check_ns = now_ns.saturating_add(CHECK_NS);
        if self.shared.live() > 0 {
            self.load.lost_since_ns = None;
            return;
        }
        let since_ns = *self.load.lost_since_ns.get_or_insert(now_ns);
        if now_ns.saturating_sub(since_ns) >= TARGET_LOST_NS {
            self.fail_without_target("for 30 s");
        }
    }

    fn fail_without_target(&self, when: &str) {
        let error = self.connect_error.as_deref();
        let why = error.unwrap_or("it closes every connection");
        let target = &self.target;
        self.shared
            .fail(format!("no connection to {target} {when} ({why})"));
    }

    /// What was planned and neither sent nor shed was not sent.
    pub(super) fn settle_accounts(&mut self) {
        let counts = &mut self.tape.recorder.counts;
        match &self.load.kind {
            Kind::Closed { leased, counted } => {
                self.shared.give_back(*leased);
                let left = self.shared.leave();
                if *counted && self.limits.planned {
                    counts.not_sent += left.unwrap_or(0);
                }
            }
            Kind::Open(open) => {
                let _ = self.shared.leave();
                let began = self.load.origin_ns > 0 && self.tape.boundary_ns != u64::MAX;
                let released = if began { open.released } else { 0 };
                counts.not_sent += self.load.planned - released;
            }
        }
    }
}
