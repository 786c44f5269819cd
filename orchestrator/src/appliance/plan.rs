//! What runs with which arguments. Pure: the same options give the same command lines.

use super::cli::UpOptions;
use super::cores::{self, Deal};

/// A process to start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Program {
    /// Its name, which is also its folder in the logs.
    pub name: String,
    /// The binary, beside our own.
    pub binary: &'static str,
    /// Its arguments.
    pub arguments: Vec<String>,
    /// Where it listens, or which CPUs it has: for people.
    pub place: String,
}

/// The binaries that `up` needs.
pub const BINARIES: [&str; 4] = ["broker", "testserver", "orchestrator", "driver"];
/// The binary that it needs where there are to be mergers.
pub const MERGER: &str = "merger";
/// The binary that fetches Apache Kafka and becomes it.
pub const KAFKA: &str = "bench";

fn owned(arguments: &[&str]) -> Vec<String> {
    arguments
        .iter()
        .map(|&argument| argument.to_owned())
        .collect()
}

fn loopback(port: u16) -> String {
    format!("127.0.0.1:{port}")
}

/// The embedded broker. Its port is its own to choose; it writes it to `address_file`.
#[must_use]
pub fn broker(options: &UpOptions, address_file: &str) -> Program {
    let mut arguments = metrics_partitions(options);
    arguments.extend(owned(&["--port-file", address_file]));
    Program {
        name: "broker".into(),
        binary: "broker",
        arguments,
        place: String::new(),
    }
}

/// An Apache Kafka of this machine: `bench kafka run` becomes the broker. Its log and its port
/// outlive it in `data/kafka`.
#[must_use]
pub fn kafka(address_file: &str) -> Program {
    Program {
        name: "broker".into(),
        binary: KAFKA,
        arguments: owned(&[
            "kafka",
            "run",
            "--data",
            "data/kafka",
            "--port-file",
            address_file,
        ]),
        place: String::new(),
    }
}

/// The test server, on the CPUs that no driver got, or on all.
#[must_use]
pub fn testserver(options: &UpOptions, deal: &Deal) -> Program {
    let listen = loopback(options.testserver_port);
    let mut arguments = owned(&["--listen", &listen]);
    if !deal.rest.is_empty() {
        arguments.extend(owned(&["--cores", &cores::list(&deal.rest)]));
    }
    Program {
        name: "testserver".into(),
        binary: "testserver",
        arguments,
        place: format!("http://{listen}/"),
    }
}

/// The orchestrator.
#[must_use]
pub fn orchestrator(options: &UpOptions, broker: &str) -> Program {
    let listen = loopback(options.orchestrator_port);
    let data = "data/orchestrator.sqlite";
    let mut arguments = owned(&["--listen", &listen, "--kafka", broker, "--data", data]);
    arguments.extend(shared(options));
    Program {
        name: "orchestrator".into(),
        binary: "orchestrator",
        arguments,
        place: format!("http://{listen}/"),
    }
}

/// For whoever makes the topics; one is what they make anyway.
fn metrics_partitions(options: &UpOptions) -> Vec<String> {
    match options.metrics_partitions() {
        1 => Vec::new(),
        several => owned(&["--metrics-partitions", &several.to_string()]),
    }
}

/// The mergers.
#[must_use]
pub fn mergers(options: &UpOptions, broker: &str) -> Vec<Program> {
    let merger = |number: u16| {
        let name = format!("merger-{number}");
        let mut arguments = owned(&["--kafka", broker, "--merger-id", &name]);
        arguments.extend(properties(options));
        Program {
            name,
            binary: MERGER,
            arguments,
            place: String::new(),
        }
    };
    (1..=options.mergers).map(merger).collect()
}

