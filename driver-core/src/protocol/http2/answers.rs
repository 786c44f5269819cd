//! Answers as their frames bring them on: fields, data, the end, or none.

use super::frame::{self, Code, Head, flag, kind};
use super::hpack::Fault;
use super::texts::{Pool, Text};
use super::{Http2, Malformed, State};
use crate::protocol::{Answered, Dropped, Fields, Sink};

/// How much of an answer is taken before the peer's window is enlarged by it, in bytes: half of the
/// window, so that it is never the limit.
const CONSUMED_MAX: u32 = 1 << 30;

/// Where we are in a DATA frame.
#[derive(Debug, Clone, Copy)]
pub(super) struct Data {
    id: u32,
    /// Whether the length of the padding comes next.
    is_padded: bool,
    /// Bytes of payload to come, padding left out once its length is known.
    left: u32,
    padding: u32,
    ends: bool,
}

impl Http2 {
    /// Takes a whole block of fields: of an interim answer, of the answer, or its trailers.
    #[inline]
    pub(super) fn fields<S: Sink>(
        &mut self,
        state: &mut State,
        id: u32,
        ends: bool,
        block: &[u8],
        out: &mut Vec<u8>,
        sink: &mut S,
    ) -> Result<(), Malformed> {
        let mut text = self.text_of(state, id, block, sink);
        let is_kept = text.is_some();
        let fields = match state.streams.get(id) {
            Some(_) if S::WATCHES => sink.watches(id).fields,
            _ => Fields::None,
        };
        let mut watch = |name: &[u8], value: &[u8]| {
            if let Some(text) = &mut text {
                text.field(name, value);
            }
            let is_looked_at = match fields {
                Fields::None => false,
                Fields::Cookies => name.eq_ignore_ascii_case(b"set-cookie"),
                Fields::All => true,
            };
            if is_looked_at {
                sink.field(id, name, value);
            }
        };
        let read = if fields != Fields::None || is_kept {
            state
                .decoder
                .read::<true>(block, &mut self.scratches, &mut watch)
        } else {
            state
                .decoder
                .read::<false>(block, &mut self.scratches, &mut watch)
        };
        let fields = read.map_err(|fault| match fault {
            Fault::Compression => Malformed::Compression,
            Fault::TooLong => Malformed::BlockTooLong,
        })?;
        let Some(stream) = state.streams.get(id) else {
            return state.late(kind::HEADERS, id);
        };
        state.inward.idle_frames = 0;
        match (stream.status, fields.status) {
            (0, Some(100 | 102..=199)) if !ends => {}
            (0, Some(status @ 200..)) => stream.status = status,
            (0, _) => return Err(Malformed::Status),
            // Trailers end the answer.
            (_, _) if ends => {}
            (_, _) => return Err(Malformed::Order),
        }
        if !std::mem::replace(&mut stream.began, true) && !ends {
            state.begin(id, sink);
        }
        if let Some(mut text) = text {
            text.write(b"\r\n");
            state.texts.push(text);
        }
        if ends {
            state.complete(id, out, (sink, &mut self.pool));
        }
        Ok(())
    }

    /// Where the answer that a block begins is kept, if its status says that it may be wanted.
    #[inline]
    fn text_of<S: Sink>(
        &mut self,
        state: &mut State,
        id: u32,
        block: &[u8],
        sink: &S,
    ) -> Option<Text> {
        let status = state.decoder.peek(block, &mut self.scratches)?;
        if status < 200 || !sink.keeps(id, status) {
            return None;
        }
        let stream = state.streams.get(id)?;
        if stream.status == 0 {
            self.pool.lend(id)
        } else {
            None
        }
    }
}

impl State {
    /// A frame for a stream that is not open: the peer's fault, unless it may not know that yet.
    pub(super) fn late(&self, kind: u8, id: u32) -> Result<(), Malformed> {
        if self.streams.is_forgiven(id) {
            return Ok(());
        }
        Err(Malformed::Closed { kind, id })
    }

