//! Plain bytes to bytes of the socket and back: pure state machines, one a connection.
//!
//! | module | what it does |
//! |---|---|
//! | [`plain`] | nothing: the bytes are those of the socket |
//! | [`tls`] | TLS 1.3 and 1.2 |
//! | [`either`] | the one to some servers, the other to others |
//!
//! A transport owns no socket and reads no clock. It gets the bytes that came, in any split, and
//! appends what has to be sent to a buffer that it is handed. What it has appended has to be sent
//! whole and in order, or the connection has to be given up: records are numbered.

use std::fmt;

pub mod either;
pub mod plain;
pub mod tls;

/// What the peer's bytes led to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Progress {
    /// The handshake has ended with these bytes: plain bytes may be sealed from now on.
    pub established: bool,
    /// The peer sends nothing more (TLS: `close_notify`); what was opened before still counts.
    pub ended: bool,
}

/// Handshakes that succeeded on one core.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Handshakes {
    /// With the whole exchange of certificates.
    pub full: u64,
    /// On a session of a connection before.
    pub resumed: u64,
}

/// Carries plain bytes over a byte stream, with what all connections of a core share.
pub trait Transport {
    /// Where one connection is.
    type State;
    /// Why a connection cannot go on: one line for people that names cause and remedy.
    type Broken: fmt::Display;
    /// Whether sealing and opening are the identity, so that bytes need not be copied.
    const IS_PLAIN: bool;

    /// The state of a connection that was just opened to endpoint `endpoint`; what it has to send
    /// first (TLS: `ClientHello`) is appended to `out`.
    ///
    /// # Errors
    /// When nothing can be sent at all.
    fn start(
        &mut self,
        endpoint: usize,
        now_ns: u64,
        out: &mut Vec<u8>,
    ) -> Result<Self::State, Self::Broken>;

    /// Whether sealing and opening are the identity on a connection.
    #[inline]
    fn is_plain(&self, state: &Self::State) -> bool {
        let _ = state;
        Self::IS_PLAIN
    }

    /// Whether plain bytes can be sealed: true at once without a handshake.
    fn is_established(&self, state: &Self::State) -> bool;

    /// Appends `plain`, sealed, to `out`. Only called once established.
    ///
    /// # Errors
    /// When the connection cannot send any more.
    fn seal(
        &mut self,
        state: &mut Self::State,
        plain: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), Self::Broken>;

    /// Takes bytes of the socket, which may be overwritten (decrypted in place), in any split, and
    /// hands what they open to as plain bytes to `each`, in order. What has to be sent for the
    /// transport's own sake (handshake, key update, alert) is appended to `out`, also on errors.
    /// `each` returns false to stop: the connection is being given up.
    ///
    /// # Errors
    /// When the connection is of no more use; what was opened before has been handed on.
    fn open(
        &mut self,
        state: &mut Self::State,
        bytes: &mut [u8],
        out: &mut Vec<u8>,
        each: impl FnMut(&[u8]) -> bool,
    ) -> Result<Progress, Self::Broken>;

    /// The byte stream has ended.
    ///
    /// # Errors
    /// Where its end was not announced (TLS: in mid-handshake, in mid-record, or without
    /// `close_notify`): an answer that only the end would complete may have been cut.
    fn end(&self, state: &Self::State) -> Result<(), Self::Broken> {
        let _ = state;
        Ok(())
    }

    /// Appends the orderly end (TLS: `close_notify`), where there is one.
    fn close(&mut self, state: &mut Self::State, out: &mut Vec<u8>);

    /// Handshakes with the server of this number so far; none where there are none.
    fn handshakes(&self, server: usize) -> Handshakes {
        let _ = server;
        Handshakes::default()
    }
}
