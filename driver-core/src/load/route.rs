//! Where connections go to and come from, found out once before a load: during it nothing asks the
//! resolver.

use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use proto::workload::Target;
use socket2::SockAddr;

use super::{Directions, PrepareError};
use crate::core_loop::Route;

/// Longest attempt to find out whether an address answers.
const PROBE_MAX: Duration = Duration::from_secs(3);
/// Most addresses of a name that are used.
const ADDRESSES_MAX: usize = 64;

/// What a target's name came to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Addresses {
    /// Those that are loaded, in turn.
    pub used: Vec<SocketAddr>,
    /// Those that took no connection before the load, and get none.
    pub silent: Vec<SocketAddr>,
    /// The socket of this machine that is loaded instead.
    pub socket: Option<PathBuf>,
}

impl Addresses {
    /// Those that are loaded, as they are reported.
    #[must_use]
    pub fn reported(&self) -> proto::measure::Addresses {
        let socket = self.socket.iter();
        let socket = socket.map(|path| format!("unix:{}", path.display()));
        self.used
            .iter()
            .map(ToString::to_string)
            .chain(socket)
            .collect()
    }
}

/// Finds the ways to all targets. Of several addresses of one, such as `localhost` has, all that take
/// a connection are loaded.
pub(super) fn find(
    targets: &[Target],
    directions: &Directions,
) -> Result<(Route, Vec<Addresses>), PrepareError> {
    if let Some(path) = &directions.unix_socket {
        return local(path, targets);
    }
    let sources = directions.sources.clone();
    check_sources(&sources)?;
    let used = |target: &Target| -> Result<Addresses, PrepareError> {
        let found = addresses(target, directions)?;
        Ok(sorted(reachable(found, &sources)?))
    };
    let all: Vec<Addresses> = targets.iter().map(used).collect::<Result<_, _>>()?;
    let endpoints = |addresses: &Addresses| {
        let used = addresses.used.iter().copied();
        used.map(SockAddr::from).collect()
    };
    let servers = all.iter().map(endpoints).collect();
    Ok((Route { servers, sources }, all))
}

/// The way to a socket of this machine.
fn local(path: &Path, targets: &[Target]) -> Result<(Route, Vec<Addresses>), PrepareError> {
    let fail = |reason: String| PrepareError::Resolve {
        host: path.display().to_string(),
        reason,
    };
    if targets.len() > 1 {
        let several = "it is one server, and the requests go to several".to_owned();
        return Err(fail(several));
    }
    let endpoint = SockAddr::unix(path).map_err(|error| fail(error.to_string()))?;
    let addresses = Addresses {
        socket: Some(path.to_owned()),
        ..Addresses::default()
    };
    let route = Route {
        servers: vec![vec![endpoint]],
        sources: Vec::new(),
    };
    Ok((route, vec![addresses]))
}

fn addresses(target: &Target, directions: &Directions) -> Result<Vec<SocketAddr>, PrepareError> {
    let (host, port) = (target.host.as_str(), target.port);
    let fail = |reason: String| PrepareError::Resolve {
        host: host.to_owned(),
        reason,
    };
    let mut found: Vec<SocketAddr> = Vec::new();
    if let Some(given) = directions.addresses(host, port) {
        found.extend(given.iter().map(|address| SocketAddr::new(*address, port)));
    } else {
        let resolved = (host, port).to_socket_addrs();
        found.extend(resolved.map_err(|error| fail(error.to_string()))?);
    }
    let mut known = std::collections::BTreeSet::new();
    found.retain(|address| known.insert(*address));
    found.truncate(ADDRESSES_MAX);
    if found.is_empty() {
        return Err(fail("it has no address".to_owned()));
    }
    Ok(found)
}

/// Own addresses have to be this machine's, and of one family, since connections take them in turn.
fn check_sources(sources: &[IpAddr]) -> Result<(), PrepareError> {
    let fail = |address: &IpAddr, reason: String| PrepareError::Source {
        address: *address,
        reason,
    };
    for address in sources {
        if address.is_ipv4() != sources[0].is_ipv4() {
            let reason = "it is not of the same family as the first".to_owned();
            return Err(fail(address, reason));
        }
        TcpListener::bind((*address, 0)).map_err(|error| fail(address, error.to_string()))?;
    }
    Ok(())
}

