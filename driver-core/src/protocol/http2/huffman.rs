//! The Huffman code of HPACK (RFC 7541, 5.2 and appendix B): decoding.
//!
//! The code is canonical: within a length the codes ascend with the symbols, and each length goes
//! on where the shorter one left off. So the lengths alone say everything, and a code is found by
//! comparing the next 32 bits with the first code that is longer, length by length.

/// The number of symbols: all bytes, and the end of the string, which never occurs in one.
const SYMBOLS: usize = 257;
/// The longest code, in bits.
const BITS_MAX: usize = 30;
/// The end of the string: 30 ones, of which up to seven pad the last byte.
const END: u16 = 256;

/// The length of each symbol's code, in bits.
const LENGTHS: [u8; SYMBOLS] = [
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, // 0x00
    28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 28, // 0x10
    6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6, // 0x20
    5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10, // 0x30
    13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, // 0x40
    7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6, // 0x50
    15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5, // 0x60
    6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28, // 0x70
    20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23, // 0x80
    24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24, // 0x90
    22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23, // 0xa0
    21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23, // 0xb0
    26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25, // 0xc0
    19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27, // 0xd0
    20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23, // 0xe0
    26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26, // 0xf0
    30,
];

/// What decoding needs to know of each length.
struct Code {
    /// One past the last code of this length or shorter, at the top of 32 bits (0 when that is
    /// 2^32: all codes are shorter or as long).
    limits: [u64; BITS_MAX + 1],
    /// The first code of this length.
    firsts: [u32; BITS_MAX + 1],
    /// Where its symbols begin in `symbols`.
    places: [usize; BITS_MAX + 1],
    /// The symbols by length, then by value.
    symbols: [u16; SYMBOLS],
}

static CODE: Code = code();

const fn code() -> Code {
    let mut code = Code {
        limits: [0; BITS_MAX + 1],
        firsts: [0; BITS_MAX + 1],
        places: [0; BITS_MAX + 1],
        symbols: [0; SYMBOLS],
    };
    let (mut length, mut next, mut place) = (1, 0_u32, 0);
    // Loops and `try_from` are not for constants.
    while length <= BITS_MAX {
        next <<= 1;
        code.firsts[length] = next;
        code.places[length] = place;
        let mut symbol = 0_u16;
        while (symbol as usize) < SYMBOLS {
            if LENGTHS[symbol as usize] as usize == length {
                code.symbols[place] = symbol;
                place += 1;
                next += 1;
            }
            symbol += 1;
        }
        code.limits[length] = (next as u64) << (32 - length);
        length += 1;
    }
    assert!(place == SYMBOLS && next == 1 << BITS_MAX, "a whole code");
    code
}

/// Why bytes are no Huffman string: an end within, or padding that is not up to seven ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct BadString;

/// Appends what `coded` stands for.
pub(super) fn decode(coded: &[u8], out: &mut Vec<u8>) -> Result<(), BadString> {
    let mut bytes = coded.iter();
    // The next bits, from the top, and how many there are.
    let (mut bits, mut count) = (0_u64, 0_usize);
    loop {
        while count <= 56 {
            let Some(byte) = bytes.next() else { break };
            bits |= u64::from(*byte) << (56 - count);
            count += 8;
        }
        let Some((symbol, length)) = first(bits, count) else {
            break;
        };
        out.push(u8::try_from(symbol).map_err(|_| BadString)?);
        bits <<= length;
        count -= length;
    }
    let padding = !(u64::MAX >> count);
    if count > 7 || bits != padding {
        return Err(BadString);
    }
    Ok(())
}

/// The symbol that these bits begin with, and the length of its code; `None` when they are too few.
fn first(bits: u64, count: usize) -> Option<(u16, usize)> {
    let top = bits >> 32;
    let length = (5..=BITS_MAX).find(|length| top < CODE.limits[*length])?;
    if length > count {
        return None;
    }
    let code = u32::try_from(top >> (32 - length)).unwrap_or(u32::MAX);
    let place = CODE.places[length] + (code - CODE.firsts[length]) as usize;
    let symbol = CODE.symbols[place];
    (symbol != END || count >= BITS_MAX).then_some((symbol, length))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn decoded(coded: &[u8]) -> Result<Vec<u8>, BadString> {
        let mut out = Vec::new();
        decode(coded, &mut out).map(|()| out)
    }

    #[test]
    fn the_examples_of_the_rfc_are_read() {
        for (coded, text) in [
            (
                &b"\xf1\xe3\xc2\xe5\xf2\x3a\x6b\xa0\xab\x90\xf4\xff"[..],
                "www.example.com",
            ),
            (b"\xa8\xeb\x10\x64\x9c\xbf", "no-cache"),
            (b"\x25\xa8\x49\xe9\x5b\xb8\xe8\xb4\xbf", "custom-value"),
            (b"\x64\x02", "302"),
            (b"", ""),
        ] {
            assert_eq!(decoded(coded).unwrap(), text.as_bytes());
        }
    }

    #[test]
    fn an_end_within_and_wrong_padding_are_refused() {
        for coded in [
            &b"\xff\xff\xff\xff"[..], // the end itself
            b"\xff",                  // eight bits of padding
            b"\x07\xff",              // `0`, then eleven
            b"\x00",                  // `0`, then three zeros
        ] {
            assert_eq!(decoded(coded), Err(BadString), "{coded:x?}");
        }
        assert_eq!(decoded(b"\x07").unwrap(), b"0");
    }

    proptest! {
        #[test]
        fn what_another_implementation_encodes_is_decoded(text in prop::collection::vec(any::<u8>(), 0..200)) {
            let mut coded = Vec::new();
            httlib_huffman::encode(&text, &mut coded).unwrap();
            prop_assert_eq!(decoded(&coded), Ok(text));
        }

        #[test]
        fn any_bytes_are_refused_or_read_as_another_implementation_reads_them(
            coded in prop::collection::vec(any::<u8>(), 0..60),
        ) {
            let Ok(text) = decoded(&coded) else { return Ok(()) };
            let mut again = Vec::new();
            httlib_huffman::encode(&text, &mut again).unwrap();
            prop_assert_eq!(again, coded);
        }
    }
}
