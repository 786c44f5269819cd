//! Who may ask for what: the token, the checks that keep web pages of other sites out, and the
//! targets that may be loaded.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use proto::workload::{AllowedTarget, Target, is_loopback};
use subtle::ConstantTimeEq;
use thiserror::Error;

/// What a request says of itself, as far as access is concerned.
#[derive(Debug, Clone, Copy, Default)]
pub struct Credentials<'a> {
    /// Whether its method only looks.
    pub is_safe: bool,
    /// `Host`.
    pub host: Option<&'a str>,
    /// `Origin`: which page a browser sends it for.
    pub origin: Option<&'a str>,
    /// `Sec-Fetch-Site`: the same from newer browsers.
    pub fetch_site: Option<&'a str>,
    /// `Sec-Fetch-Mode`: `navigate` when a person follows a link.
    pub fetch_mode: Option<&'a str>,
    /// `Sec-Fetch-Dest`: `document` when what comes is shown as a page of its own.
    pub fetch_dest: Option<&'a str>,
    /// `Authorization`.
    pub authorization: Option<&'a str>,
}

impl Credentials<'_> {
    /// Whether a person followed a link: what comes is shown to the person, and no page reads it.
    fn is_link(&self) -> bool {
        let is_page = self.fetch_dest.is_none_or(|dest| dest == "document");
        self.is_safe && self.fetch_mode == Some("navigate") && is_page
    }
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
    /// For what is no name at all.
    #[error("the Host header {0:?} is no name or address with a port or without")]
    NoHost(String),
    /// Without the token, or with another one.
    #[error("the token is missing or wrong")]
    Token,
}

/// The URL by which people reach us, where that is another than that of our listener.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicUrl {
    /// `http` or `https`.
    pub scheme: String,
    name: String,
    port: u16,
}

impl FromStr for PublicUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let refuse =
            || format!("{text:?} is no URL of ours; write https://host or https://host:port");
        let (scheme, rest) = text.split_once("://").ok_or_else(refuse)?;
        let default_port = default_port(scheme).ok_or_else(refuse)?;
        let authority = rest.strip_suffix('/').unwrap_or(rest);
        let host = Host::parse(authority).ok_or_else(refuse)?;
        Ok(Self {
            scheme: scheme.to_owned(),
            name: host.name.to_ascii_lowercase(),
            port: host.port.unwrap_or(default_port),
        })
    }
}

impl std::fmt::Display for PublicUrl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { scheme, name, port } = self;
        write!(f, "{scheme}://")?;
        if name.contains(':') {
            write!(f, "[{name}]")?;
        } else {
            write!(f, "{name}")?;
        }
        if default_port(scheme) == Some(*port) {
            return Ok(());
        }
        write!(f, ":{port}")
    }
}

/// Who may reach our listener, and by which names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reach {
    /// Only this machine.
    Local,
    /// Others as well, with the token: a name that a page lets point to us tells it nothing.
    Guarded,
    /// Others as well, whoever they are.
    Open,
}

/// The rules.
#[derive(Debug, Clone)]
pub struct Access {
    token: Option<String>,
    reach: Reach,
    /// What this machine calls itself, in lower case.
    hostname: String,
    public_url: Option<PublicUrl>,
    targets: Vec<AllowedTarget>,
}

impl Access {
    /// Rules for a listener at this address.
    #[must_use]
    pub fn new(
        listen: SocketAddr,
        token: Option<String>,
        public_url: Option<PublicUrl>,
        targets: Vec<AllowedTarget>,
    ) -> Self {
        let hostname = rustix::system::uname()
            .nodename()
            .to_string_lossy()
            .to_ascii_lowercase();
        let reach = match (&token, listen.ip().to_canonical().is_loopback()) {
            (_, true) => Reach::Local,
            (Some(_), false) => Reach::Guarded,
            (None, false) => Reach::Open,
        };
        Self {
            token,
            reach,
            hostname,
            public_url,
            targets,
        }
    }

