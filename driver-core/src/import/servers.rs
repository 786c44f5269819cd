//! Where the requests of an input go. One server is chosen, since pages have much of others who did
//! not ask for load; more are taken where they are named.

use proto::secret::shown_url;
use proto::workload::Target;

use super::secrets::{literal, next_variable};

/// The server of a document, once it is known.
#[derive(Debug, Default)]
pub(super) struct Servers {
    /// The servers of the input whose requests are taken.
    chosen: Vec<String>,
    /// What takes the place of the first.
    target: Option<String>,
}

/// A URL taken apart, in the writing of documents.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Url {
    /// Scheme and authority, in lower case, without a standard port.
    pub(super) origin: String,
    /// `user:password`, where it has one.
    pub(super) user: Option<String>,
    /// Path and query, from the first `/`; the whole URL, once it is known to be another server's than
    /// the document's target.
    pub(super) path: String,
    /// Whether it had a fragment, which is never sent.
    pub(super) had_fragment: bool,
}

impl Servers {
    /// `servers` are those of the input, instead of its first; `target` takes the place of the first.
    ///
    /// # Errors
    /// In words, when one of them is no URL of a server.
    pub(super) fn new(servers: &[String], target: Option<&str>) -> Result<Self, String> {
        let origin = |url: &String| Ok(Url::parse(url)?.origin);
        let chosen: Result<Vec<String>, String> = servers.iter().map(origin).collect();
        let chosen = chosen.map_err(|problem| format!("--server: {problem}"))?;
        if let Some(target) = target {
            Target::parse(target).map_err(|problem| format!("--target: {problem}"))?;
        }
        Ok(Self {
            chosen,
            target: target.map(|target| literal(target).into_owned()),
        })
    }

    /// Whether this server is the document's target, where requests to it are taken; without a choice
    /// the first one is chosen.
    pub(super) fn take(&mut self, origin: &str) -> Option<bool> {
        if self.chosen.is_empty() {
            self.chosen.push(origin.to_owned());
        }
        let number = self.chosen.iter().position(|chosen| chosen == origin)?;
        Some(number == 0)
    }

    /// What the document's target is, if any request was taken.
    pub(super) fn target(&self) -> Option<&str> {
        let first = self.chosen.first().map(String::as_str);
        self.target.as_deref().or(first)
    }
}

impl Url {
    /// Takes a URL apart that begins with `http://` or `https://`.
    ///
    /// # Errors
    /// In words: what it is instead, without its secrets.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let shown = || super::notes::shortened(&shown_url(text));
        let lower: String = text
            .chars()
            .take(8)
            .collect::<String>()
            .to_ascii_lowercase();
        let scheme = ["https://", "http://"];
        let scheme = scheme.into_iter().find(|scheme| lower.starts_with(scheme));
        let Some(scheme) = scheme else {
            return Err(format!("{:?} is not http:// or https://", shown()));
        };
        let rest = &text[scheme.len()..];
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, rest) = rest.split_at(end);
        let (user, authority) = match authority.rsplit_once('@') {
            Some((user, authority)) => (Some(user.to_owned()), authority),
            None => (None, authority),
        };
        let (path, fragment) = match rest.split_once('#') {
            Some((path, _)) => (path, true),
            None => (rest, false),
        };
        let origin = if next_variable(authority).is_some() {
            // Whatever the variables are, what is between them has to be right.
            Target::parse(&format!("{scheme}{}", with_ones(authority)))?;
            format!("{scheme}{authority}")
        } else {
            let standard = if scheme == "https://" { ":443" } else { ":80" };
            let authority = authority.to_ascii_lowercase();
            let authority = authority.strip_suffix(standard).unwrap_or(&authority);
            let origin = format!("{scheme}{authority}");
            Target::parse(&origin)?;
            origin
        };
        let path = if path.starts_with('/') {
            sendable(path)
        } else {
            format!("/{}", sendable(path))
        };
        Ok(Self {
            origin,
            user,
            path,
            had_fragment: fragment,
        })
    }
}

/// A text with a 1 in place of each variable, which is good for a host and for a port.
fn with_ones(text: &str) -> String {
    let (mut out, mut rest) = (String::new(), text);
    while let Some((before, _, after)) = next_variable(rest) {
        out.extend([before, "1"]);
        rest = after;
    }
    out + rest
}

/// A path with what would end it percent-encoded; the document encodes the rest where it is sent.
pub(super) fn sendable(path: &str) -> String {
    let mut out = String::with_capacity(path.len());
    for c in path.chars() {
        if c == '#' || c.is_whitespace() || c.is_control() {
            let mut buffer = [0; 4];
            for byte in c.encode_utf8(&mut buffer).bytes() {
                push_percent(byte, &mut out);
            }
        } else {
            out.push(c);
        }
    }
    out
}

/// Appends a byte percent-encoded.
pub(super) fn push_percent(byte: u8, out: &mut String) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    out.push('%');
    out.push(char::from(DIGITS[usize::from(byte >> 4)]));
    out.push(char::from(DIGITS[usize::from(byte & 15)]));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_taken_apart() {
        let url = Url::parse("HTTP://me:pw@Shop.Example:80/a b?q=1#top").unwrap();
        assert_eq!(
            url,
            Url {
                origin: "http://shop.example".to_owned(),
                user: Some("me:pw".to_owned()),
                path: "/a%20b?q=1".to_owned(),
                had_fragment: true,
            }
        );
        let path = |text| Url::parse(text).unwrap().path;
        assert_eq!(path("https://h"), "/");
        assert_eq!(path("https://h?x"), "/?x");
        assert_eq!(
            Url::parse("http://${HOST}/a").unwrap().origin,
            "http://${HOST}"
        );
        for text in [
            "ftp://h/",
            "data:text/plain,x",
            "",
            "http://",
            "http://h:0/",
            "http:///x",
            "http://${HOST}\0/",
        ] {
            assert!(Url::parse(text).is_err(), "{text}");
        }
        let error = Url::parse("ws://h/?token=t1").unwrap_err();
        assert!(!error.contains("t1"), "{error}");
    }

    #[test]
    fn the_first_server_is_chosen_unless_one_is_named() {
        let new = |servers: &[&str], target| {
            let servers: Vec<String> = servers.iter().map(ToString::to_string).collect();
            Servers::new(&servers, target)
        };
        let mut first = new(&[], None).unwrap();
        assert_eq!(
            [first.take("http://a"), first.take("http://b")],
            [Some(true), None]
        );
        assert_eq!(first.target(), Some("http://a"));
        let mut named = new(&["http://B:80/x", "https://d"], Some("http://c/base")).unwrap();
        let taken = ["http://a", "http://b", "https://d"].map(|origin| named.take(origin));
        assert_eq!(taken, [None, Some(true), Some(false)]);
        assert_eq!(named.target(), Some("http://c/base"));
        assert!(new(&["b"], None).unwrap_err().contains("--server"));
        assert!(new(&[], Some("c")).unwrap_err().contains("--target"));
    }
}
