//! The web server under load, from its URL.

use std::fmt;
use std::net::IpAddr;

use http::Uri;
use http::uri::Scheme;

use crate::secret::shown_url;

/// Longest URL that is taken, in bytes.
const URL_LEN_MAX: usize = 8192;

/// A parsed `http://host[:port]/path?query`, or one of `https`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Target {
    /// Whether it is `https`.
    pub is_tls: bool,
    /// Host name or address, without the brackets of IPv6.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// Path and query as they go into the request line, from the first `/`.
    pub path: String,
    /// What the `Host` header says.
    pub authority: String,
}

impl Target {
    /// Parses a URL.
    ///
    /// # Errors
    /// Says in words what is wrong: not a URL, no host, user information, port 0.
    pub fn parse(url: &str) -> Result<Self, String> {
        if url.len() > URL_LEN_MAX {
            return Err(format!(
                "the URL has {} bytes; at most {URL_LEN_MAX} are taken",
                url.len()
            ));
        }
        let shown = shown_url(url);
        let uri: Uri = url
            .parse()
            .map_err(|e| format!("{shown:?} is no URL ({e}); {SHAPE}"))?;
        let is_tls = match uri.scheme() {
            Some(scheme) if *scheme == Scheme::HTTP => false,
            Some(scheme) if *scheme == Scheme::HTTPS => true,
            _ => {
                return Err(format!(
                    "{shown:?} does not start with http:// or https://; {SHAPE}"
                ));
            }
        };
        let authority = uri
            .authority()
            .ok_or_else(|| format!("{shown:?} names no host; {SHAPE}"))?;
        if authority.as_str().contains('@') {
            return Err(format!(
                "{shown:?} carries a user name; send an Authorization header instead"
            ));
        }
        let port_text = authority.as_str().rsplit_once(':').map(|(_, port)| port);
        let port = authority
            .port_u16()
            .unwrap_or(if is_tls { 443 } else { 80 });
        let unread =
            port_text.is_some_and(|text| !text.ends_with(']') && authority.port_u16().is_none());
        if port == 0 || unread {
            return Err(format!("{shown:?} has no valid port; 1 to 65535"));
        }
        let path = uri.path_and_query().map_or("/", |path| path.as_str());
        let path = if path.starts_with('/') {
            path.to_owned()
        } else {
            format!("/{path}")
        };
        let host = authority
            .host()
            .trim_start_matches('[')
            .trim_end_matches(']')
            .to_owned();
        // A port that is understood is left out, as browsers do: names of servers have none.
        let authority = match authority.as_str().strip_suffix(":443") {
            Some(bare) if is_tls => bare,
            _ => authority.as_str(),
        };
        Ok(Self {
            is_tls,
            host,
            port,
            path,
            authority: authority.to_owned(),
        })
    }

    /// The URL as it may be shown: without what its query holds of secrets.
    #[must_use]
    pub fn shown(&self) -> String {
        shown_url(&self.to_string())
    }

    /// Whether another URL leads to the same server: scheme, host and port are the same.
    #[must_use]
    pub fn is_server_of(&self, other: &Self) -> bool {
        let place = |target: &Self| (target.is_tls, target.port);
        place(self) == place(other) && self.host.eq_ignore_ascii_case(&other.host)
    }

    /// Whether the host is this machine's loopback.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        is_loopback(&self.host)
    }
}

const SHAPE: &str = "a target is written http://host[:port]/path or https://host[:port]/path";

/// Whether a host, by its name or address, is loopback.
#[must_use]
pub fn is_loopback(host: &str) -> bool {
    host.eq_ignore_ascii_case("localhost")
        || host
            .parse::<IpAddr>()
            .is_ok_and(|address| address.to_canonical().is_loopback())
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.is_tls { "https" } else { "http" };
        write!(f, "{scheme}://{}{}", self.authority, self.path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_taken_apart() {
        let target = Target::parse("http://127.0.0.1:8000").unwrap();
        assert_eq!(
            (target.host.as_str(), target.port, target.path.as_str()),
            ("127.0.0.1", 8000, "/")
        );
        let target = Target::parse("http://[::1]:81/a/b?delay=5ms&size=1k").unwrap();
        assert_eq!((target.host.as_str(), target.port), ("::1", 81));
        assert_eq!(target.path, "/a/b?delay=5ms&size=1k");
        assert_eq!(target.authority, "[::1]:81");
        let target = Target::parse("http://example.org?x=1").unwrap();
        assert_eq!((target.port, target.path.as_str()), (80, "/?x=1"));
        assert_eq!(target.to_string(), "http://example.org/?x=1");
    }

    #[test]
    fn https_has_a_port_of_its_own_that_hosts_do_not_show() {
        for (url, port, authority) in [
            ("https://shop.example/a?b=1", 443, "shop.example"),
            ("https://shop.example:443/a?b=1", 443, "shop.example"),
            ("https://[::1]:443/a?b=1", 443, "[::1]"),
            ("https://shop.example:8443/a?b=1", 8443, "shop.example:8443"),
            ("https://shop.example:80/a?b=1", 80, "shop.example:80"),
        ] {
            let target = Target::parse(url).unwrap();
            assert!(target.is_tls);
            assert_eq!((target.port, target.authority.as_str()), (port, authority));
            assert_eq!(target.to_string(), format!("https://{authority}/a?b=1"));
            assert_eq!(Target::parse(&target.to_string()), Ok(target));
        }
        let clear = Target::parse("http://shop.example:443/").unwrap();
        assert_eq!(
            (clear.is_tls, clear.authority.as_str()),
            (false, "shop.example:443")
        );
    }

    #[test]
    fn urls_of_one_server_are_known_however_they_are_written() {
        let is_same = |one: &str, other: &str| {
            let [one, other] = [one, other].map(|url| Target::parse(url).unwrap());
            one.is_server_of(&other)
        };
        assert!(is_same(
            "http://Shop.example/a",
            "http://shop.example:80/b?c"
        ));
        assert!(is_same("https://h", "https://h:443/"));
        for other in ["https://h/", "http://h:81/", "http://g/"] {
            assert!(!is_same("http://h/", other), "{other}");
        }
    }

    #[test]
    fn other_targets_are_refused_in_words() {
        for (url, word) in [
            ("ftp://localhost/", "http://"),
            ("localhost:8000", "http://"),
            ("/path", "http://"),
            ("http://", "URL"),
            ("http://me:pass@localhost/", "user name"),
            ("http://localhost:0/", "port"),
            ("http://localhost:99999/", "port"),
            ("http://local host/", "URL"),
            ("", "URL"),
        ] {
            let error = Target::parse(url).unwrap_err();
            assert!(error.contains(word), "{url}: {error}");
        }
    }

    #[test]
    fn loopback_is_recognised_in_every_spelling() {
        for host in [
            "127.0.0.1",
            "127.8.9.1",
            "::1",
            "LocalHost",
            "::ffff:127.0.0.1",
        ] {
            assert!(is_loopback(host), "{host}");
        }
        for host in [
            "10.0.0.1",
            "example.org",
            "localhost.example.org",
            "0.0.0.0",
        ] {
            assert!(!is_loopback(host), "{host}");
        }
    }
}
