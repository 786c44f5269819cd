//! Peers that break the protocol: each ends the connection with its code, and tells why in words.

use super::*;

const HEADERS: u8 = kind::HEADERS;
const DATA: u8 = kind::DATA;
const END_HEADERS: u8 = flag::END_HEADERS;
const END_STREAM: u8 = flag::END_STREAM;

/// A connection with requests 1, 3 and 5 in flight, of which 3 has been answered.
fn connection() -> Connection {
    let mut connection = Connection::with_gets(3);
    connection.reads(&answer(3, b"\x88"));
    connection.events();
    connection
}

fn ends_with(bytes: &[u8], expected: Malformed, code: Code) {
    let mut whole = connection();
    assert_eq!(
        whole.read(bytes),
        Err(expected),
        "{:x?}",
        &bytes[..bytes.len().min(60)]
    );
    let farewell = goaway(0, code);
    assert!(
        whole.out.ends_with(&farewell),
        "{expected}: {:x?}",
        whole.out
    );
    assert_eq!(whole.room(), 0);
    let mut split = connection();
    let end = bytes
        .iter()
        .map(|byte| split.read(&[*byte]))
        .find(Result::is_err);
    assert_eq!(end, Some(Err(expected)));
    assert_eq!(split.out, whole.out);
    assert_eq!(split.events(), whole.events());
}

#[test]
fn frames_of_impossible_lengths_end_the_connection() {
    let too_long = vec![0; 16_385];
    for (bytes, length) in [
        (frame(DATA, 0, 1, &too_long), 16_385),
        (frame(HEADERS, 4, 1, &too_long), 16_385),
        (frame(0x42, 0, 0, &too_long), 16_385),
        (frame(kind::PRIORITY, 0, 1, &[0; 4]), 4),
        (frame(kind::RST_STREAM, 0, 1, &[0; 5]), 5),
        (frame(kind::SETTINGS, 0, 0, &[0; 7]), 7),
        (frame(kind::SETTINGS, flag::ACK, 0, &[0; 6]), 6),
        (frame(kind::PING, 0, 0, &[0; 7]), 7),
        (frame(kind::GOAWAY, 0, 0, &[0; 7]), 7),
        (frame(kind::WINDOW_UPDATE, 0, 0, &[0; 3]), 3),
        (frame(HEADERS, flag::PRIORITY | END_HEADERS, 1, &[0; 4]), 4),
    ] {
        let kind = bytes[3];
        ends_with(
            &bytes,
            Malformed::FrameSize { kind, length },
            Code::FRAME_SIZE_ERROR,
        );
    }
}

#[test]
fn frames_for_impossible_streams_end_the_connection() {
    for (kind, id, payload) in [
        (DATA, 0, &b"x"[..]),
        (DATA, 2, b"x"),
        (DATA, 7, b"x"), // not opened yet
        (HEADERS, 0, b"\x88"),
        (HEADERS, 2, b"\x88"),
        (HEADERS, 7, b"\x88"),
        (kind::PRIORITY, 0, b"12345"),
        (kind::RST_STREAM, 0, b"1234"),
        (kind::RST_STREAM, 2, b"1234"),
        (kind::RST_STREAM, 7, b"1234"),
        (kind::SETTINGS, 1, b""),
        (kind::PING, 1, b"12345678"),
        (kind::GOAWAY, 1, b"12345678"),
        (kind::WINDOW_UPDATE, 7, b"1234"),
        (kind::WINDOW_UPDATE, 2, b"1234"),
    ] {
        let bytes = frame(kind, 0, id, payload);
        ends_with(&bytes, Malformed::Stream { kind, id }, Code::PROTOCOL_ERROR);
    }
}

#[test]
fn more_for_an_answer_that_was_complete_ends_the_connection() {
    for bytes in [frame(DATA, 0, 3, b"more"), answer(3, b"\x88")] {
        let kind = bytes[3];
        ends_with(
            &bytes,
            Malformed::Closed { kind, id: 3 },
            Code::STREAM_CLOSED,
        );
    }
}

