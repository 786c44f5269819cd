//! Redpanda by `docker compose`.

use std::io;
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::time::Duration;

use proto::bus::{self, BusSettings};

use super::answer::{Answer, within};
use super::failure::Failure;
use super::folders::Folders;

/// Where the compose file lets the host in.
pub const ADDRESS: &str = "127.0.0.1:9093";
/// A Docker engine that needs longer to say who it is does not work.
const ENGINE_ANSWER_MAX: Duration = Duration::from_secs(10);
/// A broker that runs answers sooner.
const BROKER_ANSWER_MAX: Duration = Duration::from_secs(2);
/// Pulling the image is not counted in it, starting and becoming healthy is.
const HEALTHY_MAX_S: &str = "120";

/// Whether a Docker engine answers and knows `compose`.
///
/// # Errors
/// What is missing.
pub fn engine_answers() -> Result<(), Failure> {
    for (arguments, tool) in [
        (&["info"][..], "docker"),
        (&["compose", "version"], "docker compose"),
    ] {
        let mut command = Command::new("docker");
        command
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        match within(&mut command, ENGINE_ANSWER_MAX) {
            Ok(Answer { success: true, .. }) => {}
            Ok(answer) if tool == "docker" => {
                return Err(Failure::NoDockerEngine {
                    reason: answer.first_line(),
                });
            }
            Ok(_) => return Err(Failure::ToolMissing { tool }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(Failure::ToolMissing { tool });
            }
            Err(error) => {
                return Err(Failure::NoDockerEngine {
                    reason: error.to_string(),
                });
            }
        }
    }
    Ok(())
}

/// Whether somebody has started a broker there already: one that speaks Kafka.
#[must_use]
pub fn is_broker(address: &str) -> bool {
    let Ok(settings) = BusSettings::new(address, "appliance", &[]) else {
        return false;
    };
    // Who is not there is known at once.
    TcpStream::connect(address).is_ok() && bus::inspect(&settings, BROKER_ANSWER_MAX).is_ok()
}

/// Starts Redpanda, waits until its health check passes, and has it make the topics. Docker's words
/// go to the terminal.
///
/// # Errors
/// [`Failure::Compose`]; what was started is taken down again.
pub fn start(folders: &Folders, metrics_partitions: u16) -> Result<(), Failure> {
    let up = [
        "up",
        "--detach",
        "--wait",
        "--wait-timeout",
        HEALTHY_MAX_S,
        "redpanda-0",
    ];
    let partitions = format!("METRICS_PARTITIONS={metrics_partitions}");
    let topics = ["run", "--rm", "topics"];
    let metrics = ["run", "--rm", "--env", &partitions, "metrics-topic"];
    if compose(folders, &up) && compose(folders, &topics) && compose(folders, &metrics) {
        return Ok(());
    }
    // Docker's own words say whether this too failed.
    let _ = stop(folders);
    Err(Failure::Compose)
}

/// Takes Redpanda down; its volume stays. Whether it could.
#[must_use]
pub fn stop(folders: &Folders) -> bool {
    compose(folders, &["down", "--timeout", "20"])
}

fn compose(folders: &Folders, arguments: &[&str]) -> bool {
    let status = Command::new("docker")
        .arg("compose")
        .arg("-f")
        .arg(folders.compose_file())
        .args(arguments)
        .stdin(Stdio::null())
        .status();
    status.is_ok_and(|status| status.success())
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use proto::bus::EmbeddedBroker;
    use proto::topic::Topic;

    use super::*;

    #[test]
    fn what_accepts_connections_is_a_broker_only_when_it_speaks_kafka() {
        let broker = EmbeddedBroker::start().unwrap();
        assert!(is_broker(broker.address()));
        let silent = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        assert!(!is_broker(&silent.local_addr().unwrap().to_string()));
    }

    const COMPOSE: &str = include_str!("../../../redpanda-compose.yml");

    #[test]
    fn the_compose_file_listens_where_we_look_and_makes_our_topics() {
        let port = ADDRESS.rsplit_once(':').unwrap().1;
        assert!(
            COMPOSE.contains(&format!("host://0.0.0.0:{port}\n")),
            "the host's listener"
        );
        assert!(
            COMPOSE.contains(&format!(":{port}:{port}\"\n")),
            "the published port"
        );
        // The orchestrator makes `data`, and mergers `merged`, with another retention.
        let ours = [Topic::Data, Topic::Merged];
        for topic in Topic::ALL.into_iter().filter(|topic| !ours.contains(topic)) {
            assert!(
                COMPOSE.contains(&format!("      - {topic}\n")),
                "topic {topic}"
            );
        }
    }

    #[test]
    fn every_image_is_pinned() {
        let images = COMPOSE
            .lines()
            .filter_map(|line| line.trim().strip_prefix("image: "));
        let images: Vec<&str> = images.collect();
        assert!(!images.is_empty());
        for image in images {
            let version = image.rsplit_once(":v").map(|(_, version)| version);
            assert!(
                version.is_some_and(|v| v.split('.').count() == 3),
                "{image}"
            );
        }
    }
}