/// Every driver, with the CPUs that it was dealt.
#[must_use]
pub fn drivers(options: &UpOptions, broker: &str, deal: &Deal) -> Vec<Program> {
    let orchestrator = loopback(options.orchestrator_port);
    let driver = |(index, cpus): (usize, &Vec<usize>)| {
        let name = format!("driver-{}", index + 1);
        let cpus = cores::list(cpus);
        let mut arguments = owned(&["--kafka", broker, "--orchestrator", &orchestrator]);
        arguments.extend(owned(&[
            "--node-id",
            &name,
            "--cores",
            &cpus,
            "--logs",
            "logs",
        ]));
        arguments.extend(shared(options));
        Program {
            name,
            binary: "driver",
            arguments,
            place: format!("cores {cpus}"),
        }
    };
    deal.drivers.iter().enumerate().map(driver).collect()
}

/// What the orchestrator and the drivers must agree on.
fn shared(options: &UpOptions) -> Vec<String> {
    let own = format!("http://{}/", loopback(options.testserver_port));
    let target = options.target.as_deref().unwrap_or(&own);
    let mut arguments = owned(&["--target", target]);
    for allowed in &options.allow_targets {
        arguments.extend(owned(&["--allow-target", &allowed.to_string()]));
    }
    arguments.extend(metrics_partitions(options));
    arguments.extend(properties(options));
    arguments
}

/// How the broker is reached, beside its address.
fn properties(options: &UpOptions) -> Vec<String> {
    let properties = options.properties.kafka_properties.iter();
    properties
        .flat_map(|(name, value)| owned(&["--kafka-property", &format!("{name}={value}")]))
        .collect()
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::super::cli::{Cli, Command};
    use super::*;

    fn options(arguments: &[&str]) -> UpOptions {
        let line = ["appliance", "up"].iter().chain(arguments);
        match Cli::try_parse_from(line).unwrap().command {
            Command::Up(options) => options,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn processes_are_fully_described_by_their_command_lines() {
        let options = options(&["--testserver-port", "9000", "--kafka-property", "a.b=c"]);
        let deal = cores::deal(&[0, 1, 2], 2);
        assert_eq!(
            testserver(&options, &deal).arguments.join(" "),
            "--listen 127.0.0.1:9000 --cores 2"
        );
        assert_eq!(
            orchestrator(&options, "h:1").arguments.join(" "),
            "--listen 127.0.0.1:8001 --kafka h:1 --data data/orchestrator.sqlite \
             --target http://127.0.0.1:9000/ --kafka-property a.b=c"
        );
        let drivers = drivers(&options, "h:1", &deal);
        assert_eq!(
            drivers[1].arguments.join(" "),
            "--kafka h:1 --orchestrator 127.0.0.1:8001 --node-id driver-2 --cores 1 --logs logs \
             --target http://127.0.0.1:9000/ --kafka-property a.b=c"
        );
    }

    #[test]
    fn each_merger_has_a_partition_of_its_own_unless_it_is_told_otherwise() {
        let line = |program: &Program| program.arguments.join(" ");
        let without = options(&[]);
        assert_eq!(mergers(&without, "h:1"), []);
        assert_eq!(line(&broker(&without, "run/b")), "--port-file run/b");
        let three = options(&["--mergers", "3", "--kafka-property", "a.b=c"]);
        let all = mergers(&three, "h:1");
        assert_eq!((all.len(), all[2].name.as_str()), (3, "merger-3"));
        assert_eq!(
            line(&all[0]),
            "--kafka h:1 --merger-id merger-1 --kafka-property a.b=c"
        );
        for program in [broker(&three, "run/b"), orchestrator(&three, "h:1")] {
            assert!(line(&program).contains("--metrics-partitions 3"));
        }
        let one_of_six = options(&["--mergers", "1", "--metrics-partitions", "6"]);
        assert!(line(&broker(&one_of_six, "run/b")).starts_with("--metrics-partitions 6 "));
    }

    #[test]
    fn without_cores_to_spare_the_test_server_has_all() {
        let deal = cores::deal(&[0, 1], 2);
        assert_eq!(
            testserver(&options(&[]), &deal).arguments,
            ["--listen", "127.0.0.1:8000"]
        );
    }
}
