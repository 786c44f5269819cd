//! What must hold of the reader for any bytes at all: the body of the fuzz target, and of the test
//! that replays its corpus.

use super::{Answer, Asked, HeadMemo, Malformed, Reader};

/// Reads `bytes` (after a first one that chooses the method and the split) whole and split, and
/// compares.
///
/// # Panics
/// When the answers depend on the split, or the reader makes no progress: a bug.
pub fn check_reader(bytes: &[u8]) {
    let Some((choice, bytes)) = bytes.split_first() else {
        return;
    };
    let asked = Asked {
        bodiless: choice % 2 == 1,
        closes: false,
    };
    let piece = usize::from(choice / 2).max(1);
    let whole = read(asked, bytes.chunks(bytes.len().max(1)));
    for length in [piece, 1] {
        let split = read(asked, bytes.chunks(length));
        assert_eq!(whole.0, split.0, "answers depend on the split");
        assert_eq!(
            whole.1.is_ok(),
            split.1.is_ok(),
            "{:?} or {:?}",
            whole.1,
            split.1
        );
    }
}

/// All answers in these pieces, and how the connection ended.
pub(super) fn read<'a>(
    asked: Asked,
    pieces: impl Iterator<Item = &'a [u8]>,
) -> (Vec<Answer>, Result<(), Malformed>) {
    let (mut reader, mut memo) = (Reader::default(), HeadMemo::new(asked));
    let mut answers = Vec::new();
    for piece in pieces {
        let mut bytes = piece;
        while !bytes.is_empty() {
            match reader.read(&mut memo, bytes) {
                Ok(step) => {
                    assert!(
                        step.used > 0 && step.used <= bytes.len(),
                        "used {}",
                        step.used
                    );
                    assert!(step.answer.is_some() || step.used == bytes.len());
                    answers.extend(step.answer);
                    bytes = &bytes[step.used..];
                }
                Err(malformed) => return (answers, Err(malformed)),
            }
        }
    }
    let end = reader.end().map(|answer| answers.extend(answer));
    (answers, end)
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_corpus_of_the_fuzzer_holds() {
        let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/fuzz/corpus/response");
        let files: Vec<_> = std::fs::read_dir(directory).unwrap().collect();
        assert!(files.len() >= 10, "{} files in {directory}", files.len());
        for file in files {
            super::check_reader(&std::fs::read(file.unwrap().path()).unwrap());
        }
    }
}
