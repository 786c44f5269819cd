//! What goes out: the greeting, blocks of fields, bodies under windows, limits obeyed.

use super::*;

const END: u8 = flag::END_HEADERS | flag::END_STREAM;

/// The fields of a block, read by another implementation.
fn fields(block: &[u8]) -> Vec<String> {
    let mut found = Vec::new();
    let mut decoder = httlib_hpack::Decoder::default();
    decoder.decode(&mut block.to_vec(), &mut found).unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    found
        .into_iter()
        .map(|(name, value, _)| format!("{}: {}", text(name), text(value)))
        .collect()
}

#[test]
fn a_connection_begins_with_preface_settings_and_its_window() {
    let mut out = Vec::new();
    let mut http = Http2::new(&[template("GET")], 1).unwrap();
    let state = http.open(0, &mut out);
    let rest = out
        .strip_prefix(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
        .unwrap();
    let sent = frames(rest);
    let heads: Vec<_> = sent.iter().map(|(head, _)| (head.kind, head.id)).collect();
    assert_eq!(heads, [(kind::SETTINGS, 0), (kind::WINDOW_UPDATE, 0)]);
    assert_eq!(
        sent[0].1,
        b"\0\x01\0\0\0\0\0\x02\0\0\0\0\0\x04\x7f\xff\xff\xff"
    );
    assert_eq!(sent[1].1, (0x7fff_ffff_u32 - 65_535).to_be_bytes());
    assert_eq!(http.room(&state), 0, "nothing is known of the peer yet");
}

#[test]
fn a_plain_get_is_twelve_bytes_of_fields() {
    let mut connection = Connection::new(&[template("GET")], 4);
    connection.reads(&settings(&[]));
    assert_eq!(connection.writes(0), 1);
    assert_eq!(connection.writes(0), 3);
    let sent = connection.sent();
    assert_eq!(sent[0].0.kind, kind::SETTINGS);
    assert_eq!((sent[1].0.id, sent[2].0.id), (1, 3));
    assert_eq!(sent[1].0.flags, END);
    assert_eq!(sent[1].1, b"\x82\x86\x84\x01\x07shop:80");
    assert_eq!(sent[1].1, sent[2].1);
}

#[test]
fn fields_are_lower_case_and_host_is_the_authority() {
    let mut all = template("PUT");
    all.is_https = true;
    all.path = Text::fixed("/items/").then_hole(2).then("?all");
    let text = |value: &str| Text::fixed(value);
    all.headers = vec![
        ("Host".to_owned(), text("other")),
        ("Accept-Encoding".to_owned(), text("gzip, deflate")),
        ("Authorization".to_owned(), text("Bearer ").then_hole(3)),
        ("X-Odd".to_owned(), text("")),
        ("TE".to_owned(), text("trailers")),
    ];
    all.body = text("[").then_hole(5).then("]");
    let mut connection = Connection::new(&[all], 4);
    connection.reads(&settings(&[]));
    connection.out.clear();
    connection.writes(0);
    let sent = connection.sent();
    assert_eq!(
        fields(&sent[0].1),
        [
            ":method: PUT",
            ":scheme: https",
            ":path: /items/xx?all",
            ":authority: other",
            "accept-encoding: gzip, deflate",
            "authorization: Bearer xxx",
            "x-odd: ",
            "te: trailers",
            "content-length: 7",
        ]
    );
    assert_eq!(
        (sent[0].0.flags, sent[1].0.flags),
        (flag::END_HEADERS, flag::END_STREAM)
    );
    assert_eq!(
        (sent[1].0.kind, &sent[1].1[..]),
        (kind::DATA, &b"[xxxxx]"[..])
    );
}

#[test]
fn a_body_that_may_be_empty_ends_with_its_fields_when_it_is() {
    for (hole, expected) in [
        (0, vec![END]),
        (1, vec![flag::END_HEADERS, flag::END_STREAM]),
    ] {
        let mut connection = Connection::new(&[with_body(Text::default().then_hole(hole))], 4);
        connection.reads(&settings(&[]));
        connection.out.clear();
        connection.writes(0);
        let flags: Vec<u8> = connection
            .sent()
            .iter()
            .map(|(head, _)| head.flags)
            .collect();
        assert_eq!(flags, expected);
    }
    let mut connection = Connection::new(&[template("POST")], 4);
    connection.reads(&settings(&[]));
    connection.out.clear();
    connection.writes(0);
    let sent = connection.sent();
    assert_eq!(sent[0].0.flags, END);
    assert!(fields(&sent[0].1).contains(&"content-length: 0".to_owned()));
}

#[test]
fn values_of_any_length_are_written_behind_their_length() {
    for length in [0, 1, 126, 127, 128, 254, 255, 16_000, 40_000, 70_000] {
        let mut get = template("GET");
        get.path = Text::fixed("/").then_hole(length);
        get.headers = vec![("x-after".to_owned(), Text::fixed("it"))];
        let mut connection = Connection::new(&[get], 4);
        connection.reads(&settings(&[]));
        connection.out.clear();
        connection.writes(0);
        let sent = connection.sent();
        let block: Vec<u8> = sent
            .iter()
            .flat_map(|(_, payload)| payload.clone())
            .collect();
        let path = format!(":path: /{}", "x".repeat(length));
        assert_eq!(
            fields(&block)[2..],
            [path, ":authority: shop:80".into(), "x-after: it".into()]
        );
    }
}

#[test]
fn a_long_block_is_cut_into_frames_that_the_peer_takes() {
    let mut get = template("GET");
    get.headers = vec![("x-long".to_owned(), Text::fixed("y".repeat(40_000)))];
    let mut connection = Connection::new(&[get], 4);
    connection.reads(&settings(&[]));
    connection.out.clear();
    let key = connection.writes(0);
    let heads = connection.sent_heads();
    let kinds: Vec<_> = heads
        .iter()
        .map(|(kind, id, _, flags)| (*kind, *id, *flags))
        .collect();
    let (headers, more) = (kind::HEADERS, kind::CONTINUATION);
    assert_eq!(
        kinds,
        [
            (headers, key, flag::END_STREAM),
            (more, key, 0),
            (more, key, flag::END_HEADERS)
        ]
    );
    assert!(heads.iter().all(|(_, _, length, _)| *length <= 16_384));
    connection.reads(&settings(&[(5, 50_000)]));
    connection.out.clear();
    connection.writes(0);
    assert_eq!(connection.sent_heads().len(), 1);
}

#[test]
fn requests_that_do_not_fit_http2_are_refused_in_words() {
    for (name, value, words) in [
        (
            "Connection",
            "close",
            "\"connection\" is about an HTTP/1.1 connection",
        ),
        ("Transfer-Encoding", "chunked", "forbidden in HTTP/2"),
        ("TE", "gzip", "may only be \"trailers\""),
    ] {
        let mut get = template("GET");
        get.headers = vec![(name.to_owned(), Text::fixed(value))];
        let refused = Http2::new(&[get], 1).unwrap_err().to_string();
        assert!(refused.contains(words), "{refused}");
    }
    assert_eq!(
        Http2::new(&[template("CONNECT")], 1).unwrap_err(),
        Unfit::Connect
    );
}

#[test]
fn a_body_waits_for_windows_and_goes_on_when_they_grow() {
    let bodies = [
        Text::fixed(vec![b'b'; 100_000]),
        Text::fixed("bb").then_hole(99_996).then("bb"),
    ];
    for body in bodies {
        let mut connection = Connection::new(&[with_body(body)], 10);
        connection.reads(&settings(&[(4, 20_000)]));
        connection.out.clear();
        let key = connection.writes(0);
        let data: Vec<u32> = connection
            .sent_heads()
            .iter()
            .map(|head| head.2)
            .skip(1)
            .collect();
        assert_eq!(data, [16_384, 3_616]);
        assert_eq!(connection.room(), 0, "a body waits");
        // The stream's window grows, then only the connection's is in the way.
        connection.reads(&window_update(key, 70_000));
        let data: Vec<u32> = connection.sent_heads().iter().map(|head| head.2).collect();
        assert_eq!(data, [16_384, 16_384, 12_767]);
        connection.reads(&[window_update(0, 24_465), window_update(0, 1_000_000)].concat());
        let data: Vec<u32> = connection.sent_heads().iter().map(|head| head.2).collect();
        assert_eq!(data, [16_384, 8_081]);
        assert_eq!(connection.room(), 0, "10,000 are left");
        // New settings count for streams that are open.
        connection.reads(&settings(&[(4, 30_000), (5, 20_000)]));
        let sent = connection.sent();
        let lengths: Vec<u32> = sent.iter().map(|(head, _)| head.length).collect();
        assert_eq!(lengths, [0, 10_000]);
        assert_eq!(sent[1].0.flags, flag::END_STREAM);
        assert!(sent[1].1.ends_with(b"bb"));
        assert_eq!(connection.room(), 9);
    }
}

#[test]
fn settings_may_make_a_window_negative() {
    let mut connection = Connection::new(&[with_body(Text::fixed(vec![b'b'; 1000]))], 10);
    connection.reads(&settings(&[(4, 900)]));
    let key = connection.writes(0);
    connection.reads(&settings(&[(4, 100)]));
    connection.out.clear();
    connection.reads(&window_update(key, 800));
    assert_eq!(connection.sent_heads(), []);
    connection.reads(&window_update(key, 60));
    assert_eq!(connection.sent_heads(), [(kind::DATA, key, 60, 0)]);
    connection.reads(&window_update(key, 60));
    assert_eq!(
        connection.sent_heads(),
        [(kind::DATA, key, 40, flag::END_STREAM)]
    );
}

#[test]
fn a_body_that_nobody_reads_any_more_is_not_sent_on() {
    let waiting = || {
        let mut connection = Connection::new(&[with_body(Text::fixed(vec![b'b'; 100_000]))], 10);
        connection.reads(&settings(&[]));
        let key = connection.writes(0);
        assert_eq!(connection.room(), 0);
        connection.out.clear();
        (connection, key)
    };
    // The answer is complete before the request is.
    let (mut connection, key) = waiting();
    connection.reads(&answer(key, b"\x08\x03413"));
    assert_eq!(connection.events(), [Event::Answered(key, 413)]);
    assert_eq!(connection.sent_heads(), [(kind::RST_STREAM, key, 4, 0)]);
    assert_eq!(connection.room(), 10);
    connection.reads(&[window_update(key, 9), rst_stream(key, Code::NO_ERROR)].concat());
    // The peer resets it; we give it up.
    let (mut connection, key) = waiting();
    connection.reads(&rst_stream(key, Code::CANCEL));
    assert_eq!(
        connection.events(),
        [Event::Dropped(key, Dropped::Reset(8))]
    );
    assert_eq!((connection.sent_heads(), connection.room()), (vec![], 10));
    let (mut connection, key) = waiting();
    connection.cancels(key);
    assert_eq!(connection.sent_heads(), [(kind::RST_STREAM, key, 4, 0)]);
    assert_eq!(connection.room(), 10);
    connection.reads(&window_update(0, 1_000_000));
    assert_eq!(connection.sent_heads(), []);
}

#[test]
fn never_more_streams_than_the_peer_allows_even_when_it_thinks_again() {
    let mut connection = Connection::new(&[template("GET")], 100);
    connection.reads(&settings(&[]));
    assert_eq!(connection.room(), 100, "no limit but our own");
    connection.reads(&settings(&[(3, 3)]));
    let keys: Vec<Key> = (0..3).map(|_| connection.writes(0)).collect();
    assert_eq!(connection.room(), 0);
    connection.reads(&settings(&[(3, 1)]));
    connection.reads(&answer(keys[1], b"\x88"));
    assert_eq!(connection.room(), 0);
    connection.reads(&settings(&[(3, 5)]));
    assert_eq!(connection.room(), 3);
    connection.reads(&settings(&[(3, 0)]));
    assert_eq!(connection.room(), 0);
}

#[test]
fn a_peer_with_a_smaller_table_is_told_once_that_we_use_none() {
    let mut connection = Connection::new(&[template("GET")], 10);
    connection.reads(&settings(&[(1, 0)]));
    connection.out.clear();
    connection.writes(0);
    connection.writes(0);
    let sent = connection.sent();
    assert_eq!(sent[0].1, b"\x20\x82\x86\x84\x01\x07shop:80");
    assert_eq!(sent[0].0.flags, END);
    assert_eq!(sent[1].1, b"\x82\x86\x84\x01\x07shop:80");
}

#[test]
fn ids_that_are_used_up_close_the_connection() {
    let mut connection = Connection::with_gets(1);
    connection.state.streams.use_up();
    assert_eq!(connection.room(), 0);
    assert_eq!(connection.read(&answer(1, b"\x88")), Ok(After::Closes));
}
