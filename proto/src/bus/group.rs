//! Reading a topic together with others: each member of a consumer group has some of its partitions,
//! and the broker deals them anew when members come, go, or are silent.
//!
//! A member that is silent for [`SESSION_MS`] has lost its partitions, and learns of it when it speaks
//! again. What it then publishes or commits is late: who reads what a group writes must bear that.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::TopicPartitionList;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer, ConsumerContext, RebalanceProtocol};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::topic_partition_list::{Offset, TopicPartitionListElem};
use rdkafka::types::RDKafkaRespErr;

use super::health::{Context, Health};
use super::subscriber::{Event, Gap, Record, StartAt, Subscriber, forbidden};
use super::{BusError, BusSettings};
use crate::clock;
use crate::topic::Topic;

/// After which silence a member's partitions are dealt to the others, ms: the least that brokers
/// allow unless they are told otherwise.
pub(super) const SESSION_MS: &str = "6000";
/// Between the signs of life of a member, ms.
pub(super) const HEARTBEAT_MS: &str = "1000";
/// Longest time for which a member may be busy with what it read, ms.
pub(super) const BUSY_MAX_MS: &str = "30000";

/// How long a question on partitions may take, while nothing is read of the others.
const ANSWER_MAX: Duration = Duration::from_secs(2);
/// The same for one of several.
const ANSWER_MAX_EACH: Duration = Duration::from_millis(300);
/// Offsets that were committed longer ago than this are those of a group that was gone: nobody waits
/// for what was written since.
const COMMIT_AGE_MAX_MS: u64 = 30_000;

/// A partition that is ours from now on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Start {
    /// Which.
    pub partition: i32,
    /// Where reading begins; `None` where that is not known yet.
    pub offset: Option<i64>,
    /// The offset of the next message to come, where the broker said it.
    pub end: Option<i64>,
}

/// What a poll of a group brings.
#[derive(Debug)]
pub enum GroupEvent {
    /// These partitions are ours from now on; none where the group dealt, and had none for us.
    Assigned(Vec<Start>),
    /// These are not ours any more.
    Revoked(Vec<i32>),
    /// A message.
    Record(Record),
    /// Records that cannot be read, and were stepped over.
    Unreadable(Gap),
    /// A right is missing. Nothing comes until somebody has given it.
    Forbidden(BusError),
    /// The client reports trouble; it goes on trying by itself.
    Trouble(String),
}

/// What the client's callbacks saw, in its order.
#[derive(Debug, Default)]
pub(super) struct Changes(Mutex<VecDeque<GroupEvent>>);

impl Changes {
    fn push(&self, change: GroupEvent) {
        let mut changes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        changes.push_back(change);
    }

    fn pop(&self) -> Option<GroupEvent> {
        let mut changes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        changes.pop_front()
    }
}

impl ConsumerContext for Context {
    /// Called by a poll; never for a consumer that is assigned its partitions.
    fn rebalance(
        &self,
        consumer: &BaseConsumer<Self>,
        what: RDKafkaRespErr,
        partitions: &mut TopicPartitionList,
    ) {
        let is_cooperative = matches!(
            consumer.rebalance_protocol(),
            RebalanceProtocol::Cooperative
        );
        let numbers: Vec<i32> = numbers(partitions);
        let done = if what == RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS {
            let starts = starts(consumer, &numbers);
            let list = list(&starts);
            self.changes.push(GroupEvent::Assigned(starts));
            list.and_then(|list| {
                if is_cooperative {
                    consumer.incremental_assign(&list)
                } else {
                    consumer.assign(&list)
                }
            })
        } else {
            self.changes.push(GroupEvent::Revoked(numbers));
            if is_cooperative {
                consumer.incremental_unassign(partitions)
            } else {
                consumer.unassign()
            }
        };
        if let Err(error) = done {
            let text = format!("the partitions could not be taken: {error}");
            self.changes.push(GroupEvent::Trouble(text));
        }
    }

    fn commit_callback(&self, result: KafkaResult<()>, _offsets: &TopicPartitionList) {
        if let Err(error) = result {
            self.changes.push(uncommitted(&error));
        }
    }
}

fn numbers(partitions: &TopicPartitionList) -> Vec<i32> {
    let elements = partitions.elements();
    elements
        .iter()
        .map(TopicPartitionListElem::partition)
        .collect()
}

fn list(starts: &[Start]) -> KafkaResult<TopicPartitionList> {
    let mut list = TopicPartitionList::new();
    for start in starts {
        let offset = start.offset.map_or(Offset::End, Offset::Offset);
        list.add_partition_offset(Topic::Metrics.name(), start.partition, offset)?;
    }
    Ok(list)
}

