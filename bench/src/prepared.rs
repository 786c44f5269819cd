//! Prepared answers of HTTP/2, as a server would send them: for the micro-benchmarks.

/// Fields of a usual answer without a table: `:status`, `server`, `date`, `content-type`.
pub const FIELDS: &[u8] = b"\x88\x0f\x27\x05nginx\x0f\x12\x1dSun, 22 Nov 2026 13:00:00 GMT\
    \x0f\x10\x0atext/plain";
/// The same as entries of a table.
pub const ENTRIES: &[u8] = b"\x88\x76\x05nginx\x61\x1dSun, 22 Nov 2026 13:00:00 GMT\
    \x5f\x0atext/plain";
/// The same as references to those entries.
pub const REFERENCES: &[u8] = b"\x88\xc0\xbf\xbe";
/// What a peer puts before its first fields when it keeps no table.
pub const TABLE_SIZE_0: &[u8] = b"\x20";
/// What a peer says first: SETTINGS, and the acknowledgement of the client's.
pub const SETTINGS: &[u8] = b"\0\0\0\x04\0\0\0\0\0\0\0\0\x04\x01\0\0\0\0";

const BODY: &[u8] = b"Hello World";
const HEAD_LEN: usize = 9;

/// A number of answers, HEADERS and DATA each, whose streams are filled in.
#[derive(Debug)]
pub struct Answers {
    bytes: Vec<u8>,
    streams: usize,
    fields_len: usize,
}

impl Answers {
    /// So many answers with these fields, which have at most 255 bytes.
    #[must_use]
    pub fn new(streams: usize, fields: &[u8]) -> Self {
        let length = |bytes: &[u8]| u8::try_from(bytes.len()).expect("invariant: short");
        let headers = [0, 0, length(fields), 1, 4, 0, 0, 0, 0];
        let data = [0, 0, length(BODY), 0, 1, 0, 0, 0, 0];
        Self {
            bytes: [&headers, fields, &data, BODY].concat().repeat(streams),
            streams,
            fields_len: fields.len(),
        }
    }

    /// How many there are.
    #[must_use]
    pub fn streams(&self) -> usize {
        self.streams
    }

    /// Makes the answer at this place one on that stream.
    pub fn address(&mut self, place: usize, stream: u32) {
        let answer = place * self.answer_len();
        for head in [answer, answer + HEAD_LEN + self.fields_len] {
            self.bytes[head + 5..head + HEAD_LEN].copy_from_slice(&stream.to_be_bytes());
        }
    }

    /// The bytes of the first so many.
    #[must_use]
    pub fn first(&self, streams: usize) -> &[u8] {
        &self.bytes[..streams * self.answer_len()]
    }

    fn answer_len(&self) -> usize {
        HEAD_LEN + self.fields_len + HEAD_LEN + BODY.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_frames_of_the_streams_they_were_addressed_to() {
        let mut answers = Answers::new(2, b"\x88");
        answers.address(0, 1);
        answers.address(1, 259);
        let one = b"\0\0\x01\x01\x04\0\0\0\x01\x88\0\0\x0b\0\x01\0\0\0\x01Hello World";
        assert_eq!(answers.first(1), one);
        assert_eq!(answers.first(2)[one.len() + 5..][..4], [0, 0, 1, 3]);
        assert_eq!(
            (answers.streams(), answers.first(2).len()),
            (2, 2 * one.len())
        );
    }
}
