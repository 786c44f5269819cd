//! Answers as text, as HTTP/1.1 would have written them, kept while they come: of those that turn out
//! bad the first are shown. A core keeps few at a time, and their memory is used again.

use std::sync::Arc;

use proto::measure::BAD_ANSWER_BYTES_MAX;

/// Answers of one core at a time; others are kept without their text.
const TEXTS_MAX: usize = 64;
/// Bytes of one: a byte more than is looked at says that it was longer.
const TEXT_LEN_MAX: usize = BAD_ANSWER_BYTES_MAX + 1;

/// The answer of a stream, as far as it has come.
#[derive(Debug)]
pub(super) struct Text {
    pub(super) id: u32,
    pub(super) bytes: Vec<u8>,
    /// A connection that ends takes its texts with it, and is not asked for them.
    _lent: Arc<()>,
}

/// Where the texts of one core come from.
#[derive(Debug, Default)]
pub(super) struct Pool {
    spare: Vec<Vec<u8>>,
    lent: Arc<()>,
}

impl Pool {
    /// An empty text for a stream; `None` while too many are kept.
    pub(super) fn lend(&mut self, id: u32) -> Option<Text> {
        (Arc::strong_count(&self.lent) <= TEXTS_MAX).then(|| Text {
            id,
            bytes: self.spare.pop().unwrap_or_default(),
            _lent: Arc::clone(&self.lent),
        })
    }

    /// Takes a text back that was read.
    pub(super) fn take_back(&mut self, mut text: Text) {
        text.bytes.clear();
        self.spare.push(text.bytes);
    }
}

impl Text {
    /// A field of the head; the first is the status.
    pub(super) fn field(&mut self, name: &[u8], value: &[u8]) {
        let (name, between): (&[u8], &[u8]) = if name == b":status" {
            (b"HTTP/2", b" ")
        } else {
            (name, b": ")
        };
        for part in [name, between, value, b"\r\n"] {
            self.write(part);
        }
    }

    /// The end of the head, or a piece of the body.
    pub(super) fn write(&mut self, bytes: &[u8]) {
        let room = TEXT_LEN_MAX - self.bytes.len();
        self.bytes
            .extend_from_slice(&bytes[..bytes.len().min(room)]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_bounded_and_so_are_all() {
        let mut pool = Pool::default();
        let mut texts: Vec<Text> = (0..200).filter_map(|id| pool.lend(id)).collect();
        assert_eq!(texts.len(), TEXTS_MAX);
        texts[0].field(b":status", b"503");
        texts[0].field(b"server", b"x");
        texts[0].write(b"\r\n");
        assert_eq!(texts[0].bytes, b"HTTP/2 503\r\nserver: x\r\n\r\n");
        for _ in 0..10 {
            texts[0].write(&[b'x'; 10_000]);
        }
        assert_eq!(texts[0].bytes.len(), TEXT_LEN_MAX);
        // Some go with their connections, others are used again.
        pool.take_back(texts.remove(0));
        assert!(pool.lend(1).is_some_and(|text| text.bytes.is_empty()));
        drop(texts);
        assert_eq!((0..200).filter_map(|id| pool.lend(id)).count(), 200);
    }
}