fn uncommitted(error: &KafkaError) -> GroupEvent {
    GroupEvent::Trouble(format!(
        "the group's offsets could not be committed: {error}; they are with the next range"
    ))
}

/// Where each partition is read from: where the group stands, unless it stood there long ago; else at
/// the end.
fn starts(consumer: &BaseConsumer<Context>, numbers: &[i32]) -> Vec<Start> {
    let (ends, _) = ends(consumer, numbers, ANSWER_MAX);
    let committed = committed(consumer, numbers).unwrap_or_default();
    let start = |number: &i32| {
        let (end, committed) = (ends.get(number).copied(), committed.get(number).copied());
        // An offset beyond the end is one of a log that is no more.
        let offset = match (committed, end) {
            (Some(committed), Some(end)) => Some(committed.min(end)),
            (committed, end) => committed.or(end),
        };
        Start {
            partition: *number,
            offset,
            end,
        }
    };
    numbers.iter().map(start).collect()
}

/// What the group committed of these partitions, as far as it is recent.
fn committed(consumer: &BaseConsumer<Context>, numbers: &[i32]) -> KafkaResult<BTreeMap<i32, i64>> {
    let mut list = TopicPartitionList::new();
    for number in numbers {
        list.add_partition(Topic::Metrics.name(), *number);
    }
    let committed = consumer.committed_offsets(list, ANSWER_MAX)?;
    let now_ms = clock::unix_ns() / 1_000_000;
    let elements = committed.elements().into_iter();
    let elements = elements.filter(|element| is_recent(element.metadata(), now_ms));
    Ok(elements.filter_map(|element| offset_of(&element)).collect())
}

/// Whether what was noted beside an offset is an instant of late.
fn is_recent(noted: &str, now_ms: u64) -> bool {
    let at_ms: Option<u64> = noted.parse().ok();
    at_ms.is_some_and(|at_ms| now_ms.saturating_sub(at_ms) <= COMMIT_AGE_MAX_MS)
}

/// Where these partitions end: the offset of the next message to come, and why that is not known of
/// all. One that does not answer has the answers of all thrown away: then each is asked on its own,
/// for as long again altogether.
fn ends(
    consumer: &BaseConsumer<Context>,
    numbers: &[i32],
    timeout: Duration,
) -> (BTreeMap<i32, i64>, Option<KafkaError>) {
    let mut error = match ends_of_all(consumer, numbers, timeout) {
        Ok(ends) => return (ends, None),
        Err(error) => error,
    };
    let mut known = BTreeMap::new();
    let until = Instant::now() + timeout;
    for number in numbers {
        let left = until.saturating_duration_since(Instant::now());
        if numbers.len() == 1 || left.is_zero() {
            break;
        }
        match ends_of_all(consumer, &[*number], left.min(ANSWER_MAX_EACH)) {
            Ok(end) => known.extend(end),
            Err(other) => error = other,
        }
    }
    (known, Some(error))
}

fn ends_of_all(
    consumer: &BaseConsumer<Context>,
    numbers: &[i32],
    timeout: Duration,
) -> KafkaResult<BTreeMap<i32, i64>> {
    if numbers.is_empty() {
        return Ok(BTreeMap::new());
    }
    let mut list = TopicPartitionList::new();
    for number in numbers {
        list.add_partition_offset(Topic::Metrics.name(), *number, Offset::End)?;
    }
    // The question is where an instant is that comes after all that was ever written.
    let ends = consumer.offsets_for_times(list, timeout)?;
    let elements = ends.elements().into_iter();
    Ok(elements.filter_map(|element| offset_of(&element)).collect())
}

fn offset_of(element: &TopicPartitionListElem<'_>) -> Option<(i32, i64)> {
    match element.offset() {
        Offset::Offset(offset) if element.error().is_ok() => Some((element.partition(), offset)),
        _ => None,
    }
}

/// A member of a consumer group that reads `metrics`.
pub struct Group {
    subscriber: Subscriber,
}

impl Group {
    /// Makes the client and asks to be a member; both happen in the background.
    ///
    /// # Errors
    /// [`BusError::Kafka`] for properties that librdkafka does not know.
    pub fn join(settings: &BusSettings, name: &str) -> Result<Self, BusError> {
        let subscriber = Subscriber::of(settings.member(name))?;
        subscriber.consumer.subscribe(&[Topic::Metrics.name()])?;
        Ok(Self { subscriber })
    }

