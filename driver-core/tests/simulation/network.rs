//! The network in memory: connections by slot, a target behind them, and every event at its instant
//! of a clock that only moves when it is told to. It refuses, splits, resets and closes as the dice
//! fall, and keeps the books of what really happened.

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
    /// Requests that the target hands back, or ends without an answer (HTTP/2).
    pub(crate) returns: f64,
    /// Answers after which the target says that it is leaving (HTTP/2).
    pub(crate) leaves: f64,
    /// When all connections are closed at once, ns.
    pub(crate) mass_close_ns: Option<u64>,
    /// From when to when every attempt to connect is refused, ns.
    pub(crate) away_ns: Option<(u64, u64)>,
}

/// Beyond every load.
const NEVER_NS: u64 = u64::MAX / 2;

/// What is behind the network.
pub(crate) trait Target: Sized {
    /// What it knows of one connection.
    type Line: Default;
    /// Whether a connection is of use only once it has [said so](Means::Welcome).
    const GREETS: bool;

    /// A send has come, whole.
    fn take(net: &mut Memory<Self>, slot: u32, sent: Sent<'_>);

    /// An instant has come that it has [planned](Memory::plan_act).
    fn act(net: &mut Memory<Self>, slot: u32, key: u32);

    /// It says that it has no more to do with these requests: that a client may send them again.
    fn returned(line: &mut Self::Line, above: u32) -> Vec<u64>;
}

/// What a send carries.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Sent<'a> {
    /// So many bytes of the payload that connections share.
    Shared(usize),
    /// These bytes.
    Bytes(&'a [u8]),
}

/// A part of what the target says, and what has happened once it has come whole.
#[derive(Debug)]
pub(crate) struct Part {
    /// The stream that it is about, 0 where there are none.
    pub(crate) key: u32,
    pub(crate) means: Means,
    /// Bytes that have not come yet.
    pub(crate) left: usize,
}

/// What a part means.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Means {
    /// Nothing for the books.
    Nothing,
    /// The connection is of use from here on.
    Welcome,
    /// A good answer to what was sent then, ns.
    Good(u64),
    /// An answer of 503.
    Bad(u64),
    /// The request that was sent then was not processed.
    Returned(u64),
    /// Nor was any above this one.
    ReturnedAbove(u32),
}

pub(crate) struct Slot<L> {
    generation: u32,
    is_open: bool,
    /// Whether a receive is in progress.
    receives: bool,
    /// Bytes and ends that have come and were not received yet.
    inbox: VecDeque<Inbound>,
    /// What is on its way, oldest first.
    pub(crate) parts: VecDeque<Part>,
    /// When the last byte leaves the target.
    pub(crate) busy_until_ns: u64,
    pub(crate) line: L,
}

impl<L: Default> Slot<L> {
    fn of(generation: u32) -> Self {
        Self {
            generation,
            is_open: false,
            receives: false,
            inbox: VecDeque::new(),
            parts: VecDeque::new(),
            busy_until_ns: 0,
            line: L::default(),
        }
    }
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
    /// The target acts.
    Act(u32),
}

/// What is going to happen, by instant and then by number.
type Agenda = BinaryHeap<Reverse<(u64, u64)>>;

/// The network and the target.
pub(crate) struct Memory<T: Target> {
    pub(crate) now_ns: u64,
    pub(crate) mischief: Mischief,
    pub(crate) rng: Rng,
    pub(crate) request_len: usize,
    pub(crate) slots: Vec<Slot<T::Line>>,
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
    /// Requests that the client was told to be none of the target's.
    pub(crate) returned: u64,
    /// Connections that were made; those of them that were of use.
    pub(crate) connected: u64,
    pub(crate) opened: u64,
}

