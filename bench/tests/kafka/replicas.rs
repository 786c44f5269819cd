//! Three brokers: the leader of the topics dies in the middle of a run.

use std::path::Path;

use bench::kafka::node::new_cluster_id;
use bench::kafka::session::Broker;
use proto::topic::Topic;

use crate::broker::{self, Kafka, free_ports, property};
use crate::cluster::Cluster;

/// The arguments of node `id` of three, whose ports are in `ports`: client, internal, controller of
/// each.
fn arguments(id: usize, ports: &[u16; 9], cluster_id: &str) -> Vec<String> {
    let [client, internal, controller] = [0, 1, 2].map(|at| ports[3 * (id - 1) + at]);
    let address = |name: &str, port: u16| format!("{name}://127.0.0.1:{port}");
    let open = [address("CLIENT", client), address("INTERNAL", internal)].join(",");
    let voter = |id: usize| format!("{id}@127.0.0.1:{}", ports[3 * (id - 1) + 2]);
    let all = format!("{open},{}", address("CONTROLLER", controller));
    let properties = [
        ("node.id", id.to_string()),
        ("listeners", all),
        ("advertised.listeners", open),
        ("controller.quorum.voters", [1, 2, 3].map(voter).join(",")),
        ("default.replication.factor", "3".to_owned()),
        ("min.insync.replicas", "2".to_owned()),
        // A broker that died is noticed sooner than after the usual 9 s.
        ("broker.session.timeout.ms", "4000".to_owned()),
        ("broker.heartbeat.interval.ms", "500".to_owned()),
    ];
    properties
        .iter()
        .flat_map(|(name, value)| property(name, value))
        .chain(["--cluster-id".to_owned(), cluster_id.to_owned()])
        .collect()
}

/// The first broker with its folder, and the two others.
fn three() -> (Kafka, Vec<Broker>) {
    let ports = free_ports();
    let cluster_id = new_cluster_id();
    let first = Kafka::with(|_| arguments(1, &ports, &cluster_id));
    let folder: &Path = first.folder.path();
    let start = |id: usize| {
        let data = folder.join(format!("broker-{id}"));
        broker::start(&data, &arguments(id, &ports, &cluster_id))
    };
    let mut others: Vec<Broker> = [2, 3].map(start).into();
    let mut first = first;
    first.broker.await_answer().unwrap();
    others
        .iter_mut()
        .for_each(|broker| broker.await_answer().unwrap());
    (first, others)
}

/// The node that leads the metrics, as the tool has it: `… Partition: 0 Leader: 2 Replicas: …`.
fn leader(kafka: &Kafka) -> usize {
    let arguments = ["--describe", "--topic", Topic::Metrics.name()];
    let text = kafka.tool("org.apache.kafka.tools.TopicCommand", &arguments);
    let words = text.split_once("Leader:").expect("a leader").1;
    let number = words.split_whitespace().next().unwrap();
    number.parse().unwrap()
}

#[test]
fn a_leader_that_dies_in_mid_run_costs_nothing() {
    let (mut kafka, mut others) = three();
    let addresses = [&kafka.broker, &others[0], &others[1]].map(|broker| broker.address.clone());
    let cluster = Cluster::around(Some(addresses.join(","))).with(2);
    let test_id = cluster.run("/avalanche?rate=100&requests=4000");
    cluster.await_load(&test_id);
    match leader(&kafka) {
        1 => kafka.broker.kill(),
        id => others[id - 2].kill(),
    }
    let result = cluster.await_end(&test_id);
    assert_eq!(result["state"], "done", "{}", result["coverage"]);
    assert_eq!(result["ok"], 8000, "{}", result["coverage"]);
    assert_eq!(cluster.seen(), 8000);
    assert_eq!(cluster.nodes_in("down"), Vec::<String>::new());
    let next = cluster.run("/avalanche?requests=100&connections=4");
    assert_eq!(cluster.await_end(&next)["ok"], 200, "and the next run");
}
