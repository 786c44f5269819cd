//! What comes in: answers in every shape, resets, the end of a connection in good order.

use proptest::prelude::*;

use super::super::fuzzing::Heard;
use super::*;
use crate::protocol::{Fields, Watches};

const HEADERS: u8 = kind::HEADERS;
const DATA: u8 = kind::DATA;
const END_HEADERS: u8 = flag::END_HEADERS;
const END_STREAM: u8 = flag::END_STREAM;

fn answered(key: Key) -> Event {
    Event::Answered(key, 200)
}

#[test]
fn answers_come_in_any_order_and_in_every_shape() {
    let mut connection = Connection::with_gets(9);
    let bytes = [
        answer(5, b"\x89"),
        frame(HEADERS, END_HEADERS, 1, b"\x88"),
        frame(HEADERS, END_HEADERS, 3, b"\x88"),
        frame(DATA, 0, 3, b"two "),
        frame(DATA, END_STREAM, 1, b"one"),
        frame(DATA, 0, 3, b""),
        frame(DATA, END_STREAM, 3, b"parts"),
        // Padding: two bytes, all of it, and priority.
        frame(
            HEADERS,
            END_HEADERS | flag::PADDED | flag::PRIORITY,
            7,
            b"\x02\0\0\0\0\x10\x88\0\0",
        ),
        frame(DATA, flag::PADDED, 7, b"\x02hi\0\0"),
        frame(DATA, flag::PADDED | END_STREAM, 7, b"\x02\0\0"),
        // Interim answers, trailers, an end without data.
        frame(HEADERS, END_HEADERS, 9, b"\x08\x03103"),
        frame(HEADERS, END_HEADERS, 9, b"\x08\x03100"),
        frame(HEADERS, END_HEADERS, 9, b"\x08\x03201"),
        frame(DATA, 0, 9, b"x"),
        answer(9, b"\x00\x07x-grade\x01a"),
        frame(HEADERS, END_HEADERS, 11, b"\x88"),
        frame(DATA, END_STREAM, 11, b""),
        // Three frames of fields, of which one has nothing.
        frame(HEADERS, END_STREAM, 13, b"\x08"),
        frame(kind::CONTINUATION, 0, 13, b""),
        frame(kind::CONTINUATION, 0, 13, b"\x0340"),
        frame(kind::CONTINUATION, END_HEADERS, 13, b"4"),
        // What nobody needs.
        frame(0x42, 0xff, 77, b"grease"),
        frame(kind::PRIORITY, 0, 999, &[0; 5]),
        frame(kind::PING, 0, 0, b"12345678"),
        frame(kind::PING, flag::ACK, 0, b"12345678"),
        window_update(0, 5),
        window_update(5, 5),
        frame(kind::SETTINGS, flag::ACK, 0, b""),
    ]
    .concat();
    let told = [
        Event::Answered(5, 204),
        answered(1),
        answered(3),
        answered(7),
        Event::Answered(9, 201),
        answered(11),
        Event::Answered(13, 404),
    ];
    connection.reads(&bytes);
    assert_eq!(connection.events(), told);
    assert_eq!(connection.listener.open, [15, 17].map(|key| key));
    assert!(connection.listener.begun.len() <= 7);
    assert_eq!(connection.out, frame(kind::PING, flag::ACK, 0, b"12345678"));
    for length in [1, 2, 7, 10] {
        let mut split = Connection::with_gets(9);
        bytes.chunks(length).for_each(|piece| split.reads(piece));
        assert_eq!(split.events(), told);
    }
}

#[test]
fn the_first_byte_of_an_answer_is_told_when_its_end_comes_later() {
    let mut connection = Connection::with_gets(3);
    connection.reads(&frame(HEADERS, END_HEADERS, 1, b"\x08\x03100"));
    assert_eq!(connection.listener.begun, [1]);
    connection.reads(&frame(HEADERS, END_HEADERS, 1, b"\x88"));
    let whole = [
        frame(HEADERS, END_HEADERS, 3, b"\x88"),
        frame(DATA, END_STREAM, 3, b"x"),
    ];
    connection.reads(&whole.concat());
    connection.reads(&frame(HEADERS, END_HEADERS, 5, b"\x88"));
    assert_eq!(connection.listener.begun, [1, 5]);
    assert_eq!(connection.events(), [answered(3)]);
}

