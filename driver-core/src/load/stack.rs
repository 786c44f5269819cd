//! The static types of a load: which protocol its requests speak, over which transport.

use std::iter::repeat_n;
use std::sync::Arc;

use proto::clock::{Anchor, monotonic_ns, unix_ns};
use proto::units::NS_PER_MS;
use proto::workload::Part;

use super::requests;
use super::speech::Speech;
use crate::core_loop::{Common, CoreError, CoreLoop, Payload, Route};
use crate::dispatch::Readiness;
use crate::plan::{Plan, Share};
use crate::protocol::either::Either as EitherHttp;
use crate::protocol::http1::Http1;
use crate::protocol::http2::{Http2, Unfit};
use crate::protocol::{Protocol, Template};
use crate::ring::Features;
use crate::source::replay::Feed;
use crate::source::{Cast, Sessions};
use crate::transport::Transport;
use crate::transport::either::Either as EitherTransport;
use crate::transport::plain::Plain;
use crate::transport::tls::{Setup, Tls};

/// Bytes of pipelined requests that are rendered one after another, unless one is longer.
const PAYLOAD_LEN_MAX: usize = 1 << 20;

/// What a load speaks. Each core builds its own from it.
#[derive(Debug, Clone)]
pub(super) struct Stack {
    requests: Arc<[Template]>,
    /// What all connections send slices of, where they do; else only the length of a request.
    payload: Payload,
    http: Http,
    /// How each server is spoken to.
    speeches: Arc<[Speech]>,
    /// The sessions that the requests come from, and the cores that divide them.
    cast: Option<(Cast, usize)>,
}

#[derive(Debug, Clone, Copy)]
enum Http {
    One,
    /// With so many streams in flight on a connection.
    Two {
        streams_max: u32,
    },
    /// Each server as it is spoken to, of several.
    Either {
        streams_max: u32,
    },
}

impl Stack {
    /// That of a plan on so many cores, whose targets are spoken to like that.
    ///
    /// # Errors
    /// [`Unfit`] when a request cannot be sent over HTTP/2.
    pub(super) fn new(plan: &Plan, speeches: &[Speech], cores: usize) -> Result<Self, Unfit> {
        let workload = plan.workload();
        let first = speeches.first();
        let is_https = first.is_some_and(|speech| speech.tls.is_some());
        let is_http2 = first.is_some_and(|speech| speech.is_http2);
        let requests: Arc<[Template]> = match plan.cast() {
            Some(cast) => requests::templates(&cast.scenario).into(),
            None => [Template::fixed(
                &workload.request,
                &workload.target,
                is_https,
            )]
            .into(),
        };
        let depth = workload.pipeline.max(1);
        // Whether it can be compiled; each core does it for itself.
        let http = if speeches.len() > 1 {
            let over_http2 = goes_over_http2(plan.cast(), speeches);
            EitherHttp::new(&requests, over_http2, depth, Arc::from([]))?;
            Http::Either { streams_max: depth }
        } else if is_http2 {
            Http2::new(&requests, depth)?;
            Http::Two { streams_max: depth }
        } else {
            Http::One
        };
        let payload = match plan.cast() {
            Some(cast) => Payload::own(requests::longest(&cast.scenario)),
            None => payload(&requests, depth, is_http2 || is_https),
        };
        Ok(Self {
            requests,
            payload,
            http,
            speeches: speeches.into(),
            cast: plan.cast().map(|cast| (cast.clone(), cores)),
        })
    }

    /// What speaks to several servers, each in its own way, by the numbers of their addresses.
    fn either(&self, route: &Route, streams_max: u32) -> (EitherHttp, EitherTransport) {
        let numbered = route.servers.iter().enumerate();
        let servers = numbered.flat_map(|(server, endpoints)| repeat_n(server, endpoints.len()));
        let servers: Arc<[usize]> = servers.collect();
        let is_http2 = servers.iter().map(|server| self.speeches[*server].is_http2);
        let cast = self.cast.as_ref().map(|(cast, _)| cast);
        let over_http2 = goes_over_http2(cast, &self.speeches);
        let http = EitherHttp::new(&self.requests, over_http2, streams_max, is_http2.collect());
        let tls = self.speeches.iter().map(|speech| {
            let setup = speech.tls.as_ref();
            setup.map(|setup| Tls::new(setup, Anchor::now()))
        });
        let transport = EitherTransport::new(Arc::clone(&servers), tls.collect());
        (http.expect("invariant: it was compiled before"), transport)
    }