    /// Checks a request. `is_public`: one that needs no token, such as the page itself.
    ///
    /// # Errors
    /// [`Denied`].
    pub fn check(&self, credentials: &Credentials<'_>, is_public: bool) -> Result<(), Denied> {
        let host = credentials.host.unwrap_or_default();
        if !host.is_empty() {
            self.check_host(host)?;
        }
        if let Some(origin) = credentials
            .origin
            .filter(|origin| !self.is_own(origin, host))
        {
            return Err(Denied::CrossSite(origin.to_owned()));
        }
        let site = credentials.fetch_site.unwrap_or("none");
        let is_own_page = ["same-origin", "none"].contains(&site);
        if !is_public && !is_own_page && !credentials.is_link() {
            return Err(Denied::CrossSite(site.to_owned()));
        }
        if is_public {
            Ok(())
        } else {
            self.check_token(credentials.authorization)
        }
    }

    fn check_host(&self, text: &str) -> Result<(), Denied> {
        let host = Host::parse(text).ok_or_else(|| Denied::NoHost(text.to_owned()))?;
        let is_public = |url: &PublicUrl| url.name.eq_ignore_ascii_case(host.name);
        let is_ours = match self.reach {
            Reach::Local => is_loopback(host.name),
            Reach::Guarded => true,
            Reach::Open => self.is_near(host.name),
        };
        if is_ours || self.public_url.as_ref().is_some_and(is_public) {
            Ok(())
        } else {
            Err(Denied::Host(text.to_owned()))
        }
    }

    /// Whether nobody on the internet can let a name point to us: it is an address, this machine's
    /// own, has no dot, or ends in what no registry gives away.
    fn is_near(&self, name: &str) -> bool {
        let name = name.to_ascii_lowercase();
        let private = [".local", ".localhost", ".internal", ".lan", ".home.arpa"];
        name.parse::<IpAddr>().is_ok()
            || name == self.hostname
            || !name.contains('.')
            || private.iter().any(|end| name.ends_with(end))
    }

    /// Whether an `Origin` is our own page: the host that was asked, by either scheme, since who
    /// ends TLS before us is not ours to know; or the public URL.
    fn is_own(&self, origin: &str, host: &str) -> bool {
        let Some((scheme, authority)) = origin.split_once("://") else {
            return false;
        };
        let (Some(origin), Some(default_port)) = (Host::parse(authority), default_port(scheme))
        else {
            return false;
        };
        let port = origin.port.unwrap_or(default_port);
        let is_asked = Host::parse(host).is_some_and(|host| {
            let asked_port = host.port.unwrap_or(default_port);
            host.name.eq_ignore_ascii_case(origin.name) && asked_port == port
        });
        let is_public = |url: &PublicUrl| {
            url.scheme == scheme && url.name.eq_ignore_ascii_case(origin.name) && url.port == port
        };
        is_asked || self.public_url.as_ref().is_some_and(is_public)
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
            // In a time that does not tell where the first difference is.
            Some(given) if given.as_bytes().ct_eq(token.as_bytes()).into() => Ok(()),
            _ => Err(Denied::Token),
        }
    }

    /// Whether a target may be loaded: this machine always, others when they are listed.
    #[must_use]
    pub fn admits(&self, target: &Target) -> bool {
        target.is_admitted_by(&self.targets)
    }
}

fn default_port(scheme: &str) -> Option<u16> {
    match scheme {
        "http" => Some(80),
        "https" => Some(443),
        _ => None,
    }
}

/// A name or address, without brackets, and its port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Host<'a> {
    name: &'a str,
    port: Option<u16>,
}

