//! Sending messages.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rdkafka::ClientContext;
use rdkafka::Message as _;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseProducer, BaseRecord, DeliveryResult, Producer, ProducerContext};

use super::health::{Context, Health};
use super::{BusError, BusSettings};
use crate::codec;
use crate::message::Message;
use crate::topic::Topic;

/// The fate of a message that was handed to [`Publisher::publish`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// The number that the caller gave the message.
    pub token: u64,
    /// Why it did not arrive; `None` when the broker has it. A message that "failed" may still have
    /// arrived, so sending it again may double it.
    pub error: Option<BusError>,
}

#[derive(Default)]
struct Deliveries {
    client: Context,
    done: Mutex<Vec<Delivery>>,
}

impl ClientContext for Deliveries {
    fn error(&self, error: KafkaError, reason: &str) {
        self.client.error(error, reason);
    }

    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.client.log(level, facility, message);
    }
}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = Box<u64>;

    fn delivery(&self, result: &DeliveryResult<'_>, token: Box<u64>) {
        let error = match result {
            Ok(_) => {
                self.client.health.is_up_again();
                None
            }
            Err((error, message)) => Some(undelivered(error.clone(), message.topic())),
        };
        let delivery = Delivery {
            token: *token,
            error,
        };
        self.done
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(delivery);
    }
}

fn undelivered(error: KafkaError, topic: &str) -> BusError {
    use RDKafkaErrorCode::{ClusterAuthorizationFailed, TopicAuthorizationFailed};
    match error {
        KafkaError::MessageProduction(TopicAuthorizationFailed | ClusterAuthorizationFailed) => {
            let topic = topic.to_owned();
            BusError::Forbidden { topic }
        }
        KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull) => BusError::QueueFull,
        KafkaError::MessageProduction(RDKafkaErrorCode::MessageSizeTooLarge) => BusError::TooLarge,
        error => BusError::Kafka(error),
    }
}

/// A producer. Messages leave in the background; [`Publisher::poll`] tells what became of them.
pub struct Publisher {
    producer: BaseProducer<Deliveries>,
}

impl Publisher {
    /// Makes the client; it connects in the background.
    ///
    /// # Errors
    /// [`BusError::Kafka`] for properties that librdkafka does not know.
    pub fn new(settings: &BusSettings) -> Result<Self, BusError> {
        let producer = settings
            .producer()
            .create_with_context(Deliveries::default())?;
        Ok(Self { producer })
    }

    /// Hands a message over, under the sender's key, with a number by which its [`Delivery`] is
    /// told. Never blocks.
    ///
    /// # Errors
    /// [`BusError::QueueFull`] when the broker has been away for long; the message was not taken.
    pub fn publish<M: Message>(&self, key: &str, message: &M, token: u64) -> Result<(), BusError> {
        self.publish_bytes(M::TOPIC, key, &codec::encode(message), token)
    }

    /// As [`Self::publish`], with the message already encoded.
    ///
    /// # Errors
    /// As [`Self::publish`].
    pub fn publish_bytes(
        &self,
        topic: Topic,
        key: &str,
        payload: &[u8],
        token: u64,
    ) -> Result<(), BusError> {
        let record = BaseRecord::with_opaque_to(topic.name(), Box::new(token))
            .key(key)
            .payload(payload);
        // Where there are several, the key says which: a node's reports stay in their order.
        let record = match topic {
            Topic::Metrics => record,
            _ => record.partition(0),
        };
        self.producer
            .send(record)
            .map_err(|(error, _)| undelivered(error, topic.name()))
    }

    /// Serves the client's callbacks for up to `timeout` and returns the deliveries since the last
    /// call.
    pub fn poll(&self, timeout: Duration) -> Vec<Delivery> {
        self.producer.poll(timeout);
        let context = self.producer.context();
        std::mem::take(&mut *context.done.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Messages handed over whose delivery is not known yet.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        usize::try_from(self.producer.in_flight_count()).unwrap_or(0)
    }

    /// Waits until everything is delivered, for `timeout` at most; whether it is.
    #[allow(clippy::must_use_candidate)] // at the end of a process nothing is left to do
    pub fn flush(&self, timeout: Duration) -> bool {
        self.producer.flush(timeout).is_ok()
    }

    /// How the client fares.
    #[must_use]
    pub fn health(&self) -> Health {
        self.producer.context().client.health.clone()
    }
}
