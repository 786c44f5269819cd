//! A target that speaks HTTP/2: it answers the streams of a connection in an order of its own, in
//! frames of all shapes, hands some back, ends some, changes its mind about its settings, and leaves.

use std::collections::BTreeMap;

use crate::network::{Means, Memory, Part, Sent, Target};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const HEAD_LEN: usize = 9;

/// The numbers of RFC 9113, 6 and 7, that the target uses.
mod kind {
    pub(super) const DATA: u8 = 0;
    pub(super) const HEADERS: u8 = 1;
    pub(super) const RST_STREAM: u8 = 3;
    pub(super) const SETTINGS: u8 = 4;
    pub(super) const PING: u8 = 6;
    pub(super) const GOAWAY: u8 = 7;
    pub(super) const WINDOW_UPDATE: u8 = 8;
    pub(super) const CONTINUATION: u8 = 9;
}
const END_STREAM: u8 = 1;
const ACK: u8 = 1;
const END_HEADERS: u8 = 4;
const PADDED: u8 = 8;
const INTERNAL_ERROR: u32 = 2;
const REFUSED_STREAM: u32 = 7;

/// What is planned besides the answers to streams, whose ids are odd.
const GREETING: u32 = 0;

/// One connection.
pub(crate) struct Line {
    /// Bytes of which no whole frame has come.
    unread: Vec<u8>,
    has_preface: bool,
    /// Streams that wait for their answers, and when they were opened, ns.
    waiting: BTreeMap<u32, u64>,
    /// How many there may be; `u32::MAX` until that was said, or when nothing is.
    streams_max: u32,
    /// The last stream that is answered once it has said that it is leaving.
    last: u32,
}

impl Default for Line {
    fn default() -> Self {
        Self {
            unread: Vec::new(),
            has_preface: false,
            waiting: BTreeMap::new(),
            streams_max: u32::MAX,
            last: u32::MAX,
        }
    }
}

pub(crate) struct Http2Target;

impl Target for Http2Target {
    type Line = Line;
    const GREETS: bool = true;

    fn take(net: &mut Memory<Self>, slot: u32, sent: Sent<'_>) {
        let Sent::Bytes(bytes) = sent else {
            panic!("requests of HTTP/2 are never alike");
        };
        let line = &mut net.slots[slot as usize].line;
        line.unread.extend_from_slice(bytes);
        if !line.has_preface {
            assert!(line.unread.starts_with(PREFACE));
            line.unread.drain(..PREFACE.len());
            line.has_preface = true;
            let at_ns = net.now_ns + net.rng.u64(0..3_000_000);
            net.plan_act(slot, at_ns, GREETING);
        }
        while let Some((kind, flags, id)) = next_frame(&mut net.slots[slot as usize].line) {
            read_frame(net, slot, kind, flags, id);
        }
        assert!(net.slots[slot as usize].line.unread.is_empty());
    }

    fn act(net: &mut Memory<Self>, slot: u32, key: u32) {
        if net.is_silent(slot) {
        } else if key == GREETING {
            greet(net, slot);
        } else {
            answer(net, slot, key);
        }
    }

    fn returned(line: &mut Line, above: u32) -> Vec<u64> {
        line.waiting.split_off(&(above + 1)).into_values().collect()
    }
}

/// The kind, the flags and the stream of the next whole frame of a client.
fn next_frame(line: &mut Line) -> Option<(u8, u8, u32)> {
    let head = line.unread.first_chunk::<HEAD_LEN>()?;
    let [a, b, c, kind, flags, id @ ..] = *head;
    let length = u32::from_be_bytes([0, a, b, c]) as usize;
    if line.unread.len() < HEAD_LEN + length {
        return None;
    }
    line.unread.drain(..HEAD_LEN + length);
    Some((kind, flags, u32::from_be_bytes(id)))
}

fn read_frame(net: &mut Memory<Http2Target>, slot: u32, kind: u8, flags: u8, id: u32) {
    match kind {
        kind::HEADERS => {
            assert_eq!(flags, END_HEADERS | END_STREAM, "a request without a body");
            net.count_send();
            let sent_ns = net.now_ns;
            let line = &mut net.slots[slot as usize].line;
            line.waiting.insert(id, sent_ns);
            let waiting = line.waiting.len();
            assert!(waiting <= line.streams_max as usize, "{waiting} streams");
            if !net.happens(net.mischief.holds) {
                let at_ns = sent_ns + net.rng.u64(20_000..3_000_000);
                net.plan_act(slot, at_ns, id);
            }
        }
        kind::RST_STREAM => {
            let place = &mut net.slots[slot as usize];
            place.line.waiting.remove(&id);
            // What is on its way for it is nobody's any more.
            for part in place.parts.iter_mut().filter(|part| part.key == id) {
                part.means = Means::Nothing;
            }
        }
        kind::SETTINGS | kind::WINDOW_UPDATE | kind::PING | kind::GOAWAY => {}
        _ => panic!("a client sends no frame of kind {kind}"),
    }
}

