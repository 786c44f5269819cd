//! The partitions that a merger has: what it read of each and has not published, what is on its way,
//! and up to where the group may be told that it has come. Pure: time is an argument. So it serves the
//! mergers of `bench`'s simulation too, whose broker, group and clock are not real.

use std::collections::BTreeMap;
use std::time::Duration;

use proto::bus::Start;
use proto::merging::{LEN_MAX, LEN_WANTED, Merger, Range, Read};

/// Longest time for which messages are gathered, ns: part of the delay of what is shown.
const GATHER_NS: u64 = ns(Duration::from_millis(250));
/// Longest silence, ns: where nothing comes, a range that says so is published.
const SILENCE_NS: u64 = ns(Duration::from_secs(1));
/// Where a partition ends is known for so long after the broker said it, ns. Beyond it nothing is said
/// of a partition of which nothing comes: it may be that only we do not reach it.
const END_NS: u64 = ns(Duration::from_secs(3));
/// Before what did not arrive is sent again, ns.
const RETRY_NS: u64 = ns(Duration::from_millis(500));
/// The least that is tried where the broker takes no messages of a length, in bytes.
const LEN_MIN: usize = 16 << 10;

const _: () = assert!(GATHER_NS < SILENCE_NS && LEN_MIN < LEN_WANTED);

#[allow(clippy::cast_possible_truncation, reason = "seconds fit")]
const fn ns(duration: Duration) -> u64 {
    duration.as_nanos() as u64
}

/// What became of a message that was handed over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// The broker has it.
    Arrived,
    /// It may be tried again.
    Lost,
    /// The broker takes none of its length.
    TooLong,
}

/// A message of a range that nobody publishes, since it is too long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LeftOut {
    /// The partition.
    pub partition: i32,
    /// The range's first offset.
    pub from: i64,
    /// The offset after its last.
    pub to: i64,
}

/// All of them.
pub struct Partitions {
    merger: Merger,
    all: BTreeMap<i32, Partition>,
    /// Longest message that the broker is known to take, in bytes.
    len_max: usize,
    /// The number of the next message.
    token: u64,
}

struct Partition {
    /// What was read and not published; `None` as long as it is not known where reading began.
    range: Option<Range>,
    /// When the first of it came.
    since_ns: Option<u64>,
    /// When the last range was published.
    said_ns: Option<u64>,
    /// Where it ends, as far as known …
    end: i64,
    /// … and when the broker last said so.
    end_ns: Option<u64>,
    /// The range that is on its way.
    flight: Option<Flight>,
}

struct Flight {
    to: i64,
    /// Those that have not arrived.
    pieces: Vec<Piece>,
}

struct Piece {
    token: u64,
    from: i64,
    to: i64,
    payload: Vec<u8>,
    /// When it is sent, the first time or again; `None` while it is with the client.
    send_ns: Option<u64>,
}

impl Partition {
    fn starting_at(start: Start, now_ns: u64) -> Self {
        Self {
            range: start.offset.map(Range::starting_at),
            since_ns: None,
            said_ns: None,
            end: start.end.or(start.offset).unwrap_or_default(),
            end_ns: start.end.map(|_| now_ns),
            flight: None,
        }
    }

    /// When the next range is to be published.
    fn due_ns(&self) -> Option<u64> {
        let mut read = self.range.iter();
        if read.any(|range| range.expected_len() >= LEN_WANTED) {
            return Some(0);
        }
        if let Some(since_ns) = self.since_ns {
            return Some(since_ns + GATHER_NS);
        }
        let due_ns = self.said_ns.map_or(0, |said_ns| said_ns + SILENCE_NS);
        self.end_ns
            .is_some_and(|end_ns| due_ns <= end_ns + END_NS)
            .then_some(due_ns)
    }
}

