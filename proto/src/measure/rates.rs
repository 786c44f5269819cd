//! How a node followed the changes of its test's rate.

use serde::{Deserialize, Serialize};

use crate::lenient;

/// A change that a node read too late for its instant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct LateRate {
    /// Which of the test's changes, from 0.
    #[serde(default, deserialize_with = "lenient::count")]
    pub number: u64,
    /// By how much later it took the rate on, ns; until then it went on at the one before.
    #[serde(default, deserialize_with = "lenient::count")]
    pub late_ns: u64,
}

/// How a node followed the changes of its test's rate, all of them so far.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct RatesFollowed {
    /// How many it took on, the first ones.
    #[serde(deserialize_with = "lenient::count")]
    pub known: u64,
    /// Those that it took on late.
    #[serde(
        skip_serializing_if = "Vec::is_empty",
        deserialize_with = "lenient::null_is_default"
    )]
    pub late: Vec<LateRate>,
}
