//! The dispatcher's network on a ring: sockets by slot, and what the ring's completions mean.

use std::io;
use std::net::IpAddr;
use std::os::fd::{AsRawFd, RawFd};

use nix::sys::socket::{setsockopt, sockopt};
use rustix::net::connect_unspec;
use socket2::{Domain, Protocol, SockAddr, Socket, Type};

use crate::dispatch::{Event, Network, Piece};
use crate::ring::{Completion, GENERATION_MASK, Kind, Ring, Token, Wake};

/// Most sockets that wait for the next call to the kernel before they are let go of.
const CLOSING_MAX: usize = 64;
/// Most bytes of a body that are thrown away at once.
const DISCARD_MAX: u64 = 4 << 20;
/// The token of the bell; it has no slot.
const WAKE: Token = Token {
    kind: Kind::Wake,
    slot: 0,
    generation: 0,
};

/// What a send in progress that is to be told of has left.
#[derive(Debug, Clone, Copy)]
enum Sending {
    /// These bytes of the shared payload.
    Shared { from: usize, to: usize },
    /// The bytes from here on of a buffer that the ring keeps.
    Own { from: usize, to: usize },
}

/// How what comes on a connection is received.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Receiving {
    /// Not at all.
    #[default]
    Not,
    /// By one operation that ends with what it brings.
    Once,
    /// By one operation that goes on and on.
    Again,
    /// The same, which has been told to end.
    Ending,
}

/// What the dispatcher waits for on a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Wanted {
    #[default]
    Nothing,
    Bytes,
    /// Up to so many bytes that nobody looks at.
    Discarded(u32),
}

/// One slot's socket.
#[derive(Debug, Default)]
struct Slot {
    socket: Option<Socket>,
    generation: u32,
    sending: Option<Sending>,
    receiving: Receiving,
    wanted: Wanted,
    /// Whether each piece is received by an operation of its own. What is discarded is no use of one
    /// that goes on, and a connection whose answers are long once has more of them.
    one_by_one: bool,
    /// Whether there is more to receive already.
    has_more: bool,
}

impl Slot {
    /// The descriptor of the current socket, or -1, which every operation refuses.
    fn fd(&self) -> RawFd {
        self.socket.as_ref().map_or(-1, AsRawFd::as_raw_fd)
    }
}

/// The sockets of one core.
pub(super) struct Sockets {
    pub ring: Ring,
    endpoints: Vec<SockAddr>,
    sources: Vec<IpAddr>,
    slots: Vec<Slot>,
    /// Whether bytes can be thrown away in the kernel.
    discards: bool,
    /// Sockets that were shut down while something was queued. An operation names its descriptor by
    /// its number alone, so that one which is still queued would be done on whatever socket or file
    /// gets the number next, on any thread of the process: they are kept until it was handed over.
    /// Behind `ring`, whose drop hands over what is queued last.
    closing: Vec<Socket>,
}

impl Sockets {
    /// No socket yet, for so many slots. Connections go out from `sources` in turn, if there are
    /// any.
    pub(super) fn new(
        ring: Ring,
        slots: usize,
        endpoints: Vec<SockAddr>,
        sources: Vec<IpAddr>,
    ) -> Self {
        let is_tcp = |endpoint: &SockAddr| endpoint.domain() != Domain::UNIX;
        Self {
            ring,
            discards: endpoints.iter().all(is_tcp),
            closing: Vec::with_capacity(CLOSING_MAX),
            endpoints,
            sources,
            slots: (0..slots).map(|_| Slot::default()).collect(),
        }
    }

    /// Listens to the core's bell.
    pub(super) fn listen(&mut self, bell: &Wake) {
        self.ring.listen(WAKE, bell);
    }

    /// Lets go of closed sockets, if nothing is queued that may name them.
    #[inline]
    pub(super) fn let_go(&mut self) {
        if !self.closing.is_empty() && !self.ring.has_queued() {
            self.closing.clear();
        }
    }

    /// What a completion means for the current connection of its slot, if anything.
    #[inline]
    pub(super) fn read(&mut self, completion: Completion, bell: &Wake) -> Option<(u32, Event)> {
        let Completion { token, result, .. } = completion;
        if matches!(token.kind, Kind::Wake | Kind::Provide) {
            self.read_own(completion, bell);
            return None;
        }
        let slot = &self.slots[token.slot as usize];
        if slot.generation != token.generation {
            self.read_old(completion);
            return None;
        }
        let event = match token.kind {
            Kind::Receive | Kind::Discard => self.read_receive(completion)?,
            Kind::Send => self.read_send(token, result)?,
            Kind::SilentSend => Event::SendFailed(failure(result)),
            Kind::Connect if result < 0 => Event::ConnectFailed(-result),
            Kind::Connect => Event::Connected,
            Kind::Cancel | Kind::Provide | Kind::Wake => return None,
        };
        Some((token.slot, event))
    }

