//! Every node says that it lives, and the orchestrator measures the drivers' clocks by it.

use serde::{Deserialize, Serialize};

use crate::digest::Sha256;
use crate::lenient::{self, Text, Truth, Whole};

/// Who sends a heartbeat.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// A driver; also the meaning of an absent role.
    #[default]
    Driver,
    /// The orchestrator.
    Orchestrator,
    /// Some other tool.
    #[serde(other)]
    Other,
}

/// What a driver is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NodeState {
    /// Waiting for a test.
    Idle,
    /// Opening connections and rendering buffers for `test_id`.
    Preparing,
    /// Ready for `test_id`: connections open, buffers rendered.
    Ready,
    /// Got the trigger of `test_id` and waits for its start instant.
    Armed,
    /// Sending the load of `test_id`.
    Running,
    /// Sent everything of `test_id`, waiting for the last answers.
    Draining,
    /// Could not prepare `test_id`; the heartbeat's `reason` says why.
    Failed,
    /// A state of a later version.
    #[serde(other)]
    Unknown,
}

/// The orchestrator's question in its pulse: what time is it at your end?
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClockProbe {
    /// Number of the probe; later probes have larger ones.
    #[serde(deserialize_with = "lenient::one::<_, Whole, _>")]
    pub probe_id: u64,
    /// The orchestrator's wall clock when it sent the probe, ns since 1970.
    #[serde(deserialize_with = "lenient::one::<_, Whole, _>")]
    pub sent_unix_ns: u64,
}

/// A driver's answer to a [`ClockProbe`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClockEcho {
    /// Number of the probe that this answers.
    #[serde(deserialize_with = "lenient::one::<_, Whole, _>")]
    pub probe_id: u64,
    /// The orchestrator's clock when it sent the probe, as it stood in the probe.
    #[serde(deserialize_with = "lenient::one::<_, Whole, _>")]
    pub sent_unix_ns: u64,
    /// The driver's wall clock when it read the probe.
    #[serde(deserialize_with = "lenient::one::<_, Whole, _>")]
    pub received_unix_ns: u64,
    /// The driver's wall clock when it sent this echo.
    #[serde(deserialize_with = "lenient::one::<_, Whole, _>")]
    pub echoed_unix_ns: u64,
}

/// A file that a driver lacks, and what it has of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Need {
    /// The file, by its content.
    pub sha256: Sha256,
    /// Bytes of the whole file.
    #[serde(deserialize_with = "lenient::one::<_, Whole, _>")]
    pub bytes: u64,
    /// Bytes that the driver has from its beginning without a gap: what it acknowledges.
    #[serde(default, deserialize_with = "lenient::or_default::<_, Whole, _>")]
    pub from: u64,
}

/// `heartbeat`: once a second, and at once when a node's state changes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Heartbeat {
    /// The sender.
    #[serde(deserialize_with = "lenient::one::<_, Text, _>")]
    pub node_id: String,
    /// Always true; `"YES"` on the wire.
    #[serde(
        serialize_with = "yes",
        deserialize_with = "lenient::one::<_, Truth, _>"
    )]
    pub heartbeat: bool,
    /// The sender's wall clock in ms since 1970, as text since other implementations write other
    /// forms; informative.
    #[serde(default, deserialize_with = "lenient::option::<_, Text, _>")]
    pub timestamp: Option<String>,
    /// Who sends it; absent means a driver.
    #[serde(default, deserialize_with = "lenient::or_default::<_, Role, _>")]
    pub role: Role,
    /// What the driver does; absent for other implementations, which count as always ready.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<NodeState>,
    /// The test that `state` is about.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "lenient::option::<_, Text, _>"
    )]
    pub test_id: Option<String>,
    /// Why `state` is [`NodeState::Failed`], or another remark for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The orchestrator's clock probe.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub probe: Option<ClockProbe>,
    /// A driver's echo of the latest probe that it read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub echo: Option<ClockEcho>,
    /// Which process of that id it is; absent for other implementations.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "lenient::option::<_, Whole, _>"
    )]
    pub incarnation: Option<u64>,
    /// Which [`WIRE_VERSION`](super::WIRE_VERSION) a driver of ours speaks; absent for other
    /// implementations, and before version 2.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "lenient::option::<_, Whole, _>"
    )]
    pub wire: Option<u64>,
    /// The files that a driver lacks for `test_id`; they come on `data`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub needs: Vec<Need>,
}

/// A flag that is only ever true, as the reference writes it.
#[allow(clippy::trivially_copy_pass_by_ref)] // serde calls it with a reference
pub(super) fn yes<S: serde::Serializer>(flag: &bool, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(if *flag { "YES" } else { "NO" })
}
