//! What a command line says about the broker: the same options in every program.

use clap::Args;

use super::{BusError, BusSettings, parse_property};

/// Which broker, and how it is reached.
#[derive(Debug, Clone, Args)]
pub struct BrokerOptions {
    /// The broker: host:port, several separated by commas
    #[arg(
        long,
        value_name = "HOST:PORT",
        env = "BROKER_IP",
        default_value = "127.0.0.1:9093"
    )]
    pub kafka: String,
    /// How it is reached
    #[command(flatten)]
    pub properties: PropertyOptions,
}

impl BrokerOptions {
    /// The settings of a client with this id.
    ///
    /// # Errors
    /// As [`BusSettings::new`].
    pub fn settings(&self, client_id: &str) -> Result<BusSettings, BusError> {
        BusSettings::new(&self.kafka, client_id, &self.properties.kafka_properties)
    }
}

/// What the Kafka client is told besides.
#[derive(Debug, Clone, Default, Args)]
pub struct PropertyOptions {
    /// Any librdkafka property of the connections to the broker, name=value; may be repeated
    #[arg(long = "kafka-property", value_name = "NAME=VALUE", value_parser = parse_property)]
    pub kafka_properties: Vec<(String, String)>,
}

/// How the topic that drivers report on is made by whoever finds none.
#[derive(Debug, Clone, Args)]
pub struct PartitionOptions {
    /// Partitions of the topic metrics where it is made anew, 1 to 100: as many mergers can share it;
    /// the orchestrator and the drivers, of which any may make it, are given the same number
    #[arg(
        long,
        value_name = "COUNT",
        env = "DLTS_METRICS_PARTITIONS",
        default_value_t = 1,
        value_parser = clap::value_parser!(u16).range(1..=100)
    )]
    pub metrics_partitions: u16,
}
