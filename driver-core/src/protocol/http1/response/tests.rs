//! The incremental reader: what it takes, what it refuses, and that any split reads the same.

use proptest::prelude::*;

use super::super::fuzzing::read;
use super::super::head::Asked;
use super::*;

const GET: Asked = Asked {
    bodiless: false,
    closes: false,
};
const HEAD: Asked = Asked {
    bodiless: true,
    closes: false,
};

fn read_all(asked: Asked, pieces: &[&[u8]]) -> (Vec<Answer>, Result<(), Malformed>) {
    read(asked, pieces.iter().copied())
}

/// The answers in a text that is read whole, and byte by byte.
fn answers(asked: Asked, text: &str) -> Vec<Answer> {
    let (answers, end) = read_all(asked, &[text.as_bytes()]);
    assert_eq!(end, Ok(()), "{text:?}");
    let bytes: Vec<&[u8]> = text.as_bytes().chunks(1).collect();
    assert_eq!(
        read_all(asked, &bytes),
        (answers.clone(), Ok(())),
        "{text:?}"
    );
    answers
}

fn statuses(asked: Asked, text: &str) -> Vec<u16> {
    let answers = answers(asked, text);
    answers.iter().map(|answer| answer.status).collect()
}

fn refusal(text: &str) -> Malformed {
    read_all(GET, &[text.as_bytes()]).1.expect_err(text)
}

#[test]
fn every_framing_ends_where_it_should() {
    for (text, expected) in [
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
            vec![200],
        ),
        ("HTTP/1.1 200 OK\r\ncontent-length:0\r\n\r\n", vec![200]),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 2, 2\r\n\r\nok",
            vec![200],
        ),
        (
            "HTTP/1.1 204 No Content\r\n\r\nHTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n",
            vec![204, 304],
        ),
        (
            "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\nHTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n",
            vec![201],
        ),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
            vec![200],
        ),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, Chunked\r\n\r\n5;name=\"v;alue\"\r\nhello\r\n00A \t\r\n0123456789\r\n0;x\r\nTrailer: a\r\nOther: b\r\n\r\n",
            vec![200],
        ),
        ("HTTP/1.1 200 OK\r\n\r\neverything up to the end", vec![200]),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nup to the end",
            vec![200],
        ),
        ("HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n", vec![200]),
        ("HTTP/1.1 200 OK\nContent-Length: 0\n\n", vec![200]),
        ("", vec![]),
        // Folded lines (RFC 9112, 5.2), also in a field that matters.
        (
            "HTTP/1.1 200 OK\r\nX-A: b\r\n c\r\nContent-Length: 2\r\n\r\nok",
            vec![200],
        ),
        (
            "HTTP/1.1 200 OK\r\nContent-Length:\r\n\t2\r\n\r\nok",
            vec![200],
        ),
        // Identity is no coding.
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: identity\r\nContent-Length: 2\r\n\r\nok",
            vec![200],
        ),
        // Bare line feeds in chunk lines and trailers.
        (
            "HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n2\nok\n1;x=y\n!\r\n0\nTrailer: a\n\n",
            vec![200],
        ),
        // Zeros before a size.
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n00000000000000002\r\nok\r\n000000000000000000000\r\n\r\n",
            vec![200],
        ),
    ] {
        assert_eq!(statuses(GET, text), expected, "{text:?}");
    }
}

#[test]
fn answers_to_head_have_no_body() {
    let text = "HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    assert_eq!(statuses(HEAD, text), [200, 200]);
}

/// Whether the connection stays after each of the answers in a text.
fn stays(asked: Asked, text: &str) -> Vec<bool> {
    let answers = answers(asked, text);
    answers.iter().map(|answer| answer.keep_alive).collect()
}

#[test]
fn whether_the_connection_stays_is_read_from_version_and_header() {
    for (head, keep_alive) in [
        ("HTTP/1.1 200 OK\r\nContent-Length: 0", true),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nconnection: Close",
            false,
        ),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: foo, close",
            false,
        ),
        ("HTTP/1.0 200 OK\r\nContent-Length: 0", false),
        (
            "HTTP/1.0 200 OK\r\nContent-Length: 0\r\nConnection: Keep-Alive",
            true,
        ),
        ("HTTP/1.1 200 OK\r\nConnection: keep-alive", false), // up to the end
    ] {
        assert_eq!(
            stays(GET, &format!("{head}\r\n\r\n")),
            [keep_alive],
            "{head}"
        );
    }
}

