//! What the nodes rely on when the broker is the embedded one.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use proto::bus::{
    BusError, EmbeddedBroker, Event, Publisher, Record, StartAt, Subscriber, ensure_topics, inspect,
};
use proto::clock;
use proto::codec;
use proto::message::{Heartbeat, Role};
use proto::topic::Topic;
use rustix::process::Signal;

use crate::broker_process::{BrokerProcess, command};

/// Long enough for any machine; a test that waits so long has failed.
const DEADLINE: Duration = Duration::from_secs(60);
const TICK: Duration = Duration::from_millis(20);

fn heartbeat(number: u64) -> Heartbeat {
    Heartbeat {
        node_id: "driver-test".into(),
        heartbeat: true,
        timestamp: Some(number.to_string()),
        role: Role::Driver,
        state: None,
        test_id: None,
        reason: None,
        probe: None,
        echo: None,
        incarnation: None,
        wire: None,
        needs: Vec::new(),
    }
}

/// The number that [`heartbeat`] carries.
fn number_of(record: &Record) -> u64 {
    let message: Heartbeat = codec::decode(&mut record.payload.clone()).unwrap();
    message.timestamp.unwrap().parse().unwrap()
}

fn publish(publisher: &Publisher, numbers: std::ops::Range<u64>) {
    for number in numbers {
        publisher
            .publish("driver-test", &heartbeat(number), number)
            .unwrap();
    }
}

/// Polls until `count` deliveries came; the tokens of those that succeeded.
fn delivered(publisher: &Publisher, count: usize) -> BTreeSet<u64> {
    let deadline = Instant::now() + DEADLINE;
    let mut done = Vec::new();
    while done.len() < count {
        assert!(
            Instant::now() < deadline,
            "{} of {count} delivered",
            done.len()
        );
        done.extend(publisher.poll(TICK));
    }
    let arrived = done.into_iter().filter(|delivery| delivery.error.is_none());
    arrived.map(|delivery| delivery.token).collect()
}

/// Polls until `enough` says so; every record so far.
fn read_until(subscriber: &Subscriber, enough: impl Fn(&[Record]) -> bool) -> Vec<Record> {
    let deadline = Instant::now() + DEADLINE;
    let mut records = Vec::new();
    while !enough(&records) {
        assert!(
            Instant::now() < deadline,
            "only {} records came",
            records.len()
        );
        match subscriber.poll(TICK) {
            Some(Event::Record(record)) => records.push(record),
            Some(Event::OffsetLost) => panic!("the broker lost an offset"),
            Some(Event::Trouble(_) | Event::Unreadable(_) | Event::Forbidden(_)) | None => {}
        }
    }
    records
}

fn next_event(subscriber: &Subscriber, wanted: impl Fn(&Event) -> bool) -> Event {
    let deadline = Instant::now() + DEADLINE;
    while Instant::now() < deadline {
        match subscriber.poll(TICK) {
            Some(event) if wanted(&event) => return event,
            _ => {}
        }
    }
    panic!("the event never came")
}

#[test]
fn has_all_topics_and_needs_none_made() {
    let broker = EmbeddedBroker::start().unwrap();
    assert!(broker.identity().is_embedded());
    assert_eq!(broker.identity().topics, Topic::ALL);
    let settings = proto::bus::BusSettings::new(broker.address(), "test", &[]).unwrap();
    let seen = ensure_topics(&settings, DEADLINE).unwrap();
    assert_eq!(&seen, broker.identity());
    assert!(seen.id.is_some());
}

#[test]
fn delivers_in_order_with_the_senders_timestamps() {
    let broker = BrokerProcess::start();
    let subscriber = Subscriber::new(
        &broker.settings(),
        &[(Topic::Heartbeat, StartAt::Beginning)],
    )
    .unwrap();
    let publisher = Publisher::new(&broker.settings()).unwrap();
    let before_ms = i64::try_from(clock::unix_ns() / 1_000_000).unwrap();
    publish(&publisher, 0..200);
    assert_eq!(delivered(&publisher, 200).len(), 200);
    let after_ms = i64::try_from(clock::unix_ns() / 1_000_000).unwrap();

    let records = read_until(&subscriber, |records| records.len() >= 200);
    for (index, record) in records.iter().enumerate() {
        assert_eq!(record.topic, Topic::Heartbeat);
        assert_eq!(usize::try_from(record.offset).unwrap(), index);
        assert_eq!(number_of(record), index as u64);
        let sent_ms = record.timestamp_ms.expect("every message has a timestamp");
        assert!((before_ms..=after_ms).contains(&sent_ms), "{sent_ms}");
    }
    assert_eq!(
        subscriber.bounds(Topic::Heartbeat, DEADLINE).unwrap(),
        (0, 200)
    );
    assert!(!subscriber.health().is_down());
}

