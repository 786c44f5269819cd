//! Batches of records as other producers write them: every codec is read, and what cannot be read is
//! named and stepped over.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use proto::bus::{BusSettings, EmbeddedBroker, Event, Publisher, StartAt, Subscriber};
use proto::topic::Topic;

/// Long enough for any machine; a test that waits so long has failed.
const DEADLINE: Duration = Duration::from_secs(60);
const TICK: Duration = Duration::from_millis(20);
/// `attributes` of a batch of gzip and of a codec that nobody has.
const GZIP: i16 = 1;
const UNKNOWN_CODEC: i16 = 7;

fn settings(broker: &EmbeddedBroker, properties: &[(&str, &str)]) -> BusSettings {
    let owned: Vec<(String, String)> = properties
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    BusSettings::new(broker.address(), "test", &owned).unwrap()
}

/// Publishes a payload and waits until it is there.
fn publish(publisher: &Publisher, payload: &[u8]) {
    publisher
        .publish_bytes(Topic::Metrics, "n", payload, 1)
        .unwrap();
    let deadline = Instant::now() + DEADLINE;
    loop {
        assert!(Instant::now() < deadline, "not delivered");
        if let Some(delivery) = publisher.poll(TICK).into_iter().next() {
            assert!(delivery.error.is_none(), "{delivery:?}");
            return;
        }
    }
}

/// Reads so many payloads, and what was said in between.
fn read(subscriber: &Subscriber, count: usize) -> (Vec<Vec<u8>>, Vec<String>) {
    let deadline = Instant::now() + DEADLINE;
    let (mut payloads, mut troubles) = (Vec::new(), Vec::new());
    while payloads.len() < count {
        assert!(
            Instant::now() < deadline,
            "{} of {count}; {troubles:?}",
            payloads.len()
        );
        match subscriber.poll(TICK) {
            Some(Event::Record(record)) => payloads.push(record.payload),
            Some(Event::Trouble(text)) => troubles.push(text),
            Some(Event::Unreadable(gap)) => {
                assert!(gap.count() > 0, "{gap:?}");
                troubles.push(gap.reason);
            }
            Some(Event::Forbidden(error)) => panic!("{error}"),
            Some(Event::OffsetLost) => panic!("an offset was lost; {troubles:?}"),
            None => {}
        }
    }
    (payloads, troubles)
}

fn from_the_beginning(broker: &EmbeddedBroker) -> Subscriber {
    let topics = [
        (Topic::Metrics, StartAt::Beginning),
        (Topic::Heartbeat, StartAt::Beginning),
    ];
    Subscriber::new(&settings(broker, &[]), &topics).unwrap()
}

#[test]
fn every_codec_is_read() {
    let broker = EmbeddedBroker::start().unwrap();
    let codecs = ["none", "gzip", "snappy", "lz4", "zstd"];
    for codec in codecs {
        let settings = settings(&broker, &[("compression.codec", codec)]);
        let publisher = Publisher::new(&settings).unwrap();
        // Long and even, so that it is worth compressing.
        publish(&publisher, codec.repeat(5_000).as_bytes());
    }
    let (payloads, _) = read(&from_the_beginning(&broker), codecs.len());
    for (payload, codec) in payloads.iter().zip(codecs) {
        assert_eq!(payload, codec.repeat(5_000).as_bytes(), "{codec}");
    }
}

#[test]
fn a_batch_that_cannot_be_read_is_named_and_stepped_over() {
    for attributes in [GZIP, UNKNOWN_CODEC] {
        let broker = EmbeddedBroker::start().unwrap();
        let publisher = Publisher::new(&settings(&broker, &[])).unwrap();
        publish(&publisher, b"before");
        produce_garbage(broker.address(), attributes, 3);
        let subscriber = from_the_beginning(&broker);
        assert_eq!(read(&subscriber, 1).0, [b"before"]);
        // With nothing behind it, and with something.
        publish(&publisher, b"after");
        let (payloads, troubles) = read(&subscriber, 1);
        assert_eq!(payloads, [b"after"]);
        let named = "metrics, partition 0: offsets 1 to 3 cannot be read";
        assert!(
            troubles.iter().any(|text| text.contains(named)),
            "{attributes}: {troubles:?}"
        );
        produce_garbage(broker.address(), attributes, 1);
        publish(&publisher, b"more");
        assert_eq!(read(&subscriber, 1).0, [b"more"]);
    }
}

/// Sends a batch of so many records whose bytes are no records (`Produce` of version 3).
fn produce_garbage(address: &str, attributes: i16, records: i32) {
    let mut batch = Vec::new();
    batch.extend(0_i32.to_be_bytes()); // epoch of the leader
    batch.push(2); // the version of the format
    batch.extend(0_u32.to_be_bytes()); // a checksum that nobody checks
    batch.extend(attributes.to_be_bytes());
    batch.extend((records - 1).to_be_bytes()); // the last record's offset within it
    batch.extend([0; 16]); // first and last timestamp
    batch.extend((-1_i64).to_be_bytes()); // no producer's id,
    batch.extend((-1_i16).to_be_bytes()); // epoch
    batch.extend((-1_i32).to_be_bytes()); // and sequence
    batch.extend(records.to_be_bytes());
    batch.extend([0xa5; 64]);
    let mut set = 0_i64.to_be_bytes().to_vec(); // the first offset, which the broker gives
    set.extend(length(&batch));
    set.extend(batch);

    let mut request = Vec::new();
    request.extend([0, 0, 0, 3]); // Produce, version 3
    request.extend(7_i32.to_be_bytes()); // which answer is ours
    request.extend((-1_i16).to_be_bytes()); // no client id,
    request.extend((-1_i16).to_be_bytes()); // no transaction
    request.extend(1_i16.to_be_bytes()); // acknowledged by the leader
    request.extend(5_000_i32.to_be_bytes()); // within so many ms
    request.extend(1_i32.to_be_bytes()); // topics
    let name = Topic::Metrics.name();
    request.extend(i16::try_from(name.len()).unwrap().to_be_bytes());
    request.extend(name.as_bytes());
    request.extend(1_i32.to_be_bytes()); // partitions
    request.extend(0_i32.to_be_bytes());
    request.extend(length(&set));
    request.extend(set);

    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream.write_all(&length(&request)).unwrap();
    stream.write_all(&request).unwrap();
    let mut len = [0; 4];
    stream.read_exact(&mut len).unwrap();
    let mut answer = vec![0; usize::try_from(i32::from_be_bytes(len)).unwrap()];
    stream.read_exact(&mut answer).unwrap();
    // After the id, the topics with the name and the partitions' count and number: its error.
    let at = 4 + 4 + 2 + name.len() + 4 + 4;
    assert_eq!(answer[at..at + 2], [0, 0], "{answer:?}");
}

fn length(bytes: &[u8]) -> [u8; 4] {
    i32::try_from(bytes.len()).unwrap().to_be_bytes()
}
