//! The memo says what the parser says, whatever heads come in whatever order.

use proptest::prelude::*;

use super::*;

fn parsed(bytes: &[u8]) -> Result<Option<(usize, Head)>, Malformed> {
    parse_head(bytes)
}

/// Values of fields, usual and odd.
fn value() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        8 => "[ -~]{0,40}".prop_map(String::into_bytes),
        1 => prop::collection::vec(any::<u8>(), 0..20),
        1 => "[ \t]{0,3}[a-z]{0,9}\r\n[ \t]{1,2}[a-z,0-9]{0,3}".prop_map(String::into_bytes),
        1 => "[a-z]{0,4}\t[a-z]{0,4}(\n|\r|\r\n)?".prop_map(String::into_bytes),
    ]
}

/// Values of a length: mostly numbers, of which the memo reads one.
fn length() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        8 => "(0|5|05|[1-9][0-9]{0,4})".prop_map(String::into_bytes),
        1 => "([0-9]{18,22}|5, 5|5,6|-1|x|)".prop_map(String::into_bytes),
        1 => "[0-9]?\r\n[ ,]{1,2}[0-9]?".prop_map(String::into_bytes),
    ]
}

fn field() -> impl Strategy<Value = Vec<u8>> {
    let free = (
        prop::sample::select(vec!["Date", "ETag", "X-Id", "connectio", "Date "]),
        value(),
    );
    let length = (
        prop::sample::select(vec!["Content-Length", "content-length"]),
        length(),
    );
    let framing = (
        prop::sample::select(vec!["Transfer-Encoding", "Connection"]),
        prop::sample::select(vec!["chunked", "gzip", "identity", "close", "keep-alive"])
            .prop_map(|text| text.as_bytes().to_vec()),
    );
    let end = prop_oneof![9 => Just("\r\n"), 1 => Just("\n")];
    let one = prop_oneof![4 => free, 3 => length, 1 => framing];
    (one, "[ ]{0,2}", end).prop_map(|((name, value), space, end)| {
        [
            name.as_bytes(),
            b":",
            space.as_bytes(),
            &value,
            end.as_bytes(),
        ]
        .concat()
    })
}

/// Heads of few shapes and many values, so that templates are met, widened and missed.
fn head() -> impl Strategy<Value = Vec<u8>> {
    let status = prop::sample::select(vec![
        "HTTP/1.1 200 OK\r\n",
        "HTTP/1.1 200 A: b\r\n",
        "\r\nHTTP/1.1 200 A: b\r\n",
        "\r\nHTTP/1.1 200 A: c\r\n",
        "HTTP/1.1 204 None\r\n",
        "HTTP/1.0 200 OK\n",
        "HTTP/1.1 103 Early\r\n",
    ]);
    let fields = prop::collection::vec(field(), 0..4);
    let end = prop_oneof![9 => Just("\r\n"), 1 => Just("\n"), 1 => Just("")];
    (status, fields, end, "[a-z]{0,3}").prop_map(|(status, fields, end, body)| {
        [
            status.as_bytes(),
            &fields.concat(),
            end.as_bytes(),
            body.as_bytes(),
        ]
        .concat()
    })
}

/// The same head with other values in some of its places.
fn variants() -> impl Strategy<Value = Vec<Vec<u8>>> {
    let names = ["Date", "Content-Length", "X-Id", "ETag"];
    let values = prop::collection::vec((value(), length()), 4);
    (prop::collection::vec(values, 2..12), 1..=names.len()).prop_map(move |(sets, fields)| {
        let one = |set: &Vec<(Vec<u8>, Vec<u8>)>| {
            let mut bytes = b"HTTP/1.1 200 OK\r\n".to_vec();
            for (name, (value, length)) in names.iter().zip(set).take(fields) {
                let value = if *name == "Content-Length" {
                    length
                } else {
                    value
                };
                bytes.extend([name.as_bytes(), b": ", value, b"\r\n"].concat());
            }
            bytes.extend(b"\r\nbody");
            bytes
        };
        sets.iter().map(one).collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, ..ProptestConfig::default() })]

    #[test]
    fn the_memo_says_what_the_parser_says(
        heads in prop_oneof![prop::collection::vec(head(), 1..30), variants()],
        cut in any::<usize>(),
        damage in prop::option::weighted(0.2, (any::<usize>(), any::<usize>(), any::<u8>())),
    ) {
        let mut heads = heads;
        if let Some((which, at, byte)) = damage {
            let which = which % heads.len();
            let at = at % heads[which].len();
            heads[which][at] = byte;
        }
        let mut memo = HeadMemo::new(Asked::default());
        // Twice over, so that everything that can be remembered is met again.
        for bytes in heads.iter().chain(&heads) {
            prop_assert_eq!(memo.read(bytes), parsed(bytes), "{:?}", String::from_utf8_lossy(bytes));
            let start = &bytes[..cut % (bytes.len() + 1)];
            prop_assert_eq!(memo.read(start), parsed(start), "{:?}", String::from_utf8_lossy(start));
        }
    }

    #[test]
    fn the_bytes_of_a_value_are_told_from_others(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
        let is_value = |byte: &u8| *byte == b'\t' || *byte >= b' ' && *byte != 0x7f;
        let expected = bytes.iter().take_while(|byte| is_value(byte)).count();
        prop_assert_eq!(value_length(&bytes), expected);
    }
}