    /// An operation that is no connection's has ended.
    fn read_own(&mut self, completion: Completion, bell: &Wake) {
        match completion.token.kind {
            Kind::Wake => self.listen(bell),
            // Refused for want of memory alone: it is tried until there is some.
            _ if completion.result < 0 => self.ring.give_again(completion.token.slot),
            _ => {}
        }
    }

    /// An operation of an earlier connection has brought something or ended, of which nobody wants to
    /// know any more.
    fn read_old(&mut self, completion: Completion) {
        if let Some(buffer) = completion.buffer() {
            self.ring.give_back(buffer);
        }
        if completion.token.kind == Kind::Send {
            self.ring.forget_send(completion.token);
        }
    }

    #[inline]
    fn read_receive(&mut self, completion: Completion) -> Option<Event> {
        let Completion { token, result, .. } = completion;
        let state = &mut self.slots[token.slot as usize];
        if !completion.goes_on() {
            state.receiving = Receiving::Not;
        }
        state.has_more = completion.left_some();
        match (u32::try_from(result), completion.buffer()) {
            (Ok(0), buffer) => {
                if let Some(buffer) = buffer {
                    self.ring.give_back(buffer);
                }
                Some(Event::Ended)
            }
            (Ok(length), Some(buffer)) => {
                state.wanted = Wanted::Nothing;
                Some(Event::Received(Piece {
                    buffer: buffer.into(),
                    length,
                }))
            }
            (Ok(length), None) => {
                state.wanted = Wanted::Nothing;
                Some(Event::Discarded(length.into()))
            }
            // No buffer was free, or it was told to end: what is wanted begins anew.
            (Err(_), _)
                if matches!(
                    -result,
                    libc::EINTR | libc::EAGAIN | libc::ENOBUFS | libc::ECANCELED
                ) =>
            {
                self.begin_receiving(token.slot);
                None
            }
            (Err(_), _) => Some(Event::ReceiveFailed(-result)),
        }
    }

    /// Begins to receive what is wanted, unless that is under way.
    #[inline]
    fn begin_receiving(&mut self, slot: u32) {
        let state = &self.slots[slot as usize];
        match (state.receiving, state.wanted) {
            (Receiving::Not, Wanted::Bytes) => {
                let (again, at_once) = (!state.one_by_one, state.has_more);
                let (token, fd) = self.token(slot, Kind::Receive);
                self.ring.receive(token, fd, again, at_once);
                let goes_on = again && self.ring.features().multishot;
                self.slots[slot as usize].receiving = if goes_on {
                    Receiving::Again
                } else {
                    Receiving::Once
                };
            }
            (Receiving::Not, Wanted::Discarded(length)) => {
                let (token, fd) = self.token(slot, Kind::Discard);
                self.ring.discard(token, fd, length);
                self.slots[slot as usize].receiving = Receiving::Once;
            }
            (Receiving::Again, Wanted::Discarded(_)) => {
                self.ring.cancel(self.token(slot, Kind::Receive).0);
                self.slots[slot as usize].receiving = Receiving::Ending;
            }
            _ => {}
        }
    }

    /// Lets the kernel have the buffer of a piece that has been read.
    #[inline]
    pub(super) fn give_back(&mut self, piece: Piece) {
        self.ring.give_back(number(piece));
    }

    fn read_send(&mut self, token: Token, result: i32) -> Option<Event> {
        let slot = &mut self.slots[token.slot as usize];
        let sending = slot.sending.take();
        let (Ok(length @ 1..), Some(sending)) = (usize::try_from(result), sending) else {
            self.ring.forget_send(token);
            return Some(Event::SendFailed(failure(result)));
        };
        match sending {
            Sending::Shared { from, to } if from + length < to => {
                let from = from + length;
                slot.sending = Some(Sending::Shared { from, to });
                self.ring.send(token, slot.fd(), from, to - from, true);
                None
            }
            Sending::Own { from, to } if from + length < to => {
                let from = from + length;
                slot.sending = Some(Sending::Own { from, to });
                self.ring.send_rest(token, slot.fd(), from);
                None
            }
            _ => {
                self.ring.forget_send(token);
                Some(Event::Sent)
            }
        }
    }