#[test]
fn a_connection_whose_next_answer_might_be_misread_is_not_used_again() {
    for (fields, keep_alive) in [
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked", true),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 99\r\nTransfer-Encoding: chunked",
            false,
        ),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 1",
            false,
        ),
        (
            "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked",
            false,
        ),
    ] {
        let text = format!("{fields}\r\n\r\n2\r\nok\r\n0\r\n\r\n");
        assert_eq!(stays(GET, &text), [keep_alive], "{fields}");
    }
}

#[test]
fn a_request_that_announces_the_end_is_the_last_of_its_connection() {
    let request = |method: &str, headers: &[(&str, &str)]| proto::workload::Request {
        method: method.to_owned(),
        headers: headers
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect(),
        body: Vec::new(),
    };
    let answer = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
    for (value, keep_alive) in [("Close", false), ("te, close", false), ("keep-alive", true)] {
        let asked = Asked::by(&request("GET", &[("connection", value)]));
        assert_eq!(stays(asked, answer), [keep_alive], "{value}");
    }
    assert_eq!(Asked::by(&request("HEAD", &[("Accept", "close")])), HEAD);
}

/// Keeps what it is given.
#[derive(Debug, Default, PartialEq, Eq)]
struct Kept {
    heads: Vec<u8>,
    bodies: Vec<u8>,
}

impl Extract for Kept {
    fn head(&mut self, head: &[u8]) {
        self.heads.extend_from_slice(head);
    }

    fn body(&mut self, piece: &[u8]) {
        self.bodies.extend_from_slice(piece);
    }
}

/// Reads pieces, and of each body steps over `skip` bytes of a hundred where it may.
fn extracted(pieces: &[&[u8]], skip: u64) -> (Vec<Answer>, Kept, u64) {
    let (mut reader, mut memo) = (Reader::default(), HeadMemo::new(GET));
    let (mut answers, mut kept, mut skipped) = (Vec::new(), Kept::default(), 0);
    for piece in pieces {
        let mut bytes: &[u8] = piece;
        while !bytes.is_empty() {
            let left = reader.remaining_length().unwrap_or(0);
            let over = (left * skip / 100).min(bytes.len() as u64);
            if over > 0 {
                skipped += over;
                answers.extend(reader.skipped(over));
                bytes = &bytes[usize::try_from(over).unwrap()..];
                continue;
            }
            // A byte at a time, so that there is something left to step over.
            let length = if skip > 0 { 1 } else { bytes.len() };
            let step = reader.read_into(&mut memo, &bytes[..length], &mut kept);
            let step = step.unwrap();
            answers.extend(step.answer);
            bytes = &bytes[step.used..];
        }
    }
    answers.extend(reader.end().unwrap());
    (answers, kept, skipped)
}

#[test]
fn who_wants_heads_and_bodies_gets_them_without_framing() {
    let early = "HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\n";
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    let open = "HTTP/1.1 200 OK\r\n\r\n";
    let text = format!("{early}{chunked}5;a=b\r\nhello\r\n1\r\n \r\n0\r\nT: r\r\n\r\n{open}world");
    for pieces in [vec![text.as_bytes()], text.as_bytes().chunks(1).collect()] {
        let (answers, kept, _) = extracted(&pieces, 0);
        assert_eq!(answers.len(), 2);
        assert_eq!(String::from_utf8(kept.bodies).unwrap(), "hello world");
        let heads = [early, chunked, open].concat();
        assert_eq!(String::from_utf8(kept.heads).unwrap(), heads);
    }
}

#[test]
fn what_is_left_of_a_body_is_known_and_can_be_thrown_away() {
    let (mut reader, mut memo) = (Reader::default(), HeadMemo::new(GET));
    assert_eq!(reader.remaining_length(), None);
    let head = b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\nab";
    let step = reader.read(&mut memo, head).unwrap();
    assert_eq!((step.used, step.answer), (head.len(), None));
    assert_eq!(reader.remaining_length(), Some(999_998));
    assert_eq!(reader.skipped(999_000), None);
    assert_eq!(reader.remaining_length(), Some(998));
    let answer = reader.skipped(998).unwrap();
    assert_eq!((answer.status, answer.keep_alive), (200, true));
    assert_eq!(reader.remaining_length(), None);
}