/// The addresses that can be reached from these of our own.
fn reachable(
    mut found: Vec<SocketAddr>,
    sources: &[IpAddr],
) -> Result<Vec<SocketAddr>, PrepareError> {
    if let Some(source) = sources.first() {
        found.retain(|address| address.is_ipv4() == source.is_ipv4());
        if found.is_empty() {
            return Err(PrepareError::Source {
                address: *source,
                reason: "the target has no address of this family".to_owned(),
            });
        }
    }
    Ok(found)
}

/// Those of several addresses that take a connection; where none does, all are tried by the load.
fn sorted(found: Vec<SocketAddr>) -> Addresses {
    if found.len() < 2 {
        return Addresses {
            used: found,
            ..Addresses::default()
        };
    }
    let answers = |address: SocketAddr| TcpStream::connect_timeout(&address, PROBE_MAX).is_ok();
    let answered: Vec<bool> = thread::scope(|scope| {
        let probes: Vec<_> = found
            .iter()
            .map(|address| scope.spawn(|| answers(*address)))
            .collect();
        let answer = |probe: thread::ScopedJoinHandle<'_, bool>| probe.join().unwrap_or(false);
        probes.into_iter().map(answer).collect()
    });
    let of = |kind: bool| {
        let both = found.iter().zip(&answered);
        let kept = both.filter(|(_, answers)| **answers == kind);
        kept.map(|(address, _)| *address).collect::<Vec<_>>()
    };
    let (used, silent) = (of(true), of(false));
    if used.is_empty() {
        return Addresses {
            used: silent,
            ..Addresses::default()
        };
    }
    Addresses {
        used,
        silent,
        socket: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn directions(resolve: &[String], sources: &[&str]) -> Directions {
        Directions {
            resolve: resolve.iter().map(|text| text.parse().unwrap()).collect(),
            sources: sources.iter().map(|text| text.parse().unwrap()).collect(),
            unix_socket: None,
        }
    }

    fn listener(address: &str, port: u16) -> TcpListener {
        TcpListener::bind((address, port)).unwrap()
    }

    #[test]
    fn all_addresses_that_take_a_connection_are_used_and_the_others_are_known() {
        let first = listener("127.0.0.2", 0);
        let port = first.local_addr().unwrap().port();
        let _second = listener("127.0.0.3", port);
        let target = Target::parse(&format!("http://shop.invalid:{port}/")).unwrap();
        let given = format!("shop.invalid:{port}:127.0.0.2,127.0.0.3,127.0.0.4,127.0.0.2");
        let targets = [target];
        let (route, addresses) = find(&targets, &directions(&[given], &[])).unwrap();
        let addresses = &addresses[0];
        let at = |last: u8| SocketAddr::from(([127, 0, 0, last], port));
        assert_eq!(addresses.used, [at(2), at(3)]);
        assert_eq!(addresses.silent, [at(4)]);
        assert_eq!(
            route.servers,
            [[SockAddr::from(at(2)), SockAddr::from(at(3))]]
        );
        // Where none answers, the load tells why.
        let given = format!("shop.invalid:{port}:127.0.0.4,127.0.0.5");
        let (_, addresses) = find(&targets, &directions(&[given], &[])).unwrap();
        let addresses = &addresses[0];
        assert_eq!(addresses.used, [at(4), at(5)]);
        assert!(addresses.silent.is_empty());
    }

    #[test]
    fn own_addresses_are_this_machines_and_of_the_targets_family() {
        let target = [Target::parse("http://127.0.0.1:9/").unwrap()];
        let good = directions(&[], &["127.0.0.5", "127.0.0.6"]);
        assert_eq!(find(&target, &good).unwrap().0.sources, good.sources);
        for (sources, word) in [
            (&["192.0.2.1"][..], "192.0.2.1"),
            (&["127.0.0.1", "::1"][..], "family"),
            (&["::1"][..], "::1"),
        ] {
            let error = find(&target, &directions(&[], sources))
                .unwrap_err()
                .to_string();
            assert!(
                error.contains(word) && error.contains("--source"),
                "{error}"
            );
        }
    }

    #[test]
    fn a_name_without_an_address_is_named() {
        let target = [Target::parse("http://nowhere.invalid/").unwrap()];
        let error = find(&target, &Directions::default())
            .unwrap_err()
            .to_string();
        assert!(error.contains("nowhere.invalid"), "{error}");
    }
}