    fn token(&self, slot: u32, kind: Kind) -> (Token, RawFd) {
        let Slot { generation, .. } = self.slots[slot as usize];
        let token = Token {
            kind,
            slot,
            generation,
        };
        (token, self.slots[slot as usize].fd())
    }

    fn socket(&self, slot: u32, endpoint: usize) -> io::Result<Socket> {
        let domain = self.endpoints[endpoint].domain();
        if domain == Domain::UNIX {
            return Socket::new(domain, Type::STREAM, None);
        }
        let socket = Socket::new(domain, Type::STREAM, Some(Protocol::TCP))?;
        socket.set_tcp_nodelay(true)?;
        if !self.sources.is_empty() {
            let source = self.sources[slot as usize % self.sources.len()];
            // The port is chosen at the connect, so that one source can have many to each address.
            setsockopt(&socket, sockopt::IpBindAddressNoPort, &true)?;
            socket.bind(&SockAddr::from(std::net::SocketAddr::new(source, 0)))?;
        }
        Ok(socket)
    }
}

impl Network for Sockets {
    fn connect(&mut self, slot: u32, endpoint: usize) -> io::Result<()> {
        let socket = self.socket(slot, endpoint)?;
        self.slots[slot as usize].socket = Some(socket);
        let (token, fd) = self.token(slot, Kind::Connect);
        self.ring.connect(token, fd, endpoint);
        Ok(())
    }

    #[inline]
    fn send_shared(&mut self, slot: u32, length: usize, notify: bool) {
        if notify {
            let sending = Sending::Shared {
                from: 0,
                to: length,
            };
            self.slots[slot as usize].sending = Some(sending);
        }
        let kind = if notify { Kind::Send } else { Kind::SilentSend };
        let (token, fd) = self.token(slot, kind);
        self.ring.send(token, fd, 0, length, notify);
    }

    fn send(&mut self, slot: u32, bytes: &[u8], notify: bool) {
        if notify {
            let sending = Sending::Own {
                from: 0,
                to: bytes.len(),
            };
            self.slots[slot as usize].sending = Some(sending);
        }
        let kind = if notify { Kind::Send } else { Kind::SilentSend };
        let (token, fd) = self.token(slot, kind);
        self.ring.send_bytes(token, fd, bytes, notify);
    }

    fn notifies_always(&self) -> bool {
        !self.ring.features().skip_success
    }

    #[inline]
    fn bytes(&mut self, _: u32, piece: Piece) -> &mut [u8] {
        self.ring.received(number(piece), piece.length as usize)
    }

    #[inline]
    fn receive(&mut self, slot: u32) {
        self.slots[slot as usize].wanted = Wanted::Bytes;
        self.begin_receiving(slot);
    }

    fn discard(&mut self, slot: u32, length: u64) {
        if !self.discards {
            return self.receive(slot);
        }
        // Not so many that a long body would count in the second of its end alone.
        let length = u32::try_from(length.min(DISCARD_MAX)).expect("invariant: a few MiB");
        let state = &mut self.slots[slot as usize];
        (state.wanted, state.one_by_one) = (Wanted::Discarded(length), true);
        self.begin_receiving(slot);
    }

    /// A reset instead of an orderly end keeps our side free of `TIME_WAIT`, of which long runs
    /// would run out of ports, and which the kernel has to search at each connect long before.
    fn close(&mut self, slot: u32, reset: bool) {
        if self.closing.len() == CLOSING_MAX {
            // Refused only for a completion queue that is full: then they are let go of later.
            let _ = self.ring.submit();
            self.let_go();
        }
        let slot = &mut self.slots[slot as usize];
        if let Some(socket) = slot.socket.take() {
            // Both end the receive in flight, which holds the socket beyond its descriptor. A reset
            // is sent at once: after a FIN, the peer's own would make a `TIME_WAIT` of ours in the
            // time until the socket is let go of.
            if !(reset && connect_unspec(&socket).is_ok()) {
                // Fails only where the peer has ended the connection already.
                let _ = socket.shutdown(std::net::Shutdown::Both);
            }
            self.closing.push(socket);
        }
        *slot = Slot {
            generation: slot.generation.wrapping_add(1) & GENERATION_MASK,
            ..Slot::default()
        };
    }
}

/// The number of a piece's buffer.
fn number(piece: Piece) -> u16 {
    u16::try_from(piece.buffer).expect("invariant: as the ring numbers them")
}

/// The error number of a send that failed: one that took a part only found its socket full.
fn failure(result: i32) -> i32 {
    match result {
        0 => libc::EPIPE,
        1.. => libc::EAGAIN,
        _ => -result,
    }
}
