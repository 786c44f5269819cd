//! How to reach the broker, and the client configuration that follows from it.

use rdkafka::ClientConfig;

use super::{BusError, Cluster, group};
use crate::topic::Topic;

/// Properties that the program depends on and sets itself.
const OWN: [&str; 7] = [
    "bootstrap.servers",
    "metadata.broker.list",
    "group.id",
    "enable.auto.commit",
    "enable.auto.offset.store",
    "auto.offset.reset",
    "test.mock.num.brokers",
];

/// Where the broker is, and any librdkafka property besides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BusSettings {
    brokers: String,
    client_id: String,
    properties: Vec<(String, String)>,
    fetch_wait_ms: u32,
    metrics_partitions: i32,
}

/// Longest wait of a fetch at the embedded broker, which answers an empty one only after it …
const FETCH_WAIT_EMBEDDED_MS: u32 = 10;
/// … and at any other, which answers at once when something comes.
const FETCH_WAIT_MS: u32 = 1000;

impl BusSettings {
    /// Checks and keeps the settings. `brokers` is `host:port`, several separated by commas;
    /// `properties` override every default that the program does not depend on.
    ///
    /// # Errors
    /// [`BusError::Address`], or [`BusError::Property`] for one that cannot be taken: our own, or
    /// TLS and SASL in a build without the feature `kafka-tls`.
    pub fn new(
        brokers: &str,
        client_id: &str,
        properties: &[(String, String)],
    ) -> Result<Self, BusError> {
        if !brokers.split(',').all(|address| is_address(address.trim())) {
            return Err(BusError::Address(brokers.to_owned()));
        }
        for (name, value) in properties {
            check_property(name, value)?;
        }
        Ok(Self {
            brokers: brokers.to_owned(),
            client_id: client_id.to_owned(),
            properties: properties.to_vec(),
            fetch_wait_ms: FETCH_WAIT_EMBEDDED_MS,
            metrics_partitions: 1,
        })
    }

    /// The same, but with so many partitions of `metrics` where it is we who make it: as many mergers
    /// can share it.
    #[must_use]
    pub fn with_metrics_partitions(&self, metrics_partitions: u16) -> Self {
        Self {
            metrics_partitions: metrics_partitions.max(1).into(),
            ..self.clone()
        }
    }

    /// How many partitions a topic gets where we make it.
    pub(super) fn partitions_of(&self, topic: Topic) -> i32 {
        match topic {
            Topic::Metrics => self.metrics_partitions,
            _ => 1,
        }
    }

    /// The same, for a cluster that is known: consumers ask a real broker a hundred times less
    /// often than the embedded one.
    #[must_use]
    pub fn for_cluster(&self, cluster: &Cluster) -> Self {
        let fetch_wait_ms = if cluster.is_embedded() {
            FETCH_WAIT_EMBEDDED_MS
        } else {
            FETCH_WAIT_MS
        };
        Self {
            fetch_wait_ms,
            ..self.clone()
        }
    }

    /// The bootstrap addresses.
    #[must_use]
    pub fn brokers(&self) -> &str {
        &self.brokers
    }

    /// What every client of ours has in common.
    fn common(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config
            .set("bootstrap.servers", &self.brokers)
            .set("client.id", &self.client_id)
            // A broker that went away must be noticed within seconds, and found again soon after
            // it came back: a load test does not wait for it.
            .set("socket.timeout.ms", "10000")
            .set("socket.keepalive.enable", "true")
            .set("socket.nagle.disable", "true")
            .set("reconnect.backoff.ms", "50")
            .set("reconnect.backoff.max.ms", "1000")
            .set("topic.metadata.refresh.interval.ms", "10000")
            .set("allow.auto.create.topics", "false");
        config
    }

    fn with_overrides(&self, mut config: ClientConfig) -> ClientConfig {
        for (name, value) in &self.properties {
            config.set(name, value);
        }
        config
    }

    pub(super) fn producer(&self) -> ClientConfig {
        let mut config = self.common();
        config
            .set("acks", "all")
            .set("linger.ms", "0")
            .set("retry.backoff.ms", "50")
            .set("retry.backoff.max.ms", "500")
            .set("request.timeout.ms", "5000")
            // Reports are numbered and counted once by the reader; an idempotent producer would
            // turn a broker that lost its log into a fatal error.
            .set("enable.idempotence", "false");
        self.with_overrides(config)
    }

    pub(super) fn consumer(&self) -> ClientConfig {
        self.with_overrides(self.reading("dlts-unused"))
    }

    /// A member of a consumer group.
    pub(super) fn member(&self, group: &str) -> ClientConfig {
        let mut config = self.reading(group);
        config
            // Who keeps a partition goes on reading it while others change hands.
            .set("partition.assignment.strategy", "cooperative-sticky")
            .set("session.timeout.ms", group::SESSION_MS)
            .set("heartbeat.interval.ms", group::HEARTBEAT_MS)
            .set("max.poll.interval.ms", group::BUSY_MAX_MS)
            // What is gone cannot be merged.
            .set("auto.offset.reset", "earliest");
        self.with_overrides(config)
    }

