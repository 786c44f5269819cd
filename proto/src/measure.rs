//! What was measured, in plain numbers: counts, the report of an interval, a clock's offset. Below
//! everything that carries such numbers ([`crate::message`]) or adds them up ([`crate::summary`]);
//! it knows neither what a test is, nor that there are topics.

mod addresses;
mod bad_answers;
mod clock_offset;
mod counters;
mod environment;
mod interval_figures;
mod progress;
mod rates;
mod reasons;
mod report;
mod servers;
mod session_counts;
mod tls;

pub use addresses::{ADDRESSES_MAX, Addresses};
pub use bad_answers::{
    BAD_ANSWER_BYTES_MAX, BAD_ANSWERS_ALIKE_MAX, BAD_ANSWERS_MAX, BODY_KEPT_MAX, BadAnswer,
    BadAnswers, HEAD_KEPT_MAX,
};
pub use clock_offset::ClockOffset;
pub use counters::{Counters, ErrorCounters, Imbalance, SecondRow};
pub use environment::Environment;
pub use interval_figures::IntervalFigures;
pub use progress::{PROGRESS_PARTS_MAX, PartProgress, Progress};
pub use rates::{LateRate, RatesFollowed};
pub use reasons::{REASON_CHARS_MAX, REASONS_A_KIND_MAX, Reason, ReasonKind, Reasons};
pub use report::{Connections, Health, LatencyFigures, Outcome, Report};
pub use servers::ServerReport;
pub use session_counts::{DataCounts, FlowCounts, SessionCounts, StepCounts};
pub use tls::{Certificate, TlsReport};
