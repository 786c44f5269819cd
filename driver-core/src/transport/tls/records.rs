//! A connection in our hands: TLS 1.3 after the handshake (RFC 8446, 4.6, 5 and 6), on the keys that
//! rustls hands out. What it keeps for us is the schedule of further keys, and its tickets.

use std::mem;

use rustls::client::ClientConnectionData;
use rustls::kernel::KernelConnection;
use rustls::{AlertDescription, ContentType, ExtractedSecrets, HandshakeType};

use super::broken::{Broken, Failure};
use super::keys::{Key, TAG_LEN};
use super::spare::Spare;

/// Most bytes that one record protects.
pub(super) const CONTENT_MAX: usize = 1 << 14;
/// Bytes before what a record protects: type, version, length.
const HEADER_LEN: usize = 5;
/// Most bytes of a record after its header: content, padding, type, and the tag.
const BODY_MAX: usize = CONTENT_MAX + 256;
/// Most bytes of a handshake message in several records: the longest ticket has fewer.
const MESSAGE_MAX: usize = 1 << 17;
/// Bytes before what a handshake message holds: type and length.
const MESSAGE_HEADER_LEN: usize = 4;

/// One connection.
pub(super) struct Records {
    sealing: Key,
    opening: Key,
    kernel: KernelConnection<ClientConnectionData>,
    /// Records that one key seals.
    key_max: u64,
    keeps_tickets: bool,
    /// The peer has asked for a new key of ours.
    owes_key: bool,
    ends: Ends,
    /// A record of which only the first bytes have come.
    carry: Vec<u8>,
    /// A handshake message of which only the first bytes have come.
    message: Vec<u8>,
}

/// Who has said that it sends nothing more.
#[derive(Debug, Default)]
struct Ends {
    peer: bool,
    ours: bool,
}

impl Records {
    pub(super) fn new(
        secrets: &ExtractedSecrets,
        kernel: KernelConnection<ClientConnectionData>,
        keeps_tickets: bool,
        key_max: u64,
    ) -> Result<Self, Broken> {
        let (sealing, opening) = (&secrets.tx, &secrets.rx);
        Ok(Self {
            sealing: Key::new(&sealing.1, sealing.0).ok_or_else(unknown_cipher)?,
            opening: Key::new(&opening.1, opening.0).ok_or_else(unknown_cipher)?,
            kernel,
            key_max,
            keeps_tickets,
            owes_key: false,
            ends: Ends::default(),
            carry: Vec::new(),
            message: Vec::new(),
        })
    }

    /// Appends `plain` as records.
    #[inline]
    pub(super) fn seal(&mut self, plain: &[u8], out: &mut Vec<u8>) -> Result<(), Broken> {
        if self.ends.ours {
            return Err(Broken::Over);
        }
        for content in plain.chunks(CONTENT_MAX) {
            if self.owes_key || self.sealing.sequence() >= self.key_max {
                self.renew(out)?;
            }
            self.seal_one(ContentType::ApplicationData, content, out)?;
        }
        Ok(())
    }

    /// Appends `close_notify`, once.
    pub(super) fn close(&mut self, out: &mut Vec<u8>) {
        if !self.ends.ours {
            self.alert(AlertDescription::CloseNotify, out);
        }
    }

    pub(super) fn end(&self) -> Result<(), Broken> {
        if self.ends.peer {
            return Ok(());
        }
        Err(Broken::Cut)
    }

    /// Opens the records in these bytes, in place; says whether the peer has ended the connection.
    #[inline]
    pub(super) fn open(
        &mut self,
        bytes: &mut [u8],
        out: &mut Vec<u8>,
        spare: &mut Spare,
        each: &mut impl FnMut(&[u8]) -> bool,
    ) -> Result<bool, Failure> {
        let opened = self.open_all(bytes, spare, each);
        match opened {
            Ok(()) if self.owes_key && !self.ends.ours => {
                // Once for however many requests: the next key answers them all.
                self.renew(out).map_err(Failure::Told)?;
            }
            Err(Failure::Protocol(alert, _)) => self.alert(alert, out),
            Ok(()) | Err(_) => {}
        }
        opened.map(|()| self.ends.peer)
    }

