//! The whole dispatcher of a core on a network in memory that answers at once: everything that a
//! core does for a request but the ring and the clock.
//!
//! A turn is as in the core loop: take what has come, look at the time, release. All connections
//! are answered in each turn, as by a target that is quicker than the generator, so that a turn
//! carries as many requests as there can be in flight.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;

use driver_core::dispatch::{Dispatcher, Event, Limits, Network, Piece, Shared};
use driver_core::load::templates;
use driver_core::plan::Plan;
use driver_core::protocol::Template;
use driver_core::protocol::http1::Http1;
use driver_core::source::{Cast, Sessions, Source, Table};
use driver_core::transport::plain::Plain;
use proto::document::{Defaults, Document, Params, Setting};
use proto::workload::{Part, TestType, Workload};

use crate::ANSWER;

/// Time that passes in a turn, ns.
const TURN_NS: u64 = 20_000;

/// Sends so many requests over 64 connections, each with `pipeline` in flight.
pub(crate) fn run(requests: u64, pipeline: u32) {
    let plan = Plan::new(workload(requests, pipeline));
    let request = Template::fixed(&plan.workload().request, &plan.workload().target, false);
    let http1 = Http1::new(&[request]);
    let request_len = http1.as_fixed(0).expect("invariant: a fixed request").len();
    let share = plan.share(0, 1);
    let shared = Arc::new(Shared::new(1, requests));
    let (give, intervals) = crossbeam_channel::unbounded();
    let limits = Limits::new(&plan, request_len, pipeline, &[1]);
    let parts = (http1, Plain);
    let dispatcher = Dispatcher::new(&plan, &share, limits, parts, Arc::clone(&shared), give, 0);
    let network = Echo::new(Some(request_len), pipeline);
    drive(dispatcher, network, &shared, requests);
    drop(intervals);
}

/// Sends so many requests of a document over 64 connections: what its sessions cost beside.
pub(crate) fn sessions(requests: u64, document: Sent) {
    let text = format!(
        "target: http://127.0.0.1:8000\ndefaults: {{cookies: false, connections: 64}}\n{}\n\
         load: {{closed: 64, sessions: {requests}}}\n",
        document.steps()
    );
    let document = Document::read(&text, Setting::default()).expect("invariant: well formed");
    let scenario = document.scenario.clone();
    let templates = templates(&scenario);
    let tables = scenario
        .data
        .iter()
        .map(|set| Table::load(set, None, Part::WHOLE).expect("invariant: rows in the document"));
    let cast = Cast::new(scenario.clone(), tables.collect(), Part::WHOLE);
    let source = Sessions::new(
        Arc::clone(&cast.scenario),
        Arc::clone(&cast.tables),
        Part::WHOLE,
        (0, 1),
        1,
    );
    let plan = Plan::of_sessions(document.workload(None), cast);
    let share = plan.share(0, 1);
    let shared = Arc::new(Shared::new(1, requests));
    let (give, intervals) = crossbeam_channel::unbounded();
    let limits = Limits::new(&plan, 0, 1, &[1]);
    let parts = (Http1::new(&templates), Plain, source);
    let dispatcher =
        Dispatcher::with_source((&plan, &share), limits, parts, Arc::clone(&shared), give, 0);
    drive(dispatcher, Echo::new(None, 1), &shared, requests);
    drop(intervals);
}

/// What the sessions of a document send.
#[derive(Clone, Copy)]
pub(crate) enum Sent {
    /// One page.
    Page,
    /// Ten pages by weight.
    Mix,
    /// A path and a header out of rows.
    Rows,
}

impl Sent {
    fn steps(self) -> String {
        match self {
            Self::Page => "steps: [GET /p/1]".to_owned(),
            Self::Mix => {
                let flows = (1..=10).map(|page| {
                    let weight = 11 - page;
                    format!("- {{name: p{page}, weight: {weight}, steps: [GET /p/{page}]}}\n")
                });
                format!("flows:\n{}", flows.collect::<String>())
            }
            Self::Rows => {
                let rows = (0..1000).map(|row| format!("{{id: {row}, name: user-{row}}}"));
                let rows = rows.collect::<Vec<_>>().join(", ");
                format!(
                    "data: {{users: {{inline: [{rows}], pick: next}}}}\nsteps:\n\
                     - {{GET: /users/$users.id, headers: {{X-User: $users.name}}}}"
                )
            }
        }
    }
}

/// Goes round until the load is over.
fn drive<S: Source>(
    mut dispatcher: Dispatcher<Http1, Plain, S>,
    mut network: Echo,
    shared: &Shared,
    requests: u64,
) {
    let mut now_ns = 0;
    dispatcher.open_connections(now_ns, &mut network);
    shared.start(now_ns, 0);
    while !dispatcher.is_over() {
        now_ns += TURN_NS;
        dispatcher.keep_seconds(now_ns, || now_ns / 2);
        for _ in 0..network.events.len() {
            let Some((slot, event)) = network.events.pop_front() else {
                break;
            };
            dispatcher.take(slot, event, now_ns, &mut network);
        }
        dispatcher.obey(now_ns, || now_ns / 2);
        if now_ns >= dispatcher.next_upkeep_ns() {
            dispatcher.upkeep(now_ns, || now_ns / 2, &mut network);
        }
        dispatcher.release(now_ns, &mut network);
    }
    dispatcher.finish(now_ns, now_ns / 2, &mut network);
    assert_eq!(network.answered, requests, "invariant: each was sent once");
}

fn workload(requests: u64, pipeline: u32) -> Workload {
    let kind = TestType::Avalanche;
    let defaults = Defaults::of_rest(kind, "http://127.0.0.1:8000/");
    let params = Params {
        connections: Some(64),
        pipeline: Some(pipeline.into()),
        requests: Some(requests),
        ..Params::default()
    };
    Workload::from_params(kind, 0.0, &params, &defaults).expect("invariant: allowed")
}

/// A network on which each request is answered by the next turn.
struct Echo {
    /// Where all are equally long; else each send is one.
    request_len: Option<usize>,
    /// As many answers as there can be requests in one send.
    answers: Vec<u8>,
    events: VecDeque<(u32, Event)>,
    answered: u64,
}

impl Echo {
    fn new(request_len: Option<usize>, pipeline: u32) -> Self {
        Self {
            request_len,
            answers: ANSWER.repeat(pipeline as usize),
            events: VecDeque::new(),
            answered: 0,
        }
    }

    fn answer(&mut self, slot: u32, length: usize, notify: bool) {
        let requests = self.request_len.map_or(1, |one| length / one);
        self.answered += requests as u64;
        if notify {
            self.events.push_back((slot, Event::Sent));
        }
        let length = u32::try_from(requests * ANSWER.len()).expect("invariant: a few answers");
        let piece = Piece { buffer: 0, length };
        self.events.push_back((slot, Event::Received(piece)));
    }
}

impl Network for Echo {
    fn connect(&mut self, slot: u32, _: usize) -> io::Result<()> {
        self.events.push_back((slot, Event::Connected));
        Ok(())
    }

    fn send_shared(&mut self, slot: u32, length: usize, notify: bool) {
        self.answer(slot, length, notify);
    }

    fn send(&mut self, slot: u32, bytes: &[u8], notify: bool) {
        self.answer(slot, bytes.len(), notify);
    }

    fn notifies_always(&self) -> bool {
        false
    }

    fn bytes(&mut self, _: u32, piece: Piece) -> &mut [u8] {
        &mut self.answers[..piece.length as usize]
    }

    fn receive(&mut self, _: u32) {}

    fn close(&mut self, _: u32, _: bool) {}
}