#[test]
fn every_byte_of_a_value_is_known_for_what_it_is() {
    for byte in 0..=u8::MAX {
        let is_value = byte == b'\t' || byte >= b' ' && byte != 0x7f;
        for at in 0..9 {
            let mut bytes = [b'x'; 17];
            bytes[at] = byte;
            let expected = if is_value { bytes.len() } else { at };
            assert_eq!(value_length(&bytes), expected, "{byte:#x} at {at}");
            // As the parser sees it.
            let head = [b"HTTP/1.1 200 OK\r\nA: ", &bytes[..], b"\r\n\r\n"].concat();
            let is_head = parsed(&head).is_ok();
            assert!(
                is_head == is_value || matches!(byte, b'\n' | b'\r'),
                "{byte:#x}"
            );
        }
    }
}

/// Whether the templates know this head, so that nothing is parsed.
fn knows(memo: &mut HeadMemo, bytes: &[u8]) -> bool {
    let mut templates = memo.templates.iter_mut();
    templates.any(|template| template.recall(bytes).is_some())
}

#[test]
fn a_value_that_is_new_each_time_is_not_parsed_from_the_second_on() {
    let head = |id: &str, length: u32| {
        format!("HTTP/1.1 200 OK\r\nX-Id: {id}\r\nContent-Length: {length}\r\n\r\n")
    };
    let mut memo = HeadMemo::new(Asked::default());
    for (id, length) in [("a", 1), ("bcd", 20)] {
        assert!(!knows(&mut memo, head(id, length).as_bytes()));
        memo.read(head(id, length).as_bytes()).unwrap();
    }
    for (id, length) in [("", 3), ("x".repeat(500).as_str(), 4_000_000), ("e", 0)] {
        let text = head(id, length);
        assert!(knows(&mut memo, text.as_bytes()), "{text}");
        assert_eq!(memo.read(text.as_bytes()), parsed(text.as_bytes()));
    }
    let other = head("f", 7).replace("X-Id", "Y-Id");
    assert!(!knows(&mut memo, other.as_bytes()));
}

#[test]
fn interim_answers_evict_nothing() {
    let heads = [
        "HTTP/1.1 100 Continue\r\n\r\n",
        "HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n",
    ];
    let mut memo = HeadMemo::new(Asked::default());
    for text in heads {
        memo.read(text.as_bytes()).unwrap();
    }
    for text in heads {
        assert!(knows(&mut memo, text.as_bytes()), "{text}");
    }
}

#[test]
fn nothing_is_remembered_of_a_head_that_is_too_long() {
    let text = format!("HTTP/1.1 204 No\r\nA: {}\r\n\r\n", "x".repeat(MEMO_LEN_MAX));
    let mut memo = HeadMemo::new(Asked::default());
    memo.read(text.as_bytes()).unwrap();
    assert!(!knows(&mut memo, text.as_bytes()));
}

#[test]
fn a_length_that_goes_on_in_the_next_line_is_not_taken_from_its_own_line() {
    let head = |first: &str| format!("HTTP/1.1 200 OK\r\nContent-Length: {first}\r\n ,5\r\n\r\n");
    let mut memo = HeadMemo::new(Asked::default());
    for first in ["5", "05", "005"] {
        assert!(memo.read(head(first).as_bytes()).unwrap().is_some());
    }
    let read = memo.read(head("6").as_bytes());
    assert_eq!(read, Err(Malformed::ContentLength));
}

#[test]
fn nothing_varies_in_a_status_line() {
    let mut memo = HeadMemo::new(Asked::default());
    for before in ["", "\r\n"] {
        let head = |reason: &str| format!("{before}HTTP/1.1 204 A: {reason}\r\n\r\n");
        memo.read(head("b").as_bytes()).unwrap();
        memo.read(head("c").as_bytes()).unwrap();
        assert!(!knows(&mut memo, head("d").as_bytes()));
    }
}