    fn open_all(
        &mut self,
        bytes: &mut [u8],
        spare: &mut Spare,
        each: &mut impl FnMut(&[u8]) -> bool,
    ) -> Result<(), Failure> {
        let mut rest = bytes;
        if !self.carry.is_empty() {
            let taken = fill(&mut self.carry, rest)?;
            rest = &mut rest[taken..];
            if record_len(&self.carry)? != Some(self.carry.len()) {
                return Ok(());
            }
            let mut carried = mem::take(&mut self.carry);
            let goes_on = self.open_one(&mut carried, each);
            spare.give(carried);
            if !goes_on? {
                return Ok(());
            }
        }
        while let Some(length) = record_len(rest)?
            && length <= rest.len()
        {
            let (record, others) = rest.split_at_mut(length);
            if !self.open_one(record, each)? {
                return Ok(());
            }
            rest = others;
        }
        if !rest.is_empty() && !self.ends.peer {
            self.carry = spare.take();
            self.carry.extend_from_slice(rest);
        }
        Ok(())
    }

    /// Opens one whole record; says whether to go on.
    #[inline]
    fn open_one(
        &mut self,
        record: &mut [u8],
        each: &mut impl FnMut(&[u8]) -> bool,
    ) -> Result<bool, Failure> {
        if self.ends.peer {
            return Ok(false);
        }
        let (header, body) = record.split_at_mut(HEADER_LEN);
        if header[0] != u8::from(ContentType::ApplicationData) {
            return Err(unexpected("a record that is not encrypted"));
        }
        let opened = self.opening.open(header, body).ok_or(Failure::Protocol(
            AlertDescription::BadRecordMac,
            "a record that does not decrypt",
        ))?;
        if opened.len() > CONTENT_MAX + 1 {
            return Err(overflow());
        }
        let Some(at) = opened.iter().rposition(|byte| *byte != 0) else {
            return Err(unexpected("a record without a type"));
        };
        let (content, kind) = (&opened[..at], ContentType::from(opened[at]));
        if kind != ContentType::Handshake && !self.message.is_empty() {
            return Err(unexpected("a handshake message with another in between"));
        }
        match kind {
            ContentType::ApplicationData => Ok(content.is_empty() || each(content)),
            ContentType::Alert => self.hear(content),
            ContentType::Handshake => self.read_messages(content),
            _ => Err(unexpected("a record of a type that has no place here")),
        }
    }

    /// The peer's alert. All but these two end the connection (RFC 8446, 6).
    fn hear(&mut self, content: &[u8]) -> Result<bool, Failure> {
        let [_, alert] = content else {
            return Err(decode("an alert that is not two bytes long"));
        };
        match AlertDescription::from(*alert) {
            AlertDescription::CloseNotify => {
                self.ends.peer = true;
                Ok(false)
            }
            AlertDescription::UserCanceled => Ok(true),
            alert => Err(Failure::Alert(alert)),
        }
    }

    /// Handshake messages after the handshake, several in a record or one in several.
    fn read_messages(&mut self, content: &[u8]) -> Result<bool, Failure> {
        if content.is_empty() {
            return Err(unexpected("an empty handshake record"));
        }
        let mut begun = mem::take(&mut self.message);
        let mut rest = content;
        if !begun.is_empty() {
            begun.extend_from_slice(content);
            rest = &begun;
        }
        while let Some(length) = message_len(rest)?
            && length <= rest.len()
        {
            let (message, others) = rest.split_at(length);
            self.read_message(message, others.is_empty())?;
            rest = others;
        }
        self.message = rest.to_vec();
        Ok(true)
    }

    fn read_message(&mut self, message: &[u8], is_last: bool) -> Result<(), Failure> {
        let body = &message[MESSAGE_HEADER_LEN..];
        match HandshakeType::from(message[0]) {
            HandshakeType::NewSessionTicket if !self.keeps_tickets => Ok(()),
            HandshakeType::NewSessionTicket => {
                let kept = self.kernel.handle_new_session_ticket(body);
                kept.map_err(|_| decode("a session ticket that cannot be read"))
            }
            // The key changes behind it, so nothing of the old one may follow.
            HandshakeType::KeyUpdate if !is_last => {
                Err(unexpected("a key update with more behind it"))
            }
            HandshakeType::KeyUpdate => self.update(body),
            HandshakeType::HelloRequest => {
                Err(unexpected("a renegotiation, which TLS 1.3 has not"))
            }
            _ => Err(unexpected("a handshake message after the handshake")),
        }
    }

