//! How this machine reaches targets, where it is told: addresses for names that are not looked up,
//! addresses that connections go out from, a socket of this machine.

use std::net::IpAddr;
use std::path::PathBuf;
use std::str::FromStr;

use clap::{Args, ValueHint};

/// What of a driver's command line says how targets are reached.
#[derive(Debug, Clone, Default, PartialEq, Eq, Args)]
pub struct Directions {
    /// Addresses of a host and port, instead of those that the resolver knows; IPv6 in brackets. May be
    /// repeated
    #[arg(long, value_name = "HOST:PORT:ADDR[,ADDR]")]
    pub resolve: Vec<Resolve>,
    /// Addresses of this machine that connections go out from in turn, for more connections than one
    /// address has ports
    #[arg(long = "source", value_name = "ADDR[,ADDR]", value_delimiter = ',')]
    pub sources: Vec<IpAddr>,
    /// A Unix socket to connect to, whatever host the http:// URL names; it still says Host
    #[arg(long, value_name = "FILE", conflicts_with_all = ["resolve", "sources"],
        value_hint = ValueHint::FilePath)]
    pub unix_socket: Option<PathBuf>,
}

/// Addresses of a host and port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolve {
    host: String,
    port: u16,
    addresses: Vec<IpAddr>,
}

impl Directions {
    /// The addresses that were given for a host and port.
    pub(super) fn addresses(&self, host: &str, port: u16) -> Option<&[IpAddr]> {
        let is_meant = |one: &&Resolve| one.port == port && one.host.eq_ignore_ascii_case(host);
        let found = self.resolve.iter().rev().find(is_meant)?;
        Some(&found.addresses)
    }
}

impl FromStr for Resolve {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parse = || {
            let (host, rest) = text.split_once(':')?;
            let (port, list) = rest.split_once(':')?;
            let port = port.parse().ok().filter(|port| *port > 0)?;
            let addresses: Option<Vec<IpAddr>> = list.split(',').map(address).collect();
            (!host.is_empty()).then_some(Self {
                host: host.to_owned(),
                port,
                addresses: addresses?,
            })
        };
        parse().ok_or_else(|| {
            format!(
                "{text:?} is not HOST:PORT:ADDR[,ADDR], such as shop.example:80:10.0.0.7,[fd00::7]"
            )
        })
    }
}

fn address(text: &str) -> Option<IpAddr> {
    let bare = text
        .strip_prefix('[')
        .and_then(|text| text.strip_suffix(']'));
    bare.unwrap_or(text).parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_given_for_a_host_and_port() {
        let resolve = [
            "shop:80:10.0.0.7,[fd00::7]",
            "shop:81:10.0.0.8",
            "SHOP:81:fd00::9",
        ];
        let directions = Directions {
            resolve: resolve.iter().map(|text| text.parse().unwrap()).collect(),
            sources: Vec::new(),
            unix_socket: None,
        };
        let found = |host, port| {
            let addresses = directions.addresses(host, port)?;
            Some(
                addresses
                    .iter()
                    .map(ToString::to_string)
                    .collect::<Vec<_>>(),
            )
        };
        let both = ["10.0.0.7".to_owned(), "fd00::7".to_owned()];
        assert_eq!(found("Shop", 80).as_deref(), Some(&both[..]));
        // The last one counts.
        assert_eq!(
            found("shop", 81).as_deref(),
            Some(&["fd00::9".to_owned()][..])
        );
        assert_eq!(found("shop", 82), None);
        assert_eq!(found("other", 80), None);
    }

    #[test]
    fn what_gives_no_address_is_refused() {
        for text in [
            "",
            "shop",
            "shop:80",
            "shop:0:10.0.0.7",
            "shop:80:",
            ":80:10.0.0.7",
            "a:80:b",
        ] {
            let error = text.parse::<Resolve>().unwrap_err();
            assert!(error.contains("HOST:PORT:ADDR"), "{error}");
        }
    }
}
