//! Why a load cannot be started.

use std::net::IpAddr;

use thiserror::Error;

use super::credentials::CredentialError;
use super::first_handshake::FirstHandshakeError;
use super::speech::SpeechError;
use crate::core_loop::CoreError;
use crate::protocol::http2::Unfit;

/// Why a load cannot be started. Each says what to do about it.
#[derive(Debug, Error)]
pub enum PrepareError {
    /// The target's name has no address.
    #[error("{host:?} cannot be resolved: {reason}; check the name, or give an address")]
    Resolve {
        /// The name.
        host: String,
        /// What the resolver says.
        reason: String,
    },
    /// More connections than file descriptors.
    #[error(
        "{wanted} connections need {needed} file descriptors, and the hard limit is {limit}: raise `ulimit -Hn`, or ask for fewer connections"
    )]
    Descriptors {
        /// Connections asked for.
        wanted: u32,
        /// Descriptors needed for them.
        needed: u64,
        /// The hard limit.
        limit: u64,
    },
    /// More connections than local ports.
    #[error(
        "{wanted} connections need as many local ports, and net.ipv4.ip_local_port_range has {ports} for each of {pairs} pairs of addresses: widen it (sysctl -w net.ipv4.ip_local_port_range=\"1024 65535\"), let connections go out from several addresses with --source, or ask for fewer connections"
    )]
    Ports {
        /// Connections asked for.
        wanted: u32,
        /// Ports in the range.
        ports: u32,
        /// Pairs of own address and address of the target.
        pairs: u64,
    },
    /// Connections cannot go out from an address.
    #[error(
        "connections cannot go out from {address}: {reason}; give addresses of this machine (`ip address`) with --source, all of the target's family"
    )]
    Source {
        /// The own address.
        address: IpAddr,
        /// Why not.
        reason: String,
    },
    /// Not one connection could be opened.
    #[error("no connection to {target}: {reason}")]
    NoConnection {
        /// Host and port.
        target: String,
        /// Why the last attempt failed.
        reason: String,
    },
    /// What TLS needs is not there.
    #[error(transparent)]
    Credentials(#[from] CredentialError),
    /// There is no TLS with the target.
    #[error("no TLS with {target}: {source}")]
    Handshake {
        /// Host and port.
        target: String,
        /// Why not.
        source: FirstHandshakeError,
    },
    /// How the target is to be spoken to cannot be settled.
    #[error(transparent)]
    Speech(#[from] SpeechError),
    /// The request cannot be sent in the HTTP that was settled.
    #[error(transparent)]
    Unfit(#[from] Unfit),
    /// A core's ring.
    #[error("core {core}: {source}")]
    Core {
        /// The core's number.
        core: usize,
        /// What is wrong with it.
        source: CoreError,
    },
    /// A core's executor.
    #[error(
        "core {core}: the executor cannot be made ({reason}); it needs io_uring (sysctl kernel.io_uring_disabled=0, and in a container a seccomp profile that allows it) and 512 KiB of locked memory (`ulimit -l`)"
    )]
    Executor {
        /// The core's number.
        core: usize,
        /// What glommio says.
        reason: String,
    },
    /// No thread, descriptor or core for the engine itself.
    #[error("the engine cannot be started: {0}")]
    System(String),
}
