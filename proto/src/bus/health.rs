//! Whether the broker answers, as librdkafka's callbacks tell it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{DeliveryResult, ProducerContext};

use super::group::Changes;

/// Shared between a client and whoever wants to know how it fares.
#[derive(Debug, Clone, Default)]
pub struct Health {
    state: Arc<State>,
}

#[derive(Debug, Default)]
struct State {
    down: AtomicBool,
    /// The last error that says more than that all brokers are down.
    reason: Mutex<Option<String>>,
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
        let all_down = || self.is_down().then(|| "all brokers are down".to_owned());
        self.reason().or_else(all_down)
    }

    /// The same, if it says more than that all brokers are down.
    pub(super) fn reason(&self) -> Option<String> {
        self.locked_reason().clone()
    }

    fn locked_reason(&self) -> MutexGuard<'_, Option<String>> {
        let reason = self.state.reason.lock();
        reason.unwrap_or_else(PoisonError::into_inner)
    }

    /// The broker answered.
    pub(super) fn is_up_again(&self) {
        if self.state.down.swap(false, Ordering::Relaxed) {
            *self.locked_reason() = None;
        }
    }

    /// A connection was lost, which librdkafka only logs, with the name of its thread in front.
    fn lost_connection(&self, message: &str) {
        let (_, what) = message.split_once("]: ").unwrap_or(("", message));
        self.locked_reason().get_or_insert_with(|| what.to_owned());
    }

    pub(super) fn failed(&self, error: &KafkaError, reason: &str) {
        if error.rdkafka_error_code() == Some(RDKafkaErrorCode::AllBrokersDown) {
            self.state.down.store(true, Ordering::Relaxed);
            return;
        }
        let text = if reason.is_empty() {
            error.to_string()
        } else {
            reason.to_owned()
        };
        *self.locked_reason() = Some(text);
    }
}

/// The callbacks of every client of ours.
#[derive(Debug, Default)]
pub(super) struct Context {
    pub(super) health: Health,
    /// What a member of a group learned.
    pub(super) changes: Changes,
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

    /// What librdkafka logs comes again as an error where it matters, but for connections that the
    /// broker closes; those are of interest to who asks for a log of that level.
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        if facility == "FAIL" && matches!(level, RDKafkaLogLevel::Warning | RDKafkaLogLevel::Info) {
            self.health.lost_connection(message);
        }
    }
}
