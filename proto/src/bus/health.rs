//! Whether the broker answers, as librdkafka's callbacks tell it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{DeliveryResult, ProducerContext};

/// Shared between a client and whoever wants to know how it fares.
#[derive(Debug, Clone, Default)]
pub struct Health {
    state: Arc<State>,
}

#[derive(Debug, Default)]
struct State {
    down: AtomicBool,
    last_error: Mutex<Option<String>>,
}

impl Health {
    /// Whether all brokers were away when last heard of.
    #[must_use]
    pub fn is_down(&self) -> bool {
        self.state.down.load(Ordering::Relaxed)
    }

    /// The last error that librdkafka reported, if the broker has not answered since.
    #[must_use]
    pub fn last_error(&self) -> Option<String> {
        self.state
            .last_error
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// The broker answered.
    pub(super) fn is_up_again(&self) {
        if self.state.down.swap(false, Ordering::Relaxed) {
            *self
                .state
                .last_error
                .lock()
                .unwrap_or_else(PoisonError::into_inner) = None;
        }
    }

    pub(super) fn failed(&self, error: &KafkaError, reason: &str) {
        if error.rdkafka_error_code() == Some(RDKafkaErrorCode::AllBrokersDown) {
            self.state.down.store(true, Ordering::Relaxed);
            // The reasons that came before say more than "all brokers are down".
            if self.last_error().is_some() {
                return;
            }
        }
        let text = if reason.is_empty() {
            error.to_string()
        } else {
            reason.to_owned()
        };
        *self
            .state
            .last_error
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = Some(text);
    }
}

/// The callbacks of every client of ours.
#[derive(Debug, Clone, Default)]
pub(super) struct Context {
    pub(super) health: Health,
}

impl ProducerContext for Context {
    type DeliveryOpaque = ();

    /// Nothing is sent by a client that only asks.
    fn delivery(&self, _result: &DeliveryResult<'_>, (): ()) {}
}

impl ClientContext for Context {
    fn error(&self, error: KafkaError, reason: &str) {
        self.health.failed(&error, reason);
    }

    /// What librdkafka logs comes again as an error where it matters; the rest is noise.
    fn log(&self, _level: RDKafkaLogLevel, _facility: &str, _message: &str) {}
}
