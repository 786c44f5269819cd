//! What the peer allows: its settings and the window of the connection (RFC 9113, 6.5 and 6.9).

use super::Malformed;
use super::frame::{ID_MAX, number};

/// The window of a connection, and of a stream, before anybody says otherwise, in bytes.
pub(super) const WINDOW_DEFAULT: i32 = 65_535;
/// The smallest and the largest frame that a peer can ask for, in bytes.
const FRAME_LEN_MIN: u32 = 16_384;
const FRAME_LEN_MAX: u32 = (1 << 24) - 1;
/// The size of the table for our fields before anybody says otherwise, in bytes.
const TABLE_SIZE_DEFAULT: u32 = 4096;

/// The numbers of settings.
pub(super) mod setting {
    pub(in super::super) const HEADER_TABLE_SIZE: u16 = 1;
    pub(in super::super) const ENABLE_PUSH: u16 = 2;
    pub(in super::super) const MAX_CONCURRENT_STREAMS: u16 = 3;
    pub(in super::super) const INITIAL_WINDOW_SIZE: u16 = 4;
    pub(in super::super) const MAX_FRAME_SIZE: u16 = 5;
}

/// What one connection's peer allows us.
#[derive(Debug)]
pub(super) struct Peer {
    /// Whether it has said anything yet.
    pub(super) is_heard: bool,
    /// Streams at a time.
    pub(super) streams_max: u32,
    /// How many bytes of a body a new stream takes.
    pub(super) stream_window: i32,
    /// How many bytes of bodies the connection takes.
    pub(super) window: i32,
    /// Longest payload of a frame.
    pub(super) frame_len_max: usize,
    /// Whether the peer made its table smaller, and has yet to be told that we follow: the first
    /// block after that begins with the new size (RFC 7541, 4.2). We use none, and say so once.
    pub(super) table_is_due: bool,
    table_is_told: bool,
}

impl Peer {
    pub(super) fn new() -> Self {
        Self {
            is_heard: false,
            streams_max: u32::MAX,
            stream_window: WINDOW_DEFAULT,
            window: WINDOW_DEFAULT,
            frame_len_max: FRAME_LEN_MIN as usize,
            table_is_due: false,
            table_is_told: false,
        }
    }

    /// Takes new settings. Returns by how much the windows of all open streams change.
    pub(super) fn settings(&mut self, payload: &[u8]) -> Result<i32, Malformed> {
        self.is_heard = true;
        let before = self.stream_window;
        for entry in payload.chunks_exact(6) {
            let (id, value) = entry.split_at(2);
            let id = u16::from_be_bytes([id[0], id[1]]);
            self.set(id, number(value).unwrap_or_default())?;
        }
        Ok(self.stream_window - before)
    }

    fn set(&mut self, id: u16, value: u32) -> Result<(), Malformed> {
        match (id, value) {
            (setting::HEADER_TABLE_SIZE, 0..TABLE_SIZE_DEFAULT) => {
                self.table_is_due = !self.table_is_told;
            }
            (setting::MAX_CONCURRENT_STREAMS, _) => self.streams_max = value,
            (setting::INITIAL_WINDOW_SIZE, 0..=ID_MAX) => {
                self.stream_window = value.try_into().unwrap_or(i32::MAX);
            }
            (setting::MAX_FRAME_SIZE, FRAME_LEN_MIN..=FRAME_LEN_MAX) => {
                self.frame_len_max = value as usize;
            }
            // A server cannot ask to be pushed to.
            (setting::ENABLE_PUSH, 1..)
            | (setting::INITIAL_WINDOW_SIZE | setting::MAX_FRAME_SIZE, _) => {
                return Err(Malformed::Setting { id, value });
            }
            _ => {}
        }
        Ok(())
    }

    /// The table's size has been told.
    pub(super) fn tell_table(&mut self) {
        self.table_is_due = false;
        self.table_is_told = true;
    }
}

/// Enlarges a window by what a peer says.
pub(super) fn enlarge(window: &mut i32, increment: u32) -> Result<(), Malformed> {
    if increment == 0 {
        return Err(Malformed::NoIncrement);
    }
    let increment = i32::try_from(increment).map_err(|_| Malformed::Window)?;
    *window = window.checked_add(increment).ok_or(Malformed::Window)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(peer: &mut Peer, entries: &[(u16, u32)]) -> Result<i32, Malformed> {
        let entry =
            |(id, value): &(u16, u32)| [&id.to_be_bytes()[..], &value.to_be_bytes()].concat();
        let payload: Vec<u8> = entries.iter().flat_map(entry).collect();
        peer.settings(&payload)
    }

    #[test]
    fn settings_are_taken_and_the_last_of_two_wins() {
        let mut peer = Peer::new();
        assert!(!peer.is_heard);
        let change = settings(
            &mut peer,
            &[(4, 10), (3, 100), (5, 20_000), (4, 100), (99, 7)],
        );
        assert_eq!(change, Ok(100 - 65_535));
        assert!(peer.is_heard);
        assert_eq!((peer.streams_max, peer.frame_len_max), (100, 20_000));
        assert_eq!(settings(&mut peer, &[(4, ID_MAX)]), Ok(i32::MAX - 100));
    }

    #[test]
    fn values_that_cannot_be_are_refused() {
        for (id, value) in [(2, 1), (2, 2), (4, 1 << 31), (5, 16_383), (5, 1 << 24)] {
            let refused = Err(Malformed::Setting { id, value });
            assert_eq!(settings(&mut Peer::new(), &[(id, value)]), refused);
        }
        assert_eq!(settings(&mut Peer::new(), &[(2, 0), (1, u32::MAX)]), Ok(0));
    }

    #[test]
    fn a_smaller_table_is_acknowledged_once() {
        let mut peer = Peer::new();
        settings(&mut peer, &[(1, 4096)]).unwrap();
        assert!(!peer.table_is_due);
        settings(&mut peer, &[(1, 100)]).unwrap();
        assert!(peer.table_is_due);
        peer.tell_table();
        settings(&mut peer, &[(1, 0)]).unwrap();
        assert!(!peer.table_is_due);
    }
}