#[test]
fn a_tail_begins_that_many_messages_before_the_end_or_at_the_oldest() {
    let broker = BrokerProcess::start();
    let publisher = Publisher::new(&broker.settings()).unwrap();
    publish(&publisher, 0..10);
    delivered(&publisher, 10);
    for (tail, first) in [(3, 7), (10, 0), (1000, 0)] {
        let topics = [(Topic::Heartbeat, StartAt::Tail(tail))];
        let subscriber = Subscriber::new(&broker.settings(), &topics).unwrap();
        let records = read_until(&subscriber, |r| r.last().is_some_and(|r| r.offset == 9));
        assert_eq!(number_of(&records[0]), first, "a tail of {tail}");
    }
    // An empty topic has no tail; the next message is the first.
    let topics = [(Topic::Register, StartAt::Tail(100))];
    let subscriber = Subscriber::new(&broker.settings(), &topics).unwrap();
    publisher
        .publish_bytes(Topic::Register, "n", b"{}", 10)
        .unwrap();
    assert_eq!(read_until(&subscriber, |r| !r.is_empty())[0].offset, 0);
}

#[test]
fn a_message_reaches_a_waiting_consumer_within_milliseconds() {
    let broker = BrokerProcess::start();
    let subscriber =
        Subscriber::new(&broker.settings(), &[(Topic::Heartbeat, StartAt::End)]).unwrap();
    let publisher = Publisher::new(&broker.settings()).unwrap();
    // The consumer is in place once it reads what was sent after its start.
    let deadline = Instant::now() + DEADLINE;
    let mut warm = 0;
    while !matches!(subscriber.poll(TICK), Some(Event::Record(_))) {
        assert!(Instant::now() < deadline);
        publish(&publisher, warm..warm + 1);
        warm += 1;
    }
    let mut waits: Vec<Duration> = (1000..1021)
        .map(|number| {
            let start = Instant::now();
            publish(&publisher, number..number + 1);
            publisher.poll(Duration::ZERO);
            read_until(&subscriber, |r| {
                r.last().is_some_and(|r| number_of(r) == number)
            });
            start.elapsed()
        })
        .collect();
    waits.sort();
    println!(
        "from publish to poll: p50 {:?}, max {:?}",
        waits[10], waits[20]
    );
    assert!(waits[10] < Duration::from_millis(200), "{waits:?}");
}

#[test]
fn another_start_is_another_cluster_without_the_old_offsets() {
    let first = BrokerProcess::start();
    let publisher = Publisher::new(&first.settings()).unwrap();
    publish(&publisher, 0..50);
    delivered(&publisher, 50);
    let id = inspect(&first.settings(), DEADLINE).unwrap().id;
    assert!(first.end(Signal::TERM).success());

    let second = BrokerProcess::start();
    assert_ne!(inspect(&second.settings(), DEADLINE).unwrap().id, id);
    let topics = [(Topic::Heartbeat, StartAt::Offset(50))];
    let subscriber = Subscriber::new(&second.settings(), &topics).unwrap();
    let lost = next_event(&subscriber, |event| !matches!(event, Event::Trouble(_)));
    assert!(matches!(lost, Event::OffsetLost), "{lost:?}");

    subscriber
        .assign(&[(Topic::Heartbeat, StartAt::Beginning)])
        .unwrap();
    let publisher = Publisher::new(&second.settings()).unwrap();
    publish(&publisher, 7..8);
    delivered(&publisher, 1);
    assert_eq!(number_of(&read_until(&subscriber, |r| !r.is_empty())[0]), 7);
}

#[test]
fn old_messages_are_cut_and_whoever_wanted_them_is_told() {
    let broker = BrokerProcess::start();
    let publisher = Publisher::new(&broker.settings()).unwrap();
    let payload = vec![b'x'; 256 << 10];
    for token in 0..40 {
        publisher
            .publish_bytes(Topic::Metrics, "n", &payload, token)
            .unwrap();
        delivered(&publisher, 1);
    }
    let topics = [(Topic::Metrics, StartAt::Offset(0))];
    let subscriber = Subscriber::new(&broker.settings(), &topics).unwrap();
    let lost = next_event(&subscriber, |event| !matches!(event, Event::Trouble(_)));
    assert!(matches!(lost, Event::OffsetLost), "{lost:?}");
    let (oldest, next) = subscriber.bounds(Topic::Metrics, DEADLINE).unwrap();
    assert_eq!(next, 40);
    assert!((10..40).contains(&oldest), "5 MiB of 10 are kept: {oldest}");
}

