//! The network in memory: connections by slot, a target behind them that answers, dawdles, splits,
//! resets and closes as the dice fall, and every event at its instant of a clock that only moves when
//! it is told to.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, VecDeque};
use std::io;

use driver_core::dispatch::{Event, Network, Piece};
use fastrand::Rng;

/// What the target does wrong; each is a share of the occasions, 0 to 1.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Mischief {
    /// Attempts to connect that are refused.
    pub(crate) refuses: f64,
    /// Attempts to connect that nothing ever comes of.
    pub(crate) hangs: f64,
    /// Answers that come in pieces.
    pub(crate) splits: f64,
    /// Answers after some bytes of which the connection is reset.
    pub(crate) resets: f64,
    /// Answers after which the connection is closed, without saying so.
    pub(crate) closes: f64,
    /// Answers that never come.
    pub(crate) holds: f64,
    /// Answers that bring bytes that nobody asked for.
    pub(crate) surplus: f64,
    /// Answers with a status of 503.
    pub(crate) fails: f64,
    /// Sends that fail although what has come can still be read.
    pub(crate) breaks: f64,
    /// When all connections are closed at once, ns.
    pub(crate) mass_close_ns: Option<u64>,
    /// From when to when every attempt to connect is refused, ns.
    pub(crate) away_ns: Option<(u64, u64)>,
}

/// Beyond every load.
const NEVER_NS: u64 = u64::MAX / 2;

/// An answer on its way: its bytes, and the instant at which its request was sent.
struct Owed {
    sent_ns: u64,
    status: u16,
    left: usize,
}

#[derive(Default)]
struct Slot {
    generation: u32,
    is_open: bool,
    /// Whether a receive is in progress.
    receives: bool,
    /// Bytes and ends that have come and were not received yet.
    inbox: VecDeque<Inbound>,
    /// Requests whose answers the target owes, oldest first.
    owed: VecDeque<Owed>,
    /// When the last answer leaves the target.
    busy_until_ns: u64,
}

enum Inbound {
    Bytes(Vec<u8>),
    Ended,
    Failed(i32),
}

/// Something that happens at an instant.
enum Happening {
    Event(Event),
    Inbound(Inbound),
}

/// What is going to happen, by instant and then by number.
type Agenda = BinaryHeap<Reverse<(u64, u64)>>;

/// The network and the target.
pub(crate) struct Memory {
    pub(crate) now_ns: u64,
    pub(crate) mischief: Mischief,
    pub(crate) rng: Rng,
    request_len: usize,
    slots: Vec<Slot>,
    agenda: Agenda,
    happenings: HashMap<u64, (u32, u32, Happening)>,
    number: u64,
    received: Vec<Vec<u8>>,
    always_notifies: bool,
    /// Nothing before this instant is counted, ns.
    pub(crate) counts_from_ns: u64,
    /// Requests that the network was given, and when, in their order.
    pub(crate) sends_ns: Vec<u64>,
    /// Service times of good answers that were received whole.
    pub(crate) good_ns: Vec<u64>,
    /// Answers of 503 that were received whole.
    pub(crate) bad: u64,
    /// Connections that were opened.
    pub(crate) opened: u64,
}

impl Memory {
    pub(crate) fn new(seed: u64, slots: usize, request_len: usize, mischief: Mischief) -> Self {
        let mut rng = Rng::with_seed(seed);
        Self {
            now_ns: 0,
            mischief,
            always_notifies: rng.u8(..) < 32,
            rng,
            request_len,
            slots: (0..slots).map(|_| Slot::default()).collect(),
            agenda: BinaryHeap::new(),
            happenings: HashMap::new(),
            number: 0,
            received: vec![Vec::new(); slots],
            counts_from_ns: 0,
            sends_ns: Vec::new(),
            good_ns: Vec::new(),
            bad: 0,
            opened: 0,
        }
    }

    /// When something happens next.
    pub(crate) fn next_ns(&self) -> u64 {
        let agenda = self.agenda.peek().map_or(u64::MAX, |next| next.0.0);
        let is_due = |ns: &u64| *ns > self.now_ns;
        agenda.min(
            self.mischief
                .mass_close_ns
                .filter(is_due)
                .unwrap_or(u64::MAX),
        )
    }

