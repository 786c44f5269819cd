//! The dispatcher's network on a ring: sockets by slot, and what the ring's completions mean.

use std::io;
use std::net::IpAddr;
use std::os::fd::{AsRawFd, RawFd};
use std::time::Duration;

use nix::sys::socket::{setsockopt, sockopt};
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

/// One slot's socket.
#[derive(Debug, Default)]
struct Slot {
    socket: Option<Socket>,
    generation: u32,
    sending: Option<Sending>,
    /// Whether what comes is to be received as soon as the buffer is free.
    is_listening: bool,
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
        let Completion { token, result } = completion;
        if token.kind == Kind::Wake {
            self.listen(bell);
            return None;
        }
        let slot = &self.slots[token.slot as usize];
        if slot.generation != token.generation {
            return self.read_old(token);
        }
        let event = match token.kind {
            Kind::Receive | Kind::Discard => self.read_receive(token, result)?,
            Kind::Send => self.read_send(token, result)?,
            Kind::SilentSend => Event::SendFailed(failure(result)),
            Kind::Connect if result < 0 => Event::ConnectFailed(-result),
            Kind::Connect => Event::Connected,
            Kind::Wake => return None,
        };
        Some((token.slot, event))
    }

    /// An operation of an earlier connection has ended, which may free what the current one needs.
    fn read_old(&mut self, token: Token) -> Option<(u32, Event)> {
        match token.kind {
            Kind::Receive | Kind::Discard if self.slots[token.slot as usize].is_listening => {
                self.receive(token.slot);
            }
            Kind::Send => self.ring.forget_send(token),
            _ => {}
        }
        None
    }

    #[inline]
    fn read_receive(&mut self, token: Token, result: i32) -> Option<Event> {
        let slot = token.slot;
        self.slots[slot as usize].is_listening = false;
        match u32::try_from(result) {
            Ok(0) => Some(Event::Ended),
            Ok(length) if token.kind == Kind::Discard => Some(Event::Discarded(length.into())),
            Ok(length) => Some(Event::Received(Piece {
                buffer: slot,
                length,
            })),
            Err(_) if matches!(-result, libc::EINTR | libc::EAGAIN) => {
                self.receive(slot);
                None
            }
            Err(_) => Some(Event::ReceiveFailed(-result)),
        }
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
    fn bytes(&mut self, slot: u32, piece: Piece) -> &mut [u8] {
        self.ring.received(slot, piece.length as usize)
    }

    #[inline]
    fn receive(&mut self, slot: u32) {
        self.slots[slot as usize].is_listening = true;
        // A receive of the slot's earlier connection may still have the buffer; then this one
        // starts when that one has ended.
        if !self.ring.is_receiving(slot) {
            let (token, fd) = self.token(slot, Kind::Receive);
            self.ring.receive(token, fd);
        }
    }

    fn discard(&mut self, slot: u32, length: u64) {
        let (token, fd) = self.token(slot, Kind::Discard);
        // Not so many that a long body would count in the second of its end alone.
        let length = u32::try_from(length.min(DISCARD_MAX)).expect("invariant: a few MiB");
        if !self.discards || self.ring.is_receiving(slot) {
            return self.receive(slot);
        }
        self.ring.discard(token, fd, length);
    }

    /// A reset instead of an orderly end keeps our side free of `TIME_WAIT`, of which long runs
    /// against closing servers would run out.
    fn close(&mut self, slot: u32, reset: bool) {
        if self.closing.len() == CLOSING_MAX {
            // Refused only for a completion queue that is full: then they are let go of later.
            let _ = self.ring.submit();
            self.let_go();
        }
        let slot = &mut self.slots[slot as usize];
        if let Some(socket) = slot.socket.take() {
            if reset {
                // Without it the port only stays taken for a while.
                let _ = socket.set_linger(Some(Duration::ZERO));
            }
            // Ends the receive in flight, which holds the socket beyond its descriptor.
            let _ = socket.shutdown(std::net::Shutdown::Both);
            self.closing.push(socket);
        }
        slot.generation = slot.generation.wrapping_add(1) & GENERATION_MASK;
        (slot.sending, slot.is_listening) = (None, false);
    }
}

/// The error number of a send that failed: one that took a part only found its socket full.
fn failure(result: i32) -> i32 {
    match result {
        0 => libc::EPIPE,
        1.. => libc::EAGAIN,
        _ => -result,
    }
}
