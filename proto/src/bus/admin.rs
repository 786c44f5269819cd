//! What cluster it is, and whether it has our topics.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseProducer, Producer};

use super::health::Context;
use super::{BusError, BusSettings, Partition};
use crate::topic::Topic;

/// Longest wait for the reason why a broker cannot be reached …
const REASON_TIMEOUT: Duration = Duration::from_millis(500);
/// … for which the client is asked this long at a time.
const REASON_POLL: Duration = Duration::from_millis(20);

/// How long files stay on the broker, which they only pass through: there may be secrets in them.
const DATA_RETENTION_MS: &str = "3600000";
/// After how long a segment of `data` is closed, ms, so that its age counts.
const DATA_SEGMENT_MS: &str = "600000";
/// How long what mergers wrote stays: `metrics` itself says the same for longer.
const MERGED_RETENTION_MS: &str = "14400000";
/// After how long a segment of `merged` is closed, ms.
const MERGED_SEGMENT_MS: &str = "1800000";

/// What a broker says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cluster {
    /// Its id: another one means another log, even at the same address.
    pub id: Option<String>,
    /// The topics of ours that it has.
    pub topics: Vec<Topic>,
    /// How many partitions each of these has; one, unless somebody else made it.
    pub partitions: BTreeMap<Topic, i32>,
}

impl Cluster {
    /// All partitions of a topic; of one that it does not have the one that we would make.
    pub fn partitions_of(&self, topic: Topic) -> impl Iterator<Item = Partition> + use<> {
        let count = self.partitions.get(&topic).copied().unwrap_or(1);
        (0..count).map(move |number| (topic, number))
    }

    /// In words what to do where `metrics` was there already, with fewer partitions than the settings
    /// ask for.
    #[must_use]
    pub fn lacks_partitions(&self, settings: &BusSettings) -> Option<String> {
        let wanted = settings.partitions_of(Topic::Metrics);
        let has = *self.partitions.get(&Topic::Metrics)?;
        (has < wanted).then(|| {
            format!(
                "the topic metrics was there before, with {has} of {wanted} partitions; more than {has} \
                 mergers share it after: kafka-topics --alter --topic metrics --partitions {wanted}"
            )
        })
    }

    /// Whether it is the embedded broker, which answers an empty fetch only after its time.
    #[must_use]
    pub fn is_embedded(&self) -> bool {
        let id = self.id.as_deref();
        id.is_some_and(|id| id.starts_with("mockCluster"))
    }
}

/// Asks the broker who it is and which of our topics it has.
///
/// # Errors
/// [`BusError::Unreachable`] when it does not answer within `timeout`.
pub fn inspect(settings: &BusSettings, timeout: Duration) -> Result<Cluster, BusError> {
    // Not an admin client: that one never tells why it cannot connect.
    // A listener that wants TLS closes the connection, which is logged as information only.
    let mut config = settings.admin();
    config.set_log_level(RDKafkaLogLevel::Info);
    let client: BaseProducer<Context> = config.create_with_context(Context::default())?;
    let metadata = client
        .client()
        .fetch_metadata(None, timeout)
        .map_err(|error| unreachable(settings, &client, &error))?;
    let found = metadata.topics().iter().filter_map(|topic| {
        let count = i32::try_from(topic.partitions().len()).ok()?;
        Some((Topic::from_name(topic.name())?, count))
    });
    let partitions: BTreeMap<Topic, i32> = found.filter(|(_, count)| *count > 0).collect();
    Ok(Cluster {
        id: client.client().fetch_cluster_id(timeout),
        topics: partitions.keys().copied().collect(),
        partitions,
    })
}

/// Says why, in the words of the connection that failed.
fn unreachable(
    settings: &BusSettings,
    client: &BaseProducer<Context>,
    error: &KafkaError,
) -> BusError {
    // Serves the callbacks that tell of it, one event a call; a refused password comes a little
    // after the request has failed for it.
    let health = &client.context().health;
    let asked = Instant::now();
    while health.reason().is_none() && asked.elapsed() < REASON_TIMEOUT {
        client.poll(REASON_POLL);
    }
    let reason = health.last_error().unwrap_or_else(|| error.to_string());
    BusError::Unreachable {
        brokers: settings.brokers().to_owned(),
        remedy: remedy(&reason),
        reason,
    }
}