    /// The next event that has happened by now.
    pub(crate) fn poll(&mut self) -> Option<(u32, Event)> {
        self.close_all_if_due();
        loop {
            if let Some(found) = self.deliver() {
                return Some(found);
            }
            let Reverse((at_ns, number)) = *self.agenda.peek()?;
            if at_ns > self.now_ns {
                return None;
            }
            self.agenda.pop();
            let (slot, generation, happening) = self.happenings.remove(&number).unwrap();
            let place = &mut self.slots[slot as usize];
            if place.generation != generation {
                continue;
            }
            match happening {
                Happening::Event(event) => {
                    if event == Event::Connected {
                        place.is_open = true;
                        self.opened += 1;
                    }
                    return Some((slot, event));
                }
                Happening::Inbound(inbound) => place.inbox.push_back(inbound),
            }
        }
    }

    /// What a slot that receives finds in its inbox.
    fn deliver(&mut self) -> Option<(u32, Event)> {
        let slot = self
            .slots
            .iter()
            .position(|slot| slot.receives && !slot.inbox.is_empty())?;
        let place = &mut self.slots[slot];
        place.receives = false;
        let event = match place.inbox.pop_front().unwrap() {
            Inbound::Bytes(bytes) => {
                let length = u32::try_from(bytes.len()).unwrap();
                self.note_answers(slot, bytes.len());
                self.received[slot] = bytes;
                Event::Received(Piece { buffer: 0, length })
            }
            Inbound::Ended => Event::Ended,
            Inbound::Failed(errno) => Event::ReceiveFailed(errno),
        };
        Some((u32::try_from(slot).unwrap(), event))
    }

    /// Keeps the books of the target: which answers are whole now.
    fn note_answers(&mut self, slot: usize, mut length: usize) {
        let owed = &mut self.slots[slot].owed;
        while let Some(oldest) = owed.front_mut() {
            let taken = oldest.left.min(length);
            oldest.left -= taken;
            length -= taken;
            if oldest.left > 0 {
                return;
            }
            match oldest.status {
                _ if oldest.sent_ns < self.counts_from_ns => {}
                200 => self.good_ns.push(self.now_ns - oldest.sent_ns),
                _ => self.bad += 1,
            }
            owed.pop_front();
        }
    }

    fn close_all_if_due(&mut self) {
        if self
            .mischief
            .mass_close_ns
            .is_some_and(|ns| ns <= self.now_ns)
        {
            self.mischief.mass_close_ns = None;
            for slot in self.slots.iter_mut().filter(|slot| slot.is_open) {
                slot.inbox.push_back(Inbound::Ended);
            }
        }
    }

    fn plan(&mut self, slot: u32, at_ns: u64, happening: Happening) {
        self.number += 1;
        let generation = self.slots[slot as usize].generation;
        self.happenings
            .insert(self.number, (slot, generation, happening));
        self.agenda.push(Reverse((at_ns, self.number)));
    }

    fn happens(&mut self, share: f64) -> bool {
        share > 0.0 && self.rng.f64() < share
    }

    /// The target gets requests, and answers them one after another.
    fn take_requests(&mut self, slot: u32, length: usize) {
        assert_eq!(length % self.request_len, 0, "a part of a request");
        for _ in 0..length / self.request_len {
            if self.now_ns >= self.counts_from_ns {
                self.sends_ns.push(self.now_ns);
            }
            self.answer(slot);
        }
    }

