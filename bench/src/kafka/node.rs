//! One node, broker and controller in one process, in a folder of its own.
//!
//! Clients come in at the listener `CLIENT`, which a test may put behind TLS and SASL; brokers and
//! controllers talk on loopback listeners of their own, `INTERNAL` and `CONTROLLER`, so that
//! securing clients needs no certificates between brokers.

use std::fmt::Write as _;
use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::str::FromStr;

use clap::Args;

use super::Error;
use super::distribution::Distribution;

/// Heap of a broker. Our topics are small, and three brokers share a machine in a test.
const HEAP_MIB: u32 = 256;
const PROPERTIES: &str = "server.properties";
/// Where the node keeps its topics, below its folder.
pub const LOG: &str = "log";

/// An address for clients, the port possibly 0.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listen {
    host: String,
    port: u16,
}

impl FromStr for Listen {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parsed = text
            .rsplit_once(':')
            .and_then(|(host, port)| Some((host, port.parse().ok()?)));
        match parsed {
            Some((host, port)) if !host.is_empty() => Ok(Self {
                host: host.to_owned(),
                port,
            }),
            _ => Err("write host:port, with port 0 for a free one".to_owned()),
        }
    }
}

/// What a node is to be.
#[derive(Debug, Clone, Args)]
pub struct Settings {
    /// Address for clients; port 0 takes a free one
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:0")]
    pub listen: Listen,
    /// A property of the broker, which overrides ours; repeatable
    #[arg(long = "property", value_name = "NAME=VALUE", value_parser = proto::bus::parse_property)]
    pub properties: Vec<(String, String)>,
    /// A user to begin with, as SCRAM-SHA-512=[name=…,password=…]; repeatable
    #[arg(long, value_name = "USER")]
    pub scram: Vec<String>,
    /// Id of the cluster, which its nodes have in common; a new one when not given
    #[arg(long, value_name = "ID")]
    pub cluster_id: Option<String>,
}

/// A node whose folder is ready.
#[derive(Debug)]
pub struct Node {
    folder: PathBuf,
    /// Where clients reach it.
    pub address: String,
}

impl Node {
    /// Prepares `folder`: chooses ports, writes the properties, formats the storage. A folder that
    /// was prepared before is taken as it is, so that a broker comes back as it was.
    ///
    /// # Errors
    /// [`Error::Format`] and [`Error::System`].
    pub fn prepare(
        distribution: &Distribution,
        folder: &Path,
        settings: &Settings,
    ) -> Result<Self, Error> {
        let making = Error::system(format!("making {}", folder.display()));
        fs::create_dir_all(folder).map_err(making)?;
        let folder = folder
            .canonicalize()
            .map_err(Error::system(format!("finding {}", folder.display())))?;
        let path = folder.join(PROPERTIES);
        let known = fs::read_to_string(&path).ok();
        if let Some(address) = known.as_deref().and_then(advertised) {
            return Ok(Self { folder, address });
        }
        let text = properties(&folder, settings)?;
        let address = advertised(&text).unwrap_or_default();
        // The properties come into being when the storage is formatted, and not before.
        let half = folder.join("server.new");
        fs::write(&half, text).map_err(Error::system(format!("writing {}", half.display())))?;
        format_storage(distribution, &half, settings)?;
        fs::rename(&half, &path).map_err(Error::system(format!("writing {}", path.display())))?;
        Ok(Self { folder, address })
    }

    /// The command that is the broker.
    #[must_use]
    pub fn command(&self, distribution: &Distribution) -> Command {
        let log = self.folder.join("kafka.log");
        let mut command = distribution.java("kafka.Kafka", HEAP_MIB, &log);
        command.arg(self.folder.join(PROPERTIES));
        command
    }
}

/// The address that clients are told, of a text of properties. The last line wins, as it does for
/// Kafka.
fn advertised(text: &str) -> Option<String> {
    let mut lines = text.lines().rev();
    let listeners = lines.find_map(|line| line.strip_prefix("advertised.listeners="))?;
    let client = listeners
        .split(',')
        .find_map(|listener| listener.strip_prefix("CLIENT://"))?;
    Some(client.to_owned())
}

