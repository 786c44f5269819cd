//! Which targets beyond loopback may be loaded: what `--allow-target` takes, on both sides.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use super::Target;

/// Targets that somebody allowed: a host, a network or all names below a suffix, on one port or on
/// all of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AllowedTarget {
    hosts: Hosts,
    port: Option<u16>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Hosts {
    /// In lower case.
    Name(String),
    /// With its first dot, in lower case.
    Below(String),
    /// Addresses that agree in so many leading bits; all of them for one address.
    Network(IpAddr, u8),
}

impl AllowedTarget {
    /// Whether a target is one of these. A name is not looked up: it is in no network.
    #[must_use]
    pub fn admits(&self, target: &Target) -> bool {
        self.hosts.hold(&target.host) && self.port.is_none_or(|port| port == target.port)
    }
}

impl Target {
    /// Whether it may be loaded: loopback always, others only when they were allowed.
    #[must_use]
    pub fn is_admitted_by(&self, allowed: &[AllowedTarget]) -> bool {
        self.is_loopback() || allowed.iter().any(|allowed| allowed.admits(self))
    }
}

impl Hosts {
    fn hold(&self, host: &str) -> bool {
        let host = host.trim_end_matches('.');
        match self {
            Self::Name(name) => host.eq_ignore_ascii_case(name),
            Self::Below(suffix) => {
                let lower = host.to_ascii_lowercase();
                lower.len() > suffix.len() && lower.ends_with(suffix)
            }
            Self::Network(network, bits) => {
                let prefix = |address| prefix(address, *bits);
                let address = host.parse().map(|address: IpAddr| address.to_canonical());
                address.is_ok_and(|address| {
                    address.is_ipv4() == network.is_ipv4() && prefix(address) == prefix(*network)
                })
            }
        }
    }
}

/// The leading bits of an address.
fn prefix(address: IpAddr, bits: u8) -> u128 {
    let (number, width) = match address {
        IpAddr::V4(four) => (u128::from(four.to_bits()), 32),
        IpAddr::V6(six) => (six.to_bits(), 128),
    };
    number.checked_shr(width - u32::from(bits)).unwrap_or(0)
}

impl FromStr for AllowedTarget {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let refuse = || {
            format!(
                "{text:?} is no target to allow; write host, *.suffix, an address or a network \
                 such as 10.0.0.0/8 or fd00::/8, each with :port or without ([fd00::1]:80)"
            )
        };
        let (hosts, port) = parse_hosts(text).ok_or_else(refuse)?;
        let port = match port.strip_prefix(':') {
            Some(port) => Some(
                port.parse()
                    .ok()
                    .filter(|port| *port > 0)
                    .ok_or_else(refuse)?,
            ),
            None if port.is_empty() => None,
            None => return Err(refuse()),
        };
        Ok(Self { hosts, port })
    }
}

/// The hosts in a text, and what is left of it for the port.
fn parse_hosts(text: &str) -> Option<(Hosts, &str)> {
    if let Ok(address) = text.parse() {
        return Some((network(address, None)?, ""));
    }
    if let Some(rest) = text.strip_prefix('[') {
        // The length of a prefix stands within the brackets or after them.
        let (inside, after) = rest.split_once(']')?;
        return match inside.split_once('/') {
            Some((address, bits)) => Some((network(address.parse().ok()?, Some(bits))?, after)),
            None => parse_network(inside.parse().ok()?, after),
        };
    }
    if let Some((address, _)) = text.split_once('/') {
        return parse_network(address.parse().ok()?, &text[address.len()..]);
    }
    let (name, port) = text.find(':').map_or((text, ""), |at| text.split_at(at));
    if let Ok(address) = name.parse() {
        return Some((network(address, None)?, port));
    }
    let is_below = name.starts_with("*.");
    let name = name.trim_start_matches('*').to_ascii_lowercase();
    let labels = name.trim_start_matches('.');
    let is_name = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    if labels.is_empty() || !labels.chars().all(is_name) {
        return None;
    }
    match (is_below, labels == name) {
        (true, _) => Some((Hosts::Below(name), port)),
        (false, true) => Some((Hosts::Name(name), port)),
        (false, false) => None,
    }
}

/// An address, and perhaps `/bits` before what is left.
fn parse_network(address: IpAddr, rest: &str) -> Option<(Hosts, &str)> {
    match rest.strip_prefix('/') {
        None => Some((network(address, None)?, rest)),
        Some(rest) => {
            let (bits, port) = rest.find(':').map_or((rest, ""), |at| rest.split_at(at));
            Some((network(address, Some(bits))?, port))
        }
    }
}

