//! An input as lines with their numbers, in bounded memory whatever is in it; gzip is unpacked.

use std::io::{self, BufRead, BufReader, Read};

use flate2::bufread::MultiGzDecoder;

use super::Desk;

/// Most bytes of a line that are kept; what follows them is skipped.
const LINE_LEN_MAX: usize = 1 << 20;
const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];
const BYTE_ORDER_MARK: [u8; 3] = [0xef, 0xbb, 0xbf];

/// The input itself: unpacked, where it begins as gzip does, and without a byte order mark.
///
/// # Errors
/// Those of reading it.
pub(super) fn unpacked<'i>(input: &'i mut dyn BufRead) -> io::Result<Box<dyn BufRead + 'i>> {
    let is_gzip = input.fill_buf()?.starts_with(&GZIP_MAGIC);
    let mut plain: Box<dyn BufRead + 'i> = if is_gzip {
        Box::new(BufReader::with_capacity(
            64 << 10,
            MultiGzDecoder::new(input),
        ))
    } else {
        Box::new(input)
    };
    // An input that cannot be read says so where it is read.
    if let Ok(begin) = plain.fill_buf()
        && begin.starts_with(&BYTE_ORDER_MARK)
    {
        plain.consume(BYTE_ORDER_MARK.len());
    }
    Ok(plain)
}

/// Lines of an input.
pub(super) struct Lines<'i> {
    input: Box<dyn BufRead + 'i>,
    line: Vec<u8>,
    number: u64,
}

/// Hands every line of an input to `take`; an input that ends early is noted where it does.
///
/// # Errors
/// Those of opening it.
pub(super) fn each<'d>(
    desk: &mut Desk<'d>,
    input: &mut dyn BufRead,
    mut take: impl FnMut(&mut Desk<'d>, &Line<'_>),
) -> io::Result<()> {
    let mut lines = Lines::new(input)?;
    loop {
        match lines.next() {
            Ok(None) => return Ok(()),
            Ok(Some(line)) => take(desk, &line),
            Err(error) => {
                let line = lines.number + 1;
                let kind = "the input ends early";
                desk.notes.left_out(line, kind, &end_of(&error));
                return Ok(());
            }
        }
    }
}

/// A line without its end.
pub(super) struct Line<'l> {
    /// From 1.
    pub(super) number: u64,
    pub(super) bytes: &'l [u8],
    /// Whether it is only the beginning of one that is too long.
    pub(super) is_cut: bool,
}

impl<'i> Lines<'i> {
    pub(super) fn new(input: &'i mut dyn BufRead) -> io::Result<Self> {
        Ok(Self {
            input: unpacked(input)?,
            line: Vec::new(),
            number: 0,
        })
    }

    /// The next line; `None` at the end.
    ///
    /// # Errors
    /// Those of reading, a truncated gzip among them; no line follows one.
    pub(super) fn next(&mut self) -> io::Result<Option<Line<'_>>> {
        self.line.clear();
        let len_max = LINE_LEN_MAX as u64 + 1;
        let read = (&mut self.input)
            .take(len_max)
            .read_until(b'\n', &mut self.line)?;
        if read == 0 {
            return Ok(None);
        }
        self.number += 1;
        let is_whole = self.line.ends_with(b"\n");
        let is_cut = !is_whole && self.line.len() > LINE_LEN_MAX;
        if is_cut {
            self.skip_line()?;
        }
        let bytes = self.line.strip_suffix(b"\n").unwrap_or(&self.line);
        let bytes = bytes.strip_suffix(b"\r").unwrap_or(bytes);
        Ok(Some(Line {
            number: self.number,
            bytes,
            is_cut,
        }))
    }

    fn skip_line(&mut self) -> io::Result<()> {
        loop {
            let some = self.input.fill_buf()?;
            let (len, is_end) = match some.iter().position(|byte| *byte == b'\n') {
                Some(at) => (at + 1, true),
                None => (some.len(), some.is_empty()),
            };
            self.input.consume(len);
            if is_end {
                return Ok(());
            }
        }
    }
}

/// Why an input ends early, in words.
pub(super) fn end_of(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => "the gzip data ends early: it was truncated".to_owned(),
        io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData => {
            format!("the gzip data is damaged ({error})")
        }
        _ => error.to_string(),
    }
}

/// Counts the lines of what is read through it.
pub(super) struct Counted<R> {
    inner: R,
    lines: std::rc::Rc<std::cell::Cell<u64>>,
}

impl<R> Counted<R> {
    /// The reader, and the number of the line that it is in.
    pub(super) fn new(inner: R) -> (Self, std::rc::Rc<std::cell::Cell<u64>>) {
        let lines = std::rc::Rc::new(std::cell::Cell::new(1));
        let shared = std::rc::Rc::clone(&lines);
        (Self { inner, lines }, shared)
    }
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let len = self.inner.read(buffer)?;
        let ends = buffer[..len].iter().filter(|byte| **byte == b'\n');
        self.lines.set(self.lines.get() + ends.count() as u64);
        Ok(len)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    fn all(mut bytes: &[u8]) -> Vec<(u64, usize, bool)> {
        let mut lines = Lines::new(&mut bytes).unwrap();
        let mut out = Vec::new();
        while let Some(line) = lines.next().unwrap() {
            out.push((line.number, line.bytes.len(), line.is_cut));
        }
        out
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn lines_have_numbers_and_no_ends() {
        assert_eq!(
            all(b"\xef\xbb\xbfa\r\n\nbc"),
            [(1, 1, false), (2, 0, false), (3, 2, false)]
        );
        assert_eq!(all(b""), []);
        let mut long = vec![b'x'; 3 << 20];
        long.extend_from_slice(b"\ny\n");
        assert_eq!(all(&long), [(1, (1 << 20) + 1, true), (2, 1, false)]);
    }

    #[test]
    fn gzip_is_unpacked_also_in_members() {
        let mut two = gzip(b"a\nb");
        two.extend(gzip(b"c\nd\n"));
        assert_eq!(all(&two), [(1, 1, false), (2, 2, false), (3, 1, false)]);
    }

    #[test]
    fn a_truncated_gzip_gives_what_it_has_and_then_words() {
        let lines: Vec<String> = (0..10_000).map(|n| format!("line {n}")).collect();
        let text = lines.join("\n");
        let whole = gzip(text.as_bytes());
        let mut half = &whole[..whole.len() / 2];
        let mut lines = Lines::new(&mut half).unwrap();
        let error = loop {
            match lines.next() {
                Ok(Some(_)) => {}
                Ok(None) => panic!("the end of a half is no end"),
                Err(error) => break error,
            }
        };
        assert!(lines.number > 100);
        assert!(end_of(&error).contains("truncated"), "{error}");
    }
}
