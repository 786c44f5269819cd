//! Messages that must reach the broker: kept, and sent again, until it says that it has them.

use std::collections::BTreeMap;

use proto::topic::Topic;

use super::now::Now;

/// The token of our heartbeats, which are not kept.
pub const PULSE_TOKEN: u64 = 0;
/// Time after which a message that the broker refused is sent again, ns.
const RETRY_NS: u64 = 500_000_000;

/// The longest message that is sent, in bytes: librdkafka and brokers take 1,000,000 with all that
/// goes around it, unless told otherwise.
pub const MESSAGE_LEN_MAX: usize = 990_000;

/// A message on its way to the broker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outgoing {
    /// The number by which its delivery is told.
    pub token: u64,
    /// Where it goes.
    pub topic: Topic,
    /// Its key.
    pub key: String,
    /// Its bytes.
    pub payload: Vec<u8>,
}

#[derive(Debug)]
struct Entry {
    message: Outgoing,
    /// Not before this instant; `None` while the client has it.
    due_mono_ns: Option<u64>,
}

/// The messages whose delivery is not known. Bounded by what may be asked for: of each open run a
/// config, its start and stop, and so many changes of its rate.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    entries: BTreeMap<u64, Entry>,
    last_token: u64,
}

impl Outbox {
    /// What a former process may not have delivered.
    pub(super) fn restore(messages: Vec<Outgoing>) -> Self {
        let mut outbox = Self::default();
        for message in messages {
            outbox.last_token = outbox.last_token.max(message.token);
            let entry = Entry {
                message,
                due_mono_ns: Some(0),
            };
            outbox.entries.insert(entry.message.token, entry);
        }
        outbox
    }

    /// Keeps a message until it is delivered; it is due at once.
    pub(super) fn add(&mut self, topic: Topic, key: &str, payload: Vec<u8>) -> Outgoing {
        self.last_token += 1;
        let message = Outgoing {
            token: self.last_token,
            topic,
            key: key.to_owned(),
            payload,
        };
        let entry = Entry {
            message: message.clone(),
            due_mono_ns: None,
        };
        self.entries.insert(message.token, entry);
        message
    }

    /// The messages to hand to the client now.
    pub(super) fn due(&mut self, now: Now) -> Vec<Outgoing> {
        let is_due = |entry: &&mut Entry| entry.due_mono_ns.is_some_and(|at| at <= now.mono_ns);
        let due = self.entries.values_mut().filter(is_due);
        due.map(|entry| {
            entry.due_mono_ns = None;
            entry.message.clone()
        })
        .collect()
    }

    /// The broker has it, or never takes it.
    pub(super) fn remove(&mut self, token: u64) -> Option<Outgoing> {
        self.entries.remove(&token).map(|entry| entry.message)
    }

    /// The messages about a test are not sent any more; their numbers.
    pub(super) fn remove_of(&mut self, test_id: &str) -> Vec<u64> {
        let of_test = self.entries.values().map(|entry| &entry.message);
        let of_test = of_test.filter(|message| message.key == test_id);
        let tokens: Vec<u64> = of_test.map(|message| message.token).collect();
        tokens.iter().for_each(|token| drop(self.remove(*token)));
        tokens
    }

    /// The broker does not have it.
    pub(super) fn failed(&mut self, token: u64, now: Now) {
        if let Some(entry) = self.entries.get_mut(&token) {
            entry.due_mono_ns = Some(now.mono_ns + RETRY_NS);
        }
    }

    /// Another broker has none of it.
    pub(super) fn send_again(&mut self) {
        self.entries
            .values_mut()
            .for_each(|entry| entry.due_mono_ns = Some(0));
    }

    /// Number of messages.
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether a message of this topic and key waits.
    pub(super) fn holds(&self, topic: Topic, key: &str) -> bool {
        let mut messages = self.entries.values().map(|entry| &entry.message);
        messages.any(|message| message.topic == topic && message.key == key)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proto::bus::{BusError, BusSettings, EmbeddedBroker, Publisher};

    use super::*;

    #[test]
    fn the_longest_message_that_we_send_is_taken_and_what_no_broker_takes_is_known() {
        let broker = EmbeddedBroker::start().unwrap();
        let settings = BusSettings::new(broker.address(), "test", &[]).unwrap();
        let publisher = Publisher::new(&settings).unwrap();
        let send = |len: usize| {
            publisher.publish_bytes(
                Topic::TestConfig,
                "XVlBzgbaiCMRAjWwhTHc",
                &vec![b' '; len],
                1,
            )
        };
        assert!(send(MESSAGE_LEN_MAX).is_ok());
        assert_eq!(send(1_000_001), Err(BusError::TooLarge));
        assert!(publisher.flush(Duration::from_secs(10)));
    }
}