/// Puts a part of what is said on its way.
fn expect(net: &mut Memory<Http2Target>, slot: u32, key: u32, means: Means, left: usize) {
    let part = Part { key, means, left };
    net.slots[slot as usize].parts.push_back(part);
}

fn frame(kind: u8, flags: u8, id: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &id.to_be_bytes(), payload].concat()
}

fn greet(net: &mut Memory<Http2Target>, slot: u32) {
    let payload = if net.rng.bool() {
        let most = net.rng.u32(1..20);
        net.slots[slot as usize].line.streams_max = most;
        [&[0, 3], &most.to_be_bytes()[..]].concat()
    } else {
        Vec::new()
    };
    let mut bytes = frame(kind::SETTINGS, 0, 0, &payload);
    expect(net, slot, 0, Means::Welcome, bytes.len());
    let ack = frame(kind::SETTINGS, ACK, 0, &[]);
    expect(net, slot, 0, Means::Nothing, ack.len());
    bytes.extend(ack);
    net.say(slot, 0, bytes);
}

/// What becomes of a stream.
fn answer(net: &mut Memory<Http2Target>, slot: u32, id: u32) {
    let m = net.mischief;
    let line = &mut net.slots[slot as usize].line;
    if id > line.last {
        return;
    }
    let Some(sent_ns) = line.waiting.remove(&id) else {
        return;
    };
    let (bytes, means) = if net.happens(m.returns) {
        let (code, means) = if net.rng.bool() {
            (REFUSED_STREAM, Means::Returned(sent_ns))
        } else {
            (INTERNAL_ERROR, Means::Nothing)
        };
        (frame(kind::RST_STREAM, 0, id, &code.to_be_bytes()), means)
    } else if net.happens(m.fails) {
        (answer_frames(net, id, b"\x08\x03503"), Means::Bad(sent_ns))
    } else {
        (answer_frames(net, id, b"\x88"), Means::Good(sent_ns))
    };
    expect(net, slot, id, means, bytes.len());
    let mut said = bytes;
    if net.happens(m.surplus) {
        let other = aside(net);
        expect(net, slot, 0, Means::Nothing, other.len());
        said.extend(other);
    }
    let leaves = net.happens(m.leaves);
    if leaves {
        let line = &mut net.slots[slot as usize].line;
        let highest = line.waiting.keys().next_back().copied();
        let last = id.max(net.rng.u32(0..=highest.unwrap_or(id)));
        line.last = last.min(line.last);
        let payload = [&line.last.to_be_bytes()[..], &[0; 4]].concat();
        let goaway = frame(kind::GOAWAY, 0, 0, &payload);
        let means = Means::ReturnedAbove(line.last);
        expect(net, slot, 0, means, goaway.len());
        said.extend(goaway);
    }
    net.say(slot, 0, said);
}

/// The frames of an answer with this block of fields, in one of the shapes that servers give them.
fn answer_frames(net: &mut Memory<Http2Target>, id: u32, status: &[u8]) -> Vec<u8> {
    let rng = &mut net.rng;
    let mut bytes = Vec::new();
    if rng.u8(..) < 20 {
        bytes.extend(frame(kind::HEADERS, END_HEADERS, id, b"\x08\x03103"));
    }
    // `server: x`, without the dynamic table.
    let block = [status, b"\x0f\x27\x01x"].concat();
    let is_bare = rng.u8(..) < 40;
    let end = if is_bare { END_STREAM } else { 0 };
    if rng.u8(..) < 40 {
        let at = rng.usize(0..=block.len());
        bytes.extend(frame(kind::HEADERS, end, id, &block[..at]));
        bytes.extend(frame(kind::CONTINUATION, END_HEADERS, id, &block[at..]));
    } else {
        bytes.extend(frame(kind::HEADERS, END_HEADERS | end, id, &block));
    }
    if is_bare {
        return bytes;
    }
    let body = vec![b'x'; rng.usize(0..60)];
    let has_trailers = rng.u8(..) < 20;
    if rng.bool() {
        bytes.extend(frame(kind::DATA, 0, id, &body));
    }
    let end = if has_trailers { 0 } else { END_STREAM };
    if rng.u8(..) < 40 {
        let padded = [&[3], &body[..], &[0; 3]].concat();
        bytes.extend(frame(kind::DATA, PADDED | end, id, &padded));
    } else {
        bytes.extend(frame(kind::DATA, end, id, &body));
    }
    if has_trailers {
        let trailer = b"\x00\x01t\x01x";
        let flags = END_HEADERS | END_STREAM;
        bytes.extend(frame(kind::HEADERS, flags, id, trailer));
    }
    bytes
}

/// A frame that is about no answer.
fn aside(net: &mut Memory<Http2Target>) -> Vec<u8> {
    match net.rng.u8(0..4) {
        0 => frame(kind::PING, 0, 0, b"12345678"),
        1 => frame(kind::SETTINGS, 0, 0, &[0, 4, 0, 0, 16, 0]),
        2 => frame(kind::WINDOW_UPDATE, 0, 0, &1_000_u32.to_be_bytes()),
        // A kind that nobody knows.
        _ => frame(0xfa, 0xff, 0, b"?"),
    }
}