#[test]
fn what_is_no_answer_is_refused() {
    let head = |fields: &str| format!("HTTP/1.1 200 OK\r\n{fields}\r\n\r\n");
    let chunks =
        |body: &str| format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{body}");
    for (text, expected) in [
        (
            "SSH-2.0-OpenSSH\r\n".to_owned(),
            Malformed::Head(httparse::Error::Version),
        ),
        (
            "HTTP/2.0 200 OK\r\n\r\n".to_owned(),
            Malformed::Head(httparse::Error::Version),
        ),
        (head("Content-Length: 1\r\n 2"), Malformed::ContentLength),
        (
            head(" folded: too early"),
            Malformed::Head(httparse::Error::HeaderName),
        ),
        (head("Content-Length: five"), Malformed::ContentLength),
        (head("Content-Length: -1"), Malformed::ContentLength),
        (
            head("Content-Length: 99999999999999999999"),
            Malformed::ContentLength,
        ),
        (
            head("Content-Length: 5\r\nContent-Length: 6"),
            Malformed::ContentLength,
        ),
        (
            "HTTP/1.1 101 Switching Protocols\r\n\r\n".to_owned(),
            Malformed::Status(101),
        ),
        (
            "HTTP/1.1 099 What\r\n\r\n".to_owned(),
            Malformed::Status(99),
        ),
        (chunks("x\r\n"), Malformed::ChunkSize),
        (chunks("\r\n"), Malformed::ChunkSize),
        (chunks("10000000000000000\r\n"), Malformed::ChunkSize),
        (chunks(&"0".repeat(20_000)), Malformed::ChunkLineTooLong),
        (chunks("2\r\nabc"), Malformed::ChunkFraming),
        (chunks("2\rx"), Malformed::ChunkFraming),
        (chunks("0\r\nTrailer\rx"), Malformed::ChunkFraming),
        (head("Content-Length: 5"), Malformed::Truncated),
        (chunks("5\r\nhello\r\n0\r\n"), Malformed::Truncated),
        ("HTTP/1.1 200 OK\r\nCont".to_owned(), Malformed::Truncated),
        (
            head(&format!("A: {}", "x".repeat(HEAD_LEN_MAX))),
            Malformed::HeadTooLong,
        ),
        (
            chunks(&format!("1;{}", "x".repeat(20_000))),
            Malformed::ChunkLineTooLong,
        ),
        (
            chunks(&format!("0\r\n{}", "A: b\r\n".repeat(20_000))),
            Malformed::HeadTooLong,
        ),
    ] {
        assert_eq!(
            refusal(&text),
            expected,
            "{:?}",
            &text[..text.len().min(200)]
        );
    }
}

#[test]
fn a_head_of_64_kib_is_read_whole_or_split() {
    let filler = "x".repeat(HEAD_LEN_MAX - 60);
    let text = format!("HTTP/1.1 200 OK\r\nA: {filler}\r\nContent-Length: 2\r\n\r\nok");
    assert_eq!(statuses(GET, &text), [200]);
    let pieces: Vec<&[u8]> = text.as_bytes().chunks(4096).collect();
    assert_eq!(read_all(GET, &pieces).0.len(), 1);
}

#[test]
fn a_remembered_head_is_used_for_the_same_bytes_only() {
    let one = "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\na";
    let text = format!("{one}{one}HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\n012345678901{one}");
    assert_eq!(statuses(GET, &text), [200; 4]);
}

