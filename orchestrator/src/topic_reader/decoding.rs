//! What was read becomes events. To decode a report takes a fraction of a millisecond, and those of
//! a thousand drivers come together: the processors share them.

use proto::bus::{Gap, Record};
use proto::codec::{self, DecodeError};
use proto::message;
use proto::topic::Topic;
use rayon::ThreadPool;
use rayon::prelude::*;

use crate::control::{Event, Now};

/// Fewest messages that are worth another thread: a few milliseconds of reports.
const SHARE_MIN: usize = 16;

/// What a poll brought that is an event.
#[derive(Debug)]
pub(super) enum Read {
    /// A message.
    Record(Record),
    /// Messages that cannot be read.
    Gap(Gap),
}

/// The events of what was read and when, in its order.
pub(super) fn events(decoders: &ThreadPool, read: Vec<(Read, Now)>) -> Vec<(Event, Now)> {
    let decode = |(read, now)| event(read).map(|event| (event, now));
    if read.len() < 2 * SHARE_MIN {
        return read.into_iter().filter_map(decode).collect();
    }
    decoders.install(|| {
        let shares = read.into_par_iter().with_min_len(SHARE_MIN);
        shares.filter_map(decode).collect()
    })
}

/// What it says; nothing for a message of a topic that is not read.
fn event(read: Read) -> Option<Event> {
    match read {
        Read::Record(record) => {
            let (topic, offset) = (record.topic, record.offset);
            decode(record).unwrap_or_else(|error| {
                Some(Event::Malformed {
                    count: 1,
                    topic,
                    offset,
                    error: error.to_string(),
                })
            })
        }
        // They count as messages that do not decode.
        Read::Gap(gap) => Some(Event::Malformed {
            topic: gap.place.0,
            offset: gap.first,
            count: gap.count(),
            error: gap.reason,
        }),
    }
}

fn decode(record: Record) -> Result<Option<Event>, DecodeError> {
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
        Topic::Data | Topic::Merged => return Ok(None),
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
