//! Who may ask for what: the token, the checks that keep web pages of other sites out, and the
//! targets that may be loaded.

use std::net::SocketAddr;

use proto::workload::{AllowedTarget, Target, is_loopback};
use thiserror::Error;

/// What a request says of itself, as far as access is concerned.
#[derive(Debug, Clone, Copy, Default)]
pub struct Credentials<'a> {
    /// `Host`.
    pub host: Option<&'a str>,
    /// `Origin`: which page a browser sends it for.
    pub origin: Option<&'a str>,
    /// `Sec-Fetch-Site`: the same from newer browsers.
    pub fetch_site: Option<&'a str>,
    /// `Authorization`.
    pub authorization: Option<&'a str>,
}

/// A request that is refused.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Denied {
    /// From a page of another site.
    #[error("requests of other sites' pages are refused: the page is from {0}")]
    CrossSite(String),
    /// For a name that is not ours, as a page does that lets its own name point to us.
    #[error("this orchestrator does not answer to the name {0:?}")]
    Host(String),
    /// Without the token, or with another one.
    #[error("the token is missing or wrong")]
    Token,
}

/// The rules.
#[derive(Debug, Clone)]
pub struct Access {
    token: Option<String>,
    /// Whether only this machine can reach the listener.
    is_local: bool,
    targets: Vec<AllowedTarget>,
}

impl Access {
    /// Rules for a listener at this address.
    #[must_use]
    pub fn new(listen: SocketAddr, token: Option<String>, targets: Vec<AllowedTarget>) -> Self {
        Self {
            token,
            is_local: listen.ip().to_canonical().is_loopback(),
            targets,
        }
    }

    /// Checks a request. `is_public`: one that needs no token, such as the page itself.
    ///
    /// # Errors
    /// [`Denied`].
    pub fn check(&self, credentials: &Credentials<'_>, is_public: bool) -> Result<(), Denied> {
        let host = credentials.host.unwrap_or_default();
        if self.is_local && !host.is_empty() && !is_loopback(host_of(host)) {
            return Err(Denied::Host(host.to_owned()));
        }
        if let Some(origin) = credentials.origin {
            let same = origin
                .strip_prefix("http://")
                .is_some_and(|site| site.eq_ignore_ascii_case(host));
            if !same {
                return Err(Denied::CrossSite(origin.to_owned()));
            }
        }
        let site = credentials.fetch_site.unwrap_or("none");
        if !is_public && !["same-origin", "none"].contains(&site) {
            return Err(Denied::CrossSite(site.to_owned()));
        }
        if is_public {
            Ok(())
        } else {
            self.check_token(credentials.authorization)
        }
    }

    fn check_token(&self, authorization: Option<&str>) -> Result<(), Denied> {
        let Some(token) = &self.token else {
            return Ok(());
        };
        let given = authorization.and_then(|text| {
            let (scheme, given) = text.split_once(' ')?;
            scheme.eq_ignore_ascii_case("bearer").then(|| given.trim())
        });
        match given {
            Some(given) if is_same(given.as_bytes(), token.as_bytes()) => Ok(()),
            _ => Err(Denied::Token),
        }
    }

    /// Whether a target may be loaded: this machine always, others when they are listed.
    #[must_use]
    pub fn admits(&self, target: &Target) -> bool {
        target.is_admitted_by(&self.targets)
    }
}

/// A `Host` header without its port and brackets.
fn host_of(host: &str) -> &str {
    if let Some(rest) = host.strip_prefix('[') {
        return rest.split(']').next().unwrap_or(rest);
    }
    host.rsplit_once(':').map_or(host, |(name, _)| name)
}