/// What to look at, by what the client library says. It has the same words for a certificate of
/// another authority and for one that has expired.
fn remedy(reason: &str) -> &'static str {
    const PROTOCOL: &str = "check security.protocol: the listener may want TLS, or not speak it";
    const REMEDIES: [(&str, &str); 4] = [
        (
            "SASL authentication error",
            "check sasl.username, the password in sasl.password, and sasl.mechanism",
        ),
        (
            "certificate",
            "check ssl.ca.location, and whether the broker's certificate has expired",
        ),
        ("security.protocol", PROTOCOL),
        // The first thing that a client asks was answered by closing the connection.
        ("APIVERSION_QUERY", PROTOCOL),
    ];
    REMEDIES
        .iter()
        .find(|(sign, _)| reason.contains(sign))
        .map_or("is it running, and is the address right?", |(_, remedy)| {
            remedy
        })
}

/// Makes the topics that are missing, with the broker's default replication, and says which cluster
/// it is. They get one partition, `metrics` as many as the settings say; `merged` is for mergers to
/// make.
///
/// # Errors
/// [`BusError::Unreachable`] when the broker does not answer within `timeout`,
/// [`BusError::Topics`] when it does not let us make them.
pub fn ensure_topics(settings: &BusSettings, timeout: Duration) -> Result<Cluster, BusError> {
    let of_all = |topic: &Topic| *topic != Topic::Merged;
    ensure(settings, Topic::ALL.into_iter().filter(of_all), timeout)
}

/// Makes `merged` where it is missing, and says which cluster it is.
///
/// # Errors
/// As [`ensure_topics`].
pub fn ensure_merged(settings: &BusSettings, timeout: Duration) -> Result<Cluster, BusError> {
    ensure(settings, [Topic::Merged].into_iter(), timeout)
}

fn ensure(
    settings: &BusSettings,
    wanted: impl Iterator<Item = Topic>,
    timeout: Duration,
) -> Result<Cluster, BusError> {
    let mut cluster = inspect(settings, timeout)?;
    let missing: Vec<Topic> = wanted
        .filter(|topic| !cluster.topics.contains(topic))
        .collect();
    if missing.is_empty() {
        return Ok(cluster);
    }
    let client: AdminClient<Context> = settings.admin().create_with_context(Context::default())?;
    create(&client, settings, &missing, timeout)?;
    let made = missing.into_iter();
    let made = made.map(|topic| (topic, settings.partitions_of(topic)));
    cluster.partitions.extend(made);
    cluster.topics = cluster.partitions.keys().copied().collect();
    Ok(cluster)
}

fn create(
    client: &AdminClient<Context>,
    settings: &BusSettings,
    topics: &[Topic],
    timeout: Duration,
) -> Result<(), BusError> {
    let new = |topic: &Topic| new_topic(*topic, settings.partitions_of(*topic));
    let wanted: Vec<NewTopic<'_>> = topics.iter().map(new).collect();
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

/// A topic with the broker's default replication.
fn new_topic(topic: Topic, partitions: i32) -> NewTopic<'static> {
    let new = NewTopic::new(topic.name(), partitions, TopicReplication::Fixed(-1));
    match topic {
        // A broker removes no segment that is still written to, however old.
        Topic::Data => new
            .set("retention.ms", DATA_RETENTION_MS)
            .set("segment.ms", DATA_SEGMENT_MS),
        Topic::Merged => new
            .set("retention.ms", MERGED_RETENTION_MS)
            .set("segment.ms", MERGED_SEGMENT_MS),
        _ => new,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_client_library_says_leads_to_what_to_look_at() {
        for (reason, word) in [
            (
                "sasl_ssl://h:1: SASL authentication error: bad password",
                "sasl.password",
            ),
            (
                "ssl://h:1: SSL handshake failed: certificate verify failed",
                "ssl.ca.location",
            ),
            (
                "h:1: Disconnected: check security.protocol",
                "security.protocol",
            ),
            (
                "h:1: Disconnected: closed by peer (after 4ms in state APIVERSION_QUERY)",
                "security.protocol",
            ),
            (
                "h:1: Connect to ipv4#127.0.0.1:1 failed: Connection refused",
                "running",
            ),
        ] {
            assert!(remedy(reason).contains(word), "{reason}");
        }
    }
}
