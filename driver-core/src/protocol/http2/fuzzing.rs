//! What must hold of a connection whatever the peer sends: the body of the fuzz target, and of the
//! test that replays its corpus.

use super::{Code, Http2, Malformed, State};
use crate::protocol::{
    After, Answered, Dropped, Fields, Key, Protocol, Sink, Template, Text, Watches,
};

/// What a connection says, but for when an answer begins, which depends on the split.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Event {
    Answered(Key, u16),
    Dropped(Key, Dropped),
}

/// All that comes of one connection.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Heard {
    pub(super) events: Vec<Event>,
    pub(super) fields: Vec<u8>,
    pub(super) bodies: Vec<u8>,
    /// Answers with the status of an error, as text.
    pub(super) texts: Vec<Vec<u8>>,
    pub(super) out: Vec<u8>,
    pub(super) end: Option<Malformed>,
    pub(super) closes: bool,
}

/// Listens to answers; with `WATCH` to their fields and bodies too.
#[derive(Debug, Default)]
pub(super) struct Listener<const WATCH: bool> {
    pub(super) heard: Heard,
    pub(super) open: Vec<Key>,
    pub(super) begun: Vec<Key>,
    /// What is looked at instead of everything.
    pub(super) watches: Option<Watches>,
}

impl<const WATCH: bool> Listener<WATCH> {
    fn close(&mut self, key: Key) {
        let place = self.open.iter().position(|open| *open == key);
        self.open
            .swap_remove(place.expect("a request is told of once, and only if it was written"));
    }
}

impl<const WATCH: bool> Sink for Listener<WATCH> {
    const WATCHES: bool = WATCH;

    fn expects(&self) -> bool {
        !self.open.is_empty()
    }

    fn began(&mut self, key: Key) {
        assert!(self.open.contains(&key), "{key} began after its end");
        assert!(!self.begun.contains(&key), "{key} began twice");
        self.begun.push(key);
    }

    fn keeps(&self, key: Key, status: u16) -> bool {
        status >= 400 && self.open.contains(&key)
    }

    fn answered(&mut self, answered: Answered) {
        self.close(answered.key);
        if !answered.bytes.is_empty() {
            self.heard.texts.push(answered.bytes.to_vec());
        }
        self.heard
            .events
            .push(Event::Answered(answered.key, answered.status));
    }

    fn dropped(&mut self, key: Key, dropped: Dropped) {
        self.close(key);
        self.heard.events.push(Event::Dropped(key, dropped));
    }

    fn watches(&self, _: Key) -> Watches {
        self.watches.unwrap_or(Watches {
            fields: Fields::All,
            body: true,
        })
    }

    fn field(&mut self, key: Key, name: &[u8], value: &[u8]) {
        let line = [&key.to_be_bytes(), name, b": ", value, b"\n"].concat();
        self.heard.fields.extend_from_slice(&line);
    }

    fn body(&mut self, key: Key, bytes: &[u8]) {
        assert!(self.open.contains(&key), "a body of {key} after its end");
        self.heard.bodies.extend_from_slice(bytes);
    }
}

