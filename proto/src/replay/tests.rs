//! The file: what is written is read, and anything else refused.

use std::io::Cursor;

use proptest::prelude::*;

use super::block::{PACKED_LEN_MAX, PREFIX_LEN, Prefix, pack};
use super::head::HEAD_LEN;
use super::*;

type Entries = Vec<(i64, String)>;

fn written(entries: &[(i64, String)]) -> Vec<u8> {
    let mut writer = Writer::new(Cursor::new(Vec::new())).unwrap();
    for (at_ns, request) in entries {
        writer.push(*at_ns, request).unwrap();
    }
    let (out, head) = writer.finish(&["TOKEN".to_owned()]).unwrap();
    assert_eq!(head.requests, entries.len() as u64);
    out.into_inner()
}

/// A file whose sums and counts are right, whatever it holds: its only method, and for each block the
/// first instant, its only request, and how many ns after the first the one entry is.
fn by_hand(method: &str, blocks: &[(i64, &[u8], u64)]) -> Vec<u8> {
    let mut packed = Vec::new();
    for (first_ns, request, after_ns) in blocks {
        let (mut requests, mut numbers) = (Vec::new(), Vec::new());
        push_varint(request.len() as u64, &mut requests);
        requests.extend_from_slice(request);
        push_varint(*after_ns, &mut numbers);
        push_varint(0, &mut numbers);
        pack(&mut packed, (1, *first_ns), (1, &requests), &numbers).unwrap();
    }
    let head = Head {
        requests: blocks.len() as u64,
        last_ns: 1000,
        methods: vec![(method.to_owned(), blocks.len() as u64)],
        blocks_end: (HEAD_LEN + packed.len()) as u64,
        blocks: blocks.len() as u64,
        ..Head::default()
    };
    let tail = head.tail();
    let mut bytes = head.to_bytes(tail.as_bytes()).to_vec();
    bytes.extend(packed);
    bytes.extend(tail.into_bytes());
    bytes
}

/// Every entry with its number, and instants from the first.
fn read(bytes: &[u8]) -> Result<Vec<(u64, u64, String)>, ReplayError> {
    let mut reader = Reader::new(Cursor::new(bytes))?;
    reader.check()?;
    let (mut block, mut all) = (Block::default(), Vec::new());
    while reader.next(&mut block)? {
        for number in block.first()..block.end() {
            let entry = block.entry(number).unwrap();
            let method = &reader.head().methods[entry.method].0;
            let path = std::str::from_utf8(entry.path).unwrap();
            all.push((number, entry.at_ns, format!("{method} {path}")));
        }
        assert_eq!(block.entry(block.end()), None);
    }
    Ok(all)
}

fn entries() -> impl Strategy<Value = Entries> {
    let gap = prop_oneof![Just(0), 1..1000_u64, 0..20_000_000_000_u64];
    let request = prop_oneof!["(GET|HEAD|POST) /[a-c]?", "GET /[!-~]{0,40}"];
    let first = -1_000_000_000_000_i64..2_000_000_000_000_000_000;
    (first, prop::collection::vec((gap, request), 1..300)).prop_map(|(first, gaps)| {
        let mut at_ns = first;
        let mut entry = |(gap, request): (u64, String)| {
            at_ns += gap.cast_signed();
            (at_ns, request)
        };
        gaps.into_iter().map(&mut entry).collect()
    })
}

proptest! {
    #[test]
    fn what_is_written_is_read(entries in entries()) {
        let first_ns = entries[0].0;
        let numbered = entries.iter().enumerate();
        let expected: Vec<_> = numbered
            .map(|(n, (at, request))| (n as u64, at.abs_diff(first_ns), request.clone()))
            .collect();
        prop_assert_eq!(read(&written(&entries)).unwrap(), expected);
    }

    #[test]
    fn what_is_cut_or_changed_is_refused(entries in entries(), at in any::<prop::sample::Index>(), bit in 0..8_u8) {
        let whole = written(&entries);
        let at = at.index(whole.len());
        let cut = read(&whole[..at]).unwrap_err();
        prop_assert!(matches!(cut, ReplayError::Other | ReplayError::Length { .. }), "{}", cut);
        let mut changed = whole;
        changed[at] ^= 1 << bit;
        prop_assert!(read(&changed).is_err(), "byte {}", at);
    }

    #[test]
    fn any_bytes_are_read_or_refused(mut bytes in prop::collection::vec(any::<u8>(), 64..400)) {
        bytes[..8].copy_from_slice(b"dltsplay");
        prop_assert!(read(&bytes).is_err());
    }

    #[test]
    fn numbers_of_seven_bits_a_byte_are_exact(number in any::<u64>()) {
        let mut bytes = Vec::new();
        push_varint(number, &mut bytes);
        prop_assert_eq!(take_varint(&mut &bytes[..]), Some(number));
        prop_assert_eq!(take_varint(&mut &bytes[..bytes.len() - 1]), None);
    }
}

