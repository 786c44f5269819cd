//! Sessions as the dispatcher sees them: what is due, what is sent, and what came of it.

use std::cmp::Reverse;
use std::sync::PoisonError;

use proto::workload::{Fill, Hole, OnFail, Piece, SessionArrival, StageArrivals};

use super::super::judge::judge;
use super::super::{Advanced, Answer, Due, Outcome, Source, Switch, Verdict, Watches};
use super::{ClosedStage, End, Job, Sessions, append};
use crate::protocol::Fields;

impl Source for Sessions {
    type Job = Job;

    fn begin(&mut self, start_ns: u64) {
        self.take_place();
        self.start_ns = start_ns;
        self.now_ns = start_ns;
        self.is_stopped = false;
        self.begin_replay();
        let load = &self.scenario.load;
        self.next_arrival = self.arrivals.next(load);
        self.held_ns = start_ns.saturating_add(load.held_ns());
        self.closed.clear();
        for (number, stage) in load.stages.iter().enumerate() {
            let StageArrivals::Closed { sessions } = stage.arrivals else {
                continue;
            };
            let start_ns = self.start_ns.saturating_add(load.stage_start_ns(number));
            // Where there are fewer at once than parties, the others have none to play in turn.
            let Some(part) = self.part.among(sessions) else {
                continue;
            };
            let left = stage.sessions.map_or(u64::MAX, |most| part.share(most));
            self.closed.push(ClosedStage {
                stage: number,
                part,
                start_ns,
                end_ns: stage
                    .for_ns
                    .map_or(u64::MAX, |ns| start_ns.saturating_add(ns)),
                at_once: part.share(sessions),
                left,
            });
        }
    }

    fn switch(&mut self, switch: &Switch) {
        let load = &self.scenario.load;
        let changed = self
            .arrivals
            .change(load, switch.at_ns, switch.join_ns, switch.rate);
        // Who ordered it has looked whether it can be.
        if changed.is_err() || self.is_stopped {
            return;
        }
        let is_void = |arrival: SessionArrival| arrival.at_ns >= switch.join_ns;
        if self.next_arrival.is_none_or(is_void) {
            self.next_arrival = self.arrivals.next(load);
        }
    }

    fn waits(&self) -> bool {
        self.scenario
            .load
            .stages
            .iter()
            .all(|stage| !stage.is_open())
    }

    fn due_ns(&self) -> u64 {
        if self.is_stopped {
            return u64::MAX;
        }
        if self.has_news {
            return self.now_ns;
        }
        let timer_ns = self
            .timers
            .peek()
            .map_or(u64::MAX, |Reverse((due_ns, ..))| *due_ns);
        timer_ns
            .min(self.next_arrival_ns())
            .min(self.next_stage_ns())
            .min(self.feed_due_ns)
    }

    fn advance(&mut self, now_ns: u64) -> Advanced {
        self.now_ns = self.now_ns.max(now_ns);
        let mut shed = 0;
        while !self.is_stopped && self.next_stage_ns() <= now_ns {
            shed += self.begin_closed();
        }
        while let Some(arrival) = self.next_arrival.filter(|_| !self.is_stopped) {
            let at_ns = self.start_ns.saturating_add(arrival.at_ns);
            if at_ns > now_ns {
                break;
            }
            self.next_arrival = self.arrivals.next(&self.scenario.load);
            shed += u64::from(!self.start(arrival.number, arrival.stage, at_ns));
        }
        if !self.is_stopped {
            shed += self.advance_replay(now_ns);
        }
        while let Some(Reverse((due_ns, user, generation))) = self.timers.peek().copied() {
            if due_ns > now_ns {
                break;
            }
            self.timers.pop();
            if self.users.all[user as usize].generation == generation {
                self.make_ready(user);
            }
        }
        self.has_news = false;
        let offered = std::mem::take(&mut self.offered);
        Advanced { offered, shed }
    }

    fn waiting(&self, server: usize) -> usize {
        self.ready[server].len()
    }

