//! One handshake before a load, by a socket of its own: it finds what is wrong with certificates
//! before the start, and settles what `http: auto` comes to. The target sees a connection that asks
//! for nothing.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use proto::clock::{Anchor, monotonic_ns};
use thiserror::Error;

use crate::transport::Transport;
use crate::transport::tls::{Broken, Facts, Setup, State, Tls};

/// A target of TLS 1.3 says what it thinks of the client's certificate after the handshake, within
/// one more round trip; this is how long that is waited for.
const JUDGEMENT_MAX: Duration = Duration::from_millis(500);
/// Bytes that are read at once.
const READ_LEN: usize = 16 << 10;

/// Why there is no handshake.
#[derive(Debug, Error)]
pub enum FirstHandshakeError {
    /// There is no connection, or it breaks.
    #[error("{0}")]
    Network(#[from] io::Error),
    /// The target does not go on.
    #[error(
        "the target does not go on with the TLS handshake within {0:?}: is this a port of TLS, and is it not overloaded?"
    )]
    Stopped(Duration),
    /// TLS refuses, or is refused.
    #[error(transparent)]
    Tls(#[from] Broken),
}

/// Shakes hands with an endpoint, within `within`, and says what it came to.
///
/// # Errors
/// [`FirstHandshakeError`], one line that names the cause and the remedy.
pub fn first_handshake(
    setup: &Arc<Setup>,
    endpoint: usize,
    address: SocketAddr,
    within: Duration,
) -> Result<Facts, FirstHandshakeError> {
    let deadline = Instant::now() + within;
    let stream = TcpStream::connect_timeout(&address, within)?;
    stream.set_nodelay(true)?;
    stream.set_write_timeout(Some(within))?;
    let mut tls = Tls::new(setup, Anchor::now());
    let mut out = Vec::new();
    let state = tls.start(endpoint, monotonic_ns(), &mut out)?;
    let mut shaking = Shaking {
        stream,
        tls,
        state,
        out,
    };
    while !shaking.tls.is_established(&shaking.state) {
        if !shaking.step(deadline)? {
            return Err(FirstHandshakeError::Stopped(within));
        }
    }
    shaking.send()?;
    if setup.was_asked() {
        // Silence is consent.
        shaking.step(Instant::now() + JUDGEMENT_MAX)?;
    }
    shaking.tls.close(&mut shaking.state, &mut shaking.out);
    // The target may have gone: it has told all that is asked.
    let _ = shaking.send();
    let facts = shaking.tls.facts().cloned();
    Ok(facts.expect("invariant: an established connection has facts"))
}

struct Shaking {
    stream: TcpStream,
    tls: Tls,
    state: State,
    out: Vec<u8>,
}

impl Shaking {
    /// Sends what is to be sent and takes what comes; `false` when nothing does in time.
    fn step(&mut self, deadline: Instant) -> Result<bool, FirstHandshakeError> {
        self.send()?;
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(false);
        }
        self.stream.set_read_timeout(Some(left))?;
        let mut bytes = vec![0; READ_LEN];
        let length = match self.stream.read(&mut bytes) {
            Ok(0) => {
                self.tls.end(&self.state)?;
                return Ok(true);
            }
            Ok(length) => length,
            Err(error) if is_time_out(&error) => return Ok(false),
            Err(error) => return Err(error.into()),
        };
        let opened = self
            .tls
            .open(&mut self.state, &mut bytes[..length], &mut self.out, |_| {
                true
            });
        if opened.is_err() {
            // The target is told why, if it still listens.
            let _ = self.send();
        }
        opened?;
        Ok(true)
    }

    fn send(&mut self) -> io::Result<()> {
        let sent = self.stream.write_all(&self.out);
        self.out.clear();
        sent
    }
}

fn is_time_out(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut
    )
}
