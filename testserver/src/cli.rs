//! The command line. Environment variables are fallbacks for each option.

use std::net::{SocketAddr, ToSocketAddrs};

use clap::Parser;

/// The most worker threads that may be asked for.
pub const WORKERS_MAX: u16 = 128;

/// The default target of dlts: answers `Hello World`, or as told by the query, and counts requests.
#[derive(Clone, Debug, Parser)]
#[command(version, after_help = AFTER_HELP)]
pub struct Options {
    /// Address to listen on; port 0 takes a free one, the start line says which
    #[arg(
        long,
        value_name = "HOST:PORT",
        default_value = "127.0.0.1:8000",
        env = "TESTSERVER_LISTEN",
        value_parser = parse_address
    )]
    pub listen: SocketAddr,

    /// Threads that run the connections' coroutines [default: one for each core]
    #[arg(long, value_name = "N", env = "TESTSERVER_WORKERS",
          value_parser = clap::value_parser!(u16).range(1..=i64::from(WORKERS_MAX)))]
    pub workers: Option<u16>,

    /// Cores to run on, one worker pinned to each in turn, such as 0,2 [default: all allowed]
    #[arg(
        long,
        value_name = "LIST",
        env = "TESTSERVER_CORES",
        value_delimiter = ','
    )]
    pub cores: Vec<usize>,

    /// Ask the server that listens at --listen whether it answers, and end: 0 when it does, 1 when not
    #[arg(long)]
    pub probe: bool,
}

const AFTER_HELP: &str = "\
Routes: /  /?delay=5ms&size=1k&status=503  /metric  /metrics  /ping
Distributions: /?delay=1ms:90,20ms:10 delays one answer in ten by 20 ms.
Capacity, shared by all connections: /?queue=1ms serves one request at a time, 1 ms each, in turn;
  /?queue=1ms&collapse=100:5:1s takes 5 ms each once more than 100 are there, until none was for 1 s;
  /?bucket=1000:50 answers 1000 a second, bursts of 50, others with 503; &over=429; &over=delay.
Ends on SIGTERM or SIGINT. Exit codes: 0 ended by a signal, 1 cannot serve, 2 usage.";

fn parse_address(text: &str) -> Result<SocketAddr, String> {
    let mut addresses = text
        .to_socket_addrs()
        .map_err(|_| format!("'{text}' is not an address; write it as 127.0.0.1:8000"))?;
    addresses
        .next()
        .ok_or_else(|| format!("'{text}' has no address"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_is_consistent() {
        Options::command().debug_assert();
    }

    #[test]
    fn an_address_without_a_port_is_refused_with_the_remedy() {
        let message = parse_address("127.0.0.1").unwrap_err();
        assert!(message.contains("127.0.0.1:8000"), "{message}");
    }

    #[test]
    fn workers_are_bounded() {
        assert!(Options::try_parse_from(["testserver", "--workers", "0"]).is_err());
        assert!(Options::try_parse_from(["testserver", "--workers", "129"]).is_err());
        let options = Options::try_parse_from(["testserver", "--workers", "128", "--cores", "0,2"]);
        assert_eq!(options.unwrap().cores, [0, 2]);
    }
}