    fn take(&mut self, server: usize, now_ns: u64) -> Option<Due<Job>> {
        self.now_ns = self.now_ns.max(now_ns);
        let user = self.take_user(server)?;
        let state = &mut self.users.all[user as usize];
        let (step, is_measured, intended_ns) = (state.step, state.is_measured, state.due_ns);
        state.is_under_way = true;
        if self.steps[step].has_sequence {
            state.sequence = self.part.nth(self.sequence);
            self.sequence += 1;
        }
        self.tally(is_measured).steps[step].taken += 1;
        let job = self.job(user);
        Some(Due { intended_ns, job })
    }

    fn request(&self, job: Job) -> usize {
        self.state(job).step
    }

    fn timeout_ns(&self, job: Job) -> u64 {
        self.scenario.steps[self.state(job).step].timeout_ns
    }

    fn is_measured(&self, job: Job) -> bool {
        self.state(job).is_measured
    }

    fn fill(&mut self, job: Job, hole: usize, out: &mut Vec<u8>) {
        let state = &self.users.all[job.user as usize];
        let Hole { fill, escape } = self.scenario.steps[state.step].request.holes[hole];
        match fill {
            Fill::Column { data, column } => {
                let row = self.users.row(job.user, data);
                escape.write(self.tables[data].value(row, column), out);
            }
            Fill::Slot(slot) => {
                let value = &self.users.values[job.user as usize * self.users.slots + slot];
                escape.write(value, out);
            }
            Fill::Uuid => self.uuid(out),
            Fill::Int { from, to } => {
                let number = self.random.i64(from..=to);
                append(out, number);
            }
            Fill::Seq => {
                let number = state.sequence;
                append(out, number);
            }
            Fill::Now => {
                let (then_ns, unix_ms) = self.anchor;
                append(
                    out,
                    unix_ms + self.now_ns.saturating_sub(then_ns) / 1_000_000,
                );
            }
            Fill::Cookies => {
                let request = &self.scenario.steps[state.step].request;
                let path: &[u8] = match request.path.pieces.first() {
                    Some(Piece::Fixed(path)) => path,
                    _ => b"/",
                };
                state.jar.write(request.target, path, out);
            }
            // Secrets are put in before the load.
            Fill::Secret(_) => {}
        }
    }

    fn watches(&self, job: Job) -> Watches {
        self.steps[self.state(job).step].watches
    }

    fn may_fail(&self, job: Job, status: u16) -> bool {
        let step = &self.scenario.steps[self.state(job).step];
        let is_judged = !step.checks.is_empty() || !step.extracts.is_empty();
        is_judged || !step.ok.contains(status)
    }

    fn field(&mut self, job: Job, name: &[u8], value: &[u8]) {
        if !self.is_current(job) {
            return;
        }
        let state = &mut self.users.all[job.user as usize];
        let step = &self.scenario.steps[state.step];
        if self.scenario.cookies && name.eq_ignore_ascii_case(b"set-cookie") {
            state.jar.set(step.request.target, value);
        }
        if self.steps[state.step].watches.fields == Fields::All {
            state.seen_or(&mut self.seen).field(step, name, value);
        }
    }

    fn body(&mut self, job: Job, bytes: &[u8]) {
        // Who tells of everything need not ask before.
        if self.is_current(job) && self.watches(job).body {
            let state = &mut self.users.all[job.user as usize];
            state.seen_or(&mut self.seen).body(bytes);
        }
    }

    fn answered(&mut self, job: Job, answer: Answer) -> Outcome {
        if !self.is_current(job) {
            return Outcome {
                verdict: Verdict::Ok,
                step: 0,
                failed: 0,
                ended: None,
            };
        }
        self.now_ns = self.now_ns.max(answer.end_ns);
        let state = &mut self.users.all[job.user as usize];
        state.is_under_way = false;
        let (number, is_measured, due_ns) = (state.step, state.is_measured, state.due_ns);
        // Not a count of its references: all cores would write to it with each answer.
        let step = &self.scenario.steps[number];
        let mut seen = state
            .seen
            .take()
            .or_else(|| self.seen.pop())
            .unwrap_or_default();
        let mut slots = self.users.slots(job.user);
        let tally = &mut self.tallies[usize::from(!is_measured)].steps[number];
        let judged = judge(step, &seen, &answer, &mut slots, (tally, &mut self.scratch));
        if judged.verdict == Verdict::Ok {
            let response_ns = answer.end_ns.saturating_sub(due_ns);
            tally.record(response_ns, answer.end_ns.saturating_sub(answer.sent_ns));
        }
        seen.clear();
        self.seen.push(seen);
        self.users.all[job.user as usize].position.holds |= judged.holds;
        let fails = judged.verdict != Verdict::Ok && step.on_fail == OnFail::Stop;
        let ended = if fails {
            Some(self.end(job.user, answer.end_ns, End::Failed))
        } else {
            self.go_on(job.user, answer.end_ns)
        };
        Outcome {
            verdict: judged.verdict,
            step: number,
            failed: judged.failed,
            ended,
        }
    }

