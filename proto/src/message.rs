//! The messages of the bus that are JSON, one a topic.
//!
//! Names and fields are those of the project's reference; ours come after them, so that nodes
//! written by others to the same reference work with our nodes. Decoding is liberal: unknown fields are
//! ignored, numbers may be strings, absent optional fields take their stated default.

mod control;
mod heartbeat;
mod merged;
mod metrics;
mod register;
mod test_config;
mod trigger;

pub use control::{Control, Order};
pub use heartbeat::{ClockEcho, ClockProbe, Heartbeat, Need, NodeState, Role};
pub use merged::{Merged, MergedPart, MergedReport, Skipped, Untouched};
pub use metrics::{Logged, Metrics};
pub use register::{REGISTER_TYPE, Register};
pub use test_config::{DEFAULT_BURST, DEFAULT_COUNT, TestConfig};
pub use trigger::{Trigger, TriggerKind};

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::topic::Topic;

/// The version of what our orchestrator and our drivers say to each other beyond the reference, as
/// [`Heartbeat::wire`] tells it. Version 1, which told none, had pulses and stops on topics of the
/// reference; other versions than this one take no part.
pub const WIRE_VERSION: u64 = 2;

/// A message of the bus.
pub trait Message: Serialize + DeserializeOwned {
    /// The topic that carries it.
    const TOPIC: Topic;
}

impl Message for Register {
    const TOPIC: Topic = Topic::Register;
}

impl Message for TestConfig {
    const TOPIC: Topic = Topic::TestConfig;
}

impl Message for Trigger {
    const TOPIC: Topic = Topic::Trigger;
}

impl Message for Metrics {
    const TOPIC: Topic = Topic::Metrics;
}

impl Message for Merged {
    const TOPIC: Topic = Topic::Merged;
}

impl Message for Control {
    const TOPIC: Topic = Topic::Control;
}

impl Message for Heartbeat {
    const TOPIC: Topic = Topic::Heartbeat;
}