/// What one who watches hears of these bytes, which answer a GET.
fn heard(watches: Option<Watches>, bytes: &[Vec<u8>]) -> Heard {
    let mut http = Http2::new(&[template("GET")], 4).unwrap();
    let mut state = http.open(0, &mut Vec::new());
    let mut listener = Listener::<true> {
        watches,
        ..Listener::default()
    };
    let mut out = Vec::new();
    http.read(&mut state, &settings(&[]), &mut out, &mut listener)
        .unwrap();
    let key = http.write(&mut state, 0, &mut |_, _| {}, &mut out);
    listener.open.push(key);
    let bytes = [frame(kind::SETTINGS, flag::ACK, 0, b""), bytes.concat()].concat();
    http.read(&mut state, &bytes, &mut out, &mut listener)
        .unwrap();
    listener.heard
}

#[test]
fn fields_and_bodies_are_told_to_those_who_watch() {
    let bytes = [
        frame(
            HEADERS,
            END_HEADERS,
            1,
            b"\x20\x88\x40\x07x-token\x82\x08\x9d",
        ),
        frame(DATA, flag::PADDED, 1, b"\x01he\0"),
        frame(DATA, 0, 1, b"llo"),
        answer(1, b"\x00\x01t\x01v"),
    ];
    let heard = heard(None, &bytes);
    let fields = "\0\0\0\x01:status: 200\n\0\0\0\x01x-token: 127\n\0\0\0\x01t: v\n";
    assert_eq!(String::from_utf8(heard.fields).unwrap(), fields);
    assert_eq!(heard.bodies, b"hello");
}

#[test]
fn only_what_is_looked_at_is_told() {
    for (fields, told) in [
        (Fields::None, ""),
        (Fields::Cookies, "\0\0\0\x01set-cookie: a=b\n"),
        (
            Fields::All,
            "\0\0\0\x01:status: 200\n\0\0\0\x01set-cookie: a=b\n\0\0\0\x01t: v\n",
        ),
    ] {
        let bytes = [
            frame(HEADERS, END_HEADERS, 1, b"\x88\x0f\x28\x03a=b\0\x01t\x01v"),
            frame(DATA, END_STREAM, 1, b"hello"),
        ];
        let watches = Watches {
            fields,
            body: false,
        };
        let heard = heard(Some(watches), &bytes);
        assert_eq!(String::from_utf8(heard.fields).unwrap(), told);
        assert!(heard.bodies.is_empty());
        assert_eq!(heard.events, [answered(1)]);
    }
}

#[test]
fn a_server_that_ignores_the_table_of_0_is_understood() {
    let mut connection = Connection::with_gets(3);
    let bytes = [
        frame(kind::SETTINGS, flag::ACK, 0, b""),
        answer(1, b"\x48\x03503\x40\x01a\x01b"),
        answer(3, b"\xbf\xbe"),
        answer(5, b"\x88\xbf\xbe"),
    ];
    connection.reads(&bytes.concat());
    let told = [
        Event::Answered(1, 503),
        Event::Answered(3, 503),
        answered(5),
    ];
    assert_eq!(connection.events(), told);
}

#[test]
fn resets_are_told_apart() {
    let mut connection = Connection::with_gets(5);
    let bytes = [
        rst_stream(1, Code::REFUSED_STREAM),
        rst_stream(3, Code(2)),
        frame(HEADERS, END_HEADERS, 5, b"\x88"),
        rst_stream(5, Code::REFUSED_STREAM),
        rst_stream(7, Code::NO_ERROR),
        answer(9, b"\x88"),
        // The rest of the request was not wanted: no loss.
        rst_stream(9, Code::NO_ERROR),
    ];
    connection.reads(&bytes.concat());
    let told = [
        Event::Dropped(1, Dropped::Returned),
        Event::Dropped(3, Dropped::Reset(2)),
        Event::Dropped(5, Dropped::Reset(7)),
        Event::Dropped(7, Dropped::Reset(0)),
        answered(9),
    ];
    assert_eq!(connection.events(), told);
    assert_eq!(connection.room(), 100);
}