/// Compares in a time that does not tell where the first difference is.
fn is_same(one: &[u8], other: &[u8]) -> bool {
    let difference = one.iter().zip(other).fold(0, |all, (a, b)| all | (a ^ b));
    one.len() == other.len() && difference == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn access(listen: &str, token: Option<&str>, targets: &[&str]) -> Access {
        let targets = targets.iter().map(|text| text.parse().unwrap()).collect();
        Access::new(listen.parse().unwrap(), token.map(str::to_owned), targets)
    }

    const LOCAL: Credentials<'_> = Credentials {
        host: Some("127.0.0.1:8001"),
        origin: None,
        fetch_site: None,
        authorization: None,
    };

    #[test]
    fn pages_of_other_sites_are_kept_out() {
        let access = access("127.0.0.1:8001", None, &[]);
        assert_eq!(access.check(&LOCAL, false), Ok(()));
        let own = Credentials {
            origin: Some("http://127.0.0.1:8001"),
            ..LOCAL
        };
        assert_eq!(access.check(&own, false), Ok(()));
        for origin in [
            "http://evil.example",
            "null",
            "http://127.0.0.1:9999",
            "https://127.0.0.1:8001",
        ] {
            let page = Credentials {
                origin: Some(origin),
                ..LOCAL
            };
            assert_eq!(
                access.check(&page, false),
                Err(Denied::CrossSite(origin.into()))
            );
        }
        let page = Credentials {
            fetch_site: Some("cross-site"),
            ..LOCAL
        };
        assert!(access.check(&page, false).is_err());
        assert!(
            access.check(&page, true).is_ok(),
            "a link to the page is no harm"
        );
    }

    #[test]
    fn a_name_that_points_to_loopback_is_not_ours() {
        let local = access("127.0.0.1:8001", None, &[]);
        for host in ["evil.example:8001", "10.0.0.1", "localhost.evil.example"] {
            let page = Credentials {
                host: Some(host),
                ..LOCAL
            };
            assert_eq!(local.check(&page, true), Err(Denied::Host(host.into())));
        }
        for host in ["localhost:8001", "[::1]:8001", "LOCALHOST", "127.0.0.1"] {
            let own = Credentials {
                host: Some(host),
                ..LOCAL
            };
            assert_eq!(local.check(&own, false), Ok(()), "{host}");
        }
        let wide = access("0.0.0.0:8001", Some("secret"), &[]);
        let named = Credentials {
            host: Some("load.lan:8001"),
            ..LOCAL
        };
        assert_eq!(wide.check(&named, true), Ok(()));
    }

    #[test]
    fn the_token_is_asked_for() {
        let access = access("0.0.0.0:8001", Some("secret"), &[]);
        for (header, right) in [
            (Some("Bearer secret"), true),
            (Some("bearer secret"), true),
            (Some("Bearer secre"), false),
            (Some("Bearer secrets"), false),
            (Some("Basic secret"), false),
            (Some("secret"), false),
            (None, false),
        ] {
            let request = Credentials {
                authorization: header,
                ..LOCAL
            };
            assert_eq!(access.check(&request, false).is_ok(), right, "{header:?}");
        }
        assert_eq!(
            access.check(&LOCAL, true),
            Ok(()),
            "the page itself is public"
        );
    }

    #[test]
    fn targets_beyond_loopback_are_listed() {
        let access = access(
            "127.0.0.1:1",
            None,
            &["web.lan:8080", "10.0.0.7", "[fd00::1]:80", "fd00::2"],
        );
        let admits = |url: &str| access.admits(&Target::parse(url).unwrap());
        for url in [
            "http://localhost/",
            "http://127.0.0.1:8000/",
            "http://[::1]:9/",
            "http://WEB.lan:8080/x",
            "http://10.0.0.7:1234/",
            "http://[fd00::1]/",
            "http://[fd00::2]:7/",
        ] {
            assert!(admits(url), "{url}");
        }
        for url in [
            "http://web.lan/",
            "http://10.0.0.8/",
            "http://example.org/",
            "http://[fd00::1]:81/",
        ] {
            assert!(!admits(url), "{url}");
        }
    }
}
