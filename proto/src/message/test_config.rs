//! What a test is.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::document::{Defaults, Document, InvalidParam, Params};
use crate::lenient::{self, Number, Text, Whole};
use crate::workload::{TestType, Workload};

/// Requests of a driver when the config names no count (the reference's default).
pub const DEFAULT_COUNT: u64 = 500;
/// Requests of a tsunami's load when the config names no burst (the reference's meaning).
pub const DEFAULT_BURST: u64 = 1;

/// `test_config`: one test. [`crate::workload::Workload`] is its validated form.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TestConfig {
    /// The test.
    #[serde(deserialize_with = "lenient::one::<_, Text, _>")]
    pub test_id: String,
    /// Closed or open loop.
    pub test_type: TestType,
    /// Seconds between the starts of subsequent loads; a whole number is written as an integer.
    #[serde(
        default,
        serialize_with = "whole_as_integer",
        deserialize_with = "lenient::or_default::<_, Number, _>"
    )]
    pub test_message_delay: f64,
    /// Requests of each driver. 0 together with a duration or stages means no limit by count.
    #[serde(default = "default_count", deserialize_with = "count_or_default")]
    pub message_count_per_driver: u64,
    /// The whole test as a document, JSON in a text; ours. Where it stands, it says everything, and
    /// what else is here is for those who do not know it.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "lenient::option::<_, Text, _>"
    )]
    pub document: Option<String>,
    /// Everything else; ours.
    #[serde(flatten)]
    pub params: Params,
}

impl TestConfig {
    /// The config as it may be shown and logged.
    #[must_use]
    pub fn masked(&self) -> Self {
        Self {
            params: self.params.masked(),
            document: self.document.as_deref().map(Document::masked_text),
            ..self.clone()
        }
    }
}

impl Workload {
    /// Checks a config from the wire, with the reference's defaults where it is silent.
    ///
    /// # Errors
    /// [`InvalidParam`] as [`Self::from_params`].
    pub fn from_config(config: &TestConfig, default_target: &str) -> Result<Self, InvalidParam> {
        if let Some(document) = &config.document {
            let document = Document::kept(document)
                .map_err(|invalid| InvalidParam::new("document", invalid))?;
            return Ok(document.workload(None));
        }
        let count = config.message_count_per_driver;
        let timed = config.params.duration_s.is_some() || config.params.stages.is_some();
        let mut params = config.params.clone();
        params.requests = if count == 0 && timed {
            None
        } else {
            Some(count)
        };
        let defaults = Defaults {
            target: default_target.to_owned(),
            requests: count,
            burst: DEFAULT_BURST,
        };
        // In the reference a tsunami's delay may be 0: each request follows the answer to the one
        // before, without a gap.
        let paced = params.rate.is_some() || params.stages.is_some();
        let kind = match config.test_type {
            TestType::Tsunami if config.test_message_delay == 0.0 && !paced => {
                params.burst = None;
                TestType::Avalanche
            }
            kind => kind,
        };
        let checked = Self::from_params(kind, config.test_message_delay, &params, &defaults)?;
        Ok(Self {
            test_type: config.test_type,
            ..checked
        })
    }

    /// The message that carries this workload.
    #[must_use]
    pub fn to_config(&self, test_id: &str) -> TestConfig {
        let mut params = self.to_params();
        let count = params.requests.take();
        TestConfig {
            test_id: test_id.to_owned(),
            test_type: self.test_type,
            test_message_delay: self.delay_s(),
            message_count_per_driver: count.unwrap_or(0),
            document: None,
            params,
        }
    }
}

impl Document {
    /// The message that carries this document. Its count is 0, and no duration stands beside it, so
    /// that a driver that knows no documents refuses it instead of running something else.
    #[must_use]
    pub fn to_config(&self, test_id: &str) -> TestConfig {
        let workload = self.workload(None);
        TestConfig {
            test_id: test_id.to_owned(),
            test_type: workload.test_type,
            test_message_delay: 0.0,
            message_count_per_driver: 0,
            document: Some(self.to_json()),
            params: Params {
                target: Some(workload.target.to_string()),
                connections: Some(u64::from(workload.connections)),
                ..Params::default()
            },
        }
    }
}

fn default_count() -> u64 {
    DEFAULT_COUNT
}

fn count_or_default<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    let written = lenient::option::<D, Whole, u64>(deserializer)?;
    Ok(written.unwrap_or(DEFAULT_COUNT))
}

/// Strict decoders of other implementations take `2` for an integer but not `2.0`.
#[allow(clippy::trivially_copy_pass_by_ref)] // serde calls it with a reference
#[allow(clippy::cast_possible_truncation)] // guarded by the range
fn whole_as_integer<S: Serializer>(seconds: &f64, serializer: S) -> Result<S::Ok, S::Error> {
    if seconds.fract() == 0.0 && seconds.abs() < 1e15 {
        serializer.serialize_i64(*seconds as i64)
    } else {
        serializer.serialize_f64(*seconds)
    }
}

#[cfg(test)]
mod tests;