impl Partitions {
    /// None yet.
    #[must_use]
    pub fn new(merger: Merger) -> Self {
        Self {
            merger,
            all: BTreeMap::new(),
            len_max: LEN_MAX,
            token: 0,
        }
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// Their numbers.
    #[must_use]
    pub fn numbers(&self) -> Vec<i32> {
        self.all.keys().copied().collect()
    }

    /// Who merges.
    #[must_use]
    pub fn merger(&self) -> &Merger {
        &self.merger
    }

    /// Takes partitions, each from an offset on, where that is known.
    pub fn assign(&mut self, starts: &[Start], now_ns: u64) {
        for start in starts {
            let partition = Partition::starting_at(*start, now_ns);
            self.all.insert(start.partition, partition);
        }
    }

    /// Forgets partitions, and what was read of them: whoever has them now reads it again.
    pub fn revoke(&mut self, numbers: &[i32]) {
        self.all.retain(|number, _| !numbers.contains(number));
    }

    /// Adds what was read next. What comes before what was read already is of another log under the
    /// same name.
    pub fn add(&mut self, number: i32, read: Read, now_ns: u64) {
        let Some(partition) = self.all.get_mut(&number) else {
            return;
        };
        let offset = read.offset();
        let range = match partition.range.take() {
            Some(range) if range.to() <= offset => range,
            _ => {
                partition.since_ns = None;
                partition.end = offset;
                Range::starting_at(offset)
            }
        };
        let range = partition.range.insert(range);
        range.add(read);
        partition.end = partition.end.max(range.to());
        partition.since_ns.get_or_insert(now_ns);
    }

    /// Whether so much was read of it that no more should be before a range has arrived.
    #[must_use]
    pub fn is_full(&self, number: i32) -> bool {
        self.all.get(&number).is_some_and(|partition| {
            let mut range = partition.range.iter();
            partition.flight.is_some() && range.any(|range| range.expected_len() >= LEN_WANTED)
        })
    }

    /// Notes where partitions end, as the broker says now. One that ends before what was read of it is
    /// another log, and it is not known yet where reading begins there.
    pub fn note_ends(&mut self, ends: &BTreeMap<i32, i64>, now_ns: u64) {
        for (number, end) in ends {
            if let Some(partition) = self.all.get_mut(number) {
                if partition.range.take_if(|range| range.to() > *end).is_some() {
                    partition.since_ns = None;
                }
                partition.end = *end;
                partition.end_ns = Some(now_ns);
            }
        }
    }

    /// Messages that the partitions have and that are not merged yet.
    #[must_use]
    pub fn lag(&self) -> u64 {
        let behind = |partition: &Partition| {
            let range = partition.range.as_ref()?;
            u64::try_from(partition.end - range.to()).ok()
        };
        self.all.values().filter_map(behind).sum()
    }

    /// Whether nothing waits, and nothing is on its way.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        let is_idle = |partition: &Partition| {
            let is_empty = partition.range.as_ref().is_none_or(Range::is_empty);
            is_empty && partition.flight.is_none()
        };
        self.all.values().all(is_idle)
    }

    /// How long nothing is due, at most `most`.
    #[must_use]
    pub fn wait(&self, now_ns: u64, most: Duration) -> Duration {
        let due = self
            .all
            .values()
            .filter_map(|partition| match &partition.flight {
                Some(flight) => flight.pieces.iter().filter_map(|piece| piece.send_ns).min(),
                None => partition.due_ns(),
            });
        let wait = due.min().map(|due_ns| due_ns.saturating_sub(now_ns));
        wait.map_or(most, |wait| Duration::from_nanos(wait).min(most))
    }

    /// Closes the ranges that are due, all that has anything if it `is_end`, and hands `publish` what
    /// is to be sent: the partition, the number of the message, and itself; it says whether it was
    /// taken. Gives what cannot be sent.
    pub fn send(
        &mut self,
        now_ns: u64,
        is_end: bool,
        mut publish: impl FnMut(i32, u64, &[u8]) -> bool,
    ) -> Vec<LeftOut> {
        let mut left_out = Vec::new();
        let numbers = self.numbers();
        for number in numbers {
            self.close(number, now_ns, is_end, &mut left_out);
            let Some(partition) = self.all.get_mut(&number) else {
                continue;
            };
            let pieces = partition.flight.iter_mut().flat_map(|it| &mut it.pieces);
            for piece in pieces.filter(|piece| piece.send_ns.is_some_and(|at| at <= now_ns)) {
                let is_taken = publish(number, piece.token, &piece.payload);
                piece.send_ns = (!is_taken).then_some(now_ns + RETRY_NS);
            }
        }
        left_out
    }

    /// Puts the range of a partition on its way, if it is time.
    fn close(&mut self, number: i32, now_ns: u64, is_end: bool, left_out: &mut Vec<LeftOut>) {
        let Some(partition) = self.all.get_mut(&number) else {
            return;
        };
        let is_due = partition.due_ns().is_some_and(|due| due <= now_ns);
        let is_last = is_end && partition.range.iter().any(|range| !range.is_empty());
        if partition.flight.is_some() || !(is_due || is_last) {
            return;
        }
        // Where it is not known where reading begins, all up to the end is said to be for others. What
        // is read then need not follow on that, and is a range of its own.
        let next = partition
            .range
            .as_ref()
            .map(|range| Range::starting_at(range.to()));
        let range = std::mem::replace(&mut partition.range, next);
        let range = range.unwrap_or_else(|| Range::starting_at(partition.end));
        partition.since_ns = None;
        partition.said_ns = Some(now_ns);
        let end = partition.end;
        let mut pieces = Vec::new();
        for piece in range.encoded(&self.merger, number, end, self.len_max) {
            let (from, to) = (piece.from, piece.to);
            let Some(payload) = piece.payload else {
                let partition = number;
                left_out.push(LeftOut {
                    partition,
                    from,
                    to,
                });
                continue;
            };
            self.token += 1;
            pieces.push(Piece {
                token: self.token,
                from,
                to,
                payload,
                send_ns: Some(now_ns),
            });
        }
        let to = range.to();
        partition.flight = Some(Flight { to, pieces });
    }

    /// Notes what became of a message; what is too long is cut shorter from now on, and itself left
    /// out.
    pub fn note_fate(&mut self, token: u64, fate: Fate, now_ns: u64) -> Option<LeftOut> {
        let (number, flight, at) = self.all.iter_mut().find_map(|(number, partition)| {
            let flight = partition.flight.as_mut()?;
            let at = flight
                .pieces
                .iter()
                .position(|piece| piece.token == token)?;
            Some((*number, flight, at))
        })?;
        match fate {
            Fate::Arrived => {
                flight.pieces.remove(at);
                None
            }
            Fate::Lost => {
                flight.pieces[at].send_ns = Some(now_ns + RETRY_NS);
                None
            }
            Fate::TooLong => {
                let piece = flight.pieces.remove(at);
                // Of several on their way the shortest says most.
                let half = (piece.payload.len() / 2).max(LEN_MIN);
                self.len_max = self.len_max.min(half);
                Some(LeftOut {
                    partition: number,
                    from: piece.from,
                    to: piece.to,
                })
            }
        }
    }

    /// The partitions whose range has arrived, and where the next one begins: what may be committed.
    pub fn take_arrived(&mut self) -> Vec<(i32, i64)> {
        let mut arrived = Vec::new();
        for (number, partition) in &mut self.all {
            let has_arrived = |flight: &mut Flight| flight.pieces.is_empty();
            if let Some(flight) = partition.flight.take_if(has_arrived) {
                arrived.push((*number, flight.to));
            }
        }
        arrived
    }
}

#[cfg(test)]
mod tests;
