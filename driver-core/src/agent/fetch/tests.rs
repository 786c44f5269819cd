//! Files over a real topic, from a sender that does what it is told.

use std::cell::{Cell, RefCell};
use std::io::Read;

use proto::bus::{EmbeddedBroker, Publisher};
use proto::clock;
use proto::document::Setting;
use proto::transfer::Sender;

use super::*;

const DEADLINE: Duration = Duration::from_secs(20);

struct Rig {
    _broker: EmbeddedBroker,
    bus: BusSettings,
    publisher: Publisher,
    folder: tempfile::TempDir,
    contents: Vec<Vec<u8>>,
    sender: RefCell<Sender>,
    /// Bytes that were sent, and the number of the chunk whose content is another one.
    sent: Cell<u64>,
    wrong_at: Cell<Option<u64>>,
}

impl Rig {
    fn new(contents: Vec<Vec<u8>>) -> Self {
        let broker = EmbeddedBroker::start().unwrap();
        let bus = BusSettings::new(broker.address(), "test", &[]).unwrap();
        Self {
            publisher: Publisher::new(&bus).unwrap(),
            _broker: broker,
            bus,
            folder: tempfile::tempdir().unwrap(),
            contents,
            sender: RefCell::default(),
            sent: Cell::new(0),
            wrong_at: Cell::new(None),
        }
    }

    fn document(&self) -> Document {
        let name = |number: usize| format!("{number}.bin");
        let numbers = 0..self.contents.len();
        let steps = numbers
            .clone()
            .map(|number| format!("{{POST: /, file: {}}}", name(number)));
        let steps: Vec<String> = steps.collect();
        let text = format!("target: http://127.0.0.1/\nsteps: [{}]\n", steps.join(", "));
        let document = Document::read(&text, Setting::default()).unwrap();
        numbers.fold(document, |document, number| {
            document.with_reference(&name(number), reference(&self.contents[number]))
        })
    }

    /// Sends what is lacking, at once.
    fn send(&self, needs: &[Need]) {
        let mut sender = self.sender.borrow_mut();
        sender.heard("me", needs, |_| true, clock::monotonic_ns());
        while let Some(piece) = sender.next(clock::monotonic_ns()) {
            let of = |content: &&Vec<u8>| Sha256::of(content) == piece.sha256;
            let content = self.contents.iter().find(of).unwrap();
            let at = usize::try_from(piece.offset).unwrap();
            let mut content = content[at..at + usize::try_from(piece.len).unwrap()].to_vec();
            if self.wrong_at.get() == Some(self.sent.get()) {
                content[0] ^= 1;
            }
            self.sent.set(self.sent.get() + piece.len);
            let chunk = Chunk {
                sha256: piece.sha256,
                bytes: piece.bytes,
                offset: piece.offset,
                content: &content,
            };
            let message = chunk.encode();
            self.publisher
                .publish_bytes(Topic::Data, "", &message, 0)
                .unwrap();
        }
        assert!(self.publisher.flush(DEADLINE));
    }

    fn fetch(&self, is_stopped: &dyn Fn() -> bool) -> Result<Files, String> {
        let cache = Cache::new(self.folder.path(), 1 << 30);
        let source = Source {
            bus: &self.bus,
            cache: &cache,
            lacks: &|needs| self.send(&needs),
            is_stopped,
        };
        source.files(&self.document())
    }

    fn assert_fetched(&self, files: &Files) {
        for (number, content) in self.contents.iter().enumerate() {
            let mut read = Vec::new();
            let file = files.get(&format!("{number}.bin")).unwrap();
            file.unwrap().read_to_end(&mut read).unwrap();
            assert!(read == *content, "file {number}");
        }
    }
}

fn reference(content: &[u8]) -> Reference {
    Reference {
        sha256: Sha256::of(content),
        bytes: content.len() as u64,
        rows: None,
    }
}

fn noise(len: u64) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(len);
    (0..len).map(|_| random.u8(..)).collect()
}

#[test]
fn files_come_over_the_topic_and_are_there_the_next_time() {
    let rig = Rig::new(vec![noise(30 * PIECE_LEN + 1), noise(5), Vec::new()]);
    let files = rig.fetch(&|| false).unwrap();
    rig.assert_fetched(&files);
    assert_eq!(rig.sent.get(), 30 * PIECE_LEN + 6);
    let again = rig.fetch(&|| false).unwrap();
    rig.assert_fetched(&again);
    assert_eq!(rig.sent.get(), 30 * PIECE_LEN + 6, "nothing more");
}

#[test]
fn a_chunk_of_another_content_makes_no_file() {
    let rig = Rig::new(vec![noise(3 * PIECE_LEN)]);
    rig.wrong_at.set(Some(PIECE_LEN));
    let files = rig.fetch(&|| false).unwrap();
    rig.assert_fetched(&files);
    assert_eq!(rig.sent.get(), 6 * PIECE_LEN, "all of it came twice");
}

#[test]
fn a_test_that_is_let_go_of_waits_for_no_file() {
    let rig = Rig::new(vec![noise(9)]);
    let began = Instant::now();
    let cache = Cache::new(rig.folder.path(), 1 << 30);
    let source = Source {
        bus: &rig.bus,
        cache: &cache,
        lacks: &|_| {},
        is_stopped: &|| began.elapsed() > Duration::from_millis(300),
    };
    let refused = source.files(&rig.document()).unwrap_err();
    assert!(refused.contains("let go of"), "{refused}");
    assert!(began.elapsed() < DEADLINE);
    let left = std::fs::read_dir(rig.folder.path()).unwrap().count();
    assert_eq!(left, 0, "nothing is left of it");
}
