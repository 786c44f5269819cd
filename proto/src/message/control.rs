//! What our orchestrator tells our drivers beyond the reference, on a topic that others do not read.
//!
//! `trigger` carries the start of a test and nothing else, for drivers of other implementations take
//! anything on it for a start.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::ClockProbe;
use crate::lenient::{self, Text, Whole};
use crate::measure::ClockOffset;
use crate::workload::RateChange;

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
    /// Change the rate of a test that runs, as often as is listed: with each order come the ones
    /// before it, so that orders may come twice, or in any order.
    Rates {
        /// The test.
        #[serde(deserialize_with = "lenient::one::<_, Text, _>")]
        test_id: String,
        /// All changes so far, by their instants.
        changes: Vec<RateChange>,
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

impl Order {
    /// The test that it is about; `None` for one of the drivers themselves.
    #[must_use]
    pub fn test_id(&self) -> Option<&str> {
        match self {
            Self::Stop { test_id }
            | Self::Rates { test_id, .. }
            | Self::Participants { test_id, .. } => Some(test_id),
            Self::Pulse { .. } | Self::Fence { .. } | Self::Unknown => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec;
    use crate::workload::Rate;

    fn read(text: &str) -> Control {
        codec::decode(&mut text.as_bytes().to_vec()).unwrap()
    }

    #[test]
    fn orders_are_written_as_documented_and_read_back() {
        let said = |order| Control {
            node_id: "o".into(),
            order,
        };
        let pulse = said(Order::Pulse {
            probe: ClockProbe {
                probe_id: 7,
                sent_unix_ns: 9,
            },
        });
        let stop = said(Order::Stop {
            test_id: "t".into(),
        });
        let rates = said(Order::Rates {
            test_id: "t".into(),
            changes: vec![RateChange {
                at_ns: 5_000_000_000,
                rate: Rate::from_milli(1_500).unwrap(),
                by: None,
            }],
        });
        let fence = said(Order::Fence {
            of_node_id: "d".into(),
            incarnation: 3,
            address: "h:1".into(),
        });
        for (message, text) in [
            (
                pulse,
                r#"{"node_id":"o","order":"pulse","probe":{"probe_id":7,"sent_unix_ns":9}}"#,
            ),
            (stop, r#"{"node_id":"o","order":"stop","test_id":"t"}"#),
            (
                rates,
                r#"{"node_id":"o","order":"rates","test_id":"t","changes":[{"at_ns":5000000000,"rate_milli":1500}]}"#,
            ),
            (
                fence,
                r#"{"node_id":"o","order":"fence","of_node_id":"d","incarnation":3,"address":"h:1"}"#,
            ),
        ] {
            assert_eq!(String::from_utf8(codec::encode(&message)).unwrap(), text);
            assert_eq!(read(text), message);
        }
    }

    #[test]
    fn what_others_leave_out_or_write_otherwise_is_read() {
        let chunk = r#"{"node_id":"o","order":"participants","test_id":"t","first":"5","n":"6",
            "participants":["d"],"clock_offsets":null,"incarnations":null,"later":1}"#;
        let Order::Participants {
            first,
            n,
            clock_offsets,
            incarnations,
            ..
        } = read(chunk).order
        else {
            panic!("it is a chunk");
        };
        assert_eq!((first, n), (5, 6));
        assert!(clock_offsets.is_empty() && incarnations.is_empty());
        let later = r#"{"node_id":"o","order":"dance","with":"me"}"#;
        assert_eq!(read(later).order, Order::Unknown);
    }
}
