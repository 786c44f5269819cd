//! Which broker `up` uses.

use std::fmt;
use std::str::FromStr;

use proto::bus::BusSettings;

use super::failure::Failure;
use super::redpanda;

/// What was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BrokerChoice {
    /// Redpanda where a Docker engine answers, else the embedded broker.
    Auto,
    /// The embedded broker.
    Embedded,
    /// Redpanda by Docker, or not at all.
    Redpanda,
    /// An Apache Kafka that the appliance fetches and starts.
    Kafka,
    /// One that runs already.
    Running(String),
}

/// What it comes to on this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Broker {
    /// The embedded broker, started by us.
    Embedded,
    /// Redpanda by Docker, started by us.
    Redpanda,
    /// Apache Kafka, fetched and started by us.
    Kafka,
    /// One that runs already, at this address.
    Running(String),
}

impl FromStr for BrokerChoice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.trim() {
            "" | "auto" => Ok(Self::Auto),
            "embedded" => Ok(Self::Embedded),
            "redpanda" => Ok(Self::Redpanda),
            "kafka" => Ok(Self::Kafka),
            address => BusSettings::new(address, "appliance", &[])
                .map(|_| Self::Running(address.to_owned()))
                .map_err(|error| format!("{error}; or embedded, redpanda, kafka, auto")),
        }
    }
}

impl fmt::Display for Broker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Embedded => f.write_str(
                "the embedded broker: loopback only, nothing durable, 5 MiB kept a topic",
            ),
            Self::Redpanda => f.write_str("Redpanda by Docker, its data in a volume"),
            Self::Kafka => f.write_str("Apache Kafka, fetched by Maven, its data in data/kafka"),
            Self::Running(address) => write!(f, "the one that runs at {address}"),
        }
    }
}

/// Decides.
///
/// # Errors
/// What Docker lacks when Redpanda was asked for.
pub fn decide(choice: &BrokerChoice) -> Result<Broker, Failure> {
    match choice {
        BrokerChoice::Running(address) => Ok(Broker::Running(address.clone())),
        BrokerChoice::Embedded => Ok(Broker::Embedded),
        BrokerChoice::Kafka => Ok(Broker::Kafka),
        BrokerChoice::Redpanda => redpanda(),
        BrokerChoice::Auto => Ok(redpanda().unwrap_or(Broker::Embedded)),
    }
}

/// Redpanda where a Docker engine answers. One that somebody has started is not ours to stop.
fn redpanda() -> Result<Broker, Failure> {
    redpanda::engine_answers()?;
    Ok(if redpanda::is_broker(redpanda::ADDRESS) {
        Broker::Running(redpanda::ADDRESS.to_owned())
    } else {
        Broker::Redpanda
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn choices_are_words_or_addresses() {
        assert_eq!("".parse(), Ok(BrokerChoice::Auto));
        assert_eq!(" embedded ".parse(), Ok(BrokerChoice::Embedded));
        let running = |address: &str| Ok(BrokerChoice::Running(address.to_owned()));
        assert_eq!("10.0.0.5:9092".parse(), running("10.0.0.5:9092"));
        assert_eq!("a:1,b:2".parse(), running("a:1,b:2"));
        for bad in ["embeded", "host", "host:", "host:99999"] {
            let error = bad.parse::<BrokerChoice>().unwrap_err();
            assert!(
                error.contains("host:port") && error.contains("embedded"),
                "{error}"
            );
        }
    }
}