fn network(address: IpAddr, bits: Option<&str>) -> Option<Hosts> {
    let width = if address.is_ipv4() { 32 } else { 128 };
    let Some(bits) = bits else {
        let address = address.to_canonical();
        return Some(Hosts::Network(
            address,
            if address.is_ipv4() { 32 } else { 128 },
        ));
    };
    let bits = bits.parse().ok().filter(|bits| *bits <= width)?;
    Some(Hosts::Network(address, bits))
}

impl fmt::Display for AllowedTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.hosts {
            Hosts::Name(name) => f.write_str(name)?,
            Hosts::Below(suffix) => write!(f, "*{suffix}")?,
            Hosts::Network(address @ IpAddr::V4(_), 32) => write!(f, "{address}")?,
            Hosts::Network(address @ IpAddr::V4(_), bits) => write!(f, "{address}/{bits}")?,
            Hosts::Network(address, 128) => write!(f, "[{address}]")?,
            Hosts::Network(address, bits) => write!(f, "[{address}/{bits}]")?,
        }
        self.port.map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn admits(allowed: &str, url: &str) -> bool {
        let allowed: AllowedTarget = allowed.parse().unwrap();
        Target::parse(url).unwrap().is_admitted_by(&[allowed])
    }

    #[test]
    fn hosts_networks_and_suffixes_are_told_apart() {
        for (allowed, inside, outside) in [
            ("web.lan", "http://WEB.lan:81/", "http://web.lan.evil/"),
            ("web.lan:8080", "http://web.lan:8080/", "http://web.lan/"),
            ("*.lan", "http://a.b.LAN/", "http://lan/"),
            ("*.lan:80", "http://web.lan/", "http://web.lan:81/"),
            (
                "*.shop.example",
                "http://a.shop.example./",
                "http://ashop.example/",
            ),
            ("10.0.0.7", "http://10.0.0.7:9/", "http://10.0.0.70/"),
            ("10.0.0.7:80", "http://10.0.0.7/", "http://10.0.0.7:81/"),
            ("10.0.0.0/8", "http://10.200.3.4/", "http://11.0.0.1/"),
            ("10.1.0.0/15:80", "http://10.0.9.9/", "http://10.0.9.9:81/"),
            ("0.0.0.0/0", "http://8.8.8.8/", "http://[2001:db8::1]/"),
            ("fd00::1", "http://[FD00:0::1]:5/", "http://[fd00::2]/"),
            ("[fd00::1]", "http://[fd00::1]:5/", "http://[fd00::2]/"),
            ("[fd00::1]:80", "http://[fd00::1]/", "http://[fd00::1]:81/"),
            ("fd00::/8", "http://[fdff::9]/", "http://[fe80::1]/"),
            ("[fd00::]/8:80", "http://[fd12::9]/", "http://[fd12::9]:81/"),
            ("[fd00::/8]:80", "http://[fd12::9]/", "http://[fd12::9]:81/"),
            ("::/0", "http://[2001:db8::1]/", "http://8.8.8.8/"),
            (
                "10.0.0.7",
                "http://[::ffff:10.0.0.7]/",
                "http://name.of.it/",
            ),
        ] {
            assert!(admits(allowed, inside), "{allowed} {inside}");
            assert!(!admits(allowed, outside), "{allowed} {outside}");
            let again: AllowedTarget = allowed.parse().unwrap();
            assert_eq!(again.to_string().parse(), Ok(again), "{allowed}");
        }
        assert!(admits("web.lan", "http://localhost:1/"), "loopback always");
    }

    #[test]
    fn other_texts_are_refused_with_the_forms() {
        for text in [
            "",
            ":80",
            "a:b",
            "a:0",
            "a:70000",
            "http://x/",
            "10.0.0.0/33",
            "fd00::/129",
            "*",
            "*.",
            ".lan",
            "a*b",
            "**.lan",
            "10.0.0.0/",
            "[fd00::1",
            "[fd00::1]80",
            "a b",
            "x/8",
        ] {
            let error = text.parse::<AllowedTarget>().unwrap_err();
            assert!(error.contains("10.0.0.0/8"), "{error}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_refused_or_written_as_it_is_read(text in "[0-9a-f.:/*\\[\\]]{0,24}") {
            if let Ok(allowed) = text.parse::<AllowedTarget>() {
                prop_assert_eq!(allowed.to_string().parse(), Ok(allowed));
            }
        }

        #[test]
        fn a_network_holds_its_addresses_and_no_others(
            network in any::<u32>(), address in any::<u32>(), bits in 0_u8..=32,
        ) {
            let [network_ip, ip] = [network, address].map(std::net::Ipv4Addr::from);
            let mask = u32::MAX.checked_shl(32 - u32::from(bits)).unwrap_or(0);
            let allowed: AllowedTarget = format!("{network_ip}/{bits}").parse().unwrap();
            let target = Target::parse(&format!("http://{ip}/")).unwrap();
            prop_assert_eq!(allowed.admits(&target), network & mask == address & mask);
        }
    }
}
