//! Batches of records that cannot be read: of a codec that this build does not know, or damaged.
//!
//! librdkafka says that there is one, but neither where nor how long it is, and asks for it again and
//! again. So a client of its own asks for single offsets, of which each brings the batch that holds
//! it: first at the places that come next, then further on, until one can be read.

use std::fmt;
use std::time::{Duration, Instant};

use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::{Offset, TopicPartitionList};

use super::BusError;

/// How long one answer may take.
const ANSWER_MAX: Duration = Duration::from_secs(5);

/// A place in a partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) topic: String,
    pub(super) partition: i32,
    pub(super) offset: i64,
}

/// Records that cannot be read.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Unreadable {
    pub(super) place: Place,
    /// The offset that comes after them.
    pub(super) next: i64,
    reason: RDKafkaErrorCode,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Found {
    Readable,
    Unreadable(RDKafkaErrorCode),
    /// Nothing came in time.
    Nothing,
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Place {
            topic,
            partition,
            offset,
        } = &self.place;
        let last = self.next - 1;
        write!(
            f,
            "{topic}, partition {partition}: offsets {offset} to {last} cannot be read ({}) and were \
             stepped over; look at what writes there, and how it compresses",
            self.reason
        )
    }
}

/// Whether an error speaks of a batch, not of the broker.
pub(super) fn is_of_a_batch(error: &KafkaError) -> Option<RDKafkaErrorCode> {
    let code = error.rdkafka_error_code()?;
    let is_one = matches!(
        code,
        RDKafkaErrorCode::BadCompression
            | RDKafkaErrorCode::BadMessage
            | RDKafkaErrorCode::InvalidMessage
            | RDKafkaErrorCode::NotImplemented
    );
    is_one.then_some(code)
}

/// Looks whether what comes next at a place cannot be read, and where it can be again; `high` is the
/// offset of the next record to come. `None` when it can be read, or when nobody answers.
///
/// # Errors
/// [`BusError::Kafka`] when librdkafka refuses.
pub(super) fn find(
    config: &ClientConfig,
    place: Place,
    high: i64,
) -> Result<Option<Unreadable>, BusError> {
    let look = |offset| look(config, &place.topic, place.partition, offset);
    let Found::Unreadable(reason) = look(place.offset)? else {
        return Ok(None);
    };
    let (mut bad, mut step) = (place.offset, 1);
    // Twice as far each time, until one is good or there is nothing more.
    let mut good = loop {
        let at = bad + step;
        if at >= high {
            break high;
        }
        match look(at)? {
            Found::Readable => break at,
            Found::Unreadable(_) => (bad, step) = (at, step * 2),
            Found::Nothing => return Ok(None),
        }
    };
    while good - bad > 1 {
        let middle = bad.midpoint(good);
        match look(middle)? {
            Found::Readable => good = middle,
            Found::Unreadable(_) => bad = middle,
            Found::Nothing => return Ok(None),
        }
    }
    Ok(Some(Unreadable {
        place,
        next: good,
        reason,
    }))
}

/// What the batch that holds an offset is like.
fn look(
    config: &ClientConfig,
    topic: &str,
    partition: i32,
    offset: i64,
) -> Result<Found, BusError> {
    let consumer: BaseConsumer = config.create()?;
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(topic, partition, Offset::Offset(offset))?;
    consumer.assign(&list)?;
    let end = Instant::now() + ANSWER_MAX;
    loop {
        let left = end.saturating_duration_since(Instant::now());
        match consumer.poll(left) {
            Some(Ok(_)) => return Ok(Found::Readable),
            Some(Err(error)) => {
                if let Some(reason) = is_of_a_batch(&error) {
                    return Ok(Found::Unreadable(reason));
                }
            }
            None => {}
        }
        if left.is_zero() {
            return Ok(Found::Nothing);
        }
    }
}
