//! The network interface by which a load leaves this machine, and what that can carry: asked of the
//! kernel once, when the load begins.
//!
//! Which interface it is follows from the address that a socket towards the target gets: of the
//! machine's interfaces, the one that has it.

use std::net::{IpAddr, SocketAddr, UdpSocket};

use nix::ifaddrs::getifaddrs;
use proto::measure::Environment;

/// Fills in the link towards these addresses. What cannot be found out stays absent.
pub(super) fn add(environment: Environment, targets: &[SocketAddr]) -> Environment {
    let owners = owners();
    let link = Link::towards(targets, own_address, &owners, speed_text);
    let (interface, mbit_per_s) = link.map(|link| (link.interface, link.mbit_per_s)).unzip();
    Environment {
        interface,
        link_mbit_per_s: mbit_per_s.flatten(),
        ..environment
    }
}

/// An interface, and what it can carry.
#[derive(Debug, PartialEq, Eq)]
struct Link {
    interface: String,
    /// `None` where it does not say.
    mbit_per_s: Option<u64>,
}

impl Link {
    /// The one that leads to all the targets: `own` gives our address towards one, `owners` the
    /// addresses of each interface, and `speed` what the kernel says of an interface's speed.
    fn towards(
        targets: &[SocketAddr],
        own: impl Fn(SocketAddr) -> Option<IpAddr>,
        owners: &[(String, IpAddr)],
        speed: impl Fn(&str) -> Option<String>,
    ) -> Option<Self> {
        let interface = |target: &SocketAddr| {
            let own = own(*target)?;
            // What is sent to an address of the machine itself does not leave it.
            let leaves = !own.is_loopback() && own != target.ip().to_canonical();
            let mut owners = owners.iter().filter(|_| leaves);
            owners.find_map(|(name, address)| (*address == own).then_some(name))
        };
        let (first, others) = targets.split_first()?;
        let name = interface(first)?;
        let is_same = others.iter().all(|other| interface(other) == Some(name));
        is_same.then(|| Self {
            interface: name.clone(),
            mbit_per_s: speed(name).and_then(|text| mbit_per_s(&text)),
        })
    }
}

/// `speed` of an interface, Mbit/s; -1 says that it is not known.
fn mbit_per_s(text: &str) -> Option<u64> {
    text.trim().parse().ok().filter(|speed| *speed > 0)
}

fn speed_text(interface: &str) -> Option<String> {
    std::fs::read_to_string(format!("/sys/class/net/{interface}/speed")).ok()
}

/// The address that a socket towards this one gets. Nothing is sent.
fn own_address(target: SocketAddr) -> Option<IpAddr> {
    let any = match target {
        SocketAddr::V4(_) => "0.0.0.0:0",
        SocketAddr::V6(_) => "[::]:0",
    };
    let socket = UdpSocket::bind(any).ok()?;
    socket.connect(target).ok()?;
    Some(socket.local_addr().ok()?.ip().to_canonical())
}

/// The addresses of this machine, with the interfaces that have them.
fn owners() -> Vec<(String, IpAddr)> {
    let addresses = getifaddrs().into_iter().flatten();
    let owners = addresses.filter_map(|one| {
        let address = one.address?;
        let v4 = address.as_sockaddr_in().map(|v4| IpAddr::from(v4.ip()));
        let v6 = || address.as_sockaddr_in6().map(|v6| IpAddr::from(v6.ip()));
        Some((one.interface_name, v4.or_else(v6)?))
    });
    owners.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn towards(targets: &[&str], speed: Option<&str>) -> Option<Link> {
        let targets: Vec<SocketAddr> = targets.iter().map(|text| text.parse().unwrap()).collect();
        let owners = [
            ("lo", "127.0.0.1"),
            ("eth0", "10.0.0.2"),
            ("eth1", "10.1.0.2"),
        ];
        let owners = owners.map(|(name, address)| (name.to_owned(), address.parse().unwrap()));
        // By its first two bytes; what is our own is reached from itself.
        let own = |target: SocketAddr| {
            let target = target.ip().to_string();
            let mut owners = owners.iter();
            let is_near = |address: &IpAddr| {
                let address = address.to_string();
                address.split('.').take(2).eq(target.split('.').take(2))
            };
            owners.find_map(|(_, address)| is_near(address).then_some(*address))
        };
        Link::towards(&targets, own, &owners, |_| speed.map(str::to_owned))
    }

    fn eth0(mbit_per_s: Option<u64>) -> Link {
        Link {
            interface: "eth0".to_owned(),
            mbit_per_s,
        }
    }

    #[test]
    fn the_interface_towards_the_target_has_a_speed_or_does_not_say() {
        let target = &["10.0.9.9:80", "10.0.9.8:80"][..];
        assert_eq!(towards(target, Some("25000\n")), Some(eth0(Some(25_000))));
        for unknown in [Some("-1\n"), Some("0\n"), Some(""), None] {
            assert_eq!(towards(target, unknown), Some(eth0(None)), "{unknown:?}");
        }
    }

    #[test]
    fn what_stays_on_the_machine_or_leaves_by_several_has_no_link() {
        for targets in [
            &["127.0.0.1:80"][..],
            &["10.0.0.2:80"],
            &["10.0.9.9:80", "10.1.9.9:80"],
            &["10.0.9.9:80", "192.0.2.1:80"],
            &[],
        ] {
            assert_eq!(towards(targets, Some("1000\n")), None, "{targets:?}");
        }
    }

    #[test]
    fn the_kernel_tells_of_this_machines_loopback() {
        let owners = owners();
        let loopback = IpAddr::from([127, 0, 0, 1]);
        assert!(
            owners.iter().any(|(_, address)| *address == loopback),
            "{owners:?}"
        );
        let target = SocketAddr::from(([127, 0, 0, 1], 9));
        assert_eq!(own_address(target), Some(loopback));
        let nothing = Environment::default();
        assert_eq!(add(nothing.clone(), &[target]), nothing);
    }
}
