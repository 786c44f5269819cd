//! Giving what sessions have made ready to connections of the servers that it goes to.

use super::Dispatcher;
use super::connection::Flight;
use super::due::Again;
use super::phase::TARGET_LOST_NS;
use super::release::SENDS_A_CALL;
use super::servers::Server;
use crate::protocol::Protocol;
use crate::source::{Advanced, Source};
use crate::transport::Transport;

impl<P: Protocol, T: Transport, S: Source> Dispatcher<P, T, S> {
    /// What sessions have made ready finds connections, as far as there are any.
    pub(super) fn release_sessions(&mut self, now_ns: u64) {
        // A core that was held up at the end still takes on what had fallen due before it, and sends
        // what one call may carry of that.
        self.admit(now_ns);
        for server in self.servers.in_turn() {
            if let Some(since_ns) = self.servers.at(server).away_since_ns {
                self.refuse_sessions(server, since_ns, now_ns);
            }
            self.release_to(server, now_ns);
        }
        if now_ns >= self.progress.end_ns(&self.limits, true) {
            return self.begin_draining(now_ns, u64::MAX);
        }
        let has_returned = |server: &Server<_>| !server.again.is_empty();
        if self.source.is_over()
            && !self.servers.all().any(has_returned)
            && self.books.flying() == 0
        {
            let last_ns = self.books.last_send_ns().max(self.progress.origin_ns);
            self.begin_draining(last_ns, u64::MAX);
        }
    }

    /// A server takes no connection: what does not wait for it is refused at once. What waits is
    /// refused, too, where there are other servers, when the load would end if it were the only one.
    fn refuse_sessions(&mut self, server: u32, since_ns: u64, now_ns: u64) {
        let until_ns = now_ns.saturating_sub(TARGET_LOST_NS);
        // Of a closed load of one server the whole load ends then.
        let ends_all = self.servers.count() == 1 && self.progress.waits();
        let is_lost = !ends_all && since_ns <= until_ns;
        if is_lost {
            self.refuse_returned(server, now_ns);
            // What those sessions go on with is in the books before it is refused, too.
            self.admit(now_ns);
        }
        let until_ns = is_lost.then_some(until_ns);
        let refused = self.source.refuse(server as usize, now_ns, until_ns);
        self.books.refuse(refused);
        self.admit(now_ns);
    }

    /// The load is over: the sessions of what servers had returned and was not sent again end.
    pub(super) fn end_returned(&mut self, now_ns: u64) {
        for server in 0..self.servers.count() {
            while let Some(Again { job, .. }) = self.servers.at_mut(server).again.pop_front() {
                self.source.cut(job, now_ns);
            }
        }
    }

    /// What a server had returned before it was lost is not sent to it again.
    fn refuse_returned(&mut self, server: u32, now_ns: u64) {
        while let Some(Again { job, .. }) = self.servers.at_mut(server).again.pop_front() {
            self.books.refuse(u64::from(self.source.is_measured(job)));
            self.source.lost(job, now_ns);
        }
    }

    /// What waits for a server finds connections to it.
    fn release_to(&mut self, server: u32, now_ns: u64) {
        while self.touched.len() < SENDS_A_CALL {
            let has_returned = !self.servers.at(server).again.is_empty();
            if !has_returned && self.source.waiting(server as usize) == 0 {
                break;
            }
            let Some(slot) = self.next_ready(server) else {
                break;
            };
            let Some(due) = self.next_job(server, now_ns) else {
                break;
            };
            self.take_ready(slot);
            self.assign_job(slot, due, now_ns);
        }
    }

    /// Takes what sessions have made ready into the books; nothing that falls due at the end of the
    /// load or after it.
    pub(super) fn admit(&mut self, now_ns: u64) {
        let end_ns = self.progress.end_ns(&self.limits, true);
        let until_ns = now_ns.min(end_ns.saturating_sub(1));
        let Advanced { offered, shed } = self.source.advance(until_ns);
        let all = offered + shed;
        if all > 0 {
            self.books.plan(all);
            self.books.take_on(all);
            self.books.offer(all);
            self.books.shed(shed);
        }
    }

    /// The request of a session to a server that is due next: one that was returned, or the one that
    /// has been ready for the longest time. What is past its deadline is shed.
    fn next_job(&mut self, server: u32, now_ns: u64) -> Option<Again<S::Job>> {
        loop {
            let again = &mut self.servers.at_mut(server).again;
            let next = again.pop_front().or_else(|| {
                let due = self.source.take(server as usize, now_ns)?;
                Some(Again {
                    intended_ns: due.intended_ns,
                    returned: 0,
                    job: due.job,
                })
            })?;
            let deadline_ns = self.limits.deadline_ns.unwrap_or(u64::MAX);
            if now_ns.saturating_sub(next.intended_ns) <= deadline_ns {
                return Some(next);
            }
            self.books
                .shed(u64::from(self.source.is_measured(next.job)));
            self.source.lost(next.job, now_ns);
            self.admit(now_ns);
        }
    }

    /// Renders the request of a session into the connection's own bytes.
    fn assign_job(&mut self, slot: u32, due: Again<S::Job>, now_ns: u64) {
        let flight = Flight {
            intended_ns: due.intended_ns,
            sent_ns: now_ns,
            count: 1,
            returned: due.returned,
            measured: self.source.is_measured(due.job),
        };
        let connection = &mut self.connections[slot as usize];
        let state = connection.live.protocol.as_mut();
        let state = state.expect("invariant: only an open connection can take requests");
        let source = &mut self.source;
        let request = source.request(due.job);
        let key = self.protocol.write(
            state,
            request,
            &mut |hole, out| source.fill(due.job, hole, out),
            &mut connection.plain,
        );
        self.books.send(&flight);
        connection.jobs.push_back((key, due.job));
        if P::IN_ORDER {
            connection.assign(flight);
        } else {
            connection.assign_keyed(key, flight);
        }
        // The wheel looks at a connection when the longest of all timeouts may be over.
        let timeout_ns = self.source.timeout_ns(due.job);
        if timeout_ns < self.limits.timeout_ns {
            self.wheel.set(slot, now_ns.saturating_add(timeout_ns));
        }
        self.touch(slot);
        self.enqueue(slot);
    }
}
