//! Reading messages.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rdkafka::Message as _;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::metadata::MetadataTopic;
use rdkafka::{Offset, TopicPartitionList};

use super::health::{Context, Health};
use super::unreadable::{self, Place};
use super::{BusError, BusSettings, group};
use crate::topic::Topic;

/// A partition of a topic, by its number from 0. What we write goes to the first.
pub type Partition = (Topic, i32);

/// Where to begin in a topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StartAt {
    /// At the oldest message that the broker keeps.
    Beginning,
    /// After the newest.
    End,
    /// This many messages before the end, or at the oldest.
    Tail(i64),
    /// At this offset, which the broker must have or be about to have.
    Offset(i64),
}

impl From<StartAt> for Offset {
    fn from(start: StartAt) -> Self {
        match start {
            StartAt::Beginning => Self::Beginning,
            StartAt::End => Self::End,
            StartAt::Tail(count) => Self::OffsetTail(count),
            StartAt::Offset(offset) => Self::Offset(offset),
        }
    }
}

/// A message as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Its topic.
    pub topic: Topic,
    /// Its partition.
    pub partition: i32,
    /// Its place in the partition.
    pub offset: i64,
    /// When its sender made it, ms since 1970 in the sender's clock (or when the broker got it,
    /// where the topic is configured so); `None` for ancient brokers.
    pub timestamp_ms: Option<i64>,
    /// Its bytes.
    pub payload: Vec<u8>,
}

/// What a poll brings.
#[derive(Debug)]
pub enum Event {
    /// A message.
    Record(Record),
    /// The broker does not have the offset that was to be read next: its log was cut or lost.
    OffsetLost,
    /// The client reports trouble; it goes on trying by itself.
    Trouble(String),
    /// A right is missing: [`BusError::Unreadable`]. Said once; it goes on trying by itself.
    Forbidden(BusError),
    /// Records that cannot be read, and were stepped over.
    Unreadable(Gap),
}

/// Records that were stepped over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gap {
    /// Where they stand.
    pub place: Partition,
    /// The first of them.
    pub first: i64,
    /// The offset that comes after them.
    pub next: i64,
    /// Which they are, why they cannot be read, and what to look at.
    pub reason: String,
}

impl Gap {
    /// How many they are.
    #[must_use]
    pub fn count(&self) -> u64 {
        u64::try_from(self.next - self.first).unwrap_or(0)
    }
}

/// How long a question about a partition may take.
const ANSWER_MAX: Duration = Duration::from_secs(5);

/// A consumer; one without a group, unless a [`Group`](super::Group) made it.
pub struct Subscriber {
    pub(super) consumer: BaseConsumer<Context>,
    config: ClientConfig,
    /// Where it began, for partitions of which nothing was read yet.
    starts: Mutex<Vec<(Partition, StartAt)>>,
}

impl Subscriber {
    /// Makes the client and assigns it the first partition of each topic; it connects in the
    /// background.
    ///
    /// # Errors
    /// [`BusError::Kafka`] for properties that librdkafka does not know.
    pub fn new(settings: &BusSettings, topics: &[(Topic, StartAt)]) -> Result<Self, BusError> {
        let subscriber = Self::of(settings.consumer())?;
        subscriber.assign(topics)?;
        Ok(subscriber)
    }

    /// One that reads nothing yet.
    pub(super) fn of(config: ClientConfig) -> Result<Self, BusError> {
        Ok(Self {
            consumer: config.create_with_context(Context::default())?,
            config,
            starts: Mutex::default(),
        })
    }

    /// What the client's callbacks know.
    pub(super) fn context(&self) -> &Context {
        self.consumer.context()
    }

    /// Keeps where reading begins, where somebody else assigned it.
    pub(super) fn note_starts(&self, places: impl Iterator<Item = (Partition, StartAt)>) {
        let mut starts = self.starts.lock().unwrap_or_else(PoisonError::into_inner);
        for (place, start) in places {
            starts.retain(|(known, _)| *known != place);
            starts.push((place, start));
        }
    }