/// One answer of any framing, as text, and what it must be read as.
fn answer() -> impl Strategy<Value = (Vec<u8>, u16)> {
    let fields = "(X-[A-Za-z]{1,8}: [ -~]{0,20}(\r\n [a-z]{0,3})?\r?\n){0,4}";
    let body = prop::collection::vec(any::<u8>(), 0..300);
    let status = prop_oneof![Just(200_u16), Just(404), Just(503), Just(204), Just(304)];
    let chunk_len = 1..40_usize;
    (fields, body, status, any::<bool>(), 0..2_usize, chunk_len).prop_map(
        |(fields, body, status, chunked, continues, chunk_len)| {
            let mut bytes = "HTTP/1.1 100 Continue\r\n\r\n"
                .repeat(continues)
                .into_bytes();
            bytes.extend(format!("HTTP/1.1 {status} Some reason\r\n{fields}").into_bytes());
            if status == 204 || status == 304 {
                bytes.extend(b"\r\n");
            } else if chunked {
                bytes.extend(b"transfer-encoding: chunked\r\n\r\n");
                for chunk in body.chunks(chunk_len) {
                    let end = if chunk.len() % 2 == 0 { "\r\n" } else { "\n" };
                    bytes.extend(format!("{:04x};ext=1{end}", chunk.len()).into_bytes());
                    bytes.extend(chunk);
                    bytes.extend(end.as_bytes());
                }
                bytes.extend(b"0\r\nTrailer: yes\r\n\r\n");
            } else {
                bytes.extend(format!("Content-Length: {}\r\n\r\n", body.len()).into_bytes());
                bytes.extend(body);
            }
            (bytes, status)
        },
    )
}

/// Cuts bytes at these places (modulo their length).
fn split<'a>(bytes: &'a [u8], cuts: &[usize]) -> Vec<&'a [u8]> {
    let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut % (bytes.len() + 1)).collect();
    cuts.extend([0, bytes.len()]);
    cuts.sort_unstable();
    cuts.windows(2)
        .map(|pair| &bytes[pair[0]..pair[1]])
        .collect()
}

proptest! {
    #[test]
    fn any_split_gives_the_same_answers(
        answers in prop::collection::vec(answer(), 1..6),
        cuts in prop::collection::vec(any::<usize>(), 0..20),
    ) {
        let bytes: Vec<u8> = answers.iter().flat_map(|(bytes, _)| bytes.clone()).collect();
        let expected: Vec<u16> = answers.iter().map(|(_, status)| *status).collect();
        for pieces in [split(&bytes, &cuts), bytes.chunks(1).collect(), vec![&bytes[..]]] {
            let (found, end) = read_all(GET, &pieces);
            prop_assert_eq!(end, Ok(()));
            let found: Vec<u16> = found.iter().map(|answer| answer.status).collect();
            prop_assert_eq!(&found, &expected);
        }
    }

    /// Damaged bytes: whatever is read before the damage, and whether there is any, does not depend
    /// on the split. (Which refusal it is may: a long line can be cut off before it is parsed.)
    #[test]
    fn any_split_of_damaged_bytes_agrees(
        answers in prop::collection::vec(answer(), 1..4),
        damage in prop::collection::vec((any::<usize>(), any::<u8>()), 1..4),
        cuts in prop::collection::vec(any::<usize>(), 0..20),
    ) {
        let mut bytes: Vec<u8> = answers.iter().flat_map(|(bytes, _)| bytes.clone()).collect();
        for (at, byte) in damage {
            let at = at % bytes.len();
            bytes[at] = byte;
        }
        let (whole, whole_end) = read_all(GET, &[&bytes]);
        for pieces in [split(&bytes, &cuts), bytes.chunks(1).collect()] {
            let (found, end) = read_all(GET, &pieces);
            prop_assert_eq!(&found, &whole);
            prop_assert_eq!(end.is_ok(), whole_end.is_ok());
        }
    }

    #[test]
    fn bodies_and_heads_do_not_depend_on_the_split_nor_answers_on_what_is_thrown_away(
        answers in prop::collection::vec(answer(), 1..6),
        cuts in prop::collection::vec(any::<usize>(), 0..20),
        skip in 1..=100_u64,
    ) {
        let bytes: Vec<u8> = answers.iter().flat_map(|(bytes, _)| bytes.clone()).collect();
        let (whole, kept, _) = extracted(&[&bytes], 0);
        let pieces = split(&bytes, &cuts);
        let (found, kept_split, _) = extracted(&pieces, 0);
        prop_assert_eq!((&found, &kept_split), (&whole, &kept));
        let (found, kept_rest, skipped) = extracted(&pieces, skip);
        prop_assert_eq!((&found, &kept_rest.heads), (&whole, &kept.heads));
        prop_assert_eq!(kept_rest.bodies.len() as u64 + skipped, kept.bodies.len() as u64);
    }

    #[test]
    fn garbage_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..500)) {
        let _ = read_all(GET, &bytes.chunks(7).collect::<Vec<_>>());
    }
}