    fn blame(&self, outcome: &Outcome, status: u16) -> (Option<String>, String) {
        let step = &self.scenario.steps[outcome.step];
        let why = match outcome.verdict {
            Verdict::Ok | Verdict::Status => format!("status {status}"),
            Verdict::Check => format!("check {}", step.checks[outcome.failed].text),
            Verdict::Extract => {
                let slot = step.extracts[outcome.failed].slot;
                format!("no {} to extract", self.scenario.slots[slot])
            }
        };
        (Some(step.name.clone()), why)
    }

    fn lost(&mut self, job: Job, now_ns: u64) -> Option<(usize, u64)> {
        if !self.is_current(job) {
            return None;
        }
        self.now_ns = self.now_ns.max(now_ns);
        let state = &mut self.users.all[job.user as usize];
        state.is_under_way = false;
        let (step, is_measured) = (state.step, state.is_measured);
        if let Some(mut seen) = state.seen.take() {
            seen.clear();
            self.seen.push(seen);
        }
        self.tally(is_measured).steps[step].lost += 1;
        if self.scenario.steps[step].on_fail == OnFail::Stop {
            return Some(self.end(job.user, now_ns, End::Failed));
        }
        self.go_on(job.user, now_ns)
    }

    fn cut(&mut self, job: Job, now_ns: u64) {
        if !self.is_current(job) {
            return;
        }
        let state = &mut self.users.all[job.user as usize];
        state.is_under_way = false;
        let (step, is_measured) = (state.step, state.is_measured);
        self.tally(is_measured).steps[step].taken -= 1;
        self.end(job.user, now_ns, End::Cut);
    }

    fn stop(&mut self, now_ns: u64) {
        self.now_ns = self.now_ns.max(now_ns);
        self.is_stopped = true;
        self.next_arrival = None;
        self.stop_replay();
        self.next_closed = self.closed.len();
        (self.offered, self.has_news) = (0, false);
        for server in 0..self.ready.len() {
            while let Some(user) = self.take_user(server) {
                self.end(user, now_ns, End::Cut);
            }
        }
        while let Some(Reverse((_, user, generation))) = self.timers.pop() {
            if self.users.all[user as usize].generation == generation {
                self.end(user, now_ns, End::Cut);
            }
        }
    }

    fn refuse(&mut self, server: usize, now_ns: u64, until_ns: Option<u64>) -> u64 {
        let mut refused = 0;
        for _ in 0..self.ready[server].to_look_through() {
            let Some(user) = self.take_user(server) else {
                break;
            };
            if self.users.all[user as usize].waits {
                self.ready[server].put(user, false);
            } else {
                refused += self.refuse_one(user, now_ns);
            }
        }
        // Who comes back to the queue is intended now.
        let is_over = |due_ns| until_ns.is_some_and(|until_ns| due_ns <= until_ns);
        while let Some(user) = self.ready[server].first()
            && is_over(self.users.all[user as usize].due_ns)
        {
            self.take_user(server);
            refused += self.refuse_one(user, now_ns);
        }
        refused
    }

    fn post(&mut self) {
        if let Some((board, added)) = &mut self.board {
            board.add(&self.tallies[0], added);
        }
    }

    fn finish(&mut self) {
        self.post();
        if let Some(common) = &self.common {
            // Whoever panicked while he added left sums that are still sums.
            let mut common = common.lock().unwrap_or_else(PoisonError::into_inner);
            common.add(&self.tallies[0]);
        }
    }

    fn is_over(&self) -> bool {
        self.next_arrival.is_none()
            && (self.is_stopped || self.now_ns >= self.held_ns)
            && self.feed.is_none()
            && self.next_closed == self.closed.len()
            && self.users.active == 0
    }
}
