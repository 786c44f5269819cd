//! What must hold of the messages for any bytes at all: the body of the fuzz target, and of the
//! test that replays its corpus.

use std::fmt;

use crate::codec;
use crate::document::{Document, Node, Setting};
use crate::message::{Control, Heartbeat, Merged, Message, Metrics, Register, TestConfig, Trigger};
use crate::summary::{Absorbed, Context, Plan, Summary};
use crate::topic::Topic;
use crate::transfer::Chunk;
use crate::workload::Workload;

/// Reads `bytes` (after a first one that chooses the topic) as a message; one that is read is
/// written and read again, and put to its use.
///
/// # Panics
/// When what is written is not what was read, when a valid test is not valid at its driver, or when
/// a report is counted twice: a bug.
pub fn check_message(bytes: &[u8]) {
    let Some((choice, bytes)) = bytes.split_first() else {
        return;
    };
    match Topic::ALL[usize::from(*choice) % Topic::ALL.len()] {
        Topic::Register => drop(reread::<Register>(bytes)),
        Topic::TestConfig => reread(bytes).iter().for_each(check_config),
        Topic::Trigger => drop(reread::<Trigger>(bytes)),
        Topic::Metrics => reread(bytes).iter().for_each(check_fold),
        Topic::Heartbeat => drop(reread::<Heartbeat>(bytes)),
        Topic::Control => drop(reread::<Control>(bytes)),
        Topic::Merged => drop(reread::<Merged>(bytes)),
        Topic::Data => {
            if let Ok(chunk) = Chunk::decode(bytes) {
                assert_eq!(chunk.encode(), bytes, "not what was written");
            }
        }
    }
}

/// Reads `bytes` as the text of a document; one that is read is kept and read again.
///
/// # Panics
/// When what is kept is another document: a bug.
pub fn check_document(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    let read = |text: &str| Document::read(text, Setting::default());
    if let Ok(document) = read(text) {
        let again = read(&document.to_json());
        assert_eq!(again.as_ref(), Ok(&document), "not what was read");
        assert!(Node::read(&document.to_masked_json()).is_ok(), "no YAML");
    }
}

fn reread<T: Message + PartialEq + fmt::Debug>(bytes: &[u8]) -> Option<T> {
    let message: T = codec::decode(&mut bytes.to_vec()).ok()?;
    let again = codec::decode(&mut codec::encode(&message));
    assert_eq!(again.ok().as_ref(), Some(&message), "not what was written");
    Some(message)
}

fn check_config(config: &TestConfig) {
    let target = "http://127.0.0.1:8000/";
    if let Ok(workload) = Workload::from_config(config, target) {
        let published = workload.to_config(&config.test_id);
        let at_driver = Workload::from_config(&published, target);
        assert_eq!(at_driver.ok(), Some(workload), "another one at its driver");
    }
}

fn check_fold(metrics: &Metrics) {
    let context = Context {
        test_id: &metrics.test_id,
        test_type: "AVALANCHE",
        state: "running",
        closed_loop: true,
        in_flight: None,
        level_load: true,
        ended: false,
        plan: Plan::Unknown,
        expected: std::slice::from_ref(&metrics.node_id),
        document: None,
        warmup_ns: 0,
        rates: &[],
        aborted_by: None,
        thresholds: &[],
        series_from: 0,
    };
    let mut summary = Summary::default();
    summary.absorb(metrics);
    let once = summary.result(&context);
    assert_ne!(summary.absorb(metrics), Absorbed::New, "counted twice");
    assert_eq!(summary.result(&context), once);
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    fn replay(corpus: &str, check: fn(&[u8])) {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let directory = root.join("fuzz/corpus").join(corpus);
        let files: Vec<_> = std::fs::read_dir(&directory).unwrap().collect();
        assert!(files.len() >= 5, "{} files of {corpus}", files.len());
        for file in files {
            check(&std::fs::read(file.unwrap().path()).unwrap());
        }
    }

    #[test]
    fn the_corpus_of_messages_holds() {
        replay("message", super::check_message);
    }

    #[test]
    fn the_corpus_of_documents_holds() {
        replay("document", super::check_document);
    }
}