#[test]
fn goaway_returns_what_was_not_processed_and_awaits_the_rest() {
    let mut connection = Connection::with_gets(5);
    connection.reads(&goaway(0x7fff_ffff, Code::NO_ERROR));
    assert_eq!((connection.events(), connection.room()), (vec![], 0));
    connection.reads(&[answer(3, b"\x88"), goaway(5, Code::NO_ERROR)].concat());
    let returned = |key| Event::Dropped(key, Dropped::Returned);
    assert_eq!(connection.events(), [answered(3), returned(7), returned(9)]);
    // It falls again, and what rises is not believed.
    connection.reads(
        &[
            goaway(1, Code::NO_ERROR),
            goaway(99, Code::ENHANCE_YOUR_CALM),
        ]
        .concat(),
    );
    assert_eq!(connection.events(), [returned(5)]);
    assert_eq!(connection.state.farewell(), Some(Code::ENHANCE_YOUR_CALM));
    assert_eq!(connection.read(&answer(1, b"\x88")), Ok(After::Closes));
    assert_eq!(connection.events(), [answered(1)]);
    assert_eq!(connection.out, b"", "there is nothing to say");
}

#[test]
fn goaway_on_an_idle_connection_closes_it() {
    let mut connection = Connection::with_gets(0);
    assert_eq!(
        connection.read(&goaway(0, Code::NO_ERROR)),
        Ok(After::Closes)
    );
}

#[test]
fn what_is_given_up_may_still_be_answered_and_counts_for_the_window() {
    let mut connection = Connection::with_gets(2);
    connection.reads(&frame(HEADERS, END_HEADERS, 1, b"\x88"));
    connection.cancels(1);
    assert_eq!(connection.sent(), frames(&rst_stream(1, Code::CANCEL)));
    connection.cancels(1);
    assert_eq!(connection.out, b"");
    let before = connection.state.consumed;
    let late = [
        frame(DATA, END_STREAM, 1, b"late"),
        answer(1, b"\x88"),
        answer(3, b"\x88"),
    ];
    connection.reads(&late.concat());
    assert_eq!(connection.events(), [answered(3)]);
    assert_eq!(connection.state.consumed - before, 4);
}

#[test]
fn windows_are_renewed_by_halves() {
    let mut connection = Connection::with_gets(1);
    connection.reads(&frame(HEADERS, END_HEADERS, 1, b"\x88"));
    let data = frame(DATA, 0, 1, &[0; 16_384]);
    let half = (1 << 30) / 16_384;
    (1..half).for_each(|_| connection.reads(&data));
    assert_eq!(connection.out, b"");
    connection.reads(&data);
    let whole = [window_update(0, 1 << 30), window_update(1, 1 << 30)].concat();
    assert_eq!(connection.sent(), frames(&whole));
}

#[test]
fn an_end_is_orderly_between_answers_only() {
    let headers = frame(HEADERS, END_HEADERS, 1, b"\x88");
    let whole = answer(1, b"\x88");
    let endings: [(&[u8], Result<(), Malformed>); 5] = [
        (b"", Ok(())),
        (&whole, Ok(())),
        (&whole[..4], Err(Malformed::Truncated)),
        (&whole[..9], Err(Malformed::Truncated)),
        (&headers, Err(Malformed::Truncated)),
    ];
    for (bytes, expected) in endings {
        let mut connection = Connection::with_gets(2);
        connection.reads(bytes);
        let Connection {
            http,
            state,
            listener,
            ..
        } = &mut connection;
        assert_eq!(http.end(state, listener), expected, "{bytes:x?}");
        assert_eq!(connection.room(), 0);
    }
}