impl<T: Target> Memory<T> {
    pub(crate) fn new(seed: u64, slots: usize, request_len: usize, mischief: Mischief) -> Self {
        let mut rng = Rng::with_seed(seed);
        Self {
            now_ns: 0,
            mischief,
            always_notifies: rng.u8(..) < 32,
            rng,
            request_len,
            slots: (0..slots).map(|_| Slot::of(0)).collect(),
            agenda: BinaryHeap::new(),
            happenings: HashMap::new(),
            number: 0,
            received: vec![Vec::new(); slots],
            counts_from_ns: 0,
            sends_ns: Vec::new(),
            good_ns: Vec::new(),
            bad: 0,
            returned: 0,
            connected: 0,
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
                        self.connected += 1;
                        self.opened += u64::from(!T::GREETS);
                    }
                    return Some((slot, event));
                }
                Happening::Inbound(inbound) => place.inbox.push_back(inbound),
                Happening::Act(key) => T::act(self, slot, key),
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
                self.note_parts(slot, bytes.len());
                self.received[slot] = bytes;
                Event::Received(Piece { buffer: 0, length })
            }
            Inbound::Ended => Event::Ended,
            Inbound::Failed(errno) => Event::ReceiveFailed(errno),
        };
        Some((u32::try_from(slot).unwrap(), event))
    }

    /// Keeps the books: which parts are whole now.
    fn note_parts(&mut self, slot: usize, mut length: usize) {
        while let Some(oldest) = self.slots[slot].parts.front_mut() {
            let taken = oldest.left.min(length);
            oldest.left -= taken;
            length -= taken;
            if oldest.left > 0 {
                return;
            }
            let means = oldest.means;
            self.slots[slot].parts.pop_front();
            self.note(slot, means);
        }
    }

    fn note(&mut self, slot: usize, means: Means) {
        let counts = |sent_ns: &u64| *sent_ns >= self.counts_from_ns;
        match means {
            Means::Welcome => self.opened += 1,
            Means::Good(sent_ns) if counts(&sent_ns) => self.good_ns.push(self.now_ns - sent_ns),
            Means::Bad(sent_ns) => self.bad += u64::from(counts(&sent_ns)),
            Means::Returned(sent_ns) => self.returned += u64::from(counts(&sent_ns)),
            Means::Nothing | Means::Good(_) => {}
            Means::ReturnedAbove(last) => {
                let sent_ns = T::returned(&mut self.slots[slot].line, last);
                self.returned += sent_ns.iter().filter(|ns| counts(ns)).count() as u64;
            }
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

    /// Lets the target act at an instant.
    pub(crate) fn plan_act(&mut self, slot: u32, at_ns: u64, key: u32) {
        self.plan(slot, at_ns, Happening::Act(key));
    }

    /// The network has got a request.
    pub(crate) fn count_send(&mut self) {
        if self.now_ns >= self.counts_from_ns {
            self.sends_ns.push(self.now_ns);
        }
    }

    /// The target says something, not before an instant: whole or in pieces, up to a reset or an end
    /// after it, as the dice fall. Says whether the connection goes on.
    pub(crate) fn say(&mut self, slot: u32, from_ns: u64, mut bytes: Vec<u8>) -> bool {
        let m = self.mischief;
        let place = &self.slots[slot as usize];
        let mut at_ns = place.busy_until_ns.max(from_ns).max(self.now_ns);
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
        let goes_on = ends.is_none();
        if let Some(end) = ends {
            self.plan(slot, at_ns, Happening::Inbound(end));
            at_ns = NEVER_NS;
        }
        self.slots[slot as usize].busy_until_ns = at_ns;
        goes_on
    }

    /// Whether the target has said its last on a connection.
    pub(crate) fn is_silent(&self, slot: u32) -> bool {
        self.slots[slot as usize].busy_until_ns == NEVER_NS
    }

    /// From here on the target says nothing on a connection.
    pub(crate) fn silence(&mut self, slot: u32) {
        self.slots[slot as usize].busy_until_ns = NEVER_NS;
    }

    pub(crate) fn happens(&mut self, share: f64) -> bool {
        share > 0.0 && self.rng.f64() < share
    }

    fn send_of(&mut self, slot: u32, sent: Sent<'_>, notify: bool) {
        assert!(self.slots[slot as usize].is_open, "a send on a closed slot");
        T::take(self, slot, sent);
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

impl<T: Target> Network for Memory<T> {
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
        self.send_of(slot, Sent::Shared(length), notify);
    }

    fn send(&mut self, slot: u32, bytes: &[u8], notify: bool) {
        self.send_of(slot, Sent::Bytes(bytes), notify);
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
        *place = Slot::of(place.generation + 1);
    }
}
