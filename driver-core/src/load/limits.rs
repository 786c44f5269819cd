//! What can be known to fail before a load starts: descriptors, ports.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use socket2::SockAddr;

use super::PrepareError;
use crate::core_loop::Route;
use crate::plan::Plan;

/// Descriptors that a process and each executor use besides the connections.
const DESCRIPTORS_PROCESS: u64 = 64;
const DESCRIPTORS_CORE: u64 = 24;
const PORT_RANGE: &str = "/proc/sys/net/ipv4/ip_local_port_range";

/// Checks that there are descriptors and ports for the plan, raising the soft limit where it helps.
pub(super) fn check(plan: &Plan, cores: usize, route: &Route) -> Result<(), PrepareError> {
    let each = plan.workload().connections;
    let servers = u32::try_from(plan.targets().len()).unwrap_or(u32::MAX);
    let wanted = each.saturating_mul(servers);
    let needed = u64::from(wanted) + DESCRIPTORS_PROCESS + DESCRIPTORS_CORE * cores as u64;
    let limit = raise_descriptor_limit();
    if needed > limit {
        return Err(PrepareError::Descriptors {
            wanted,
            needed,
            limit,
        });
    }
    let range = std::fs::read_to_string(PORT_RANGE).ok();
    let ports = range.and_then(|text| ports(&text));
    let (Some(fewest), Some(ports)) = (pairs(route), ports) else {
        return Ok(());
    };
    if u64::from(each) <= u64::from(ports) * fewest {
        return Ok(());
    }
    Err(PrepareError::Ports {
        wanted: each,
        ports,
        pairs: fewest,
    })
}

/// Pairs of own address and address of a server that connections to it have, each of which has the
/// ports of the range to itself: those of the server that has the fewest; `None` where there are no
/// ports.
fn pairs(route: &Route) -> Option<u64> {
    let sources = route.sources.len().max(1);
    let pairs = |endpoints: &Vec<SockAddr>| {
        if endpoints.iter().any(SockAddr::is_unix) {
            return None;
        }
        // Both are taken in turn, by the number of the connection.
        let endpoints = endpoints.len().max(1);
        let turns = (1..=sources).find(|turns| (endpoints * turns).is_multiple_of(sources));
        turns.map(|turns| (endpoints * turns) as u64)
    };
    route.servers.iter().filter_map(pairs).min()
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

    #[test]
    fn every_pair_of_addresses_has_ports_of_its_own() {
        let server = |endpoints: u16| -> Vec<SockAddr> {
            let at = |port| SockAddr::from(std::net::SocketAddr::from(([127, 0, 0, 1], port)));
            (1..=endpoints).map(at).collect()
        };
        let route = |endpoints: u16, sources: u8| Route {
            servers: vec![server(13), server(endpoints)],
            sources: (1..=sources).map(|last| [127, 0, 0, last].into()).collect(),
        };
        for (endpoints, sources, expected) in
            [(1, 0, 1), (2, 0, 2), (1, 3, 3), (2, 3, 6), (4, 6, 12)]
        {
            assert_eq!(pairs(&route(endpoints, sources)), Some(expected));
        }
        let unix = Route {
            servers: vec![vec![SockAddr::unix("/run/x").unwrap()]],
            sources: Vec::new(),
        };
        assert_eq!(pairs(&unix), None);
    }
}
