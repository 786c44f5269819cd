//! What was read becomes events. To decode a report takes a fraction of a millisecond, and those of
//! a thousand drivers come together: the processors share them.

use proto::bus::{Gap, Record};
use proto::codec;
use proto::message;
use proto::topic::Topic;
use rayon::ThreadPool;
use rayon::prelude::*;

use crate::control::{Event, MergedRange, Now, RangeError};

/// Fewest messages that are worth another thread: a few milliseconds of reports.
const SHARE_MIN: usize = 16;

/// What a poll brought that is an event.
#[derive(Debug)]
pub(super) enum Read {
    /// A message.
    Record(Record),
    /// Messages that cannot be read.
    Gap(Gap),
    /// There is nothing more before this offset of this partition of `metrics`.
    Passed(i32, i64),
}

impl Read {
    /// Whether decoding it takes as long as that of many others.
    fn is_long(&self) -> bool {
        matches!(self, Self::Record(record) if record.topic == Topic::Merged)
    }
}

/// The events of what was read and when, in its order.
pub(super) fn events(decoders: &ThreadPool, read: Vec<(Read, Now)>) -> Vec<(Event, Now)> {
    let decode = |(read, now)| event(read).map(|event| (event, now));
    let has_long = read.iter().any(|(read, _)| read.is_long());
    let share_min = if has_long { 1 } else { SHARE_MIN };
    if read.len() < 2 * share_min {
        return read.into_iter().filter_map(decode).collect();
    }
    decoders.install(|| {
        let shares = read.into_par_iter().with_min_len(share_min);
        shares.filter_map(decode).collect()
    })
}

/// What it says, and of `metrics` where it stood; nothing for a message of a topic that is not read.
fn event(read: Read) -> Option<Event> {
    let (place, next, event) = match read {
        Read::Record(record) => {
            let (topic, offset) = (record.topic, record.offset);
            let place = (topic, record.partition);
            let event = decode(record).unwrap_or_else(|error| {
                Some(Event::Malformed {
                    count: 1,
                    topic,
                    offset,
                    error: error.to_string(),
                })
            });
            (place, offset + 1, event)
        }
        Read::Gap(gap) => {
            // They count as messages that do not decode.
            let count = gap.count();
            let event = Event::Malformed {
                topic: gap.place.0,
                offset: gap.first,
                count,
                error: gap.reason,
            };
            (gap.place, gap.next, Some(event))
        }
        Read::Passed(partition, next) => ((Topic::Metrics, partition), next, None),
    };
    match place {
        (Topic::Metrics, partition) => Some(Event::OfMetrics {
            partition,
            next,
            event: event.map(Box::new),
        }),
        _ => event,
    }
}

fn decode(record: Record) -> Result<Option<Event>, RangeError> {
    let mut bytes = record.payload;
    Ok(Some(match record.topic {
        Topic::Register => Event::Register(codec::decode(&mut bytes)?),
        Topic::Heartbeat => Event::Heartbeat(codec::decode(&mut bytes)?),
        Topic::TestConfig => Event::Config(Box::new(codec::decode(&mut bytes)?)),
        Topic::Trigger => Event::Trigger(codec::decode(&mut bytes)?),
        Topic::Control => Event::Control(codec::decode(&mut bytes)?),
        Topic::Metrics => {
            // The parser uses the bytes up; the store keeps them as they were.
            let payload = bytes.clone();
            let metrics: message::Metrics = codec::decode(&mut bytes)?;
            Event::Metrics(Box::new(metrics), payload)
        }
        Topic::Merged => Event::Merged(Box::new(MergedRange::decode(&bytes)?)),
        Topic::Data => return Ok(None),
    }))
}

#[cfg(test)]
mod tests {
    use rayon::ThreadPoolBuilder;

    use super::*;

    fn heartbeat(offset: i64) -> Read {
        let payload = format!(r#"{{"node_id": "n{offset}", "heartbeat": "YES"}}"#);
        let is_broken = offset % 7 == 0;
        Read::Record(Record {
            topic: Topic::Heartbeat,
            partition: 0,
            offset,
            timestamp_ms: None,
            payload: payload.into_bytes()[usize::from(is_broken)..].to_vec(),
        })
    }

    #[test]
    fn shared_or_not_events_are_those_of_the_messages_in_their_order() {
        let decoders = ThreadPoolBuilder::new().num_threads(3).build().unwrap();
        for count in [1, 2 * SHARE_MIN - 1, 2 * SHARE_MIN, 20 * SHARE_MIN] {
            let offsets = (0..).take(count);
            let read = offsets.map(|at| (heartbeat(at), Now::new(at.unsigned_abs(), 0)));
            let events = events(&decoders, read.collect());
            assert_eq!(events.len(), count);
            for (at, (event, now)) in (0..).zip(events) {
                assert_eq!(now.wall_ns, at);
                match event {
                    Event::Malformed { offset, count, .. } => {
                        assert_eq!((offset.unsigned_abs(), at % 7, count), (at, 0, 1));
                    }
                    Event::Heartbeat(beat) => assert_eq!(beat.node_id, format!("n{at}")),
                    other => panic!("{other:?}"),
                }
            }
        }
    }
}
