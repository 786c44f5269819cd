//! A server that does what a test tells it: a thread for each connection, which runs a script.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

/// The simplest answer.
pub(crate) const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// A running server; it ends with the test.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    counts: Arc<Counts>,
}

#[derive(Default)]
struct Counts {
    connections: AtomicU64,
    requests: AtomicU64,
    ended: AtomicBool,
}

/// The server's side of one connection.
pub(crate) struct Peer {
    stream: TcpStream,
    buffer: Vec<u8>,
    counts: Arc<Counts>,
    /// Which connection of the server this is, from 0.
    pub(crate) number: u64,
}

impl Server {
    /// Serves every connection with `script`.
    pub(crate) fn start(script: impl Fn(&mut Peer) + Send + Sync + 'static) -> Self {
        Self::at(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), script).unwrap()
    }

    /// [`Self::start`] at an address of choice.
    pub(crate) fn at(
        address: SocketAddr,
        script: impl Fn(&mut Peer) + Send + Sync + 'static,
    ) -> std::io::Result<Self> {
        let socket = socket2::Socket::new(
            socket2::Domain::for_address(address),
            socket2::Type::STREAM,
            None,
        )?;
        socket.set_reuse_address(true)?;
        socket.bind(&address.into())?;
        socket.listen(4096)?;
        let listener = TcpListener::from(socket);
        let address = listener.local_addr()?;
        let counts = Arc::new(Counts::default());
        let shared = Arc::clone(&counts);
        let script = Arc::new(script);
        thread::spawn(move || accept(&listener, &shared, &script));
        Ok(Self { address, counts })
    }

    /// Answers every request with the same bytes.
    pub(crate) fn answering(answer: impl Into<Vec<u8>>) -> Self {
        let answer = answer.into();
        Self::start(move |peer| while peer.request().is_some() && peer.send(&answer) {})
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/", self.address)
    }

    /// Whole requests that arrived.
    pub(crate) fn requests(&self) -> u64 {
        self.counts.requests.load(Ordering::SeqCst)
    }

    pub(crate) fn connections(&self) -> u64 {
        self.counts.connections.load(Ordering::SeqCst)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.counts.ended.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.address); // ends the accept
    }
}

fn accept<F: Fn(&mut Peer) + Send + Sync + 'static>(
    listener: &TcpListener,
    counts: &Arc<Counts>,
    script: &Arc<F>,
) {
    while let Ok((stream, _)) = listener.accept() {
        if counts.ended.load(Ordering::SeqCst) {
            return;
        }
        stream.set_nodelay(true).unwrap();
        let number = counts.connections.fetch_add(1, Ordering::SeqCst);
        let mut peer = Peer {
            stream,
            buffer: Vec::new(),
            counts: Arc::clone(counts),
            number,
        };
        let script = Arc::clone(script);
        thread::Builder::new()
            .stack_size(128 << 10)
            .spawn(move || script(&mut peer))
            .unwrap();
    }
}

impl Peer {
    /// The next request, head and body; `None` when the client has gone.
    pub(crate) fn request(&mut self) -> Option<Vec<u8>> {
        loop {
            if let Some(length) = whole(&self.buffer) {
                self.counts.requests.fetch_add(1, Ordering::SeqCst);
                return Some(self.buffer.drain(..length).collect());
            }
            let mut piece = [0; 16_384];
            match self.stream.read(&mut piece) {
                Ok(length @ 1..) => self.buffer.extend_from_slice(&piece[..length]),
                Ok(0) | Err(_) => return None,
            }
        }
    }

    /// Where the client is.
    pub(crate) fn address(&self) -> SocketAddr {
        self.stream.peer_addr().unwrap()
    }

    /// False when the client has gone.
    pub(crate) fn send(&mut self, bytes: &[u8]) -> bool {
        self.stream.write_all(bytes).is_ok()
    }

    /// Sends the bytes one by one, each in a packet of its own.
    pub(crate) fn send_slowly(&mut self, bytes: &[u8], pause: Duration) -> bool {
        bytes.iter().all(|byte| {
            thread::sleep(pause);
            self.send(&[*byte])
        })
    }

    /// Ends the connection with a reset instead of in good order.
    pub(crate) fn reset(&mut self) {
        let socket = socket2::SockRef::from(&self.stream);
        let _ = socket.set_linger(Some(Duration::ZERO));
    }
}

/// Length of the request that the bytes start with, if it is whole.
fn whole(bytes: &[u8]) -> Option<usize> {
    let head = bytes.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
    let text = String::from_utf8_lossy(&bytes[..head]).to_ascii_lowercase();
    let body = text.split("content-length: ").nth(1).map_or(0, |rest| {
        rest.split("\r\n")
            .next()
            .and_then(|number| number.parse().ok())
            .unwrap_or(0)
    });
    (bytes.len() >= head + body).then_some(head + body)
}
