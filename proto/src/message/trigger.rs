//! The orchestrator starts a test, or stops it.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize};

use crate::lenient::{self, Text, Whole};
use crate::measure::ClockOffset;

/// What a trigger asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum TriggerKind {
    /// Start the test; `"YES"` on the wire.
    #[serde(rename = "YES")]
    Start,
    /// Abort the test: stop sending, drain, report.
    #[serde(rename = "STOP")]
    Stop,
}

impl<'de> Deserialize<'de> for TriggerKind {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Wire {
            Flag(bool),
            Word(String),
        }
        match Wire::deserialize(deserializer)? {
            Wire::Flag(true) => Ok(Self::Start),
            Wire::Word(word) if matches!(word.to_ascii_uppercase().as_str(), "YES" | "TRUE") => {
                Ok(Self::Start)
            }
            Wire::Word(word) if word.eq_ignore_ascii_case("STOP") => Ok(Self::Stop),
            other => {
                let got = match other {
                    Wire::Flag(flag) => flag.to_string(),
                    Wire::Word(word) => word,
                };
                Err(serde::de::Error::custom(format!(
                    "trigger is {got:?}, neither YES nor STOP"
                )))
            }
        }
    }
}

/// `trigger`: start or stop a test.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trigger {
    /// The test.
    #[serde(deserialize_with = "lenient::one::<_, Text, _>")]
    pub test_id: String,
    /// Start or stop.
    pub trigger: TriggerKind,
    /// The common start, in the orchestrator's wall clock, ns since 1970. Absent: at once.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "lenient::option::<_, Whole, _>"
    )]
    pub start_at_unix_ns: Option<u64>,
    /// The nodes that take part, in the order of their phase, or the first of them: see `n`. Absent:
    /// every node that knows the test.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub participants: Option<Vec<String>>,
    /// Number of nodes that take part, where that is known; those that are not listed here come in
    /// chunks on `control`: see [`Order::Participants`](super::Order::Participants).
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "lenient::option::<_, Whole, _>"
    )]
    pub n: Option<u64>,
    /// The participants' clocks, as far as they were measured.
    #[serde(
        default,
        skip_serializing_if = "BTreeMap::is_empty",
        deserialize_with = "lenient::null_is_default"
    )]
    pub clock_offsets: BTreeMap<String, ClockOffset>,
    /// Which process of each participant's id takes part, where that is known.
    #[serde(
        default,
        skip_serializing_if = "BTreeMap::is_empty",
        deserialize_with = "lenient::null_is_default"
    )]
    pub incarnations: BTreeMap<String, u64>,
}
