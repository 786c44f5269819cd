//! Reading frames, in any split of their bytes, and what each kind of them does.

use super::answers::Data;
use super::frame::{self, Code, HEAD_LEN, Head, PAYLOAD_LEN_MAX, flag, kind, number};
use super::peer::enlarge;
use super::{Http2, Malformed, State};
use crate::protocol::Sink;

/// Longest block of fields that is taken, in bytes as they come: as long as a head of HTTP/1.1.
pub(super) const BLOCK_LEN_MAX: usize = 64 * 1024;
/// Most frames that a block may be spread over; a block without end is how servers were brought
/// down in 2024.
const CONTINUATIONS_MAX: u32 = 128;
/// Most frames in a row that bring no answer on: pings, settings, empty data and the like. Each is
/// worth an acknowledgement at most; a peer that pings each second stays below it for hours.
pub(super) const IDLE_FRAMES_MAX: u32 = 10_000;
/// What has come of a frame that has not come whole.
#[derive(Debug, Default)]
pub(super) struct Inward {
    /// The first bytes of its head.
    partial: [u8; HEAD_LEN],
    partial_len: usize,
    /// Its head, once that is whole and found to be good.
    head: Option<Head>,
    /// The first bytes of its payload, unless it is DATA.
    payload: Vec<u8>,
    /// The rest of a DATA frame.
    pub(super) data: Option<Data>,
    /// The stream whose block of fields has to be continued, and whether that ends it.
    block_of: Option<(u32, bool)>,
    /// The block so far, and in how many frames.
    block: Vec<u8>,
    continuations: u32,
    /// Frames since the last one that brought an answer on.
    pub(super) idle_frames: u32,
}

impl Inward {
    /// Whether a frame, or a block of fields, has begun and not ended.
    pub(super) fn is_within(&self) -> bool {
        let is_within_frame = self.partial_len > 0 || self.head.is_some() || self.data.is_some();
        is_within_frame || self.block_of.is_some()
    }

    /// Takes a frame's head from the front; `None` when it is not whole yet.
    #[inline]
    fn take_head(&mut self, bytes: &mut &[u8]) -> Option<Head> {
        if self.partial_len == 0
            && let Some((head, rest)) = bytes.split_first_chunk()
        {
            *bytes = rest;
            return Some(Head::parse(*head));
        }
        let length = (HEAD_LEN - self.partial_len).min(bytes.len());
        let (piece, rest) = bytes.split_at(length);
        *bytes = rest;
        self.partial[self.partial_len..self.partial_len + length].copy_from_slice(piece);
        self.partial_len += length;
        if self.partial_len < HEAD_LEN {
            return None;
        }
        self.partial_len = 0;
        Some(Head::parse(self.partial))
    }
}

impl Http2 {
    /// Reads all of `bytes`.
    #[inline]
    pub(super) fn digest<S: Sink>(
        &mut self,
        state: &mut State,
        mut bytes: &[u8],
        out: &mut Vec<u8>,
        sink: &mut S,
    ) -> Result<(), Malformed> {
        while !bytes.is_empty() {
            if let Some(data) = state.inward.data.take() {
                bytes = state.data(data, bytes, out, (sink, &mut self.pool))?;
                continue;
            }
            let Some(head) = state.head(&mut bytes)? else {
                break;
            };
            if head.kind == kind::DATA {
                bytes = state.begin_data(head, bytes, out, (sink, &mut self.pool))?;
                continue;
            }
            let earlier = state.inward.payload.len();
            let wanted = head.length as usize - earlier;
            let (piece, rest) = bytes.split_at(wanted.min(bytes.len()));
            bytes = rest;
            if piece.len() < wanted {
                state.inward.head = Some(head);
                state.inward.payload.extend_from_slice(piece);
                break;
            }
            if earlier == 0 {
                self.frame(state, head, piece, out, sink)?;
                continue;
            }
            let mut payload = std::mem::take(&mut state.inward.payload);
            payload.extend_from_slice(piece);
            let taken = self.frame(state, head, &payload, out, sink);
            payload.clear();
            state.inward.payload = payload;
            taken?;
        }
        Ok(())
    }

