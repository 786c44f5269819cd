//! A broker's log, in memory, with what can happen on the way to and from it.

use std::collections::BTreeMap;

use fastrand::Rng;
use proto::bus::Partition;
use proto::topic::Topic;

/// A message in the log.
#[derive(Debug, Clone)]
pub(crate) struct Stored {
    pub(crate) payload: Vec<u8>,
    /// When readers see it, ns.
    pub(crate) visible_ns: u64,
}

/// A message on its way, and what its sender is told.
#[derive(Debug)]
struct Sending {
    sender: String,
    token: u64,
    place: Partition,
    payload: Vec<u8>,
    arrive_ns: u64,
    /// Whether the log gets it.
    arrives: bool,
    /// Whether the sender hears that it did.
    acknowledged: bool,
}

/// The log, and what is on its way to it.
#[derive(Debug)]
pub(crate) struct Bus {
    log: BTreeMap<Partition, Vec<Stored>>,
    sending: Vec<Sending>,
    pub(crate) away: bool,
    pub(crate) faulty: bool,
    /// Of `metrics`; other topics have one.
    pub(crate) partitions: i32,
    /// Longest message that `merged` takes, in bytes.
    pub(crate) merged_len_max: usize,
}

impl Bus {
    pub(crate) fn new(partitions: i32) -> Self {
        Self {
            log: BTreeMap::new(),
            sending: Vec::new(),
            away: false,
            faulty: false,
            partitions,
            merged_len_max: usize::MAX,
        }
    }

    /// A node hands a message over.
    pub(crate) fn send(
        &mut self,
        rng: &mut Rng,
        sender: &str,
        token: u64,
        (topic, payload): (Topic, Vec<u8>),
        now_ns: u64,
    ) {
        // By the key, as Kafka does: what one node reports stays in its order.
        let key = sender
            .bytes()
            .fold(0, |sum: u8, byte| sum.wrapping_add(byte));
        let partition = match topic {
            Topic::Metrics => i32::from(key) % self.partitions,
            _ => 0,
        };
        self.send_to(rng, sender, token, (topic, partition, payload), now_ns);
    }

    pub(crate) fn send_to(
        &mut self,
        rng: &mut Rng,
        sender: &str,
        token: u64,
        (topic, partition, payload): (Topic, i32, Vec<u8>),
        now_ns: u64,
    ) {
        let delay_ns = if self.faulty {
            rng.u64(0..1_500_000_000)
        } else {
            rng.u64(0..5_000_000)
        };
        let fails = self.faulty && rng.u8(0..10) == 0;
        self.sending.push(Sending {
            sender: sender.to_owned(),
            token,
            place: (topic, partition),
            payload,
            arrive_ns: now_ns + delay_ns,
            // A lost acknowledgement: it arrived, and is sent again.
            arrives: !fails || rng.bool(),
            acknowledged: !fails,
        });
    }

    /// What arrives until now. Returns (sender, token, arrived) for those who are told.
    pub(crate) fn arrive(&mut self, rng: &mut Rng, now_ns: u64) -> Vec<(String, u64, bool)> {
        if self.away {
            return Vec::new();
        }
        let (due, later): (Vec<Sending>, Vec<Sending>) = self
            .sending
            .drain(..)
            .partition(|sending| sending.arrive_ns <= now_ns);
        self.sending = later;
        let mut told = Vec::new();
        for sending in due {
            if sending.arrives {
                let wait_ns = if self.faulty {
                    rng.u64(0..300_000_000)
                } else {
                    0
                };
                let log = self.log.entry(sending.place).or_default();
                let before = log.last().map_or(0, |stored| stored.visible_ns);
                log.push(Stored {
                    payload: sending.payload,
                    visible_ns: before.max(now_ns + wait_ns),
                });
            }
            told.push((sending.sender, sending.token, sending.acknowledged));
        }
        told
    }

    /// Where a partition ends for readers.
    pub(crate) fn end(&self, place: Partition, now_ns: u64) -> i64 {
        let log = self.log.get(&place).map_or(&[][..], Vec::as_slice);
        let visible = log.partition_point(|stored| stored.visible_ns <= now_ns);
        i64::try_from(visible).unwrap()
    }

    /// What a partition holds, whoever sees it.
    pub(crate) fn all(&self, place: Partition) -> &[Stored] {
        self.log.get(&place).map_or(&[], Vec::as_slice)
    }

    /// Somebody deletes a topic, and it is made again: its offsets begin at 0.
    pub(crate) fn make_anew(&mut self, topic: Topic) {
        self.log.retain(|(other, _), _| *other != topic);
    }

    /// Messages of a sender that died are on their way all the same, but nobody is told.
    pub(crate) fn read(&self, place: Partition, from: usize, now_ns: u64) -> &[Stored] {
        let log = self.log.get(&place).map_or(&[][..], Vec::as_slice);
        let visible = log.partition_point(|stored| stored.visible_ns <= now_ns);
        if self.away {
            &[]
        } else {
            &log[from.min(visible)..visible]
        }
    }

    /// Messages in the first partition of a topic.
    pub(crate) fn len(&self, topic: Topic) -> usize {
        self.log.get(&(topic, 0)).map_or(0, Vec::len)
    }
}