    fn answer(&mut self, slot: u32) {
        let m = self.mischief;
        let place = &self.slots[slot as usize];
        let begin_ns = place.busy_until_ns.max(self.now_ns);
        if begin_ns == NEVER_NS || self.happens(m.holds) {
            self.slots[slot as usize].busy_until_ns = NEVER_NS;
            self.owe(slot, 200, usize::MAX);
            return;
        }
        let mut at_ns = begin_ns + self.rng.u64(20_000..3_000_000);
        let status = if self.happens(m.fails) { 503 } else { 200 };
        let body = "x".repeat(self.rng.usize(0..40));
        let mut bytes = format!(
            "HTTP/1.1 {status} S\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )
        .into_bytes();
        self.owe(slot, status, bytes.len());
        let spoils = self.happens(m.surplus);
        if spoils {
            bytes.extend_from_slice(b"HTTP/1.1 408 T\r\n");
        }
        let ends = if self.happens(m.resets) {
            bytes.truncate(self.rng.usize(0..bytes.len()));
            Some(Inbound::Failed(libc::ECONNRESET))
        } else if self.happens(m.closes) {
            Some(Inbound::Ended)
        } else {
            None
        };
        while self.happens(m.splits) && bytes.len() > 1 {
            let rest = bytes.split_off(self.rng.usize(1..bytes.len()));
            let piece = std::mem::replace(&mut bytes, rest);
            self.plan(slot, at_ns, Happening::Inbound(Inbound::Bytes(piece)));
            at_ns += self.rng.u64(0..2_000_000);
        }
        if !bytes.is_empty() {
            self.plan(slot, at_ns, Happening::Inbound(Inbound::Bytes(bytes)));
        }
        if let Some(end) = ends {
            self.plan(slot, at_ns, Happening::Inbound(end));
            at_ns = NEVER_NS;
        }
        if spoils {
            at_ns = NEVER_NS;
        }
        self.slots[slot as usize].busy_until_ns = at_ns;
    }

    fn owe(&mut self, slot: u32, status: u16, left: usize) {
        let sent_ns = self.now_ns;
        self.slots[slot as usize].owed.push_back(Owed {
            sent_ns,
            status,
            left,
        });
    }

    fn send_of(&mut self, slot: u32, length: usize, notify: bool) {
        assert!(self.slots[slot as usize].is_open, "a send on a closed slot");
        self.take_requests(slot, length);
        if self.happens(self.mischief.breaks) {
            let at_ns = self.now_ns + self.rng.u64(0..100_000);
            self.plan(
                slot,
                at_ns,
                Happening::Event(Event::SendFailed(libc::EPIPE)),
            );
            let at_ns = at_ns + self.rng.u64(0..4_000_000);
            self.plan(
                slot,
                at_ns,
                Happening::Inbound(Inbound::Failed(libc::ECONNRESET)),
            );
        } else if notify {
            let at_ns = self.now_ns + self.rng.u64(0..500_000);
            self.plan(slot, at_ns, Happening::Event(Event::Sent));
        }
    }
}

impl Network for Memory {
    fn connect(&mut self, slot: u32, _: usize) -> io::Result<()> {
        let m = self.mischief;
        let is_away = m
            .away_ns
            .is_some_and(|(from_ns, to_ns)| (from_ns..to_ns).contains(&self.now_ns));
        let at_ns = self.now_ns + self.rng.u64(10_000..2_000_000);
        if is_away || self.happens(m.refuses) {
            let event = Event::ConnectFailed(libc::ECONNREFUSED);
            self.plan(slot, at_ns, Happening::Event(event));
        } else if !self.happens(m.hangs) {
            self.plan(slot, at_ns, Happening::Event(Event::Connected));
        }
        Ok(())
    }

    fn send_shared(&mut self, slot: u32, length: usize, notify: bool) {
        self.send_of(slot, length, notify);
    }

    fn send(&mut self, slot: u32, bytes: &[u8], notify: bool) {
        self.send_of(slot, bytes.len(), notify);
    }

    fn notifies_always(&self) -> bool {
        self.always_notifies
    }

    fn bytes(&mut self, slot: u32, piece: Piece) -> &mut [u8] {
        let bytes = &mut self.received[slot as usize];
        assert_eq!(bytes.len(), piece.length as usize);
        bytes
    }

    fn receive(&mut self, slot: u32) {
        self.slots[slot as usize].receives = true;
    }

    fn close(&mut self, slot: u32, _: bool) {
        let place = &mut self.slots[slot as usize];
        *place = Slot {
            generation: place.generation + 1,
            ..Slot::default()
        };
    }
}