/// Frames as a server may send them for four requests, in good faith or not.
fn stream_of_frames() -> impl Strategy<Value = Vec<u8>> {
    let id = prop_oneof![8 => (0..4_u32).prop_map(|n| 2 * n + 1), 1 => 0..12_u32];
    let block = prop_oneof![
        Just(b"\x88".to_vec()),
        Just(b"\x88\x40\x01a\x01b".to_vec()),
        Just(b"\xbe".to_vec()),
        Just(b"\x20\x8d\x5c\x011".to_vec()),
        Just(b"\x08\x03103".to_vec()),
        prop::collection::vec(any::<u8>(), 0..8),
    ];
    let flags = prop_oneof![Just(4_u8), Just(5), Just(0), Just(1), any::<u8>()];
    let data = prop::collection::vec(0..20_u8, 0..40);
    let one = prop_oneof![
        6 => (flags.clone(), id.clone(), block).prop_map(|(flags, id, block)| frame(HEADERS, flags, id, &block)),
        6 => (flags.clone(), id.clone(), data.clone()).prop_map(|(flags, id, data)| frame(DATA, flags, id, &data)),
        1 => (flags.clone(), id.clone(), data.clone()).prop_map(|(flags, id, data)| frame(9, flags, id, &data)),
        1 => (id.clone(), 0..14_u32).prop_map(|(id, code)| rst_stream(id, Code(code))),
        1 => (0..12_u32, 0..14_u32).prop_map(|(last, code)| goaway(last, Code(code))),
        1 => (1..7_u16, 0..70_000_u32).prop_map(|(setting, value)| settings(&[(setting, value)])),
        1 => (id.clone(), 0..1_000_000_u32).prop_map(|(id, increment)| window_update(id, increment)),
        1 => Just(frame(kind::PING, 0, 0, b"12345678")),
        1 => (any::<u8>(), flags, id, data).prop_map(|(kind, flags, id, data)| frame(kind, flags, id, &data)),
    ];
    prop::collection::vec(one, 0..30).prop_map(|frames| frames.concat())
}

proptest! {
    /// The rules of the fuzz target, over bytes that are nearly right.
    #[test]
    fn any_split_is_understood_alike(choice in any::<u8>(), bytes in stream_of_frames()) {
        check_connection(&[&[choice], &bytes[..]].concat());
    }

    #[test]
    fn garbage_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        check_connection(&bytes);
    }
}

#[test]
fn bad_answers_are_there_as_text_however_they_are_mixed() {
    let mut connection = Connection::with_gets(5);
    let bytes = [
        frame(HEADERS, END_HEADERS, 1, b"\x8d\x0f\x27\x02me"),
        frame(HEADERS, END_HEADERS, 3, b"\x88"),
        // After a change of the table's size, and with a status that no table has.
        frame(HEADERS, END_HEADERS, 5, b"\x20\x08\x03503\x00\x01a\x01b"),
        frame(DATA, 0, 5, b"come "),
        frame(DATA, END_STREAM, 1, b"not here"),
        frame(DATA, flag::PADDED | END_STREAM, 3, b"\x01good\0"),
        frame(HEADERS, END_HEADERS, 7, b"\x8e"),
        frame(DATA, END_STREAM, 5, b"back"),
        frame(kind::RST_STREAM, 0, 7, &[0, 0, 0, 2]),
        answer(9, b"\x8c"),
    ]
    .concat();
    connection.reads(&bytes);
    let texts = std::mem::take(&mut connection.listener.heard.texts);
    let shown: Vec<_> = texts
        .iter()
        .map(|text| String::from_utf8_lossy(text))
        .collect();
    assert_eq!(
        shown,
        [
            "HTTP/2 404\r\nserver: me\r\n\r\nnot here",
            "HTTP/2 503\r\na: b\r\n\r\ncome back",
            "HTTP/2 400\r\n\r\n",
        ]
    );
    assert!(connection.state.texts.is_empty());
}
