//! A driver announces itself.

use serde::{Deserialize, Deserializer, Serialize};

use crate::lenient::{self, Text, Whole};

/// The only `message_type` of the `register` topic.
pub const REGISTER_TYPE: &str = "DRIVER_NODE_REGISTER";

/// `register`: a driver says that it is there. Sent at start, and again when the orchestrator
/// asks by its heartbeat after a restart.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Register {
    /// The driver's unique id.
    #[serde(deserialize_with = "lenient::one::<_, Text, _>")]
    pub node_id: String,
    /// Where the driver is, `host:port`; informative. Other implementations write `node_ip`.
    #[serde(
        rename = "node_IP",
        alias = "node_ip",
        default,
        deserialize_with = "lenient::or_default::<_, Text, _>"
    )]
    pub node_ip: String,
    /// [`REGISTER_TYPE`]; absent in some implementations.
    #[serde(default = "register_type", deserialize_with = "type_or_default")]
    pub message_type: String,
    /// Version of the driver; absent for other implementations.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "lenient::option::<_, Text, _>"
    )]
    pub version: Option<String>,
    /// Cores that the driver loads from.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "lenient::option::<_, Whole, _>"
    )]
    pub cores: Option<u64>,
    /// The machine's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hostname: Option<String>,
    /// Which process of that id it is: another one has another number.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "lenient::option::<_, Whole, _>"
    )]
    pub incarnation: Option<u64>,
}

fn register_type() -> String {
    REGISTER_TYPE.to_owned()
}

fn type_or_default<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let written = lenient::option::<D, Text, String>(deserializer)?;
    Ok(written.unwrap_or_else(register_type))
}