#[test]
fn answers_in_an_order_that_is_none_end_the_connection() {
    let headers = frame(HEADERS, END_HEADERS, 1, b"\x88");
    let with = |rest: Vec<u8>| [headers.clone(), rest].concat();
    for (bytes, expected) in [
        (frame(DATA, 0, 1, b"data first"), Malformed::Order),
        (with(headers.clone()), Malformed::Order), // trailers that do not end it
        (frame(HEADERS, END_HEADERS, 1, b""), Malformed::Status),
        (
            frame(HEADERS, END_HEADERS, 1, b"\x5c\x010\x88"),
            Malformed::Status,
        ),
        (
            frame(HEADERS, END_HEADERS, 1, b"\x08\x03abc"),
            Malformed::Status,
        ),
        (
            frame(HEADERS, END_HEADERS, 1, b"\x08\x03101"),
            Malformed::Status,
        ),
        (answer(1, b"\x08\x03100"), Malformed::Status), // an interim answer is none
        (frame(DATA, flag::PADDED, 5, b""), Malformed::Order),
    ] {
        ends_with(&bytes, expected, Code::PROTOCOL_ERROR);
    }
}

#[test]
fn padding_beyond_the_payload_ends_the_connection() {
    let headers = frame(HEADERS, END_HEADERS, 1, b"\x88");
    for padded in [
        frame(DATA, flag::PADDED, 1, b""),
        frame(DATA, flag::PADDED, 1, b"\x01"),
        frame(DATA, flag::PADDED, 1, b"\x03ab"),
        frame(HEADERS, flag::PADDED | END_HEADERS, 1, b""),
        frame(HEADERS, flag::PADDED | END_HEADERS, 1, b"\x02\x88"),
        frame(
            HEADERS,
            flag::PADDED | flag::PRIORITY | END_HEADERS,
            1,
            b"\x01\0\0\0\0\0",
        ),
    ] {
        ends_with(
            &[headers.clone(), padded].concat(),
            Malformed::Padding,
            Code::PROTOCOL_ERROR,
        );
    }
}

#[test]
fn blocks_that_are_not_continued_end_the_connection() {
    let begun = frame(HEADERS, END_STREAM, 1, b"\x88");
    for (rest, kind) in [
        (frame(DATA, 0, 1, b"x"), DATA),
        (answer(1, b"\x88"), HEADERS),
        (frame(kind::PING, 0, 0, &[0; 8]), kind::PING),
        (frame(0x42, 0, 0, b""), 0x42),
        (
            frame(kind::CONTINUATION, END_HEADERS, 5, b"\x88"),
            kind::CONTINUATION,
        ),
    ] {
        let bytes = [begun.clone(), rest].concat();
        ends_with(&bytes, Malformed::Continuation(kind), Code::PROTOCOL_ERROR);
    }
    let alone = frame(kind::CONTINUATION, END_HEADERS, 1, b"\x88");
    ends_with(
        &alone,
        Malformed::Continuation(kind::CONTINUATION),
        Code::PROTOCOL_ERROR,
    );
}

#[test]
fn settings_and_windows_that_cannot_be_end_the_connection() {
    let setting = |id, value| (settings(&[(id, value)]), Malformed::Setting { id, value });
    for (bytes, expected) in [setting(2, 1), setting(5, 16_383), setting(5, 1 << 24)] {
        ends_with(&bytes, expected, Code::PROTOCOL_ERROR);
    }
    let (bytes, expected) = setting(4, 1 << 31);
    ends_with(&bytes, expected, Code::FLOW_CONTROL_ERROR);
    for id in [0, 1] {
        ends_with(
            &window_update(id, 0),
            Malformed::NoIncrement,
            Code::PROTOCOL_ERROR,
        );
        ends_with(
            &window_update(id, 0x7fff_ffff),
            Malformed::Window,
            Code::FLOW_CONTROL_ERROR,
        );
    }
    let grown = [window_update(1, 0x7fff_0000), settings(&[(4, 70_000)])].concat();
    ends_with(&grown, Malformed::Window, Code::FLOW_CONTROL_ERROR);
}

