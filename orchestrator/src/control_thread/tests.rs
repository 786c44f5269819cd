//! What the thread does with commands.

use std::path::Path;

use crossbeam_channel::unbounded;
use proto::bus::BusSettings;

use super::*;
use crate::control::{Restored, Settings};

fn thread(folder: &Path) -> (ControlThread, Handle) {
    let settings = Settings {
        node_id: "orchestrator".into(),
        default_target: "http://127.0.0.1:8000/".into(),
        retention_tests: 0,
        retention_ms: 0,
        retention_bytes: 0,
    };
    let control = Control::restore(settings, Restored::default(), now());
    let store = Store::open(&folder.join("o.sqlite")).unwrap();
    let bus = BusSettings::new("127.0.0.1:1", "test", &[]).unwrap();
    let publisher = Publisher::new(&bus).unwrap();
    let (_, batches) = bounded(1);
    let (raw, _) = unbounded();
    let reading = Reading { batches, raw };
    let stop = Arc::default();
    let files = Arc::new(Files::open(store.path(), 0).unwrap());
    let (asked, _) = bounded(1);
    let data = (files, asked);
    let (thread, handle, _, _) =
        ControlThread::new(control, store, publisher, reading, stop, data).unwrap();
    (thread, handle)
}

#[test]
fn a_command_is_dropped_when_its_client_was_told_that_we_are_busy() {
    let folder = tempfile::tempdir().unwrap();
    let (mut thread, handle) = thread(folder.path());
    let mut ask = |deadline: Instant| {
        let (reply, answer) = bounded(1);
        let test_id = "t".to_owned();
        let request = (Command::Stop { test_id }, Client { reply, deadline });
        handle.requests.send(request).unwrap();
        let actions = thread.take();
        thread.finish(actions);
        answer.try_recv().ok()
    };
    assert_eq!(ask(Instant::now()), None);
    let reply = ask(Instant::now() + REPLY_TIMEOUT);
    assert!(matches!(reply, Some(Reply::Refused(_))), "{reply:?}");
}