    /// The peer goes on with its next key, and may ask for ours.
    fn update(&mut self, body: &[u8]) -> Result<(), Failure> {
        match body {
            [0] => {}
            [1] => self.owes_key = true,
            _ => {
                return Err(Failure::Protocol(
                    AlertDescription::IllegalParameter,
                    "a key update that asks for nothing known",
                ));
            }
        }
        let (sequence, secrets) = self.kernel.update_rx_secret().map_err(Failure::Library)?;
        let key = Key::new(&secrets, sequence);
        self.opening = key.ok_or_else(|| Failure::Told(unknown_cipher()))?;
        Ok(())
    }

    /// Says that the next key is used from here on, and uses it.
    #[cold]
    fn renew(&mut self, out: &mut Vec<u8>) -> Result<(), Broken> {
        let update = [u8::from(HandshakeType::KeyUpdate), 0, 0, 1, 0];
        self.seal_one(ContentType::Handshake, &update, out)?;
        let (sequence, secrets) = self
            .kernel
            .update_tx_secret()
            .map_err(|error| Broken::Internal(error.to_string()))?;
        self.sealing = Key::new(&secrets, sequence).ok_or_else(unknown_cipher)?;
        self.owes_key = false;
        Ok(())
    }

    #[cold]
    fn alert(&mut self, alert: AlertDescription, out: &mut Vec<u8>) {
        let level = if alert == AlertDescription::CloseNotify {
            1
        } else {
            2
        };
        // A connection that cannot even say so is closed without a word.
        let _ = self.seal_one(ContentType::Alert, &[level, u8::from(alert)], out);
        self.ends.ours = true;
    }

    /// Appends one record.
    #[inline]
    fn seal_one(
        &mut self,
        kind: ContentType,
        content: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), Broken> {
        let length = content.len() + 1 + TAG_LEN;
        let length = u16::try_from(length).expect("invariant: content is cut to 2^14 bytes");
        let [high, low] = length.to_be_bytes();
        let header = [u8::from(ContentType::ApplicationData), 3, 3, high, low];
        out.extend_from_slice(&header);
        let start = out.len();
        out.extend_from_slice(content);
        out.push(u8::from(kind));
        let tag = self.sealing.seal(&header, &mut out[start..]);
        out.extend_from_slice(&tag.ok_or(Broken::Exhausted)?);
        Ok(())
    }
}

fn unknown_cipher() -> Broken {
    Broken::Internal("a cipher that ring does not have was negotiated".to_owned())
}

fn unexpected(what: &'static str) -> Failure {
    Failure::Protocol(AlertDescription::UnexpectedMessage, what)
}

fn decode(what: &'static str) -> Failure {
    Failure::Protocol(AlertDescription::DecodeError, what)
}

fn overflow() -> Failure {
    Failure::Protocol(
        AlertDescription::RecordOverflow,
        "a record of more than 16 KiB",
    )
}

/// Length of the record that begins here with its header, once that has come.
#[inline]
fn record_len(bytes: &[u8]) -> Result<Option<usize>, Failure> {
    let [_, _, _, high, low, ..] = bytes else {
        return Ok(None);
    };
    let body = usize::from(u16::from_be_bytes([*high, *low]));
    if body > BODY_MAX {
        return Err(overflow());
    }
    Ok(Some(HEADER_LEN + body))
}

/// Moves to a record that has begun what belongs to it; says how much.
fn fill(carry: &mut Vec<u8>, bytes: &[u8]) -> Result<usize, Failure> {
    let head = HEADER_LEN.saturating_sub(carry.len()).min(bytes.len());
    carry.extend_from_slice(&bytes[..head]);
    let Some(length) = record_len(carry)? else {
        return Ok(head);
    };
    let body = (length - carry.len()).min(bytes.len() - head);
    carry.extend_from_slice(&bytes[head..head + body]);
    Ok(head + body)
}

/// Length of the handshake message that begins here with its header, once that has come.
fn message_len(bytes: &[u8]) -> Result<Option<usize>, Failure> {
    let [_, high, middle, low, ..] = bytes else {
        return Ok(None);
    };
    let body = u32::from_be_bytes([0, *high, *middle, *low]) as usize;
    if body > MESSAGE_MAX {
        return Err(decode("a handshake message that is too long"));
    }
    Ok(Some(MESSAGE_HEADER_LEN + body))
}
