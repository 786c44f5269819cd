//! What is known of a log that is no more.

use rayon::ThreadPoolBuilder;

use super::*;

#[test]
fn the_offsets_of_another_log_are_forgotten_by_the_store_too() {
    let (batches, received) = crossbeam_channel::unbounded();
    let mut reader = TopicReader {
        settings: BusSettings::new("127.0.0.1:1", "test", &[]).unwrap(),
        offsets: Offsets::from([((Topic::Metrics, 0), 30)]),
        partitions: Vec::new(),
        cluster_id: Some("one".into()),
        decoders: ThreadPoolBuilder::new().num_threads(1).build().unwrap(),
        batches,
        asked: crossbeam_channel::never(),
        stop: Arc::default(),
        raw: RawReadings::default(),
    };
    let cluster = |id: &str| Cluster {
        id: Some(id.to_owned()),
        topics: Topic::ALL.to_vec(),
        partitions: [(Topic::Metrics, 3)].into(),
    };
    assert!(!reader.recognise(&cluster("one")));
    assert!(received.is_empty());
    assert!(reader.recognise(&cluster("two")));
    let batch = received.recv().unwrap();
    let others = Topic::ALL
        .into_iter()
        .filter(|topic| topic.is_folded() && *topic != Topic::Metrics);
    let mut all: Vec<Partition> = others.map(|topic| (topic, 0)).collect();
    all.extend([0, 1, 2].map(|number| (Topic::Metrics, number)));
    let all: Offsets = all.into_iter().map(|place| (place, 0)).collect();
    assert_eq!(batch.offsets, all, "each partition of each topic");
    assert_eq!(batch.events.len(), 1, "what was counted of metrics");
    assert_eq!(reader.starts().len(), 9);
    assert_eq!(reader.offsets, Offsets::new());
    reader.offsets.insert((Topic::Trigger, 0), 7);
    reader.forget(&[(Topic::Trigger, 0)]);
    assert_eq!(
        received.recv().unwrap().offsets,
        [((Topic::Trigger, 0), 0)].into()
    );
}
