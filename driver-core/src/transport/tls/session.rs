//! A connection in rustls' hands: the handshake, and TLS 1.2 to its end.

use rustls::client::{ClientConnectionData, UnbufferedClientConnection};
use rustls::unbuffered::{ConnectionState, EncodeError, EncodeTlsData, EncryptError};

use super::broken::{Broken, Failure};
use super::records::Records;
use super::spare::Spare;

/// One connection.
pub(super) struct Session {
    connection: UnbufferedClientConnection,
    /// What has come and could not be used yet: a part of a record or of a flight.
    carry: Vec<u8>,
    ended: bool,
}

impl Session {
    pub(super) fn new(connection: UnbufferedClientConnection) -> Self {
        Self {
            connection,
            carry: Vec::new(),
            ended: false,
        }
    }

    pub(super) fn connection(&self) -> &UnbufferedClientConnection {
        &self.connection
    }

    pub(super) fn is_established(&self) -> bool {
        !self.connection.is_handshaking()
    }

    /// What was carried and these bytes, in one buffer.
    pub(super) fn take(&mut self, bytes: &[u8], spare: &mut Spare) -> Vec<u8> {
        let mut all = std::mem::take(&mut self.carry);
        if all.capacity() == 0 {
            all = spare.take();
        }
        all.extend_from_slice(bytes);
        all
    }

    /// Keeps what could not be used yet.
    pub(super) fn keep(&mut self, rest: Vec<u8>, spare: &mut Spare) {
        if rest.is_empty() {
            spare.give(rest);
        } else {
            self.carry = rest;
        }
    }

    /// Goes on with the handshake. Says how many bytes it took when that ends it; else drains what
    /// was used. Nothing beyond the handshake is looked at, for its keys may be ours to use, but for
    /// what TLS 1.2 brings in the same bytes: that goes to `each`.
    pub(super) fn shake(
        &mut self,
        bytes: &mut Vec<u8>,
        out: &mut Vec<u8>,
        each: &mut impl FnMut(&[u8]) -> bool,
    ) -> Result<Option<usize>, rustls::Error> {
        let mut used = 0;
        let pumped = self.pump(bytes, &mut used, out, true, each);
        if pumped.is_err() {
            self.tell(&mut bytes[used..], out);
        }
        pumped?;
        if self.is_established() {
            // All of the last flight: nothing of what has come is looked at meanwhile.
            self.flush(out);
            return Ok(Some(used));
        }
        bytes.drain(..used);
        Ok(None)
    }

    /// Opens bytes of an established connection; says whether the peer has ended it.
    pub(super) fn open(
        &mut self,
        bytes: &[u8],
        out: &mut Vec<u8>,
        spare: &mut Spare,
        each: &mut impl FnMut(&[u8]) -> bool,
    ) -> Result<bool, Failure> {
        let mut got = self.take(bytes, spare);
        let mut used = 0;
        let pumped = self.pump(&mut got, &mut used, out, false, each);
        if pumped.is_err() {
            self.tell(&mut got[used..], out);
        }
        pumped.map_err(Failure::Library)?;
        got.drain(..used);
        self.keep(got, spare);
        Ok(self.ended)
    }

    pub(super) fn seal(&mut self, plain: &[u8], out: &mut Vec<u8>) -> Result<(), Broken> {
        if plain.is_empty() {
            return Ok(());
        }
        self.flush(out);
        let status = self.connection.process_tls_records(&mut []);
        let Ok(ConnectionState::WriteTraffic(mut traffic)) = status.state else {
            return Err(Broken::Over);
        };
        append(out, |slot| match traffic.encrypt(plain, slot) {
            Ok(written) => Ok(written),
            Err(EncryptError::InsufficientSize(size)) => Err(Some(size.required_size)),
            Err(EncryptError::EncryptExhausted) => Err(None),
        })
        .ok_or(Broken::Exhausted)
    }

