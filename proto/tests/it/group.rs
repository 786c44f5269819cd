//! What mergers rely on: a group whose members share the partitions of `metrics`.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use proto::bus::{Group, GroupEvent, Publisher, StartAt, Subscriber};
use proto::topic::Topic;

use crate::broker_process::BrokerProcess;

/// Long enough for any machine; a test that waits so long has failed.
const DEADLINE: Duration = Duration::from_secs(60);
const TICK: Duration = Duration::from_millis(20);
const PARTITIONS: i32 = 4;

fn broker() -> BrokerProcess {
    BrokerProcess::with(&["--metrics-partitions", "4"])
}

/// A member, and what it has learned.
struct Member {
    group: Group,
    /// Its partitions, and where reading goes on.
    next: BTreeMap<i32, Option<i64>>,
    read: BTreeSet<(i32, i64)>,
}

impl Member {
    fn join(broker: &BrokerProcess) -> Self {
        Self {
            group: Group::join(&broker.settings(), "test").unwrap(),
            next: BTreeMap::new(),
            read: BTreeSet::new(),
        }
    }

    fn poll(&mut self) {
        match self.group.poll(TICK) {
            Some(GroupEvent::Assigned(starts)) => {
                let starts = starts.iter();
                self.next
                    .extend(starts.map(|start| (start.partition, start.offset)));
            }
            Some(GroupEvent::Revoked(numbers)) => {
                self.next.retain(|number, _| !numbers.contains(number));
            }
            Some(GroupEvent::Record(record)) => {
                let place = (record.partition, record.offset);
                let next = self.next.get_mut(&record.partition);
                *next.expect("only its own partitions are read") = Some(record.offset + 1);
                assert!(self.read.insert(place), "{place:?} twice");
            }
            Some(GroupEvent::Forbidden(error)) => panic!("{error}"),
            Some(GroupEvent::Trouble(_) | GroupEvent::Unreadable(_)) | None => {}
        }
    }
}

fn poll_until(members: &mut [Member], what: &str, is_it: impl Fn(&[Member]) -> bool) {
    let deadline = Instant::now() + DEADLINE;
    while !is_it(members) {
        assert!(Instant::now() < deadline, "{what}");
        members.iter_mut().for_each(Member::poll);
    }
}

fn publish(publisher: &Publisher, keys: std::ops::Range<u64>) {
    let count = keys.end - keys.start;
    for key in keys {
        let node = format!("driver-{key}");
        let sent = publisher.publish_bytes(Topic::Metrics, &node, b"{}", key);
        sent.unwrap();
    }
    let deadline = Instant::now() + DEADLINE;
    let mut arrived = 0;
    while arrived < count {
        assert!(Instant::now() < deadline, "{arrived} of {count} arrived");
        arrived += publisher.poll(TICK).len() as u64;
    }
}

fn has_all(members: &[Member]) -> bool {
    let all: Vec<i32> = members
        .iter()
        .flat_map(|member| member.next.keys().copied())
        .collect();
    let distinct: BTreeSet<i32> = all.iter().copied().collect();
    all.len() == distinct.len() && distinct.into_iter().eq(0..PARTITIONS)
}

#[test]
fn a_key_has_one_partition_and_keys_have_all_of_them() {
    let broker = broker();
    let publisher = Publisher::new(&broker.settings()).unwrap();
    publish(&publisher, 0..40);
    publish(&publisher, 0..40);
    let places = (0..PARTITIONS).map(|number| ((Topic::Metrics, number), StartAt::Beginning));
    let subscriber = Subscriber::new(&broker.settings(), &[]).unwrap();
    subscriber.assign_partitions(places).unwrap();
    let counts: Vec<i64> = (0..PARTITIONS)
        .map(|number| {
            let place = (Topic::Metrics, number);
            let (_, end) = subscriber.bounds_of(place, DEADLINE).unwrap();
            end
        })
        .collect();
    assert_eq!(counts.iter().sum::<i64>(), 80);
    assert!(
        counts.iter().all(|count| *count > 0 && count % 2 == 0),
        "each key twice in its own: {counts:?}"
    );
}

