//! A test, from its preparation to its end, on real cores.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::time::{Duration, Instant};

use crossbeam_channel::unbounded;
use proto::document::Params;
use proto::message::TestConfig;
use proto::workload::TestType;
use tempfile::TempDir;

use super::*;
use crate::affinity;

const DEADLINE: Duration = Duration::from_secs(20);

/// A target to which no connection is ever made: its queue is full, and it takes nobody from it.
pub(crate) struct SilentTarget {
    pub(crate) listener: TcpListener,
    _queued: Vec<TcpStream>,
}

pub(crate) fn silent_target() -> SilentTarget {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    let any: std::net::SocketAddr = ([127, 0, 0, 1], 0).into();
    socket.bind(&any.into()).unwrap();
    socket.listen(0).unwrap();
    let listener: TcpListener = socket.into();
    let address = listener.local_addr().unwrap();
    let patience = Duration::from_millis(300);
    let connect = || TcpStream::connect_timeout(&address, patience).ok();
    let queued: Vec<TcpStream> = std::iter::from_fn(connect).take(16).collect();
    assert!(queued.len() < 16, "the queue has no end");
    SilentTarget {
        listener,
        _queued: queued,
    }
}

/// A target that answers each request only after `pause`.
fn slow_target(pause: Duration) -> TcpListener {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = listener.try_clone().unwrap();
    thread::spawn(move || {
        for stream in taken.incoming() {
            let mut stream = stream.unwrap();
            thread::spawn(move || {
                while stream.read(&mut [0; 1024]).is_ok_and(|len| len > 0) {
                    thread::sleep(pause);
                    let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
                    stream.write_all(answer).unwrap();
                }
            });
        }
    });
    listener
}

fn settings(folder: &Path) -> Settings {
    Settings {
        machine: Machine::new(&affinity::allowed()[..1]),
        logs: folder.to_owned(),
        default_target: String::new(),
        secrets: Secrets::default(),
        allow_targets: Vec::new(),
        bus: BusSettings::new("127.0.0.1:9", "test", &[]).unwrap(),
        cache: Cache::new(folder, 0),
    }
}

fn test_thread(
    target: &TcpListener,
    before: Option<JoinHandle<()>>,
) -> (TestThread, Receiver<Inbound>, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let port = target.local_addr().unwrap().port();
    let config = TestConfig {
        test_id: "t".into(),
        test_type: TestType::Tsunami,
        test_message_delay: 1.0,
        message_count_per_driver: 3,
        document: None,
        params: Params {
            target: Some(format!("http://127.0.0.1:{port}/")),
            connections: Some(3),
            burst: Some(1),
            phase: Some(true),
            ..Params::default()
        },
    };
    let settings = settings(folder.path());
    let (sender, events) = unbounded();
    let test = TestThread::prepare(1, &config, &Arc::new(settings), sender, before);
    (test.unwrap(), events, folder)
}

fn next(events: &Receiver<Inbound>) -> TestEvent {
    match events.recv_timeout(DEADLINE).unwrap() {
        Inbound::Test { number: 1, event } => event,
        _ => panic!("not the test's word"),
    }
}

#[test]
fn a_test_that_is_let_go_of_ends_its_preparation() {
    let target = silent_target();
    let (test, _events, _folder) = test_thread(&target.listener, None);
    thread::sleep(Duration::from_millis(300));
    let begin = Instant::now();
    test.release().join().unwrap();
    assert!(
        begin.elapsed() < Duration::from_secs(2),
        "{:?}",
        begin.elapsed()
    );
}

#[test]
fn a_test_prepares_when_the_one_before_has_ended() {
    let target = slow_target(Duration::ZERO);
    let (end, may_end) = bounded::<()>(0);
    let before = thread::spawn(move || may_end.recv().unwrap_or_default());
    let (_test, events, _folder) = test_thread(&target, Some(before));
    assert!(events.recv_timeout(Duration::from_millis(300)).is_err());
    drop(end);
    assert!(matches!(next(&events), TestEvent::Prepared));
}

#[test]
fn the_phases_are_told_when_they_come_and_the_stagger_is_no_skew() {
    const LEAD_NS: u64 = 400_000_000;
    let target = slow_target(Duration::from_millis(300));
    let (mut test, events, _folder) = test_thread(&target, None);
    assert!(matches!(next(&events), TestEvent::Prepared));
    let start_unix_ns = clock::unix_ns() + LEAD_NS;
    test.start(Begin {
        at_unix_ns: Some(start_unix_ns),
        index: 1,
        count: 2,
        clock: None,
    });
    assert!(matches!(next(&events), TestEvent::Started));
    assert!(clock::unix_ns() >= start_unix_ns, "told before it started");
    let (mut last, mut has_drained) = (None, false);
    loop {
        match next(&events) {
            TestEvent::Draining => has_drained = true,
            TestEvent::Report { report, .. } => last = Some(report),
            TestEvent::Ended => break,
            _ => panic!("out of order"),
        }
    }
    assert!(has_drained);
    let last = last.unwrap();
    assert_eq!((last.last, last.counters.ok), (true, 3));
    // The last of three requests is intended 0.5 + 2 s after the common start.
    assert!(
        last.interval_end_ns > 2_800_000_000,
        "{}",
        last.interval_end_ns
    );
    let first_ns = last.first_send_ns.unwrap();
    assert!(
        (0..400_000_000).contains(&first_ns),
        "missed its place by {first_ns} ns"
    );
}

#[test]
fn every_server_of_a_document_has_to_be_allowed_here_too() {
    let folder = tempfile::tempdir().unwrap();
    let mut settings = settings(folder.path());
    settings.allow_targets = vec!["10.0.0.1:81".parse().unwrap()];
    let plan = |port: u16| {
        let source = Source {
            bus: &settings.bus,
            cache: &settings.cache,
            lacks: &|_| panic!("it needs no file"),
            is_stopped: &|| false,
        };
        let document =
            format!("target: http://127.0.0.1:1/\nsteps: [GET /, GET http://10.0.0.1:{port}/x]\n");
        staged::plan(&document, &settings, &source)
    };
    assert_eq!(plan(81).unwrap().targets().len(), 2);
    let words = plan(82).unwrap_err();
    assert!(words.contains("steps[1]: the target 10.0.0.1 "), "{words}");
}