    pub(super) fn close(&mut self, out: &mut Vec<u8>) {
        self.flush(out);
        let status = self.connection.process_tls_records(&mut []);
        if let Ok(ConnectionState::WriteTraffic(mut traffic)) = status.state {
            // A connection that cannot even say so is closed without a word.
            let _ = append(out, |slot| match traffic.queue_close_notify(slot) {
                Ok(written) => Ok(written),
                Err(EncryptError::InsufficientSize(size)) => Err(Some(size.required_size)),
                Err(EncryptError::EncryptExhausted) => Err(None),
            });
        }
    }

    pub(super) fn end(&self) -> Result<(), Broken> {
        if !self.is_established() {
            return Err(Broken::EndedInHandshake);
        }
        if self.ended {
            return Ok(());
        }
        Err(Broken::Cut)
    }

    /// Takes the connection out of rustls' hands; only TLS 1.3 that is established can be.
    pub(super) fn into_records(
        self: Box<Self>,
        keeps_tickets: bool,
        key_max: u64,
    ) -> Result<Records, Broken> {
        let kernel = self.connection.dangerous_into_kernel_connection();
        let (secrets, kernel) = kernel.map_err(|error| Broken::Internal(error.to_string()))?;
        Records::new(&secrets, kernel, keeps_tickets, key_max)
    }

    /// Feeds rustls until it wants more bytes, or, with `shaking`, until the handshake has ended.
    /// `used` says how many it has taken, also when it fails.
    fn pump(
        &mut self,
        bytes: &mut [u8],
        used: &mut usize,
        out: &mut Vec<u8>,
        shaking: bool,
        each: &mut impl FnMut(&[u8]) -> bool,
    ) -> Result<(), rustls::Error> {
        loop {
            let status = self.connection.process_tls_records(&mut bytes[*used..]);
            *used += status.discard;
            let mut waits = false;
            match status.state? {
                ConnectionState::EncodeTlsData(data) => encode(data, out),
                ConnectionState::TransmitTlsData(data) => data.done(),
                ConnectionState::ReadTraffic(mut traffic) => {
                    while let Some(record) = traffic.next_record() {
                        let record = record?;
                        *used += record.discard;
                        if !each(record.payload) {
                            return Ok(());
                        }
                    }
                }
                ConnectionState::PeerClosed | ConnectionState::Closed => {
                    self.ended = true;
                    waits = true;
                }
                _ => waits = true,
            }
            if waits || (shaking && self.is_established()) {
                return Ok(());
            }
        }
    }

    /// Appends what rustls has to say without more bytes: the rest of a flight.
    fn flush(&mut self, out: &mut Vec<u8>) {
        loop {
            match self.connection.process_tls_records(&mut []).state {
                Ok(ConnectionState::EncodeTlsData(data)) => encode(data, out),
                Ok(ConnectionState::TransmitTlsData(data)) => data.done(),
                _ => return,
            }
        }
    }

    /// Appends the alert for what has just failed, if there is one. rustls may still refer to the
    /// bytes that it did not say to discard; asked a second time it would fail on them again.
    fn tell(&mut self, seen: &mut [u8], out: &mut Vec<u8>) {
        let status = self.connection.process_tls_records(seen);
        if let Ok(ConnectionState::EncodeTlsData(data)) = status.state {
            encode(data, out);
        }
    }
}

fn encode(mut data: EncodeTlsData<'_, ClientConnectionData>, out: &mut Vec<u8>) {
    let encoded = append(out, |slot| match data.encode(slot) {
        Ok(written) => Ok(written),
        Err(EncodeError::InsufficientSize(size)) => Err(Some(size.required_size)),
        Err(EncodeError::AlreadyEncoded) => Err(None),
    });
    encoded.expect("invariant: a chunk is encoded once, into as much room as it asks for");
}

/// Appends what `write` puts into a slot: asked with none, it says how much it needs.
fn append(
    out: &mut Vec<u8>,
    mut write: impl FnMut(&mut [u8]) -> Result<usize, Option<usize>>,
) -> Option<()> {
    let required = match write(&mut []) {
        Ok(_) => return Some(()),
        Err(required) => required?,
    };
    let start = out.len();
    out.resize(start + required, 0);
    let written = write(&mut out[start..]);
    out.truncate(start + written.unwrap_or(0));
    written.ok().map(|_| ())
}
