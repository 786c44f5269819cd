//! What was measured, in plain numbers: counts, the report of an interval, a clock's offset. Below
//! everything that carries such numbers ([`crate::message`]) or adds them up ([`crate::summary`]);
//! it knows neither what a test is, nor that there are topics.

mod clock_offset;
mod counters;
mod report;

pub use clock_offset::ClockOffset;
pub use counters::{Counters, ErrorCounters, Imbalance, SecondRow};
pub use report::{Connections, Health, LatencyFigures, Outcome, Report};
