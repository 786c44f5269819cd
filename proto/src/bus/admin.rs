//! What cluster it is, and whether it has our topics.

use std::time::Duration;

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::error::RDKafkaErrorCode;

use super::health::Context;
use super::{BusError, BusSettings};
use crate::topic::Topic;

/// What a broker says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cluster {
    /// Its id: another one means another log, even at the same address.
    pub id: Option<String>,
    /// The topics of ours that it has.
    pub topics: Vec<Topic>,
}

/// Asks the broker who it is and which of our topics it has.
///
/// # Errors
/// [`BusError::Unreachable`] when it does not answer within `timeout`.
pub fn inspect(settings: &BusSettings, timeout: Duration) -> Result<Cluster, BusError> {
    let client: AdminClient<Context> = settings.admin().create_with_context(Context::default())?;
    inspect_with(&client, settings, timeout)
}

fn inspect_with(
    client: &AdminClient<Context>,
    settings: &BusSettings,
    timeout: Duration,
) -> Result<Cluster, BusError> {
    let inner = client.inner();
    let metadata = inner
        .fetch_metadata(None, timeout)
        .map_err(|error| BusError::Unreachable {
            brokers: settings.brokers().to_owned(),
            reason: inner
                .context()
                .health
                .last_error()
                .unwrap_or_else(|| error.to_string()),
        })?;
    let has = |topic: &Topic| {
        metadata
            .topics()
            .iter()
            .any(|t| t.name() == topic.name() && !t.partitions().is_empty())
    };
    Ok(Cluster {
        id: inner.fetch_cluster_id(timeout),
        topics: Topic::ALL.into_iter().filter(has).collect(),
    })
}

/// Makes the topics that are missing, with one partition and the broker's default replication, and
/// says which cluster it is.
///
/// # Errors
/// [`BusError::Unreachable`] when the broker does not answer within `timeout`,
/// [`BusError::Topics`] when it does not let us make them.
pub fn ensure_topics(settings: &BusSettings, timeout: Duration) -> Result<Cluster, BusError> {
    let client: AdminClient<Context> = settings.admin().create_with_context(Context::default())?;
    let cluster = inspect_with(&client, settings, timeout)?;
    let missing: Vec<Topic> = Topic::ALL
        .into_iter()
        .filter(|topic| !cluster.topics.contains(topic))
        .collect();
    if missing.is_empty() {
        return Ok(cluster);
    }
    create(&client, &missing, timeout)?;
    Ok(Cluster {
        topics: Topic::ALL.to_vec(),
        ..cluster
    })
}

fn create(
    client: &AdminClient<Context>,
    topics: &[Topic],
    timeout: Duration,
) -> Result<(), BusError> {
    let with_broker_default =
        |topic: &Topic| NewTopic::new(topic.name(), 1, TopicReplication::Fixed(-1));
    let wanted: Vec<NewTopic<'_>> = topics.iter().map(with_broker_default).collect();
    let options = AdminOptions::new()
        .operation_timeout(Some(timeout))
        .request_timeout(Some(timeout));
    let refused = |topics: String, reason: String| BusError::Topics { topics, reason };
    let results = pollster::block_on(client.create_topics(&wanted, &options)).map_err(|error| {
        let names: Vec<&str> = topics.iter().map(|topic| topic.name()).collect();
        refused(names.join(", "), error.to_string())
    })?;
    for result in results {
        match result {
            // Another node was faster.
            Ok(_) | Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
            Err((topic, code)) => return Err(refused(topic, code.to_string())),
        }
    }
    Ok(())
}
