//! One blocking connection, in the clear or with the engine's own TLS.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use proto::clock::{Anchor, monotonic_ns};
use proto::summary::words;
use proto::workload::Target;

use crate::transport::Transport;
use crate::transport::tls::{Setup, State, Tls};

/// Bytes that are read at once.
const READ_LEN: usize = 16 << 10;

/// What is checked of a target of TLS.
pub(super) struct Secure {
    pub(super) setup: Arc<Setup>,
    pub(super) is_insecure: bool,
}

pub(super) struct Wire {
    stream: TcpStream,
    tls: Option<(Tls, State)>,
    is_insecure: bool,
    /// What is to be sent, sealed.
    out: Vec<u8>,
}

impl Wire {
    /// Connects, and shakes hands where TLS is asked for, each step within `within`.
    ///
    /// # Errors
    /// With the cause, and of TLS the remedy.
    pub(super) fn connect(
        target: &Target,
        secure: Option<&Secure>,
        within: Duration,
    ) -> io::Result<Self> {
        let stream = TcpStream::connect((target.host.as_str(), target.port))?;
        stream.set_nodelay(true)?;
        let mut wire = Self {
            stream,
            tls: None,
            is_insecure: secure.is_some_and(|secure| secure.is_insecure),
            out: Vec::new(),
        };
        wire.wait_at_most(within)?;
        if let Some(secure) = secure {
            let mut tls = Tls::new(&secure.setup, Anchor::now());
            let state = tls.start(0, monotonic_ns(), &mut wire.out);
            wire.tls = Some((tls, state.map_err(|error| broken(error.to_string()))?));
            wire.flush()?;
            while !wire.is_established() {
                // An answer cannot come before it is asked for.
                if wire.read(&mut Vec::new())? == 0 {
                    return Err(broken(
                        "the target ended the connection in the TLS handshake",
                    ));
                }
            }
        }
        Ok(wire)
    }

    /// Bounds the wait for each piece that is read.
    pub(super) fn wait_at_most(&self, within: Duration) -> io::Result<()> {
        self.stream.set_read_timeout(Some(within))
    }

    /// Whom it leads to, and how.
    pub(super) fn shown(&self) -> io::Result<String> {
        let peer = self.stream.peer_addr()?;
        let facts = self.tls.as_ref().and_then(|(tls, _)| tls.facts());
        Ok(facts.map_or_else(
            || format!("connected to {peer}"),
            |facts| {
                let report = facts.report(self.is_insecure);
                let words = words::protocol(Some("1.1"), Some(&report)).join("; ");
                format!("connected to {peer}: {words}")
            },
        ))
    }

    /// Sends plain bytes.
    pub(super) fn write(&mut self, plain: &[u8]) -> io::Result<()> {
        match &mut self.tls {
            None => self.out.extend_from_slice(plain),
            Some((tls, state)) => tls
                .seal(state, plain, &mut self.out)
                .map_err(|error| broken(error.to_string()))?,
        }
        self.flush()
    }

    /// Appends the plain bytes of what came next; how many bytes of the socket that were, 0 at its
    /// end.
    pub(super) fn read(&mut self, plain: &mut Vec<u8>) -> io::Result<usize> {
        let mut bytes = [0; READ_LEN];
        let len = self.stream.read(&mut bytes)?;
        let Some((tls, state)) = &mut self.tls else {
            plain.extend_from_slice(&bytes[..len]);
            return Ok(len);
        };
        if len == 0 {
            tls.end(state).map_err(|error| broken(error.to_string()))?;
            return Ok(0);
        }
        let opened = tls.open(state, &mut bytes[..len], &mut self.out, |opened| {
            plain.extend_from_slice(opened);
            true
        });
        // The target is told why it is refused, too.
        self.flush()?;
        opened.map_err(|error| broken(error.to_string()))?;
        Ok(len)
    }

    fn is_established(&self) -> bool {
        let (tls, state) = self.tls.as_ref().expect("invariant: called with TLS only");
        tls.is_established(state)
    }

    fn flush(&mut self) -> io::Result<()> {
        let sent = self.stream.write_all(&self.out);
        self.out.clear();
        sent
    }
}

fn broken(error: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error.into())
}