    /// Takes one frame, whose payload is whole.
    #[inline]
    fn frame<S: Sink>(
        &mut self,
        state: &mut State,
        head: Head,
        payload: &[u8],
        out: &mut Vec<u8>,
        sink: &mut S,
    ) -> Result<(), Malformed> {
        match head.kind {
            kind::HEADERS => self.headers(state, head, payload, out, sink),
            kind::CONTINUATION => self.continuation(state, head, payload, out, sink),
            kind::SETTINGS => {
                state.settings(head, payload, out)?;
                self.send_on(state, out);
                Ok(())
            }
            kind::WINDOW_UPDATE => {
                state.window_update(head, payload)?;
                self.send_on(state, out);
                Ok(())
            }
            kind::RST_STREAM => {
                state.rst_stream(head, payload, sink);
                Ok(())
            }
            kind::GOAWAY => {
                state.goaway(payload, sink);
                Ok(())
            }
            kind::PING => {
                if !head.has(flag::ACK) {
                    frame::write(kind::PING, flag::ACK, 0, payload, out);
                }
                Ok(())
            }
            kind::PUSH_PROMISE => Err(Malformed::Push),
            // Priorities are the sender's hints to servers; kinds that nobody knows are extensions.
            _ => Ok(()),
        }
    }

    fn headers<S: Sink>(
        &mut self,
        state: &mut State,
        head: Head,
        payload: &[u8],
        out: &mut Vec<u8>,
        sink: &mut S,
    ) -> Result<(), Malformed> {
        let block = block(head, payload)?;
        let ends = head.has(flag::END_STREAM);
        if head.has(flag::END_HEADERS) {
            return self.fields(state, head.id, ends, block, out, sink);
        }
        state.inward.block_of = Some((head.id, ends));
        state.inward.block.clear();
        state.inward.block.extend_from_slice(block);
        state.inward.continuations = 0;
        Ok(())
    }

    fn continuation<S: Sink>(
        &mut self,
        state: &mut State,
        head: Head,
        payload: &[u8],
        out: &mut Vec<u8>,
        sink: &mut S,
    ) -> Result<(), Malformed> {
        let inward = &mut state.inward;
        let Some((id, ends)) = inward.block_of else {
            return Err(Malformed::Continuation(head.kind));
        };
        inward.continuations += 1;
        if inward.block.len() + payload.len() > BLOCK_LEN_MAX
            || inward.continuations > CONTINUATIONS_MAX
        {
            return Err(Malformed::BlockTooLong);
        }
        inward.block.extend_from_slice(payload);
        if !head.has(flag::END_HEADERS) {
            return Ok(());
        }
        inward.block_of = None;
        let block = std::mem::take(&mut inward.block);
        let taken = self.fields(state, id, ends, &block, out, sink);
        state.inward.block = block;
        taken
    }
}

