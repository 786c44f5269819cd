//! Blocks as the RFC shows them, as other implementations write them, and as nobody should.

use httlib_hpack::Encoder;
use proptest::prelude::*;

use super::*;

type List = Vec<(Vec<u8>, Vec<u8>)>;

fn list(decoder: &mut Decoder, block: &[u8]) -> Result<List, Fault> {
    let mut list = Vec::new();
    let mut watch = |name: &[u8], value: &[u8]| list.push((name.to_vec(), value.to_vec()));
    decoder.read::<true>(block, &mut Scratch::default(), &mut watch)?;
    Ok(list)
}

fn status_of(decoder: &mut Decoder, block: &[u8]) -> Result<Option<u16>, Fault> {
    let fields = decoder.read::<false>(block, &mut Scratch::default(), &mut |_, _| {
        panic!("nobody watches");
    })?;
    Ok(fields.status)
}

fn texts(list: &[(Vec<u8>, Vec<u8>)]) -> Vec<String> {
    let text = |(name, value): &(Vec<u8>, Vec<u8>)| {
        let texts = [name, value].map(|bytes| String::from_utf8_lossy(bytes).into_owned());
        texts.join(" ")
    };
    list.iter().map(text).collect()
}

/// A decoder whose peer keeps no table.
fn stateless() -> Decoder {
    let mut decoder = Decoder::new();
    decoder.acknowledged();
    assert_eq!(status_of(&mut decoder, b"\x20\x88"), Ok(Some(200)));
    assert!(decoder.is_stateless());
    decoder
}

/// RFC 7541, C.6: three answers, Huffman, a table of 256 bytes with evictions.
#[test]
fn the_examples_of_the_rfc_are_read() {
    let mut decoder = Decoder::new();
    decoder.table.resize(256);
    let first = b"\x48\x82\x64\x02\x58\x85\xae\xc3\x77\x1a\x4b\x61\x96\xd0\x7a\xbe\x94\x10\x54\xd4\
        \x44\xa8\x20\x05\x95\x04\x0b\x81\x66\xe0\x82\xa6\x2d\x1b\xff\x6e\x91\x9d\x29\xad\x17\x18\
        \x63\xc7\x8f\x0b\x97\xc8\xe9\xae\x82\xae\x43\xd3";
    let date = "date Mon, 21 Oct 2013 20:13:21 GMT";
    let location = "location https://www.example.com";
    let found = list(&mut decoder, first).unwrap();
    assert_eq!(
        texts(&found),
        [":status 302", "cache-control private", date, location]
    );
    assert_eq!(decoder.table.get(65).unwrap().1, b"302");
    let found = list(&mut decoder, b"\x48\x83\x64\x0e\xff\xc1\xc0\xbf").unwrap();
    assert_eq!(
        texts(&found),
        [":status 307", "cache-control private", date, location]
    );
    let third = b"\x88\xc1\x61\x96\xd0\x7a\xbe\x94\x10\x54\xd4\x44\xa8\x20\x05\x95\x04\x0b\x81\x66\
        \xe0\x84\xa6\x2d\x1b\xff\xc0\x5a\x83\x9b\xd9\xab\x77\xad\x94\xe7\x82\x1d\xd7\xf2\xe6\xc7\
        \xb3\x35\xdf\xdf\xcd\x5b\x39\x60\xd5\xaf\x27\x08\x7f\x36\x72\xc1\xab\x27\x0f\xb5\x29\x1f\
        \x95\x87\x31\x60\x65\xc0\x03\xed\x4e\xe5\xb1\x06\x3d\x50\x07";
    let found = texts(&list(&mut decoder, third).unwrap());
    assert_eq!(found[0], ":status 200");
    assert_eq!(found[4], "content-encoding gzip");
    assert!(found[5].starts_with("set-cookie foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600"));
    assert_eq!(decoder.table.size, 215);
    assert!(decoder.table.get(65).is_none(), "three entries are left");
}