#[test]
fn pushes_end_the_connection() {
    let push = frame(kind::PUSH_PROMISE, END_HEADERS, 1, b"\0\0\0\x02\x82");
    ends_with(&push, Malformed::Push, Code::PROTOCOL_ERROR);
}

#[test]
fn broken_compression_ends_the_connection() {
    let known = frame(kind::SETTINGS, flag::ACK, 0, b"");
    for bytes in [
        answer(1, b"\x88\xbe"),
        answer(1, b"\x80"),
        answer(1, b"\x88\x0f"),
        answer(1, b"\x08\x83\xff\xff\xff"),
        [known.clone(), answer(1, b"\x21\x88")].concat(),
        // Late fields of a stream that was given up change the table too.
        answer(3, b"\xc0"),
    ] {
        ends_with(&bytes, Malformed::Compression, Code::COMPRESSION_ERROR);
    }
}

#[test]
fn blocks_without_end_are_bounded() {
    let begun = frame(HEADERS, END_STREAM, 1, b"\x88");
    let long = frame(kind::CONTINUATION, 0, 1, &[0; 16_384]).repeat(5);
    let empty = frame(kind::CONTINUATION, 0, 1, b"").repeat(200);
    for endless in [long, empty] {
        let bytes = [begun.clone(), endless].concat();
        ends_with(&bytes, Malformed::BlockTooLong, Code::ENHANCE_YOUR_CALM);
    }
}

#[test]
fn floods_of_what_brings_nothing_are_bounded() {
    let headers = frame(HEADERS, END_HEADERS, 1, b"\x88");
    for idle in [
        frame(kind::PING, 0, 0, &[0; 8]),
        frame(kind::PING, flag::ACK, 0, &[0; 8]),
        settings(&[]),
        frame(kind::SETTINGS, flag::ACK, 0, b""),
        rst_stream(3, Code::CANCEL),
        frame(kind::PRIORITY, 0, 1, &[0; 5]),
        frame(0x42, 0, 0, b""),
        window_update(0, 1),
        frame(DATA, 0, 1, b""),
    ] {
        let mut flooded = connection();
        let end = flooded.read(&[headers.clone(), idle.repeat(10_001)].concat());
        assert_eq!(end, Err(Malformed::Flood), "{idle:x?}");
        assert!(flooded.out.len() <= 10_001 * 17 + 17);
        // As many are well among answers.
        let mut patient = connection();
        patient.reads(&headers);
        patient.reads(&idle.repeat(9_000));
        patient.reads(&answer(5, b"\x88"));
        patient.reads(&idle.repeat(9_000));
    }
}

#[test]
fn peers_that_do_not_speak_http2_are_named() {
    for (bytes, expected) in [
        (&b"HTTP/1.1 400 Bad Request\r\n\r\n"[..], Malformed::Http1),
        (b"SSH-2.0-OpenSSH_9.2\r\n", Malformed::FirstFrame(b'-')),
        (
            &frame(kind::PING, 0, 0, &[0; 8]),
            Malformed::FirstFrame(kind::PING),
        ),
        (
            &frame(kind::SETTINGS, flag::ACK, 0, b""),
            Malformed::FirstFrame(kind::SETTINGS),
        ),
        (
            &goaway(0, Code::NO_ERROR),
            Malformed::FirstFrame(kind::GOAWAY),
        ),
    ] {
        let mut connection = Connection::new(&[template("GET")], 4);
        assert_eq!(connection.read(bytes), Err(expected));
        assert_eq!(connection.out, goaway(0, Code::PROTOCOL_ERROR));
        assert!(expected.to_string().contains("HTTP/2"), "{expected}");
    }
}