/// Reads `bytes` (after a first one that chooses the split and what went before) whole and split,
/// watched and not, and compares.
///
/// # Panics
/// When what is understood depends on the split or on who listens, or is against the rules of
/// [`Sink`]: a bug.
pub fn check_connection(bytes: &[u8]) {
    let Some((choice, bytes)) = bytes.split_first() else {
        return;
    };
    let settings: &[u8] = match choice % 4 {
        0 => b"",
        1 => b"\0\0\0\x04\0\0\0\0\0",
        2 => b"\0\0\0\x04\0\0\0\0\0\0\0\0\x04\x01\0\0\0\0\0\0\x02\x01\x04\0\0\0\x01\x20\x88",
        // A small window, so that bodies wait, and a small table.
        _ => b"\0\0\x0c\x04\0\0\0\0\0\0\x04\0\0\0\x0a\0\x01\0\0\0\0",
    };
    let piece = usize::from(choice / 4).max(1);
    let whole = hear::<false>(settings, &mut bytes.chunks(bytes.len().max(1)));
    for length in [piece, 1] {
        let split = hear::<false>(settings, &mut bytes.chunks(length));
        assert_eq!(whole, split, "the split matters");
    }
    let watched = hear::<true>(settings, &mut bytes.chunks(piece));
    assert_eq!(
        watched,
        hear::<true>(settings, &mut bytes.chunks(bytes.len().max(1))),
        "the split matters"
    );
    // Who watches reads every field, and so may find what others need not look at.
    let agreed = watched.events.len();
    assert_eq!(watched.events, whole.events[..agreed]);
    if watched.end != Some(Malformed::Compression) && watched.end != Some(Malformed::BlockTooLong) {
        assert_eq!((watched.end, &watched.out), (whole.end, &whole.out));
    }
}

fn templates() -> [Template; 3] {
    let get = Template {
        method: "GET".to_owned(),
        is_https: false,
        authority: Text::fixed("localhost"),
        path: Text::fixed("/"),
        headers: Vec::new(),
        body: Text::default(),
    };
    let mut post = get.clone();
    "POST".clone_into(&mut post.method);
    // A little more than the windows that nobody enlarged.
    post.body = Text::fixed(vec![b'b'; 66_000]);
    let mut filled = get.clone();
    filled.path = Text::fixed("/").then_hole(0);
    filled.body = Text::default().then_hole(0).then("end");
    [get, filled, post]
}

/// What is heard of a peer that sends these settings, and then these pieces.
fn hear<const WATCH: bool>(settings: &[u8], pieces: &mut dyn Iterator<Item = &[u8]>) -> Heard {
    let mut http = Http2::new(&templates(), 8).expect("invariant: fit for HTTP/2");
    let mut out = Vec::new();
    let mut state = http.open(0, &mut out);
    let mut listener = Listener::<WATCH>::default();
    let mut end = http.read(&mut state, settings, &mut out, &mut listener);
    for request in [0, 1, 0, 1, 0, 2] {
        if http.room(&state) > 0 {
            let mut fill = |_: usize, out: &mut Vec<u8>| out.extend_from_slice(b"filled");
            let key = http.write(&mut state, request, &mut fill, &mut out);
            listener.open.push(key);
        }
    }
    if choice_cancels(settings) {
        let key = listener.open.pop().expect("invariant: there was room");
        assert!(http.cancel(&mut state, key, &mut out));
    }
    while let (Ok(_), Some(piece)) = (end, pieces.next()) {
        end = http.read(&mut state, piece, &mut out, &mut listener);
        check_state(&http, &state, end, &listener.open);
    }
    listener.heard.closes = end == Ok(After::Closes);
    listener.heard.end = end.err();
    listener.heard.out = out;
    listener.heard
}

/// One of the openings has a request given up.
fn choice_cancels(settings: &[u8]) -> bool {
    settings.len() == 9
}

fn check_state(http: &Http2, state: &State, end: Result<After, Malformed>, open: &[Key]) {
    match end {
        Ok(After::Unsolicited(_)) => unreachable!("HTTP/2 has a code for that"),
        Ok(After::Closes) => assert!(open.is_empty() && http.room(state) == 0),
        Ok(After::GoesOn) => assert!(http.room(state) as usize + open.len() <= 8),
        Err(malformed) => {
            assert_eq!(http.room(state), 0);
            assert_ne!(malformed.code(), Code::NO_ERROR);
        }
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_corpus_of_the_fuzzer_holds() {
        let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/fuzz/corpus/http2");
        let files: Vec<_> = std::fs::read_dir(directory).unwrap().collect();
        assert!(files.len() >= 10, "{} files in {directory}", files.len());
        for file in files {
            super::check_connection(&std::fs::read(file.unwrap().path()).unwrap());
        }
    }
}
