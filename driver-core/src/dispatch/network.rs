//! What the dispatcher needs of the network, and what the network tells it.
//!
//! The core loop implements it on the ring of one core; the simulation in memory. A slot has one
//! connection after another; the network tells them apart, so that what it says is always about the
//! current one.

use std::io;

/// Something that happened on a slot's current connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// The attempt to connect has succeeded.
    Connected,
    /// The attempt to connect has failed, with this error number.
    ConnectFailed(i32),
    /// A send that was to be told of has been taken whole.
    Sent,
    /// A send has failed, with this error number. What has come and was not read yet still comes.
    SendFailed(i32),
    /// Bytes have come.
    Received(Piece),
    /// So many of the bytes that were to be discarded have come.
    Discarded(u64),
    /// Receiving has failed, with this error number; the connection is gone.
    ReceiveFailed(i32),
    /// The peer sends nothing more.
    Ended,
}

/// Where received bytes are; [`Network::bytes`] shows them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Piece {
    /// The buffer, as the network numbers them.
    pub buffer: u32,
    /// How many bytes.
    pub length: u32,
}

/// Connections of one core, by slot. No call blocks; what comes of it comes as an [`Event`].
pub trait Network {
    /// Begins to connect slot `slot` to the endpoint of that number.
    ///
    /// # Errors
    /// When there is no socket for it: nothing was begun.
    fn connect(&mut self, slot: u32, endpoint: usize) -> io::Result<()>;

    /// Sends the first `length` bytes of the payload that all connections share. With `notify` an
    /// [`Event::Sent`] follows, otherwise only a failure does, where the network can do without.
    fn send_shared(&mut self, slot: u32, length: usize, notify: bool);

    /// Sends these bytes, of which the network keeps what it needs.
    fn send(&mut self, slot: u32, bytes: &[u8], notify: bool);

    /// Whether every send is told of, whatever was asked for.
    fn notifies_always(&self) -> bool;

    /// The bytes of a piece, while its event is worked off.
    fn bytes(&mut self, slot: u32, piece: Piece) -> &mut [u8];

    /// Receives what comes next. Without a call nothing more has to come; it may, where one operation
    /// of the kernel goes on by itself.
    fn receive(&mut self, slot: u32);

    /// Throws away up to `length` of the bytes that come next, or receives them all the same where it
    /// cannot. Without a call nothing more has to come.
    fn discard(&mut self, slot: u32, length: u64) {
        let _ = length;
        self.receive(slot);
    }

    /// Gives the slot's connection up; `reset` takes from the peer what it has not read yet.
    fn close(&mut self, slot: u32, reset: bool);
}