    /// Waits for the next event, for `timeout` at most. A member that does not poll for half a minute
    /// loses its partitions.
    #[allow(clippy::must_use_candidate)] // polling serves the client's callbacks too
    pub fn poll(&self, timeout: Duration) -> Option<GroupEvent> {
        let changes = &self.subscriber.context().changes;
        let polled = match changes.pop() {
            Some(change) => Some(change),
            // Within one poll partitions change hands, or a message comes, never both.
            None => match self.subscriber.poll(timeout) {
                Some(event) => event_of_group(event),
                None => changes.pop(),
            },
        };
        if let Some(GroupEvent::Assigned(starts)) = &polled {
            let place = |start: &Start| {
                let at = start.offset.map_or(StartAt::End, StartAt::Offset);
                ((Topic::Metrics, start.partition), at)
            };
            let places = starts.iter().map(place);
            self.subscriber.note_starts(places);
        }
        polled
    }

    /// Commits that the group has come to these offsets, in the background; what fails of it comes as
    /// [`GroupEvent::Trouble`].
    pub fn commit(&self, offsets: impl IntoIterator<Item = (i32, i64)>) {
        self.commit_now(offsets, CommitMode::Async);
    }

    /// The same before a member leaves: waits until the broker has it, for some seconds at most.
    pub fn commit_and_wait(&self, offsets: impl IntoIterator<Item = (i32, i64)>) {
        self.commit_now(offsets, CommitMode::Sync);
    }

    fn commit_now(&self, offsets: impl IntoIterator<Item = (i32, i64)>, mode: CommitMode) {
        let at_ms = (clock::unix_ns() / 1_000_000).to_string();
        let mut list = TopicPartitionList::new();
        for (number, offset) in offsets {
            let mut element = list.add_partition(Topic::Metrics.name(), number);
            element.set_metadata(&at_ms);
            if let Err(error) = element.set_offset(Offset::Offset(offset)) {
                self.subscriber.context().changes.push(uncommitted(&error));
            }
        }
        if list.count() == 0 {
            return;
        }
        if let Err(error) = self.subscriber.consumer.commit(&list, mode) {
            self.subscriber.context().changes.push(uncommitted(&error));
        }
    }

    /// Where these partitions end: the offset of the next message to come. What is not known is not
    /// there, and then it is said why. Takes twice `timeout` at most.
    pub fn ends(
        &self,
        partitions: &[i32],
        timeout: Duration,
    ) -> (BTreeMap<i32, i64>, Option<BusError>) {
        let (ends, error) = ends(&self.subscriber.consumer, partitions, timeout);
        (ends, error.map(BusError::from))
    }

    /// Reads nothing more of a partition until it is resumed.
    ///
    /// # Errors
    /// [`BusError::Kafka`] when librdkafka refuses.
    pub fn pause(&self, partition: i32) -> Result<(), BusError> {
        Ok(self.subscriber.consumer.pause(&one(partition))?)
    }

    /// Goes on with a partition that was paused.
    ///
    /// # Errors
    /// As [`Self::pause`].
    pub fn resume(&self, partition: i32) -> Result<(), BusError> {
        Ok(self.subscriber.consumer.resume(&one(partition))?)
    }

    /// How the client fares.
    #[must_use]
    pub fn health(&self) -> Health {
        self.subscriber.health()
    }
}

fn event_of_group(event: Event) -> Option<GroupEvent> {
    Some(match event {
        Event::Record(record) => GroupEvent::Record(record),
        Event::Unreadable(gap) => GroupEvent::Unreadable(gap),
        Event::Forbidden(error @ BusError::GroupForbidden { .. }) => GroupEvent::Forbidden(error),
        // It may be that no partition was assigned yet.
        Event::Forbidden(_) => GroupEvent::Forbidden(forbidden([Topic::Metrics])),
        Event::Trouble(text) => GroupEvent::Trouble(text),
        // The client goes on with the oldest message that there is.
        Event::OffsetLost => return None,
    })
}

fn one(partition: i32) -> TopicPartitionList {
    let mut list = TopicPartitionList::new();
    list.add_partition(Topic::Metrics.name(), partition);
    list
}

/// Whether an error says that we may not be a member of the group.
pub(super) fn is_forbidden(error: &KafkaError) -> bool {
    error.rdkafka_error_code() == Some(RDKafkaErrorCode::GroupAuthorizationFailed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_that_was_gone_for_long_begins_at_the_end_again() {
        let now_ms = 1_800_000_000_000;
        for (noted, expected) in [
            ("1800000000000", true),
            ("1799999970000", true),
            ("1799999969999", false),
            ("", false),
            ("somebody else's", false),
            // A host whose clock is ahead of ours.
            ("1800000003000", true),
        ] {
            assert_eq!(is_recent(noted, now_ms), expected, "{noted}");
        }
    }
}
