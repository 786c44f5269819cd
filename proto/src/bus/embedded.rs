//! The embedded broker: librdkafka's own in-process cluster, for the first minute and for tests.
//!
//! It listens on the loopback address on a port that it chooses, speaks the real protocol to real
//! clients, keeps the newest 5 MiB (or 100 000 messages) of each topic in memory, and forgets all
//! of it when it ends. Three things differ from a broker for production, and the rest of this crate is
//! written for them: it cannot make topics on request, so all of ours exist from the start; it answers
//! a fetch without data only when the consumer's `fetch.wait.max.ms` is over; and it sends one
//! producer batch a fetch.

use std::time::Duration;

use rdkafka::mocking::MockCluster;
use rdkafka::producer::DefaultProducerContext;

use super::{BusError, BusSettings, Cluster, inspect};
use crate::topic::Topic;

/// How long it may take to answer its first question; it takes a few milliseconds.
const FIRST_ANSWER_MAX: Duration = Duration::from_secs(10);

/// A broker within this process; it ends when this is dropped.
pub struct EmbeddedBroker {
    // Held for its drop, which ends the thread of the broker and all its connections.
    _cluster: MockCluster<'static, DefaultProducerContext>,
    address: String,
    identity: Cluster,
}

impl EmbeddedBroker {
    /// Starts a broker with our topics, of one partition each, and waits until it answers.
    ///
    /// # Errors
    /// [`BusError::Kafka`] when it cannot listen, [`BusError::Unreachable`] when it does not answer.
    pub fn start() -> Result<Self, BusError> {
        Self::with_metrics_partitions(1)
    }

    /// The same, with so many partitions of `metrics`, at least one.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub fn with_metrics_partitions(metrics_partitions: u16) -> Result<Self, BusError> {
        let cluster = MockCluster::new(1)?;
        let address = cluster.bootstrap_servers();
        let settings =
            BusSettings::new(&address, "broker", &[])?.with_metrics_partitions(metrics_partitions);
        for topic in Topic::ALL {
            cluster.create_topic(topic.name(), settings.partitions_of(topic), 1)?;
        }
        let identity = inspect(&settings, FIRST_ANSWER_MAX)?;
        Ok(Self {
            _cluster: cluster,
            address,
            identity,
        })
    }

    /// Where it listens, `127.0.0.1:port`.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    /// What it says of itself. Another start is another cluster, with another id.
    #[must_use]
    pub fn identity(&self) -> &Cluster {
        &self.identity
    }
}