    /// Runs one core's share to its end.
    pub(super) async fn run(
        self,
        common: Common,
        (share, feed): (Share, Option<Feed>),
        ready: impl FnOnce(Vec<Readiness>, Features),
    ) -> Result<(), CoreError> {
        let http1 = || Http1::new(&self.requests);
        let http2 = |streams_max| {
            let http2 = Http2::new(&self.requests, streams_max);
            http2.expect("invariant: it was compiled before")
        };
        let tls = |setup: &Arc<Setup>| Tls::new(setup, Anchor::now());
        let payload = self.payload.clone();
        let source = self
            .cast
            .as_ref()
            .map(|(cast, cores)| sessions(cast, share.core, *cores).with_feed(feed));
        if let Http::Either { streams_max } = self.http {
            let stack = self.either(&common.route, streams_max);
            return run(stack, (common, source), share, payload, ready).await;
        }
        let common = (common, source);
        let only = self.speeches.first();
        match (self.http, only.and_then(|speech| speech.tls.as_ref())) {
            (Http::One, None) => run((http1(), Plain), common, share, payload, ready).await,
            (Http::One, Some(setup)) => {
                run((http1(), tls(setup)), common, share, payload, ready).await
            }
            (Http::Two { streams_max } | Http::Either { streams_max }, None) => {
                run((http2(streams_max), Plain), common, share, payload, ready).await
            }
            (Http::Two { streams_max } | Http::Either { streams_max }, Some(setup)) => {
                let stack = (http2(streams_max), tls(setup));
                run(stack, common, share, payload, ready).await
            }
        }
    }
}

/// Whether the request of a step goes over HTTP/2, by its number.
fn goes_over_http2(cast: Option<&Cast>, speeches: &[Speech]) -> impl Fn(usize) -> bool {
    let steps = cast.map_or(&[][..], |cast| &cast.scenario.steps);
    move |number| {
        let step = steps.get(number);
        step.is_some_and(|step| speeches[step.request.target].is_http2)
    }
}

/// What all connections send slices of; `own` says that each sends bytes of its own instead.
fn payload(requests: &[Template], depth: u32, own: bool) -> Payload {
    let http1 = Http1::new(requests);
    let one = http1
        .as_fixed(0)
        .expect("invariant: nothing in it is to be filled in");
    if own {
        return Payload::own(one.len());
    }
    let fitting = (PAYLOAD_LEN_MAX / one.len()).clamp(1, depth as usize);
    Payload::shared(one, fitting)
}

async fn run<P: Protocol, T: Transport>(
    (protocol, transport): (P, T),
    (common, sessions): (Common, Option<Sessions>),
    share: Share,
    payload: Payload,
    ready: impl FnOnce(Vec<Readiness>, Features),
) -> Result<(), CoreError> {
    match sessions {
        None => {
            CoreLoop::new(common, &share, payload, (protocol, transport))?
                .run(ready)
                .await
        }
        Some(sessions) => {
            CoreLoop::with_source(common, &share, payload, (protocol, transport, sessions))?
                .run(ready)
                .await
        }
    }
}

/// The sessions of one core.
fn sessions(cast: &Cast, core: usize, cores: usize) -> Sessions {
    let part = (core as u64, cores as u64);
    let (scenario, tables) = (Arc::clone(&cast.scenario), Arc::clone(&cast.tables));
    let driver = cast.driver.get().copied().unwrap_or(Part::WHOLE);
    Sessions::new(scenario, tables, driver, part, fastrand::u64(..))
        .with_driver(Arc::clone(&cast.driver))
        .with_anchor(monotonic_ns(), unix_ns() / NS_PER_MS)
        .with_tally(Arc::clone(&cast.tally))
        .with_board(Arc::clone(&cast.board))
}