    /// Takes what `bytes` hold of a DATA frame whose head has come; returns the rest of them.
    #[inline]
    pub(super) fn begin_data<'a, S: Sink>(
        &mut self,
        head: Head,
        bytes: &'a [u8],
        out: &mut Vec<u8>,
        (sink, pool): (&mut S, &mut Pool),
    ) -> Result<&'a [u8], Malformed> {
        let Head { length, id, .. } = head;
        let ends = head.has(flag::END_STREAM);
        self.consumed(length, out);
        match self.streams.get(id) {
            Some(stream) if stream.status == 0 => return Err(Malformed::Order),
            Some(stream) => {
                stream.consumed += length;
                if stream.consumed >= CONSUMED_MAX && !ends {
                    let consumed = std::mem::take(&mut stream.consumed);
                    frame::write_number(kind::WINDOW_UPDATE, id, consumed, out);
                }
                if length > 0 || ends {
                    self.inward.idle_frames = 0;
                }
            }
            None => self.late(kind::DATA, id)?,
        }
        let is_padded = head.has(flag::PADDED);
        if is_padded && length == 0 {
            return Err(Malformed::Padding);
        }
        let data = Data {
            id,
            is_padded,
            left: length,
            padding: 0,
            ends,
        };
        self.data(data, bytes, out, (sink, pool))
    }

    /// Counts bytes of answers, whoever they were for, and lets the peer send as many again.
    #[inline]
    fn consumed(&mut self, length: u32, out: &mut Vec<u8>) {
        self.consumed += length;
        if self.consumed >= CONSUMED_MAX {
            let consumed = std::mem::take(&mut self.consumed);
            frame::write_number(kind::WINDOW_UPDATE, 0, consumed, out);
        }
    }

    /// Takes what `bytes` hold of a DATA frame; returns the rest of them.
    #[inline]
    pub(super) fn data<'a, S: Sink>(
        &mut self,
        mut data: Data,
        mut bytes: &'a [u8],
        out: &mut Vec<u8>,
        (sink, pool): (&mut S, &mut Pool),
    ) -> Result<&'a [u8], Malformed> {
        if data.is_padded {
            let Some((padding, rest)) = bytes.split_first() else {
                self.inward.data = Some(data);
                return Ok(bytes);
            };
            bytes = rest;
            data.padding = u32::from(*padding);
            data.is_padded = false;
            let left = (data.left - 1).checked_sub(data.padding);
            data.left = left.ok_or(Malformed::Padding)?;
        }
        let (body, rest) = bytes.split_at(bytes.len().min(data.left as usize));
        data.left -= length(body);
        if S::WATCHES
            && !body.is_empty()
            && self.streams.get(data.id).is_some()
            && sink.watches(data.id).body
        {
            sink.body(data.id, body);
        }
        if !self.texts.is_empty()
            && let Some(text) = self.texts.iter_mut().find(|text| text.id == data.id)
        {
            text.write(body);
        }
        let (padding, rest) = rest.split_at(rest.len().min(data.padding as usize));
        data.padding -= length(padding);
        if data.left > 0 || data.padding > 0 {
            self.inward.data = Some(data);
        } else if data.ends {
            self.complete(data.id, out, (sink, pool));
        }
        Ok(rest)
    }

    /// An answer has begun. It is told when the next one does or the bytes are read, since most end
    /// before that.
    pub(super) fn begin<S: Sink>(&mut self, id: u32, sink: &mut S) {
        self.tell_begun(sink);
        self.begun = id;
    }

    /// Tells of the answer that has begun, if it has not ended.
    #[inline]
    pub(super) fn tell_begun<S: Sink>(&mut self, sink: &mut S) {
        if self.begun != 0 {
            sink.began(std::mem::take(&mut self.begun));
        }
    }

    /// An answer is complete.
    #[inline]
    pub(super) fn complete<S: Sink>(
        &mut self,
        id: u32,
        out: &mut Vec<u8>,
        (sink, pool): (&mut S, &mut Pool),
    ) {
        let is_withdrawn = self.withdraw(id);
        let stream = if is_withdrawn {
            // Nobody has to read the rest of a request that is answered.
            Self::reset(id, out);
            self.streams.forgive(id)
        } else {
            self.streams.remove(id)
        };
        let Some(stream) = stream else { return };
        if self.begun == id {
            self.begun = 0;
        }
        let text = self.take_text(id);
        sink.answered(Answered {
            key: id,
            status: stream.status,
            bytes: text.as_ref().map_or(&[], |text| &text.bytes),
        });
        if let Some(text) = text {
            pool.take_back(text);
        }
    }

    /// What was kept of a stream's answer.
    #[inline]
    pub(super) fn take_text(&mut self, id: u32) -> Option<Text> {
        if self.texts.is_empty() {
            return None;
        }
        let at = self.texts.iter().position(|text| text.id == id)?;
        Some(self.texts.swap_remove(at))
    }

    pub(super) fn drop_stream<S: Sink>(&mut self, id: u32, code: Code, sink: &mut S) {
        self.withdraw(id);
        let Some(stream) = self.streams.forgive(id) else {
            return;
        };
        if self.begun == id {
            self.begun = 0;
        }
        drop(self.take_text(id));
        // What has been answered in part cannot have been left alone.
        let is_untouched = code == Code::REFUSED_STREAM && !stream.began;
        let dropped = if is_untouched {
            Dropped::Returned
        } else {
            Dropped::Reset(code.0)
        };
        sink.dropped(id, dropped);
    }
}

/// The length of a piece of a frame.
fn length(piece: &[u8]) -> u32 {
    u32::try_from(piece.len()).expect("invariant: within a frame")
}
