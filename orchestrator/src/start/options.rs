//! The command line of the orchestrator.

use std::path::PathBuf;

use clap::Parser;
use proto::bus::{BrokerOptions, PartitionOptions};
use proto::units::parse_size;
use proto::workload::AllowedTarget;

use crate::rest::access::PublicUrl;

/// The control plane of dlts: REST API and dashboard, registry, merged statistics, store.
///
/// It finds its drivers over a Kafka API, keeps everything in one SQLite file, and logs one JSON
/// object a line to standard output. Killed at any instant, it goes on where it was.
#[derive(Debug, Clone, Parser)]
#[command(name = "orchestrator", version, max_term_width = 100, after_help = AFTER_HELP)]
pub struct Options {
    /// Address of the REST API and the dashboard; port 0 takes a free one
    #[arg(
        long,
        value_name = "HOST:PORT",
        env = "DLTS_LISTEN",
        default_value = "127.0.0.1:8001"
    )]
    pub listen: String,

    /// Where the broker is
    #[command(flatten)]
    pub broker: BrokerOptions,

    /// How its topics are made
    #[command(flatten)]
    pub partitions: PartitionOptions,

    /// Target of tests that name none
    #[arg(
        long,
        value_name = "URL",
        env = "DLTS_TARGET",
        default_value = "http://127.0.0.1:8000/"
    )]
    pub target: String,

    /// A target beyond this machine that may be loaded: host, *.suffix, address or network (CIDR);
    /// repeatable
    #[arg(
        long, value_name = "HOST[:PORT]",
        env = "DLTS_ALLOW_TARGET", value_delimiter = ',', action = clap::ArgAction::Append
    )]
    pub allow_target: Vec<AllowedTarget>,

    /// The store, one SQLite file; its folder is made, and uploaded files lie beside it
    #[arg(
        long,
        value_name = "FILE",
        env = "DLTS_DATA",
        default_value = "data/orchestrator.sqlite"
    )]
    pub data: PathBuf,

    /// Put this backup (`client backup`) where --data says, and end: nothing may be there yet
    #[arg(long, value_name = "FILE")]
    pub restore: Option<PathBuf>,

    /// Token that clients must send (Authorization: Bearer …); needed beyond loopback
    #[arg(long, value_name = "TOKEN", env = "DLTS_TOKEN", hide_env_values = true)]
    pub token: Option<String>,

    /// Listen beyond loopback without a token: whoever reaches the port may start load
    #[arg(long, env = "DLTS_INSECURE")]
    pub insecure: bool,

    /// URL by which people reach us where a proxy stands in front: scheme, host, port
    #[arg(long, value_name = "URL", env = "DLTS_PUBLIC_URL")]
    pub public_url: Option<PublicUrl>,

    /// Certificate chain of the REST API, PEM; with --tls-key it speaks https
    #[arg(long, value_name = "FILE", env = "DLTS_TLS_CERT", requires = "tls_key")]
    pub tls_cert: Option<PathBuf>,

    /// Private key of --tls-cert, PEM
    #[arg(long, value_name = "FILE", env = "DLTS_TLS_KEY", requires = "tls_cert")]
    pub tls_key: Option<PathBuf>,

    /// Ended tests that are kept; the oldest are deleted first; 0 keeps all
    #[arg(
        long,
        value_name = "COUNT",
        env = "DLTS_RETENTION_TESTS",
        default_value_t = 20_000
    )]
    pub retention_tests: usize,

    /// Days for which ended tests are kept; 0 keeps them for ever
    #[arg(
        long,
        value_name = "DAYS",
        env = "DLTS_RETENTION_DAYS",
        default_value_t = 0
    )]
    pub retention_days: u32,

    /// Room that the store may take: 500MB, 20GB, or bytes; the oldest tests that ended are deleted
    /// first; 0 sets no limit
    #[arg(
        long,
        value_name = "SIZE",
        env = "DLTS_RETENTION_BYTES",
        default_value = "20GB",
        value_parser = parse_size
    )]
    pub retention_bytes: u64,

    /// Our id on the bus; made once and kept in the store unless given
    #[arg(long, value_name = "ID", env = "DLTS_NODE_ID")]
    pub node_id: Option<String>,
}

const AFTER_HELP: &str = "\
Exit codes: 0 ended by SIGTERM or SIGINT, 1 cannot start, 2 usage.

Example: orchestrator --kafka 127.0.0.1:9093 --listen 127.0.0.1:8001";