fn properties(folder: &Path, settings: &Settings) -> Result<String, Error> {
    let [client, internal, controller] = free_ports(&settings.listen)?;
    let host = &settings.listen.host;
    let log = folder.join(LOG);
    let mut lines = vec![
        "process.roles=broker,controller".to_owned(),
        "node.id=1".to_owned(),
        format!("log.dirs={}", log.display()),
        format!(
            "listeners=CLIENT://{host}:{client},INTERNAL://127.0.0.1:{internal},\
             CONTROLLER://127.0.0.1:{controller}"
        ),
        format!("advertised.listeners=CLIENT://{host}:{client},INTERNAL://127.0.0.1:{internal}"),
        format!("controller.quorum.voters=1@127.0.0.1:{controller}"),
        "controller.listener.names=CONTROLLER".to_owned(),
        "inter.broker.listener.name=INTERNAL".to_owned(),
        "listener.security.protocol.map=CLIENT:PLAINTEXT,INTERNAL:PLAINTEXT,CONTROLLER:PLAINTEXT"
            .to_owned(),
    ];
    // One partition and one replica a topic; few threads, as the machine has other work; and the
    // topics that make themselves are a mistake to be found, not to be served.
    lines.extend(
        [
            "num.partitions=1",
            "default.replication.factor=1",
            "offsets.topic.replication.factor=1",
            "auto.create.topics.enable=false",
            "num.network.threads=2",
            "num.io.threads=2",
            "log.cleaner.dedupe.buffer.size=4194304",
            "controlled.shutdown.enable=true",
        ]
        .map(str::to_owned),
    );
    let mut text = String::new();
    for line in lines {
        let _ = writeln!(text, "{line}");
    }
    for (name, value) in &settings.properties {
        let _ = writeln!(text, "{name}={value}");
    }
    Ok(text)
}

/// The port that was asked for, or free ones. Another process could take one in between: it is then
/// told by Kafka, and the next start chooses others.
fn free_ports(listen: &Listen) -> Result<[u16; 3], Error> {
    let bind = |host: &str, port: u16| {
        TcpListener::bind((host, port))
            .map_err(Error::system(format!("listening on {host}:{port}")))
    };
    let client = bind(&listen.host, listen.port)?;
    let internal = bind("127.0.0.1", 0)?;
    let controller = bind("127.0.0.1", 0)?;
    let port = |listener: &TcpListener| {
        let address = listener.local_addr().map_err(Error::system("its port"));
        address.map(|address| address.port())
    };
    Ok([port(&client)?, port(&internal)?, port(&controller)?])
}

fn format_storage(
    distribution: &Distribution,
    properties: &Path,
    settings: &Settings,
) -> Result<(), Error> {
    let properties = properties.display().to_string();
    let cluster_id = settings.cluster_id.clone().unwrap_or_else(new_cluster_id);
    let mut arguments = vec![
        "format",
        "--cluster-id",
        &cluster_id,
        "--config",
        &properties,
        "--ignore-formatted",
    ];
    for user in &settings.scram {
        arguments.extend(["--add-scram", user]);
    }
    let done = distribution.tool("kafka.tools.StorageTool", &arguments);
    done.map(drop).map_err(Error::Format)
}

/// 16 bytes in base64, as Kafka wants them: 22 letters, of which the last carries 2 bits.
#[must_use]
pub fn new_cluster_id() -> String {
    format!("d{}A", proto::id::new_test_id())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listen_address_has_a_host_and_a_port() {
        let listen: Listen = "127.0.0.1:0".parse().unwrap();
        assert_eq!((listen.host.as_str(), listen.port), ("127.0.0.1", 0));
        for bad in ["", "127.0.0.1", ":9092", "a:b", "a:99999"] {
            assert!(bad.parse::<Listen>().is_err(), "{bad}");
        }
    }

    #[test]
    fn the_last_advertised_address_of_clients_wins() {
        let settings = Settings {
            listen: "127.0.0.1:0".parse().unwrap(),
            properties: Vec::new(),
            scram: Vec::new(),
            cluster_id: None,
        };
        let text = properties(Path::new("/x"), &settings).unwrap();
        let address = advertised(&text).unwrap();
        assert!(address.starts_with("127.0.0.1:") && !address.ends_with(":0"));
        let text = format!("{text}advertised.listeners=INTERNAL://a:1,CLIENT://b:2\n");
        assert_eq!(advertised(&text).as_deref(), Some("b:2"));
    }

    #[test]
    fn a_cluster_id_has_the_length_that_kafka_wants() {
        assert_eq!(new_cluster_id().len(), 22);
    }
}