#[test]
fn a_status_is_read_however_it_is_written() {
    for (block, status) in [
        (&b"\x88"[..], Some(200)),
        (b"\x8e\x5c\x01\x30", Some(500)),
        (b"\x0e\x03418", Some(418)),
        (b"\x48\x82\x64\x02", Some(302)),
        (b"\x08\x82\x10\x03", Some(201)),
        (b"\x18\x03599", Some(599)),
        (b"\x00\x07:status\x03204", Some(204)),
        (b"\x5c\x01\x30\x88", None), // not the first
        (b"\x08\x0220", None),
        (b"\x08\x03099", None),
        (b"\x08\x042000", None),
        (b"\x08\x03+20", None),
        (b"", None),
    ] {
        let fresh = Decoder::new();
        for mut decoder in [fresh, stateless()] {
            assert_eq!(status_of(&mut decoder, block), Ok(status), "{block:x?}");
        }
    }
}

#[test]
fn a_status_of_the_dynamic_table_is_read_by_its_index() {
    let mut decoder = Decoder::new();
    assert_eq!(
        status_of(&mut decoder, b"\x48\x03418\x5c\x015"),
        Ok(Some(418))
    );
    assert_eq!(status_of(&mut decoder, b"\xbf\xbe"), Ok(Some(418)));
    assert_eq!(status_of(&mut decoder, b"\x7f\x00\x03503"), Ok(Some(503)));
}

#[test]
fn blocks_that_are_none_are_refused() {
    for block in [
        &b"\x80"[..], // index 0
        b"\xbe",      // the first dynamic entry, of none
        b"\xff\x80\x80\x80\x80\x01",
        b"\xff",                                         // a number without its end
        b"\x0f\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", // a number of 63 bits
        b"\x08",                                         // no value
        b"\x08\x05123",                                  // a value that is cut off
        b"\x00",                                         // no name
        b"\x08\x82\xff\xff",                             // Huffman: padding of more than seven bits
        b"\x3f\xe2\x1f",                                 // a table of 4097
        b"\x88\x20",                                     // a size after a field
    ] {
        let mut decoder = Decoder::new();
        assert_eq!(
            status_of(&mut decoder, block),
            Err(Fault::Compression),
            "{block:x?}"
        );
    }
    let mut decoder = stateless();
    assert_eq!(
        status_of(&mut decoder, b"\x21\x88"),
        Err(Fault::Compression)
    );
}

#[test]
fn a_small_block_that_stands_for_much_is_refused() {
    let mut decoder = Decoder::new();
    let mut block = b"\x88\x40\x01a\x7f\xe1\x1e".to_vec();
    block.extend([b'v'; 4064]);
    // The second entry, of 4096 bytes with name and overhead, a thousand times.
    assert_eq!(list(&mut decoder, &[0x88]).unwrap().len(), 1);
    let value_len = 4096 - 32 - 1;
    block.clear();
    block.extend(b"\x88\x40\x01a");
    write_number(0, 7, value_len, &mut block);
    block.extend(std::iter::repeat_n(b'v', value_len));
    block.extend([0xbe; 1000]);
    assert_eq!(status_of(&mut decoder, &block), Err(Fault::TooLong));
}

#[test]
fn numbers_read_as_they_are_written() {
    for bits in 4..=7 {
        for number_in in [
            0,
            1,
            14,
            15,
            16,
            126,
            127,
            128,
            254,
            255,
            256,
            16_383,
            65_536,
            1 << 20,
        ] {
            let mut bytes = Vec::new();
            write_number(0, bits, number_in, &mut bytes);
            bytes.push(7);
            let mut rest = &bytes[..];
            assert_eq!(number(&mut rest, bits), Ok(number_in));
            assert_eq!(rest, [7]);
        }
    }
}

#[test]
fn the_static_table_is_that_of_another_implementation() {
    let decoder = Decoder::new();
    let mut other = httlib_hpack::Decoder::default();
    for index in 1..=61 {
        let mut found = Vec::new();
        other.decode(&mut vec![0x80 | index], &mut found).unwrap();
        let (name, value) = decoder.table.get(usize::from(index)).unwrap();
        assert_eq!((name, value), (&found[0].0[..], &found[0].1[..]));
    }
}

