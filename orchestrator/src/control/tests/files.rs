//! Files that documents name: asked for by drivers, waited for by the trigger, kept while a kept test
//! names them.

use proto::digest::Sha256;
use proto::document::{Document, Reference, Setting};
use proto::message::Need;

use super::*;

fn file(name: &str) -> Reference {
    Reference {
        sha256: Sha256::of(name.as_bytes()),
        bytes: 1000,
        rows: None,
    }
}

impl World {
    /// Creates a test that names a file.
    fn compose(&mut self, test_id: &str, name: &str) {
        let text = "target: http://127.0.0.1/\ndata: {u: {file: u.csv, pick: unique}}\n\
            steps: [GET /$u.id]\nload: {closed: 1, sessions: 4}\n";
        let document = Document::read(text, Setting::default()).unwrap();
        let document = document.with_reference("u.csv", file(name));
        let reply = self.command(Command::Compose {
            test_id: test_id.to_owned(),
            document: Box::new(document),
            queue: false,
        });
        assert!(matches!(reply, Some(Reply::Created { .. })), "{reply:?}");
    }

    /// A driver prepares a test, and has so much of its file.
    fn lacks(&mut self, driver: &str, test_id: &str, from: u64) {
        let mut message = heartbeat(driver, Some(NodeState::Preparing), Some(test_id));
        let Reference { sha256, bytes, .. } = file(test_id);
        message.needs = vec![Need {
            sha256,
            bytes,
            from,
        }];
        self.event(Event::Heartbeat(message));
    }
}

#[test]
fn what_a_driver_lacks_is_sent_to_it_until_it_lacks_it_no_more() {
    let mut world = World::with(&["a"]);
    world.compose("t", "t");
    world.lacks("a", "t", 0);
    world.lacks("a", "t", 500);
    world.beat("a", NodeState::Preparing, Some("t"));
    world.beat("a", NodeState::Ready, Some("t"));
    let from = |asked: &Asked| asked.needs.iter().map(|need| need.from).collect();
    let asked: Vec<Vec<u64>> = world.asked.iter().map(from).collect();
    assert_eq!(asked, [vec![0], vec![500], vec![]]);
    assert!(world.asked.iter().all(|asked| asked.node_id == "a"));
}

#[test]
fn a_test_starts_with_all_of_its_drivers_however_long_their_files_take() {
    let mut world = World::with(&["a", "b"]);
    world.compose("t", "t");
    assert_eq!(world.trigger("t"), None);
    let ticket = world.tickets;
    for second in 0..100 {
        world.beat("a", NodeState::Ready, Some("t"));
        world.lacks("b", "t", second * 10);
        world.pulse();
    }
    assert!(world.triggers().is_empty(), "b is waited for");
    let queued = world.reply(ticket).unwrap();
    assert!(
        matches!(
            queued,
            Reply::Queued {
                running: None,
                position: 1,
                ..
            }
        ),
        "{queued:?}"
    );
    let row = world.seen().row("t").unwrap().clone();
    let reason = row.queue_reason.clone().unwrap();
    assert!(reason.contains("b: it has 0.0 of the 0.0 MB"), "{reason}");
    assert_eq!(row.files, [file("t").sha256]);
    // Killed and started again, it goes on waiting.
    world.restart();
    for _ in 0..8 {
        world.beat("a", NodeState::Ready, Some("t"));
        world.lacks("b", "t", 1000);
        world.pulse();
    }
    assert!(world.triggers().is_empty());
    let ready = [
        ("a", NodeState::Ready, Some("t")),
        ("b", NodeState::Ready, Some("t")),
    ];
    world.seconds(2, &ready);
    let trigger = world.triggers().pop().unwrap();
    assert_eq!(trigger.participants.unwrap(), ["a", "b"]);
}

#[test]
fn a_driver_whose_file_does_not_come_is_left_out_in_words() {
    let mut world = World::with(&["a", "b"]);
    world.compose("t", "t");
    world.trigger("t");
    for _ in 0..10 {
        world.beat("a", NodeState::Ready, Some("t"));
        world.lacks("b", "t", 10);
        world.pulse();
    }
    let states = [
        ("a", NodeState::Ready, Some("t")),
        ("b", NodeState::Failed, Some("t")),
    ];
    world.seconds(2, &states);
    let trigger = world.triggers().remove(0);
    assert_eq!(trigger.participants.unwrap(), ["a"]);
    assert_eq!(world.runs["t"].0.excluded["b"], "connection refused");
}

#[test]
fn files_that_no_test_names_go_first_and_those_just_uploaded_stay() {
    let mut world = World::with(&["a"]);
    world.state.settings.retention_bytes = 5_000;
    world.compose("named", "named");
    let kept = |name: &str, used_unix_ms| KeptFile {
        sha256: file(name).sha256,
        bytes: 1000,
        used_unix_ms,
    };
    let now_ms = world.now_ms;
    let files = vec![
        kept("named", 1),
        kept("oldest", 2),
        kept("old", 3),
        kept("older", 4),
        kept("new", now_ms),
    ];
    world.event(Event::StoreUsed(0, files.clone()));
    assert!(world.removed.is_empty());
    world.event(Event::StoreUsed(1_500, files.clone()));
    assert_eq!(world.removed, [file("oldest").sha256, file("old").sha256]);
    world.removed.clear();
    world.event(Event::StoreUsed(1_000_000, files));
    assert_eq!(
        world.removed.len(),
        3,
        "all but the named one and the new one"
    );
}