#[test]
fn members_share_the_partitions_and_who_stays_goes_on_where_the_group_was() {
    let broker = broker();
    let publisher = Publisher::new(&broker.settings()).unwrap();
    publish(&publisher, 0..40);
    let mut members = [Member::join(&broker)];
    poll_until(&mut members, "the first has all", has_all);
    let (ends, error) = members[0].group.ends(&[0, 1, 2, 3], DEADLINE);
    assert_eq!(error, None);
    assert_eq!(ends.values().sum::<i64>(), 40);
    for (number, next) in &members[0].next {
        let end = ends[number];
        assert_eq!(*next, Some(end), "a new group begins at the end");
    }
    publish(&publisher, 40..80);
    poll_until(&mut members, "what came since is read", |members| {
        members[0].read.len() == 40
    });
    // All but the last message of each is done.
    let done = members[0].next.iter();
    let done: BTreeMap<i32, i64> = done
        .map(|(number, next)| (*number, next.unwrap() - 1))
        .collect();
    members[0].group.commit_and_wait(done.clone());

    let [first] = members;
    let mut members = [first, Member::join(&broker)];
    poll_until(&mut members, "both have two each", |members| {
        has_all(members) && members.iter().all(|member| member.next.len() == 2)
    });
    let taken: Vec<i32> = members[1].next.keys().copied().collect();
    poll_until(&mut members, "the second reads what was left", |members| {
        members[1].read.len() == 2
    });
    let expected: BTreeSet<(i32, i64)> = taken.iter().map(|it| (*it, done[it])).collect();
    assert_eq!(members[1].read, expected, "from the committed offset on");

    let [first, second] = members;
    drop(first);
    let mut members = [second];
    poll_until(&mut members, "who stays has all again", has_all);
    let mut after = members[0].read.len();
    publish(&publisher, 80..120);
    after += 40 + 2;
    poll_until(&mut members, "nothing is left out", |members| {
        members[0].read.len() == after
    });
}

#[test]
fn a_partition_that_went_while_it_was_paused_is_read_again_once_it_is_resumed() {
    let broker = broker();
    let publisher = Publisher::new(&broker.settings()).unwrap();
    let mut members = [Member::join(&broker)];
    poll_until(&mut members, "it has all", has_all);
    for number in 0..PARTITIONS {
        members[0].group.pause(number).unwrap();
    }
    let [first] = members;
    let mut members = [first, Member::join(&broker)];
    poll_until(&mut members, "both have two each", |members| {
        has_all(members) && members.iter().all(|member| member.next.len() == 2)
    });
    let [first, second] = members;
    drop(second);
    let mut members = [first];
    poll_until(&mut members, "it has all again", has_all);
    for number in 0..PARTITIONS {
        members[0].group.resume(number).unwrap();
    }
    publish(&publisher, 0..40);
    poll_until(&mut members, "all is read", |members| {
        members[0].read.len() == 40
    });
}

#[test]
fn a_partition_that_is_paused_waits_and_loses_nothing() {
    let broker = broker();
    let publisher = Publisher::new(&broker.settings()).unwrap();
    let mut members = [Member::join(&broker)];
    poll_until(&mut members, "it has all", has_all);
    members[0].group.pause(2).unwrap();
    publish(&publisher, 0..60);
    let (ends, error) = members[0].group.ends(&[0, 1, 2, 3], DEADLINE);
    assert_eq!(error, None);
    let others = usize::try_from(60 - ends[&2]).unwrap();
    poll_until(&mut members, "the others are read", |members| {
        members[0].read.len() == others
    });
    members[0].group.resume(2).unwrap();
    poll_until(&mut members, "it goes on", |members| {
        members[0].read.len() == 60
    });
}
