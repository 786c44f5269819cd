//! The reader at a broker of its own.

use proto::bus::EmbeddedBroker;
use proto::document::Params;
use proto::message::{Message, TestConfig, Trigger, TriggerKind};
use proto::workload::TestType;

use super::*;

const DEADLINE: Duration = Duration::from_secs(20);

struct Rig {
    broker: EmbeddedBroker,
    publisher: Publisher,
}

impl Rig {
    fn start() -> Self {
        let broker = EmbeddedBroker::start().unwrap();
        let publisher = Publisher::new(&settings(broker.address())).unwrap();
        Self { broker, publisher }
    }

    fn publish<M: Message>(&self, message: &M) {
        self.publisher.publish("o", message, 0).unwrap();
        assert!(self.publisher.flush(DEADLINE));
    }

    fn reader(&self) -> (TopicReader, Receiver<Inbound>) {
        let (sender, inbound) = bounded(INBOX_MAX);
        let stop = Arc::new(AtomicBool::new(false));
        let settings = settings(self.broker.address());
        (TopicReader::new(&settings, sender, &stop).unwrap(), inbound)
    }
}

fn settings(address: &str) -> BusSettings {
    BusSettings::new(address, "test", &[]).unwrap()
}

fn config(test_id: &str) -> TestConfig {
    TestConfig {
        test_id: test_id.into(),
        test_type: TestType::Avalanche,
        test_message_delay: 0.0,
        message_count_per_driver: 1,
        document: None,
        params: Params::default(),
    }
}

fn start(test_id: &str) -> Trigger {
    Trigger {
        test_id: test_id.into(),
        trigger: TriggerKind::Start,
        start_at_unix_ns: None,
        participants: None,
        n: None,
        clock_offsets: BTreeMap::new(),
        incarnations: BTreeMap::new(),
    }
}

/// What comes next: its topic, its test, and whether it is old.
fn next(inbound: &Receiver<Inbound>) -> (Topic, String, bool) {
    match inbound.recv_timeout(DEADLINE).unwrap() {
        Inbound::Config { config, old } => (Topic::TestConfig, config.test_id, old),
        Inbound::Trigger { trigger, old } => (Topic::Trigger, trigger.test_id, old),
        _ => panic!("neither a config nor a trigger"),
    }
}

fn read_in_background(reader: TopicReader) {
    spawn("reader", move || reader.read()).unwrap();
}

#[test]
fn what_was_there_before_the_driver_is_old() {
    let bus = Rig::start();
    bus.publish(&config("before"));
    bus.publish(&start("before"));
    let (reader, inbound) = bus.reader();
    read_in_background(reader);
    assert_eq!(next(&inbound), (Topic::TestConfig, "before".into(), true));
    bus.publish(&config("after"));
    assert_eq!(next(&inbound), (Topic::TestConfig, "after".into(), false));
    bus.publish(&start("after"));
    assert_eq!(next(&inbound), (Topic::Trigger, "after".into(), false));
}

#[test]
fn a_clock_that_is_ahead_makes_nothing_old() {
    let bus = Rig::start();
    let (mut reader, _inbound) = bus.reader();
    assert!(!reader.listens.load(Ordering::Relaxed));
    reader.find_places();
    assert!(reader.listens.load(Ordering::Relaxed));
    let record = Record {
        topic: Topic::TestConfig,
        partition: 0,
        offset: 0,
        timestamp_ms: Some(1),
        payload: codec::encode(&config("a")),
    };
    let inbound = reader.decode(record);
    assert!(matches!(inbound, Some(Inbound::Config { old: false, .. })));
}

#[test]
fn after_a_lost_log_only_its_topic_is_read_again_and_as_old() {
    let bus = Rig::start();
    bus.publish(&config("a"));
    bus.publish(&start("a"));
    let (mut reader, inbound) = bus.reader();
    // The configs were read to their end; the triggers were those of another broker.
    let place = |next| Place { next, old_end: 0 };
    reader.places = [
        ((Topic::TestConfig, 0), place(1)),
        ((Topic::Trigger, 0), place(77)),
    ]
    .into();
    reader.find_places();
    assert_eq!(reader.places[&(Topic::TestConfig, 0)], place(1));
    read_in_background(reader);
    assert_eq!(next(&inbound), (Topic::Trigger, "a".into(), true));
    bus.publish(&config("b"));
    assert_eq!(next(&inbound), (Topic::TestConfig, "b".into(), false));
}

#[test]
fn what_does_not_decode_is_counted() {
    let bus = Rig::start();
    let (mut reader, _inbound) = bus.reader();
    reader.find_places();
    for offset in 0..3 {
        let record = Record {
            topic: Topic::Trigger,
            partition: 0,
            offset,
            timestamp_ms: None,
            payload: b"EOF".to_vec(),
        };
        assert!(reader.decode(record).is_none());
    }
    assert_eq!(reader.skipped, 3);
}