    fn reading(&self, group: &str) -> ClientConfig {
        let mut config = self.common();
        config
            .set("group.id", group)
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            // An offset that the broker does not have is a fact to report, not to paper over.
            .set("auto.offset.reset", "error")
            .set("fetch.wait.max.ms", self.fetch_wait_ms.to_string())
            // What waits in the client stands before our own pulse, and takes memory: a fraction of a
            // second of the work of its reader. An answer that was asked for before may come on top.
            .set("queued.max.messages.kbytes", "16384")
            .set("fetch.max.bytes", "8388608")
            .set("fetch.error.backoff.ms", "50")
            .set("fetch.queue.backoff.ms", "50");
        config
    }

    pub(super) fn admin(&self) -> ClientConfig {
        self.with_overrides(self.common())
    }
}

fn is_address(text: &str) -> bool {
    let valid_port = |port: &str| port.parse::<u16>().is_ok_and(|port| port > 0);
    text.rsplit_once(':')
        .is_some_and(|(host, port)| !host.is_empty() && valid_port(port))
}

fn check_property(name: &str, value: &str) -> Result<(), BusError> {
    let refuse = |remedy: &str| {
        Err(BusError::Property {
            name: name.to_owned(),
            remedy: remedy.to_owned(),
        })
    };
    if OWN.contains(&name) {
        return refuse("dlts sets it itself");
    }
    let secure = name.starts_with("ssl.")
        || name.starts_with("sasl.")
        || (name == "security.protocol" && !value.eq_ignore_ascii_case("plaintext"));
    if secure && !cfg!(feature = "kafka-tls") {
        return refuse(
            "this build has no TLS and SASL; build with `make release` (feature kafka-tls)",
        );
    }
    Ok(())
}

/// Splits `name=value`, as `--kafka-property` takes it.
///
/// # Errors
/// Says what the form is.
pub fn parse_property(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.trim().is_empty() => {
            Ok((name.trim().to_owned(), value.trim().to_owned()))
        }
        _ => Err(format!("{text:?} is no property; write name=value")),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn with(name: &str, value: &str) -> Result<BusSettings, BusError> {
        BusSettings::new(
            "localhost:9092",
            "test",
            &[(name.to_owned(), value.to_owned())],
        )
    }

    #[test]
    fn addresses_need_a_port() {
        for good in ["localhost:9092", "a:1,b:2", "a:1, b:2", "[::1]:9092"] {
            assert!(BusSettings::new(good, "test", &[]).is_ok(), "{good}");
        }
        for bad in ["", "localhost", "a:1,b", ":9092", "a:0", "a:99999"] {
            assert!(
                matches!(
                    BusSettings::new(bad, "test", &[]),
                    Err(BusError::Address(_))
                ),
                "{bad}"
            );
        }
    }

    #[test]
    fn properties_pass_through_unless_we_depend_on_them() {
        assert!(with("compression.type", "none").is_ok());
        assert!(matches!(
            with("group.id", "x"),
            Err(BusError::Property { .. })
        ));
        assert_eq!(
            with("ssl.ca.location", "/x").is_ok(),
            cfg!(feature = "kafka-tls")
        );
        assert_eq!(
            with("security.protocol", "SASL_SSL").is_ok(),
            cfg!(feature = "kafka-tls")
        );
        assert!(with("security.protocol", "plaintext").is_ok());
    }

    #[test]
    fn only_the_embedded_broker_is_asked_a_hundred_times_a_second() {
        let settings = BusSettings::new("localhost:9092", "test", &[]).unwrap();
        let wait_ms = |id: Option<&str>| {
            let id = id.map(str::to_owned);
            let cluster = Cluster {
                id,
                topics: Vec::new(),
                partitions: BTreeMap::new(),
            };
            let config = settings.for_cluster(&cluster).consumer();
            config.get("fetch.wait.max.ms").unwrap().to_owned()
        };
        assert_eq!(wait_ms(Some("mockCluster7f")), "10");
        assert_eq!(wait_ms(Some("5L6g3nShT-eMCtK--X86sw")), "1000");
        assert_eq!(wait_ms(None), "1000");
        let own = [("fetch.wait.max.ms".to_owned(), "50".to_owned())];
        let own = BusSettings::new("localhost:9092", "test", &own).unwrap();
        assert_eq!(own.consumer().get("fetch.wait.max.ms"), Some("50"));
    }

    #[test]
    fn our_configurations_are_ones_that_librdkafka_knows() {
        let settings = BusSettings::new("localhost:9092", "test", &[]).unwrap();
        let member = settings.member("group");
        for config in [
            settings.producer(),
            settings.consumer(),
            settings.admin(),
            member,
        ] {
            config.create_native_config().unwrap();
        }
    }
}
