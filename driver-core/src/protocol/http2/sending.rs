//! Writing requests: frames of bounded size, bodies under the peer's windows (RFC 9113, 5.2).

use super::frame::{self, Code, HEAD_LEN, Head, flag, kind};
use super::peer::Peer;
use super::streams::Stream;
use super::{Http2, State};
use crate::protocol::Key;

/// The rest of a body that waits for a window. There is one at most, since no request is written
/// while there is.
#[derive(Debug)]
pub(super) struct Unsent {
    id: u32,
    /// Bytes of it that are sent.
    sent: usize,
    /// The request whose body it is; `None` when it had holes: then it is in [`State::rendered`].
    request: Option<usize>,
}

impl Http2 {
    #[inline]
    pub(super) fn send(
        &mut self,
        state: &mut State,
        request: usize,
        fill: &mut dyn FnMut(usize, &mut Vec<u8>),
        out: &mut Vec<u8>,
    ) -> Key {
        let compiled = &self.requests[request];
        let id = state.streams.add(state.peer.stream_window);
        let begin = out.len();
        compiled.write(state.peer.table_is_due, fill, &mut self.scratch, out);
        if state.peer.table_is_due {
            state.peer.tell_table();
        }
        out[begin + HEAD_LEN - 4..begin + HEAD_LEN].copy_from_slice(&id.to_be_bytes());
        if out.len() - begin - HEAD_LEN > state.peer.frame_len_max {
            cut(out, begin, state.peer.frame_len_max);
        }
        let body = compiled.body(&self.scratch);
        if !body.is_empty() {
            state.begin_body(id, request, body, compiled.fixed_body().is_some(), out);
        }
        id
    }

    /// Sends on from the body that waits, as far as the windows reach.
    pub(super) fn send_on(&self, state: &mut State, out: &mut Vec<u8>) {
        let State {
            unsent,
            streams,
            peer,
            rendered,
            ..
        } = state;
        let Some(waiting) = unsent else { return };
        let Some(stream) = streams.get(waiting.id) else {
            *unsent = None;
            return;
        };
        let fixed = waiting
            .request
            .and_then(|request| self.requests[request].fixed_body());
        let body = fixed.unwrap_or(rendered);
        waiting.sent += data(stream, peer, &body[waiting.sent..], out);
        if waiting.sent == body.len() {
            *unsent = None;
        }
    }
}

impl State {
    fn begin_body(
        &mut self,
        id: u32,
        request: usize,
        body: &[u8],
        is_fixed: bool,
        out: &mut Vec<u8>,
    ) {
        let Some(stream) = self.streams.get(id) else {
            return;
        };
        let sent = data(stream, &mut self.peer, body, out);
        if sent == body.len() {
            return;
        }
        if !is_fixed {
            self.rendered.clear();
            self.rendered.extend_from_slice(body);
        }
        self.unsent = Some(Unsent {
            id,
            sent,
            request: is_fixed.then_some(request),
        });
    }

    /// Takes back what is left of the body of a stream. Returns whether anything was.
    pub(super) fn withdraw(&mut self, id: u32) -> bool {
        self.unsent.take_if(|unsent| unsent.id == id).is_some()
    }

    /// Tells the peer that nobody waits for a stream any more, which is closed already.
    pub(super) fn reset(id: u32, out: &mut Vec<u8>) {
        frame::write_number(kind::RST_STREAM, id, Code::CANCEL.0, out);
    }
}

/// Appends as much of a body as the windows allow, the end of the stream with its last byte.
/// Returns how many bytes that is.
fn data(stream: &mut Stream, peer: &mut Peer, body: &[u8], out: &mut Vec<u8>) -> usize {
    let mut sent = 0;
    while sent < body.len() {
        let window = usize::try_from(stream.window.min(peer.window)).unwrap_or(0);
        let length = (body.len() - sent).min(window).min(peer.frame_len_max);
        if length == 0 {
            break;
        }
        let is_last = sent + length == body.len();
        let flags = if is_last { flag::END_STREAM } else { 0 };
        frame::write(
            kind::DATA,
            flags,
            stream.id,
            &body[sent..sent + length],
            out,
        );
        let taken = i32::try_from(length).expect("invariant: within a window");
        stream.window -= taken;
        peer.window -= taken;
        sent += length;
    }
    sent
}

/// Cuts the HEADERS frame that begins at `begin` and is longer than a frame may be into one and
/// CONTINUATIONs.
fn cut(out: &mut Vec<u8>, begin: usize, frame_len_max: usize) {
    let frame = out.split_off(begin);
    let (head, block) = frame.split_at(HEAD_LEN);
    let head = Head::parse(head.try_into().expect("invariant: nine bytes"));
    let mut pieces = block.chunks(frame_len_max).peekable();
    let (mut kind, mut flags) = (head.kind, head.flags & !flag::END_HEADERS);
    while let Some(piece) = pieces.next() {
        if pieces.peek().is_none() {
            flags |= flag::END_HEADERS;
        }
        frame::write(kind, flags, head.id, piece, out);
        (kind, flags) = (kind::CONTINUATION, 0);
    }
}