#[test]
fn a_broker_stopped_for_15_s_loses_nothing() {
    const STOPPED: Duration = Duration::from_secs(15);
    let broker = BrokerProcess::start();
    let publisher = Publisher::new(&broker.settings()).unwrap();
    let topics = [(Topic::Heartbeat, StartAt::Beginning)];
    let subscriber = Subscriber::new(&broker.settings(), &topics).unwrap();
    publish(&publisher, 0..10);
    read_until(&subscriber, |records| records.len() >= 10);

    broker.signal(Signal::STOP);
    let until = Instant::now() + STOPPED;
    let mut sent = 10;
    let mut arrived = BTreeSet::new();
    let note = |arrived: &mut BTreeSet<u64>, wait| {
        let done = publisher.poll(wait).into_iter();
        arrived.extend(done.filter(|d| d.error.is_none()).map(|d| d.token));
    };
    while Instant::now() < until {
        publish(&publisher, sent..sent + 1);
        sent += 1;
        note(&mut arrived, Duration::from_millis(100));
    }
    broker.signal(Signal::CONT);

    let deadline = Instant::now() + DEADLINE;
    while arrived.len() < usize::try_from(sent).unwrap() {
        assert!(
            Instant::now() < deadline,
            "{} of {sent} arrived",
            arrived.len()
        );
        note(&mut arrived, TICK);
    }
    let mut seen: BTreeSet<u64> = (0..10).collect();
    while seen.len() < usize::try_from(sent).unwrap() {
        assert!(Instant::now() < deadline, "{} of {sent} read", seen.len());
        if let Some(Event::Record(record)) = subscriber.poll(TICK) {
            seen.insert(number_of(&record));
        }
    }
    assert!(seen.into_iter().eq(0..sent));
}

#[test]
fn a_broker_that_went_away_is_told_by_the_clients() {
    let broker = BrokerProcess::start();
    let settings = broker.settings();
    let topics = [(Topic::Heartbeat, StartAt::End)];
    let subscriber = Subscriber::new(&settings, &topics).unwrap();
    let publisher = Publisher::new(&settings).unwrap();
    publish(&publisher, 0..1);
    delivered(&publisher, 1);
    broker.end(Signal::KILL);

    let deadline = Instant::now() + DEADLINE;
    while !(subscriber.health().is_down() && publisher.health().is_down()) {
        assert!(Instant::now() < deadline, "nobody noticed");
        subscriber.poll(TICK);
        publisher.poll(TICK);
    }
    let gone = inspect(&settings, Duration::from_secs(2)).unwrap_err();
    assert!(matches!(gone, BusError::Unreachable { .. }), "{gone}");
    assert!(gone.to_string().contains(settings.brokers()), "{gone}");
}

#[test]
fn the_port_file_is_there_when_ready_and_gone_at_the_end() {
    let path = std::env::temp_dir().join(format!("dlts-broker-{}", std::process::id()));
    let mut broker = BrokerProcess::with(&["--port-file", path.to_str().unwrap()]);
    let written = std::fs::read_to_string(&path).unwrap();
    assert_eq!(written.trim(), broker.address);
    assert!(broker.address.starts_with("127.0.0.1:"), "loopback only");
    let line = broker.read_line();
    assert!(line.contains(r#""event":"broker_started""#), "{line}");
    assert!(line.contains(r#""durable":false"#), "{line}");
    assert!(broker.end(Signal::INT).success());
    assert!(!path.exists());
}

#[test]
fn unknown_options_and_unwritable_port_files_are_refused_in_words() {
    let mut usage = command(&["--listen", "x"]);
    let usage = usage.stderr(std::process::Stdio::piped()).output().unwrap();
    assert_eq!(usage.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&usage.stderr).contains("--listen"));

    let mut refused = command(&["--port-file", "/nonexistent/folder/x"]);
    let refused = refused
        .stderr(std::process::Stdio::piped())
        .output()
        .unwrap();
    assert_eq!(refused.status.code(), Some(1));
    let words = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(words.contains("/nonexistent/folder/x"), "{words}");
    assert!(words.contains("does its folder exist"), "{words}");
}
