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
mod tests;
