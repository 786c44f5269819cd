//! What our orchestrator tells our drivers beyond the reference, on a topic that others do not read.
//!
//! `trigger` carries the start of a test and nothing else, for drivers of other implementations take
//! anything on it for a start.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::ClockProbe;
use crate::lenient::{self, Text, Whole};
use crate::measure::ClockOffset;

/// `control`: an order to some or all drivers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Control {
    /// The orchestrator that sends it.
    #[serde(deserialize_with = "lenient::one::<_, Text, _>")]
    pub node_id: String,
    /// What it says.
    #[serde(flatten)]
    pub order: Order,
}

/// What an orchestrator says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "order", rename_all = "snake_case")]
pub enum Order {
    /// It lives; once a second, with a probe of the drivers' clocks. Its own clock goes by these
    /// as they come back.
    Pulse {
        /// What time is it at your end?
        probe: ClockProbe,
    },
    /// Stop sending a test's load, drain, and report.
    Stop {
        /// The test.
        #[serde(deserialize_with = "lenient::one::<_, Text, _>")]
        test_id: String,
    },
    /// More of those that take part in a test than fit into its trigger.
    Participants {
        /// The test.
        #[serde(deserialize_with = "lenient::one::<_, Text, _>")]
        test_id: String,
        /// The place of the first of these among all.
        #[serde(deserialize_with = "lenient::one::<_, Whole, _>")]
        first: u64,
        /// Number of all.
        #[serde(deserialize_with = "lenient::one::<_, Whole, _>")]
        n: u64,
        /// The nodes.
        participants: Vec<String>,
        /// Their clocks, as far as they were measured.
        #[serde(default, deserialize_with = "lenient::null_is_default")]
        clock_offsets: BTreeMap<String, ClockOffset>,
        /// Which process of each one's id takes part.
        #[serde(default, deserialize_with = "lenient::null_is_default")]
        incarnations: BTreeMap<String, u64>,
    },
    /// A process with another one's id takes no part: it is to end.
    Fence {
        /// The id that both have.
        #[serde(deserialize_with = "lenient::one::<_, Text, _>")]
        of_node_id: String,
        /// The incarnation that is to end.
        #[serde(deserialize_with = "lenient::one::<_, Whole, _>")]
        incarnation: u64,
        /// Where the first one is, `host:port`.
        #[serde(default, deserialize_with = "lenient::or_default::<_, Text, _>")]
        address: String,
    },
    /// An order of a later version.
    #[serde(other)]
    Unknown,
}