impl State {
    /// The head of the frame that `bytes` begin with, or whose payload they go on with; `None` when
    /// it is not whole yet.
    #[expect(
        clippy::inline_always,
        reason = "returned through memory, its parts are written one by one and read at once, which stalls"
    )]
    #[inline(always)]
    fn head(&mut self, bytes: &mut &[u8]) -> Result<Option<Head>, Malformed> {
        if let Some(head) = self.inward.head.take() {
            return Ok(Some(head));
        }
        let Some(head) = self.inward.take_head(bytes) else {
            return Ok(None);
        };
        self.check(head)?;
        Ok(Some(head))
    }

    /// Whether a frame may come here at all, with such a length and for such a stream.
    #[inline]
    fn check(&mut self, head: Head) -> Result<(), Malformed> {
        let Head {
            length, kind, id, ..
        } = head;
        let is_usual = matches!(kind, kind::DATA | kind::HEADERS)
            && self.peer.is_heard
            && self.inward.block_of.is_none()
            && !self.streams.is_idle(id)
            && length as usize <= PAYLOAD_LEN_MAX;
        if !is_usual {
            self.check_unusual(head)?;
        }
        self.inward.idle_frames += 1;
        if self.inward.idle_frames > IDLE_FRAMES_MAX {
            return Err(Malformed::Flood);
        }
        Ok(())
    }

    /// The same, for any frame.
    #[cold]
    fn check_unusual(&self, head: Head) -> Result<(), Malformed> {
        let Head {
            length, kind, id, ..
        } = head;
        if !self.peer.is_heard && (kind != kind::SETTINGS || head.has(flag::ACK)) {
            // `HTT`, which as a length would be refused for that.
            let is_http1 = length == 0x48_54_54 && kind == b'P';
            return Err(if is_http1 {
                Malformed::Http1
            } else {
                Malformed::FirstFrame(kind)
            });
        }
        let fits = match kind {
            kind::PRIORITY => length == 5,
            kind::RST_STREAM | kind::WINDOW_UPDATE => length == 4,
            kind::SETTINGS if head.has(flag::ACK) => length == 0,
            kind::SETTINGS => length.is_multiple_of(6),
            kind::PING => length == 8,
            kind::GOAWAY => length >= 8,
            _ => true,
        };
        if !fits || length as usize > PAYLOAD_LEN_MAX {
            return Err(Malformed::FrameSize { kind, length });
        }
        if self
            .inward
            .block_of
            .is_some_and(|(of, _)| kind != kind::CONTINUATION || of != id)
        {
            return Err(Malformed::Continuation(kind));
        }
        let is_known = match kind {
            kind::SETTINGS | kind::PING | kind::GOAWAY => id == 0,
            kind::WINDOW_UPDATE => id == 0 || !self.streams.is_idle(id),
            kind::DATA | kind::HEADERS | kind::RST_STREAM => !self.streams.is_idle(id),
            kind::PRIORITY => id != 0,
            _ => true,
        };
        if !is_known {
            return Err(Malformed::Stream { kind, id });
        }
        Ok(())
    }

    fn rst_stream<S: Sink>(&mut self, head: Head, payload: &[u8], sink: &mut S) {
        // After the end of an answer it says that the rest of the request was not read: no loss.
        if self.streams.get(head.id).is_some() {
            self.inward.idle_frames = 0;
            self.drop_stream(head.id, Code(number(payload).unwrap_or_default()), sink);
        }
    }

    fn goaway<S: Sink>(&mut self, payload: &[u8], sink: &mut S) {
        let (last, rest) = payload.split_at(4);
        // It may fall, as that of an orderly end does, and never rises.
        let last = number(last).unwrap_or_default() & frame::ID_MAX;
        self.last = self.last.min(last);
        self.is_leaving = true;
        self.farewell = Some(Code(number(&rest[..4]).unwrap_or_default()));
        for id in self.streams.above(self.last) {
            self.drop_stream(id, Code::REFUSED_STREAM, sink);
        }
    }

    fn settings(&mut self, head: Head, payload: &[u8], out: &mut Vec<u8>) -> Result<(), Malformed> {
        if head.has(flag::ACK) {
            self.decoder.acknowledged();
            return Ok(());
        }
        let change = self.peer.settings(payload)?;
        if change != 0 {
            for stream in self.streams.iter_mut() {
                stream.window = stream.window.checked_add(change).ok_or(Malformed::Window)?;
            }
        }
        frame::write(kind::SETTINGS, flag::ACK, 0, &[], out);
        Ok(())
    }

    fn window_update(&mut self, head: Head, payload: &[u8]) -> Result<(), Malformed> {
        let increment = number(payload).unwrap_or_default() & frame::ID_MAX;
        if head.id == 0 {
            return enlarge(&mut self.peer.window, increment);
        }
        match self.streams.get(head.id) {
            Some(stream) => enlarge(&mut stream.window, increment),
            None => Ok(()),
        }
    }
}

/// The block of fields in a HEADERS frame, without padding and priority.
#[inline]
fn block(head: Head, mut payload: &[u8]) -> Result<&[u8], Malformed> {
    let mut padding = 0;
    if head.has(flag::PADDED) {
        let (length, rest) = payload.split_first().ok_or(Malformed::Padding)?;
        (padding, payload) = (usize::from(*length), rest);
    }
    if head.has(flag::PRIORITY) {
        payload = payload.get(5..).ok_or(Malformed::FrameSize {
            kind: head.kind,
            length: head.length,
        })?;
    }
    let length = payload
        .len()
        .checked_sub(padding)
        .ok_or(Malformed::Padding)?;
    Ok(&payload[..length])
}
