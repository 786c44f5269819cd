//! The streams of one connection: a table that is indexed by the ids themselves.
//!
//! A stream's place is its number modulo the size of the table, a power of two at least twice the
//! streams that can be open. An id whose place a slow stream still has is left out, which HTTP/2
//! allows (RFC 9113, 5.1.1): so finding one is a load and a comparison, without hashing, and nothing
//! is ever moved.

use super::frame::ID_MAX;

/// A request that waits for its answer or the rest of it.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Stream {
    /// 0 where the place is free.
    pub(super) id: u32,
    /// How many more bytes of a body the peer takes.
    pub(super) window: i32,
    /// Bytes of the answer that the peer's window was not yet enlarged for.
    pub(super) consumed: u32,
    /// The status of the answer, 0 before it came.
    pub(super) status: u16,
    /// Whether anything of an answer has come, an interim one too.
    pub(super) began: bool,
}

#[derive(Debug)]
pub(super) struct Streams {
    places: Box<[Stream]>,
    /// The id of the next stream: odd, ascending.
    next: u32,
    open: u32,
    /// The first and the last id that was given up or handed back, whose frames may still come.
    forgiven: (u32, u32),
}

impl Streams {
    /// Room for so many streams at a time.
    pub(super) fn new(most: u32) -> Self {
        let places = (most.max(1) as usize * 2).next_power_of_two();
        Self {
            places: vec![Stream::default(); places].into_boxed_slice(),
            next: 1,
            open: 0,
            forgiven: (u32::MAX, 0),
        }
    }

    /// How many are open.
    pub(super) fn open(&self) -> u32 {
        self.open
    }

    /// How many more can ever be opened for sure: each may have to step over all places that are
    /// taken.
    pub(super) fn left(&self) -> u32 {
        let ids = (ID_MAX - self.next.min(ID_MAX)) / 2;
        ids >> self.places.len().trailing_zeros()
    }

    #[inline]
    fn place(&self, id: u32) -> usize {
        (id >> 1) as usize & (self.places.len() - 1)
    }

    /// Opens the next stream and returns its id. There is room by the table's size.
    #[inline]
    pub(super) fn add(&mut self, window: i32) -> u32 {
        let mut place = self.place(self.next);
        while self.places[place].id != 0 {
            self.next += 2;
            place = self.place(self.next);
        }
        let id = self.next;
        self.places[place] = Stream {
            id,
            window,
            ..Stream::default()
        };
        self.next += 2;
        self.open += 1;
        id
    }

    /// The open stream of this id.
    #[inline]
    pub(super) fn get(&mut self, id: u32) -> Option<&mut Stream> {
        let place = self.place(id);
        let stream = &mut self.places[place];
        (stream.id == id && id != 0).then_some(stream)
    }

    /// Closes a stream, if it is open.
    #[inline]
    pub(super) fn remove(&mut self, id: u32) -> Option<Stream> {
        let stream = std::mem::take(self.get(id)?);
        self.open -= 1;
        Some(stream)
    }

    /// Closes a stream of which the peer may not know yet that it is closed.
    pub(super) fn forgive(&mut self, id: u32) -> Option<Stream> {
        let stream = self.remove(id)?;
        let (first, last) = self.forgiven;
        self.forgiven = (first.min(id), last.max(id));
        Some(stream)
    }

    /// Whether late frames of a stream that is closed are none of the peer's faults. It is known by
    /// range, which may forgive too much, and never too little.
    pub(super) fn is_forgiven(&self, id: u32) -> bool {
        (self.forgiven.0..=self.forgiven.1).contains(&id)
    }

    /// Whether a stream was never opened by us.
    pub(super) fn is_idle(&self, id: u32) -> bool {
        id.is_multiple_of(2) || id >= self.next
    }

    /// As if all ids had been used.
    #[cfg(test)]
    pub(super) fn use_up(&mut self) {
        self.next = ID_MAX;
    }

    /// All open streams.
    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Stream> {
        self.places.iter_mut().filter(|stream| stream.id != 0)
    }

    /// The open streams above `last`, ascending.
    pub(super) fn above(&self, last: u32) -> Vec<u32> {
        let ids = self.places.iter().map(|stream| stream.id);
        let mut above: Vec<u32> = ids.filter(|id| *id > last).collect();
        above.sort_unstable();
        above
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_ascend_and_leave_out_those_whose_place_is_taken() {
        let mut streams = Streams::new(2);
        let slow = streams.add(10);
        let mut ids = vec![slow];
        for _ in 0..5 {
            let id = streams.add(10);
            ids.push(id);
            assert!(streams.remove(id).is_some());
            assert!(streams.remove(id).is_none());
        }
        // 1 has the place of 9.
        assert_eq!(ids, [1, 3, 5, 7, 11, 13]);
        assert_eq!(streams.open(), 1);
        assert_eq!(streams.get(slow).map(|stream| stream.window), Some(10));
        assert!(streams.get(9).is_none() && !streams.is_idle(9));
        assert!(streams.is_idle(15) && streams.is_idle(2) && streams.is_idle(0));
    }

    #[test]
    fn only_what_was_given_up_is_forgiven() {
        let mut streams = Streams::new(8);
        let ids: Vec<u32> = (0..5).map(|_| streams.add(0)).collect();
        assert!(!ids.iter().any(|id| streams.is_forgiven(*id)));
        streams.forgive(ids[2]);
        streams.remove(ids[4]);
        let forgiven: Vec<bool> = ids.iter().map(|id| streams.is_forgiven(*id)).collect();
        assert_eq!(forgiven, [false, false, true, false, false]);
        assert_eq!(streams.above(1), [3, 7]);
        assert!(streams.above(7).is_empty());
    }

    #[test]
    fn ids_come_to_an_end() {
        let mut streams = Streams::new(2);
        assert!(streams.left() > 1 << 27);
        streams.next = ID_MAX - 20;
        let mut opened = 0;
        while streams.left() > 0 {
            let id = streams.add(0);
            assert!(id <= ID_MAX);
            streams.remove(id);
            opened += 1;
        }
        assert!(opened > 4, "{opened}");
        streams.use_up();
        assert_eq!(streams.left(), 0);
    }
}