/// A field and how it is to be written.
fn field() -> impl Strategy<Value = (Vec<u8>, Vec<u8>, u8)> {
    let name = prop_oneof![
        Just("content-type".to_owned()),
        Just("date".to_owned()),
        "x-[a-z]{1,6}",
        "[a-z-]{1,40}",
    ];
    let value = prop_oneof![
        Just(Vec::new()),
        "[ -~]{0,30}".prop_map(String::into_bytes),
        prop::collection::vec(any::<u8>(), 0..600),
    ];
    let indexing = prop_oneof![
        Just(Encoder::WITH_INDEXING),
        Just(Encoder::NEVER_INDEXED),
        Just(0),
    ];
    (name, value, indexing, 0..4_u8).prop_map(|(name, value, indexing, huffman)| {
        (
            name.into_bytes(),
            value,
            indexing | huffman | Encoder::BEST_FORMAT,
        )
    })
}

/// The fields of one answer.
fn answer() -> impl Strategy<Value = Vec<(Vec<u8>, Vec<u8>, u8)>> {
    let status = (
        100..=999_u16,
        prop_oneof![Just(Encoder::WITH_INDEXING), Just(0)],
        0..4_u8,
    );
    (status, prop::collection::vec(field(), 0..12)).prop_map(
        |((status, indexing, huffman), rest)| {
            let flags = indexing | huffman | Encoder::BEST_FORMAT;
            let first = (b":status".to_vec(), status.to_string().into_bytes(), flags);
            std::iter::once(first).chain(rest).collect()
        },
    )
}

fn encode(encoder: &mut Encoder<'_>, fields: &[(Vec<u8>, Vec<u8>, u8)]) -> Vec<u8> {
    let mut block = Vec::new();
    for field in fields {
        encoder.encode(field.clone(), &mut block).unwrap();
    }
    block
}

proptest! {
    /// Three ways to read the same connection agree with what another implementation wrote: with
    /// somebody who watches, without, and (table of size 0) without even walking the blocks.
    #[test]
    fn what_another_implementation_encodes_is_read(
        answers in prop::collection::vec(answer(), 1..8),
        size in prop_oneof![Just(0_u32), Just(64), Just(300), Just(4096)],
    ) {
        let mut encoder = Encoder::with_dynamic_size(4096);
        let (mut watched, mut unwatched) = (Decoder::new(), Decoder::new());
        let mut sizes = Vec::new();
        encoder.update_max_dynamic_size(size, &mut sizes).unwrap();
        if size == 0 {
            watched.acknowledged();
            unwatched.acknowledged();
        }
        for fields in answers {
            let mut block = std::mem::take(&mut sizes);
            block.extend(encode(&mut encoder, &fields));
            let expected: List = fields.iter().map(|(name, value, _)| (name.clone(), value.clone())).collect();
            prop_assert_eq!(list(&mut watched, &block), Ok(expected));
            prop_assert_eq!(status_of(&mut unwatched, &block), Ok(status(&fields[0].1)));
            prop_assert_eq!(unwatched.is_stateless(), size == 0);
            prop_assert_eq!(unwatched.table.size, watched.table.size);
        }
    }

    /// Whatever two implementations both take, they read the same.
    #[test]
    fn any_bytes_read_as_another_implementation_reads_them(
        blocks in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 1..4),
    ) {
        let mut decoder = Decoder::new();
        let mut other = httlib_hpack::Decoder::default();
        for block in blocks {
            let Ok(found) = list(&mut decoder, &block) else { return Ok(()) };
            let mut theirs = Vec::new();
            if other.decode(&mut block.clone(), &mut theirs).is_err() {
                return Ok(());
            }
            let theirs: List = theirs.into_iter().map(|(name, value, _)| (name, value)).collect();
            prop_assert_eq!(found, theirs);
        }
    }
}