    /// Starts anew at other places of the topics' first partitions.
    ///
    /// # Errors
    /// [`BusError::Kafka`] when librdkafka refuses.
    pub fn assign(&self, topics: &[(Topic, StartAt)]) -> Result<(), BusError> {
        let firsts = topics.iter().map(|(topic, start)| ((*topic, 0), *start));
        self.assign_partitions(firsts)
    }

    /// Starts anew at other places.
    ///
    /// # Errors
    /// [`BusError::Kafka`] when librdkafka refuses.
    pub fn assign_partitions(
        &self,
        places: impl IntoIterator<Item = (Partition, StartAt)>,
    ) -> Result<(), BusError> {
        let mut list = TopicPartitionList::new();
        let places: Vec<(Partition, StartAt)> = places.into_iter().collect();
        for ((topic, number), start) in &places {
            list.add_partition_offset(topic.name(), *number, (*start).into())?;
        }
        *self.starts.lock().unwrap_or_else(PoisonError::into_inner) = places;
        Ok(self.consumer.assign(&list)?)
    }

    /// Reads a partition from a place on, beside those that are read.
    ///
    /// # Errors
    /// [`BusError::Kafka`] when librdkafka refuses.
    pub fn read_from(&self, place: Partition, start: StartAt) -> Result<(), BusError> {
        self.leave(place)?;
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(place.0.name(), place.1, start.into())?;
        self.consumer.incremental_assign(&list)?;
        let mut starts = self.starts.lock().unwrap_or_else(PoisonError::into_inner);
        starts.push((place, start));
        Ok(())
    }

    /// Reads a partition no more, if it is read. What was fetched of it is dropped.
    ///
    /// # Errors
    /// [`BusError::Kafka`] when librdkafka refuses.
    pub fn leave(&self, place: Partition) -> Result<(), BusError> {
        let mut starts = self.starts.lock().unwrap_or_else(PoisonError::into_inner);
        let before = starts.len();
        starts.retain(|(other, _)| *other != place);
        if starts.len() == before {
            return Ok(());
        }
        let mut list = TopicPartitionList::new();
        list.add_partition(place.0.name(), place.1);
        Ok(self.consumer.incremental_unassign(&list)?)
    }

    /// Waits for the next event, for `timeout` at most.
    #[allow(clippy::must_use_candidate)] // polling serves the client's callbacks too
    pub fn poll(&self, timeout: Duration) -> Option<Event> {
        match self.consumer.poll(timeout)? {
            Ok(message) => {
                self.health().is_up_again();
                let record = Record {
                    topic: Topic::from_name(message.topic())?,
                    partition: message.partition(),
                    offset: message.offset(),
                    timestamp_ms: message.timestamp().to_millis(),
                    payload: message.payload().unwrap_or_default().to_vec(),
                };
                Some(Event::Record(record))
            }
            Err(error) if unreadable::is_of_a_batch(&error).is_some() => {
                Some(self.step_over(&error))
            }
            Err(error) if is_forbidden(error.rdkafka_error_code()) => {
                let starts = self.starts.lock().unwrap_or_else(PoisonError::into_inner);
                let topics: BTreeSet<Topic> = starts.iter().map(|((topic, _), _)| *topic).collect();
                Some(Event::Forbidden(forbidden(topics)))
            }
            Err(error) if group::is_forbidden(&error) => {
                let group = self.config.get("group.id").unwrap_or_default().to_owned();
                Some(Event::Forbidden(BusError::GroupForbidden { group }))
            }
            Err(error) => Some(trouble(&error)),
        }
    }

    /// Goes on behind a batch that cannot be read, and says which it was: librdkafka would ask for
    /// it for ever.
    fn step_over(&self, error: &KafkaError) -> Event {
        let found = self.positions().and_then(|places| {
            let mut found = places
                .into_iter()
                .map(|(place, high)| unreadable::find(&self.config, place, high));
            found.find_map(Result::transpose).transpose()
        });
        let stepped = found.and_then(|found| {
            if let Some(batch) = &found {
                let Place {
                    topic, partition, ..
                } = &batch.place;
                let next = Offset::Offset(batch.next);
                self.consumer.seek(topic, *partition, next, ANSWER_MAX)?;
            }
            Ok(found)
        });
        let trouble = |what: String| Event::Trouble(format!("{error}; {what}"));
        match stepped {
            Ok(Some(batch)) => match Topic::from_name(&batch.place.topic) {
                Some(topic) => Event::Unreadable(Gap {
                    place: (topic, batch.place.partition),
                    first: batch.place.offset,
                    next: batch.next,
                    reason: batch.to_string(),
                }),
                None => Event::Trouble(batch.to_string()),
            },
            Ok(None) => trouble("where it is was not found yet".to_owned()),
            Err(other) => trouble(format!("it could not be stepped over yet: {other}")),
        }
    }

