//! The incremental reader: what it takes, what it refuses, and that any split reads the same.

use proptest::prelude::*;

use super::*;
use crate::protocol::http1::fuzzing::read;

fn read_all(method: &str, pieces: &[&[u8]]) -> (Vec<Answer>, Result<(), Malformed>) {
    read(method, pieces.iter().copied())
}

fn statuses(method: &str, text: &str) -> Vec<u16> {
    let (answers, end) = read_all(method, &[text.as_bytes()]);
    assert_eq!(end, Ok(()), "{text:?}");
    answers.iter().map(|answer| answer.status).collect()
}

fn refusal(text: &str) -> Malformed {
    read_all("GET", &[text.as_bytes()]).1.expect_err(text)
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
    ] {
        assert_eq!(statuses("GET", text), expected, "{text:?}");
    }
}

#[test]
fn answers_to_head_have_no_body() {
    let text = "HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    assert_eq!(statuses("HEAD", text), [200, 200]);
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
        let text = format!("{head}\r\n\r\n");
        let (answers, _) = read_all("GET", &[text.as_bytes()]);
        assert_eq!(answers[0].keep_alive, keep_alive, "{head}");
    }
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
        (
            head("A: b\r\n folded"),
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
        (chunks("00000000000000001\r\n"), Malformed::ChunkSize),
        (chunks("2\r\nabc"), Malformed::ChunkFraming),
        (chunks("2\rx"), Malformed::ChunkFraming),
        (chunks("0\r\nTrailer\n"), Malformed::ChunkFraming),
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
    assert_eq!(statuses("GET", &text), [200]);
    let pieces: Vec<&[u8]> = text.as_bytes().chunks(4096).collect();
    assert_eq!(read_all("GET", &pieces).0.len(), 1);
}

#[test]
fn a_remembered_head_is_used_for_the_same_bytes_only() {
    let one = "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\na";
    let text = format!("{one}{one}HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\n012345678901{one}");
    assert_eq!(statuses("GET", &text), [200; 4]);
}

/// One answer of any framing, as text, and what it must be read as.
fn answer() -> impl Strategy<Value = (Vec<u8>, u16)> {
    let fields = "(X-[A-Za-z]{1,8}: [ -~]{0,20}\r\n){0,4}";
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
                    bytes.extend(format!("{:x};ext=1\r\n", chunk.len()).into_bytes());
                    bytes.extend(chunk);
                    bytes.extend(b"\r\n");
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
            let (found, end) = read_all("GET", &pieces);
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
        let (whole, whole_end) = read_all("GET", &[&bytes]);
        for pieces in [split(&bytes, &cuts), bytes.chunks(1).collect()] {
            let (found, end) = read_all("GET", &pieces);
            prop_assert_eq!(&found, &whole);
            prop_assert_eq!(end.is_ok(), whole_end.is_ok());
        }
    }

    #[test]
    fn garbage_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..500)) {
        let _ = read_all("GET", &bytes.chunks(7).collect::<Vec<_>>());
    }
}
