//! Changes of the rate of a test that runs.
//!
//! A change is a new stage from a stated instant on: the grid before it ends there, its own begins
//! there at index 0, and goes on to the end of the stage that it stands in. What comes after that
//! stage is as it was. The unit is the test's own: of a document a total of all drivers, of the
//! reference's calls a rate of each driver.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use thiserror::Error;

use super::{Arrival, LoadStage, Rate, StageArrivals, Workload};
use crate::units;

/// Changes of the rate of one test, at most: all of them go into each order.
pub const RATE_CHANGES_MAX: usize = 1000;
/// Bytes of what says who ordered one, at most.
pub const ORDERED_BY_MAX: usize = 64;

/// The last instant before an end at which a change can come: they come at whole seconds after the
/// common start, ns.
#[must_use]
pub const fn last_change_ns(end_ns: u64) -> u64 {
    end_ns.saturating_sub(1) / units::NS_PER_S * units::NS_PER_S
}

/// A change of a test's rate, and who ordered it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RateChange {
    /// From when on, ns after the common start.
    pub at_ns: u64,
    /// The rate from then on.
    #[serde(
        rename = "rate_milli",
        serialize_with = "write_milli",
        deserialize_with = "read_milli"
    )]
    pub rate: Rate,
    /// Who ordered it, as they said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn write_milli<S: Serializer>(rate: &Rate, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u64(rate.milli())
}

fn read_milli<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Rate, D::Error> {
    let milli = u64::deserialize(deserializer)?;
    Rate::from_milli(milli).ok_or_else(|| {
        let (least, most) = (Rate::MILLI_MIN, Rate::MILLI_MAX);
        serde::de::Error::custom(format!(
            "rate_milli {milli} is not within {least} to {most}"
        ))
    })
}

/// Why no rate can be changed at an instant.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Unchangeable {
    /// Requests wait for answers.
    #[error("its load is closed then: sessions start when others end, at no rate")]
    Closed,
    /// It is a burst every so often.
    #[error("its load comes in bursts then: their size and gap are no rate")]
    Bursts,
    /// A log says when.
    #[error("it replays a log, at the log's own instants")]
    Replay,
    /// It is its sessions that end the stage.
    #[error(
        "its stage then is counted in sessions (sessions: {0}), so that another rate would move its end"
    )]
    Counted(u64),
    /// It warms up, which nobody counts.
    #[error("it warms up until second {}, at the rate that it starts with", units::ns_to_seconds(*.until_ns))]
    WarmingUp {
        /// Until when, ns after the common start.
        until_ns: u64,
    },
    /// All stages are over then.
    #[error("its load ends at second {}", units::ns_to_seconds(*.end_ns))]
    Over {
        /// When, ns after the common start.
        end_ns: u64,
    },
    /// Each driver draws the arrivals of all.
    #[error("{drawn} poisson arrivals would be left to draw; at most {most} are")]
    TooManyDrawn {
        /// So many.
        drawn: u64,
        /// At most.
        most: u64,
    },
}

impl Workload {
    /// The end of the stage in which a change would stand, ns after the common start; `None` where it
    /// goes on until the requests are used up.
    ///
    /// # Errors
    /// [`Unchangeable`] where no rate can be changed `at_ns` after the common start.
    pub fn changeable(&self, at_ns: u64) -> Result<Option<u64>, Unchangeable> {
        let from_ns = self.warmup_ns;
        match self.arrival {
            Arrival::ClosedLoop => return Err(Unchangeable::Closed),
            Arrival::Bursts { .. } => return Err(Unchangeable::Bursts),
            Arrival::Rate(_) | Arrival::Stages(_) => {}
        }
        if at_ns < from_ns {
            return Err(Unchangeable::WarmingUp { until_ns: from_ns });
        }
        let limit_ns = self.limit.duration_ns.map(|ns| from_ns.saturating_add(ns));
        if let Some(end_ns) = limit_ns.filter(|end_ns| at_ns >= *end_ns) {
            return Err(Unchangeable::Over { end_ns });
        }
        let Arrival::Stages(stages) = &self.arrival else {
            return Ok(limit_ns);
        };
        let mut end_ns = from_ns;
        for stage in stages {
            end_ns = end_ns.saturating_add(stage.duration_ns);
            if at_ns < end_ns {
                return Ok(Some(end_ns));
            }
        }
        Err(Unchangeable::Over { end_ns })
    }
}

impl LoadStage {
    /// Whether its rate can be changed.
    pub(super) fn has_rate(&self) -> Result<(), Unchangeable> {
        match (self.arrivals, self.sessions) {
            (StageArrivals::Closed { .. }, _) => Err(Unchangeable::Closed),
            (StageArrivals::Bursts { .. }, _) => Err(Unchangeable::Bursts),
            (StageArrivals::Replay { .. }, _) => Err(Unchangeable::Replay),
            (StageArrivals::Open { .. }, Some(sessions)) => Err(Unchangeable::Counted(sessions)),
            (StageArrivals::Open { .. }, None) => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec;
    use crate::document::{Defaults, Params};
    use crate::workload::TestType;

    const S: u64 = 1_000_000_000;

    fn of(params: &Params) -> Workload {
        let defaults = Defaults::of_rest(TestType::Tsunami, "http://127.0.0.1:8000/");
        Workload::from_params(TestType::Tsunami, 0.5, params, &defaults).unwrap()
    }

    #[test]
    fn a_change_is_written_in_whole_numbers() {
        let change = RateChange {
            at_ns: 12 * S,
            rate: Rate::from_milli(500_500).unwrap(),
            by: Some("me".into()),
        };
        let text = r#"{"at_ns":12000000000,"rate_milli":500500,"by":"me"}"#;
        assert_eq!(String::from_utf8(codec::encode(&change)).unwrap(), text);
        let read = |text: &str| codec::decode::<RateChange>(&mut text.as_bytes().to_vec());
        assert_eq!(read(text).unwrap(), change);
        let other = read(r#"{"at_ns":12000000000,"rate_milli":500500,"later":1}"#).unwrap();
        assert_eq!((other.rate, other.by), (change.rate, None));
        let refused = read(r#"{"at_ns":1,"rate_milli":0}"#).unwrap_err();
        assert!(
            refused.to_string().contains("1 to 10000000000"),
            "{refused}"
        );
    }

    #[test]
    fn a_driver_s_rate_changes_until_its_stage_ends() {
        let rate = |text: &str| Some(text.parse().unwrap());
        let counted = of(&Params {
            rate: rate("100"),
            warmup_s: Some(3.0),
            ..Params::default()
        });
        let until_ns = 3 * S;
        let early = Err(Unchangeable::WarmingUp { until_ns });
        assert_eq!(counted.changeable(2 * S), early);
        assert_eq!(counted.changeable(3 * S), Ok(None), "until all are sent");
        let timed = of(&Params {
            rate: rate("100:200"),
            duration_s: Some(10.0),
            ..Params::default()
        });
        assert_eq!(timed.changeable(9 * S), Ok(Some(10 * S)));
        let over = Unchangeable::Over { end_ns: 10 * S };
        assert_eq!(timed.changeable(10 * S), Err(over.clone()));
        assert_eq!(over.to_string(), "its load ends at second 10");
        let bursts = of(&Params::default());
        assert_eq!(bursts.changeable(2 * S), Err(Unchangeable::Bursts));
    }
}
