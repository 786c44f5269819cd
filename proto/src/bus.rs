//! The bus: the one place that names `rdkafka`.
//!
//! Drivers and the orchestrator are assigned all partitions of their topics, without a consumer group:
//! every driver must see every config and trigger, and the orchestrator keeps its offsets in its own
//! store, in the transaction that keeps what it read. Mergers, who share the work, are a [`Group`].
//! Clients must be made before any thread is pinned,
//! since librdkafka's threads inherit the affinity mask of the thread that makes them.

mod admin;
mod embedded;
mod group;
mod health;
mod options;
mod publisher;
mod settings;
mod subscriber;
mod unreadable;

pub use admin::{Cluster, ensure_merged, ensure_topics, inspect};
pub use embedded::EmbeddedBroker;
pub use group::{Group, GroupEvent, Start};
pub use health::Health;
pub use options::{BrokerOptions, PartitionOptions, PropertyOptions};
pub use publisher::{Delivery, Publisher};
pub use settings::{BusSettings, parse_property};
pub use subscriber::{Event, Gap, Partition, Record, StartAt, Subscriber};

use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use thiserror::Error;

/// What can go wrong between a node and the broker.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum BusError {
    /// A property that this build or this program does not take.
    #[error("the Kafka property {name} is not taken: {remedy}")]
    Property {
        /// The property.
        name: String,
        /// What to do instead.
        remedy: String,
    },
    /// No bootstrap address, or one without a port.
    #[error("{0:?} is no broker address; write host:port, several separated by commas")]
    Address(String),
    /// The local send queue is full: the broker has been away for long.
    #[error("the send queue to the broker is full; the message is kept and sent again")]
    QueueFull,
    /// The client or the broker takes no message of this length, however often it is tried.
    #[error("the message is longer than the client or the broker takes (MessageSizeTooLarge)")]
    TooLarge,
    /// The broker knows us and does not let us write there.
    #[error(
        "the broker does not let us write to {topic} (TopicAuthorizationFailed); an admin gives the \
         right: kafka-acls --add --allow-principal User:NAME --operation Write --topic {topic}"
    )]
    Forbidden {
        /// The topic.
        topic: String,
    },
    /// The broker knows us and does not let us read there.
    #[error(
        "the broker does not let us read {topics} (TopicAuthorizationFailed); an admin gives the \
         right: kafka-acls --add --allow-principal User:NAME --operation Read{flags}"
    )]
    Unreadable {
        /// The topics that are read, of which it is one.
        topics: String,
        /// The same as that tool takes them.
        flags: String,
    },
    /// The broker knows us and does not let us be a member of the group.
    #[error(
        "the broker does not let us into the consumer group {group} (GroupAuthorizationFailed); an \
         admin gives the right: kafka-acls --add --allow-principal User:NAME --operation Read \
         --group {group}"
    )]
    GroupForbidden {
        /// The group.
        group: String,
    },
    /// The broker does not answer.
    #[error("no broker answers at {brokers}: {reason}; {remedy}")]
    Unreachable {
        /// Where it was looked for.
        brokers: String,
        /// The last thing heard.
        reason: String,
        /// What to look at.
        remedy: &'static str,
    },
    /// Topics are missing and could not be made.
    #[error("the topics {topics} are missing and could not be made: {reason}")]
    Topics {
        /// Their names.
        topics: String,
        /// Why.
        reason: String,
    },
    /// Anything else that librdkafka says.
    #[error("Kafka: {0}")]
    Kafka(#[from] KafkaError),
}

impl BusError {
    /// Whether the broker never takes the message, however often it is tried.
    #[must_use]
    pub fn is_for_good(&self) -> bool {
        matches!(self, Self::TooLarge | Self::Forbidden { .. })
    }

    /// Whether the broker does not have the topic that was written to.
    #[must_use]
    pub fn is_of_no_topic(&self) -> bool {
        let Self::Kafka(error) = self else {
            return false;
        };
        matches!(
            error.rdkafka_error_code(),
            Some(
                RDKafkaErrorCode::UnknownTopic
                    | RDKafkaErrorCode::UnknownTopicOrPartition
                    | RDKafkaErrorCode::UnknownPartition
            )
        )
    }
}