impl<'a> Host<'a> {
    /// What a `Host` header says; `None` for what it may not.
    fn parse(text: &'a str) -> Option<Self> {
        let (name, port) = match text.strip_prefix('[') {
            Some(rest) => {
                let (name, port) = rest.split_once(']')?;
                name.parse::<Ipv6Addr>().ok()?;
                (name, port)
            }
            None => text.split_at(text.find(':').unwrap_or(text.len())),
        };
        let port = match port {
            "" => None,
            port => Some(port.strip_prefix(':')?.parse().ok()?),
        };
        let is_of_name = |byte: u8| byte.is_ascii_alphanumeric() || b"-._:".contains(&byte);
        (!name.is_empty() && name.bytes().all(is_of_name)).then_some(Self { name, port })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn access(listen: &str, token: Option<&str>, targets: &[&str]) -> Access {
        let targets = targets.iter().map(|text| text.parse().unwrap()).collect();
        Access::new(
            listen.parse().unwrap(),
            token.map(str::to_owned),
            None,
            targets,
        )
    }

    const LOCAL: Credentials<'_> = Credentials {
        is_safe: false,
        host: Some("127.0.0.1:8001"),
        origin: None,
        fetch_site: None,
        fetch_mode: None,
        fetch_dest: None,
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
            "http://127.0.0.1",
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
        for host in [
            "[::1].evil.example",
            "x y",
            "[::1",
            "localhost:8001:1",
            "localhost:x",
            ":1",
        ] {
            let wrong = Credentials {
                host: Some(host),
                ..LOCAL
            };
            assert_eq!(local.check(&wrong, true), Err(Denied::NoHost(host.into())));
        }
        let wide = access("0.0.0.0:8001", Some("secret"), &[]);
        let named = Credentials {
            host: Some("load.lan:8001"),
            ..LOCAL
        };
        assert_eq!(wide.check(&named, true), Ok(()));
    }

    #[test]
    fn without_a_token_only_names_are_ours_that_nobody_else_can_give_us() {
        let open = access("0.0.0.0:8001", None, &[]);
        let asked_as = |host: &str| {
            let request = Credentials {
                host: Some(host),
                ..LOCAL
            };
            open.check(&request, true).is_ok()
        };
        for host in [
            "10.1.2.3:8001",
            "[fd00::1]:8001",
            "orchestrator:8001",
            "a.b.internal",
        ] {
            assert!(asked_as(host), "{host}");
        }
        for host in ["rebound.example:8001", "10.1.2.3.nip.io"] {
            assert!(!asked_as(host), "{host}");
        }
    }

    #[test]
    fn a_proxy_in_front_of_us_is_told_of_by_the_public_url() {
        let mut access = access("127.0.0.1:8001", None, &[]);
        let page = Credentials {
            origin: Some("https://dlts.example"),
            ..LOCAL
        };
        assert!(access.check(&page, false).is_err());
        access.public_url = Some("https://dlts.example/".parse().unwrap());
        assert_eq!(access.check(&page, false), Ok(()));
        let passed_on = Credentials {
            host: Some("dlts.example"),
            ..page
        };
        assert_eq!(access.check(&passed_on, false), Ok(()));
        let other = Credentials {
            origin: Some("https://dlts.example:444"),
            ..LOCAL
        };
        assert!(access.check(&other, false).is_err());
        for wrong in [
            "dlts.example",
            "ftp://h",
            "https://",
            "https://h/path",
            "https://h:x",
        ] {
            let refused = wrong.parse::<PublicUrl>().unwrap_err();
            assert!(refused.contains("https://host"), "{wrong}: {refused}");
        }
        let url: PublicUrl = "https://h:8443".parse().unwrap();
        assert_eq!(url.to_string(), "https://h:8443");
    }

    #[test]
    fn links_from_other_sites_open_and_nothing_else_of_them_does() {
        let access = access("127.0.0.1:8001", None, &[]);
        let link = Credentials {
            is_safe: true,
            fetch_site: Some("cross-site"),
            fetch_mode: Some("navigate"),
            fetch_dest: Some("document"),
            ..LOCAL
        };
        assert_eq!(access.check(&link, false), Ok(()));
        let form = Credentials {
            is_safe: false,
            ..link
        };
        assert!(access.check(&form, false).is_err(), "a form that posts");
        let script = Credentials {
            fetch_mode: Some("no-cors"),
            fetch_dest: Some("script"),
            ..link
        };
        assert!(access.check(&script, false).is_err());
        let frame = Credentials {
            fetch_dest: Some("iframe"),
            ..link
        };
        assert!(access.check(&frame, false).is_err());
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
