//! What load a test puts on its target, in plain numbers: the validated form that everything runs on.
//! What people write is [`crate::document`]'s.

mod allowed_target;
mod change;
pub mod expectation;
mod flow;
mod json_path;
mod load;
mod mix;
mod pace;
mod rate;
mod replayed;
mod scenario;
mod share;
mod target;
mod template;
pub(crate) mod threshold;
mod tls;

pub use allowed_target::AllowedTarget;
pub use change::{ORDERED_BY_MAX, RATE_CHANGES_MAX, RateChange, Unchangeable, last_change_ns};
pub use expectation::{Check, Comparison, Extract, Pattern, StatusSet, Subject};
pub use flow::{Flow, LOOPS_MAX, OnFail, Op, Step, Think};
pub use json_path::{JsonPath, Segment};
pub(crate) use load::POISSON_MAX;
pub use load::{
    Arrivals, Course, Load, LoadStage, SESSIONS_MAX, STAGE_NS_MAX, SessionArrival, StageArrivals,
};
pub use mix::{CYCLE_MAX, Mix};
pub use pace::Pace;
pub use rate::{Rate, RateSpec, Stage};
pub use replayed::{REPLAY_NAME, REPLAY_SLOT};
pub use scenario::{Column, DataSet, HttpChoice, Pick, RowFormat, RowSource, Scenario, Trust};
pub use share::{Part, mixed, next_random, share};
pub use target::{Target, is_loopback};
pub use template::{Escape, Field, Fill, Hole, Piece, RequestTemplate, Template};
pub use threshold::Threshold;
pub use tls::Tls;

use serde::{Deserialize, Serialize};

use crate::units;

/// The two kinds of test.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum TestType {
    /// Closed loop: every connection sends its next request when the last answer is complete.
    #[serde(alias = "avalanche", alias = "Avalanche")]
    Avalanche,
    /// Open loop: loads start on a fixed grid, whatever the answers do.
    #[serde(alias = "tsunami", alias = "Tsunami")]
    Tsunami,
}

impl TestType {
    /// The name on the wire.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Avalanche => "AVALANCHE",
            Self::Tsunami => "TSUNAMI",
        }
    }
}

/// When requests are intended to start.
#[derive(Debug, Clone, PartialEq)]
pub enum Arrival {
    /// When a connection becomes free.
    ClosedLoop,
    /// Loads of `burst` requests, `gap_ns` between their starts.
    Bursts {
        /// Between the starts of subsequent loads, ns; at least 1.
        gap_ns: u64,
        /// Requests of a load; at least 1.
        burst: u32,
    },
    /// A constant rate.
    Rate(Rate),
    /// Linear pieces, one after another; the rate is linear in time within each.
    Stages(Vec<Stage>),
}

impl Arrival {
    /// Whether requests wait for answers.
    #[must_use]
    pub fn is_closed_loop(&self) -> bool {
        matches!(self, Self::ClosedLoop)
    }

    /// Whether the load is the same all the time.
    #[must_use]
    pub fn is_level(&self) -> bool {
        !matches!(self, Self::Stages(_))
    }
}

/// Where a driver's part of a test ends: at whichever comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit {
    /// Requests of each driver.
    pub requests: Option<u64>,
    /// Time in which requests are intended to start, ns, without the warm-up.
    pub duration_ns: Option<u64>,
}

/// The request that is sent, the same each time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// An HTTP method, as it is written.
    pub method: String,
    /// Header fields besides those that the engine writes (`Host`, `Content-Length`).
    pub headers: Vec<(String, String)>,
    /// The body; empty for none.
    pub body: Vec<u8>,
}

/// Which of the connections that can take a request gets the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Reuse {
    /// The one that has been free longest, so that all are used evenly.
    #[default]
    First,
    /// The one that became free last, as a client's pool does.
    Last,
}

impl Reuse {
    /// Its name as a parameter.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::First => "first",
            Self::Last => "last",
        }
    }
}

/// One driver's load, validated. Made by [`Workload::from_params`] or `Workload::from_config`.
#[derive(Debug, Clone, PartialEq)]
pub struct Workload {
    /// The kind of test.
    pub test_type: TestType,
    /// The web server under load.
    pub target: Target,
    /// Connections of each driver.
    pub connections: u32,
    /// Requests in flight on one connection, at most.
    pub pipeline: u32,
    /// When requests start.
    pub arrival: Arrival,
    /// When the load ends.
    pub limit: Limit,
    /// From the actual send of a request to the end of its answer, ns.
    pub timeout_ns: u64,
    /// From the intended send: a request that cannot be sent by then is shed, ns.
    pub deadline_ns: Option<u64>,
    /// Load before the measured load that no number counts, ns.
    pub warmup_ns: u64,
    /// Whether node i of n starts i/n of a gap later, so that the nodes do not fire in lockstep.
    pub phase: bool,
    /// Which HTTP is spoken.
    pub http: HttpChoice,
    /// Requests after which a connection is replaced by another; `None` for never.
    pub requests_per_connection: Option<u32>,
    /// Which free connection gets the next request.
    pub reuse: Reuse,
    /// Whether a target that takes no connection before the start fails the test; without, what falls
    /// due while it is away is refused.
    pub preflight: bool,
    /// How TLS is spoken, where the target has it.
    pub tls: Tls,
    /// The request.
    pub request: Request,
    /// What the merged result must satisfy.
    pub thresholds: Vec<Threshold>,
}

impl Workload {
    /// Requests that each driver has in flight at any time, where that is known before the run: in a
    /// closed loop. How many streams of HTTP/2 a connection takes the target says.
    #[must_use]
    pub fn in_flight(&self) -> Option<u64> {
        let is_known = self.pipeline == 1 || self.http == HttpChoice::One;
        let all = u64::from(self.connections) * u64::from(self.pipeline);
        (self.arrival.is_closed_loop() && is_known).then_some(all)
    }

    /// Requests that each driver is going to offer, if that is known before the run.
    #[must_use]
    pub fn planned_per_driver(&self) -> Option<u64> {
        match self.limit {
            Limit {
                requests: Some(requests),
                duration_ns: None,
            } => Some(requests),
            _ => None,
        }
    }

    /// Seconds between loads, as the reference's `test_message_delay` has it; 0 for the rest.
    #[must_use]
    pub fn delay_s(&self) -> f64 {
        match self.arrival {
            Arrival::Bursts { gap_ns, .. } => units::ns_to_seconds(gap_ns),
            _ => 0.0,
        }
    }
}
