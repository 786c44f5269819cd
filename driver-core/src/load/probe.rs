//! Whether a driver can work on this machine, found out before anything depends on it: a ring and
//! a pinned executor on each CPU, as a load would make them.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::thread;

use glommio::{LocalExecutorBuilder, Placement};

use super::PrepareError;
use super::executors::{EXECUTOR_MEMORY, EXECUTOR_RING};
use crate::affinity;
use crate::ring::{Features, Ring, Setup};
use socket2::SockAddr;

/// Makes a ring and an executor on each of the CPUs, one after another, and lets go of them.
///
/// # Errors
/// [`PrepareError`] of the first CPU on which it does not work; it names the remedy.
pub fn probe_machine(cpus: &[usize]) -> Result<Option<Features>, PrepareError> {
    let mut features = None;
    for (core, cpu) in cpus.iter().copied().enumerate() {
        let probe = thread::spawn(move || probe(core, cpu)).join();
        let lost = |_| PrepareError::System(format!("the probe on CPU {cpu} panicked"));
        features = Some(probe.map_err(lost)??);
    }
    Ok(features)
}

fn probe(core: usize, cpu: usize) -> Result<Features, PrepareError> {
    if !affinity::pin(cpu) {
        return Err(PrepareError::System(format!(
            "core {core} cannot be pinned to CPU {cpu}"
        )));
    }
    let address = SockAddr::from(SocketAddr::from((Ipv4Addr::LOCALHOST, 9)));
    let ring = Ring::new(Setup::Newest, 1, Arc::from([]), &[address]);
    let ring = ring.map_err(|source| PrepareError::Core {
        core,
        source: source.into(),
    })?;
    LocalExecutorBuilder::new(Placement::Unbound)
        .io_memory(EXECUTOR_MEMORY)
        .ring_depth(EXECUTOR_RING)
        .make()
        .map_err(|error| PrepareError::Executor {
            core,
            reason: error.to_string(),
        })?;
    Ok(ring.features())
}