    /// What comes next in each partition that has more, with the end of it.
    fn positions(&self) -> Result<Vec<(Place, i64)>, BusError> {
        let mut places = Vec::new();
        for element in self.consumer.position()?.elements() {
            let (topic, partition) = (element.topic(), element.partition());
            let (low, high) = self
                .consumer
                .fetch_watermarks(topic, partition, ANSWER_MAX)?;
            let offset = match element.offset() {
                Offset::Offset(next) => next,
                _ => self.first_offset((topic, partition), low, high),
            };
            if offset < high {
                let place = Place {
                    topic: topic.to_owned(),
                    partition,
                    offset,
                };
                places.push((place, high));
            }
        }
        Ok(places)
    }

    /// Where a partition is read from of which nothing was read yet.
    fn first_offset(&self, place: (&str, i32), low: i64, high: i64) -> i64 {
        let starts = self.starts.lock().unwrap_or_else(PoisonError::into_inner);
        let start = starts
            .iter()
            .find(|((topic, number), _)| (topic.name(), *number) == place);
        match start.map(|(_, start)| *start) {
            Some(StartAt::Offset(offset)) => offset,
            Some(StartAt::Tail(count)) => high.saturating_sub(count).max(low),
            Some(StartAt::End) => high,
            Some(StartAt::Beginning) | None => low,
        }
    }

    /// The offsets of the oldest message that the broker keeps of a topic's first partition, and of
    /// the next one to come.
    ///
    /// # Errors
    /// [`BusError::Kafka`] when the broker does not answer within `timeout`.
    pub fn bounds(&self, topic: Topic, timeout: Duration) -> Result<(i64, i64), BusError> {
        self.bounds_of((topic, 0), timeout)
    }

    /// As [`Self::bounds`], of any partition.
    ///
    /// # Errors
    /// As [`Self::bounds`].
    pub fn bounds_of(
        &self,
        (topic, number): Partition,
        timeout: Duration,
    ) -> Result<(i64, i64), BusError> {
        let name = topic.name();
        Ok(self.consumer.fetch_watermarks(name, number, timeout)?)
    }

    /// Whether the broker has a topic.
    ///
    /// # Errors
    /// [`BusError::Unreadable`] when we may not, [`BusError::Kafka`] when the broker does not answer
    /// within `timeout`.
    pub fn has(&self, topic: Topic, timeout: Duration) -> Result<bool, BusError> {
        let metadata = self.consumer.fetch_metadata(Some(topic.name()), timeout)?;
        let mut errors = metadata.topics().iter().filter_map(MetadataTopic::error);
        let is_refused = errors.any(|error| is_forbidden(Some(error.into())));
        if is_refused {
            return Err(forbidden([topic]));
        }
        let mut found = metadata.topics().iter();
        Ok(found.any(|found| !found.partitions().is_empty()))
    }

    /// How the client fares.
    #[must_use]
    pub fn health(&self) -> Health {
        self.context().health.clone()
    }
}

fn is_forbidden(code: Option<RDKafkaErrorCode>) -> bool {
    code == Some(RDKafkaErrorCode::TopicAuthorizationFailed)
}

pub(super) fn forbidden(topics: impl IntoIterator<Item = Topic>) -> BusError {
    let names: Vec<&str> = topics.into_iter().map(Topic::name).collect();
    BusError::Unreadable {
        flags: format!(" --topic {}", names.join(" --topic ")),
        topics: names.join(", "),
    }
}

fn trouble(error: &KafkaError) -> Event {
    match error.rdkafka_error_code() {
        Some(RDKafkaErrorCode::OffsetOutOfRange | RDKafkaErrorCode::AutoOffsetReset) => {
            Event::OffsetLost
        }
        _ => Event::Trouble(error.to_string()),
    }
}