#[test]
fn blocks_end_where_they_are_full() {
    let many: Entries = (0..150_000).map(|n| (n, "GET /".to_owned())).collect();
    let reader = Reader::new(Cursor::new(written(&many))).unwrap();
    assert_eq!(reader.head().blocks, 3);
    assert_eq!(reader.head().methods, [("GET".to_owned(), 150_000)]);
    assert_eq!(reader.head().secrets, ["TOKEN"]);
    assert_eq!(reader.head().span_ns(), 149_999);
    // Long requests that all differ: no block holds more of them than it may.
    let long: Entries = (0..1000).map(|n| (n, format!("GET /{n:08000}"))).collect();
    let bytes = written(&long);
    assert_eq!(Reader::new(Cursor::new(&bytes)).unwrap().head().blocks, 8);
    assert_eq!(read(&bytes).unwrap().len(), 1000);
}

#[test]
fn what_is_none_is_said_in_words() {
    let whole = written(&[(7, "GET /".to_owned())]);
    let mut newer = whole.clone();
    newer[8] = 2;
    let mut longer = whole.clone();
    longer.push(0);
    let mut damaged = whole.clone();
    damaged[64 + 30] ^= 1;
    let unfinished = [0; 100].to_vec();
    for (bytes, words) in [
        (b"GET / HTTP/1.1".to_vec(), "no replay"),
        (unfinished, "did not come to an end"),
        (newer, "version 2"),
        (longer, "bytes of"),
        (damaged, "a block is not as it was written"),
    ] {
        let refused = read(&bytes).unwrap_err().to_string();
        assert!(refused.contains(words), "{words}: {refused}");
    }
    assert_eq!(take_varint(&mut &[0xff; 10][..]), None);
}

#[test]
fn what_no_import_writes_is_refused_though_its_sums_are_right() {
    let one = |request: &[u8]| read(&by_hand("GET", &[(0, request, 0)]));
    let long = |len: usize| format!("GET /{}", "a".repeat(len - 5)).into_bytes();
    assert!(one(b"GET /a?b=c%20d&e=$$|~").is_ok());
    assert!(one(&long(REQUEST_LEN_MAX)).is_ok());
    for (request, words) in [
        (&b"GET /\r\nHost: other"[..], "the byte 0x0d"),
        (b"GET /a\nb", "the byte 0x0a"),
        (b"GET /a b", "the byte 0x20"),
        (b"GET /\x7f", "the byte 0x7f"),
        (b"GET /\xc3\xa4", "the byte 0xc3"),
        (b"GET a", "does not begin with /"),
        (b"GET ", "does not begin with /"),
        (b"GET", "without a space"),
        (b"PUT /", "not in the tail"),
        (
            &long(REQUEST_LEN_MAX + 1),
            "32769 bytes, and 32768 are the most",
        ),
        (&long(1 << 20), "1048576 bytes, and 32768 are the most"),
        (&long(4 << 20), "a block cannot be as it says"),
    ] {
        let refused = one(request).unwrap_err().to_string();
        assert!(refused.contains(words), "{words}: {refused}");
    }
    for method in ["", "GE\tT", "G(T", "GET\r"] {
        let request = format!("{method} /");
        assert!(read(&by_hand(method, &[(0, request.as_bytes(), 0)])).is_err());
    }
}

#[test]
fn blocks_are_played_forward_only() {
    let get: &[u8] = b"GET /";
    assert!(read(&by_hand("GET", &[(0, get, 10), (10, get, 0)])).is_ok());
    for blocks in [
        [(20, get, 0), (10, get, 0)],
        // The entry of the first lies behind where the second begins.
        [(0, get, 20), (10, get, 0)],
    ] {
        let refused = read(&by_hand("GET", &blocks)).unwrap_err().to_string();
        let words = "from entry 1 on begins before the one above it ends";
        assert!(refused.contains(words), "{refused}");
    }
}

#[test]
fn no_more_memory_is_taken_than_a_block_can_need() {
    let whole = written(&[(7, "GET /".to_owned())]);
    let mut prefix: [u8; PREFIX_LEN] = whole[HEAD_LEN..][..PREFIX_LEN].try_into().unwrap();
    let mut of = |len: usize| {
        prefix[..4].copy_from_slice(&u32::try_from(len).unwrap().to_le_bytes());
        Prefix::read(&prefix, u64::MAX)
    };
    assert!(of(PACKED_LEN_MAX).is_ok());
    assert!(of(PACKED_LEN_MAX + 1).is_err());
    assert!(of(u32::MAX as usize).is_err());
}

#[test]
fn secrets_are_filled_into_paths_and_instants_paced() {
    let entries = [
        (5, "GET /?a=$secret(TOKEN)&b=$$".to_owned()),
        (15, "GET /plain".to_owned()),
        (25, "GET /?a=$secret(TOKEN)&b=$$".to_owned()),
    ];
    let mut reader = Reader::new(Cursor::new(written(&entries))).unwrap();
    let mut block = Block::default();
    assert!(reader.next(&mut block).unwrap());
    block.pace(|at_ns| at_ns * 2);
    block.fill_in(|path, out| out.extend(path.iter().filter(|byte| **byte != b'$')));
    let at = |number| {
        let entry = block.entry(number).unwrap();
        (entry.at_ns, String::from_utf8(entry.path.to_vec()).unwrap())
    };
    assert_eq!(at(0), (0, "/?a=secret(TOKEN)&b=".to_owned()));
    assert_eq!(at(1), (20, "/plain".to_owned()));
    assert_eq!(at(2), (40, "/?a=secret(TOKEN)&b=".to_owned()));
}
