//! The file: what is written is read, and anything else refused.

use std::io::Cursor;

use proptest::prelude::*;

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
    let request = prop_oneof!["(GET|HEAD|POST) /[a-c]?", "GET /[ -~]{0,40}"];
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
