//! What can be known to fail before a load starts: names, descriptors, ports.

use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use socket2::SockAddr;

use super::PrepareError;
use crate::core_loop::Route;
use crate::plan::Plan;

/// Descriptors that a process and each executor use besides the connections.
const DESCRIPTORS_PROCESS: u64 = 64;
const DESCRIPTORS_CORE: u64 = 24;
const PORT_RANGE: &str = "/proc/sys/net/ipv4/ip_local_port_range";

/// Longest attempt to find out whether an address answers.
const PROBE_MAX: Duration = Duration::from_secs(3);

/// Resolves the target once; during the load nothing asks the resolver. Of several addresses, such
/// as `localhost` has, the first that takes a connection is loaded.
pub(super) fn resolve(plan: &Plan) -> Result<Route, PrepareError> {
    let target = &plan.workload().target;
    let fail = |reason: String| PrepareError::Resolve {
        host: target.host.clone(),
        reason,
    };
    let found = (target.host.as_str(), target.port).to_socket_addrs();
    let mut addresses: Vec<SocketAddr> = found.map_err(|e| fail(e.to_string()))?.collect();
    addresses.dedup();
    let answers = |address: &&SocketAddr| TcpStream::connect_timeout(address, PROBE_MAX).is_ok();
    let chosen = match addresses.as_slice() {
        [] | [_] => addresses.first(),
        several => several.iter().find(answers).or(several.first()),
    };
    let chosen = chosen.ok_or_else(|| fail("it has no address".to_owned()))?;
    Ok(Route {
        endpoints: vec![SockAddr::from(*chosen)],
        sources: Vec::new(),
    })
}

/// Checks that there are descriptors and ports for the plan, raising the soft limit where it helps.
pub(super) fn check(plan: &Plan, cores: usize) -> Result<(), PrepareError> {
    let wanted = plan.workload().connections;
    let needed = u64::from(wanted) + DESCRIPTORS_PROCESS + DESCRIPTORS_CORE * cores as u64;
    let limit = raise_descriptor_limit();
    if needed > limit {
        return Err(PrepareError::Descriptors {
            wanted,
            needed,
            limit,
        });
    }
    match std::fs::read_to_string(PORT_RANGE)
        .ok()
        .and_then(|text| ports(&text))
    {
        Some(ports) if wanted > ports => Err(PrepareError::Ports { wanted, ports }),
        _ => Ok(()),
    }
}

/// Ports in a range as the kernel writes it.
fn ports(text: &str) -> Option<u32> {
    let mut bounds = text.split_ascii_whitespace().map(str::parse::<u32>);
    let (low, high) = (bounds.next()?.ok()?, bounds.next()?.ok()?);
    high.checked_sub(low)?.checked_add(1)
}

/// Raises the soft limit of file descriptors to the hard one; returns the limit now in force.
#[must_use]
pub fn raise_descriptor_limit() -> u64 {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let raised = setrlimit(
        Resource::Nofile,
        Rlimit {
            current: maximum,
            maximum,
        },
    );
    let limit = if raised.is_ok() { maximum } else { current };
    limit.unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_port_range_is_counted() {
        assert_eq!(ports("32768\t60999\n"), Some(28_232));
        assert_eq!(ports("nonsense"), None);
    }
}
