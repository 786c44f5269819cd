//! The cookies of a session, by the part of RFC 6265 that a load needs.
//!
//! A cookie goes back to the target that set it (host-only: targets are few and known, so no domain
//! of another is matched), under its path. One whose life is over is dropped at once: `Max-Age` of 0
//! or less, or `Expires` in the years before 2000, as servers write to delete one; any other lives as
//! long as the session, which is shorter. `Secure` says nothing here, for a target is one scheme.
//! All cookies of a session share one buffer that is kept from session to session.

/// Most cookies of a session; more are not kept.
const COOKIES_MAX: usize = 64;
/// Most bytes of a name, a value and a path together.
const COOKIE_LEN_MAX: usize = 4096;
/// Length of the buffer from which on replaced values are cleared away.
const BYTES_MAX: usize = 64 << 10;

/// The cookies of a session.
#[derive(Debug, Default)]
pub(super) struct Jar {
    bytes: Vec<u8>,
    cookies: Vec<Cookie>,
}

/// Where in the buffer a cookie is.
#[derive(Debug, Clone, Copy)]
struct Cookie {
    target: usize,
    start: usize,
    name_len: usize,
    value_len: usize,
    path_len: usize,
}

impl Cookie {
    fn name<'b>(&self, bytes: &'b [u8]) -> &'b [u8] {
        &bytes[self.start..self.start + self.name_len]
    }

    /// `name=value`, as it is sent.
    fn pair<'b>(&self, bytes: &'b [u8]) -> &'b [u8] {
        let end = self.start + self.name_len + 1 + self.value_len;
        &bytes[self.start..end]
    }

    fn path<'b>(&self, bytes: &'b [u8]) -> &'b [u8] {
        let start = self.start + self.name_len + 1 + self.value_len;
        &bytes[start..start + self.path_len]
    }

    fn len(&self) -> usize {
        self.name_len + 1 + self.value_len + self.path_len
    }
}

impl Jar {
    /// Forgets all cookies, and keeps the memory.
    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        self.cookies.clear();
    }

    /// Takes the value of a `Set-Cookie` field of a target.
    pub(super) fn set(&mut self, target: usize, field: &[u8]) {
        let Some((name, value)) = name_and_value(field) else {
            return;
        };
        let (path, is_over) = attributes(field);
        let same = |cookie: &Cookie| {
            let place = (
                cookie.target,
                cookie.name(&self.bytes),
                cookie.path(&self.bytes),
            );
            place == (target, name, path)
        };
        let known = self.cookies.iter().position(same);
        if let Some(known) = known {
            self.cookies.remove(known);
        }
        let len = name.len() + value.len() + path.len();
        if is_over || len > COOKIE_LEN_MAX || self.cookies.len() == COOKIES_MAX {
            return;
        }
        if self.bytes.len() > BYTES_MAX {
            self.compact();
        }
        self.cookies.push(Cookie {
            target,
            start: self.bytes.len(),
            name_len: name.len(),
            value_len: value.len(),
            path_len: path.len(),
        });
        for part in [name, b"=", value, path] {
            self.bytes.extend_from_slice(part);
        }
    }

    /// Appends what the `Cookie` field of a request to a path of a target says; nothing for none.
    pub(super) fn write(&self, target: usize, path: &[u8], out: &mut Vec<u8>) {
        let before = out.len();
        for cookie in self.cookies.iter().filter(|cookie| cookie.target == target) {
            if is_under(path, cookie.path(&self.bytes)) {
                if out.len() > before {
                    out.extend_from_slice(b"; ");
                }
                out.extend_from_slice(cookie.pair(&self.bytes));
            }
        }
    }

    /// Takes out of the buffer what no cookie holds any more.
    fn compact(&mut self) {
        let mut end = 0;
        for cookie in &mut self.cookies {
            self.bytes
                .copy_within(cookie.start..cookie.start + cookie.len(), end);
            cookie.start = end;
            end += cookie.len();
        }
        self.bytes.truncate(end);
    }
}

/// Name and value that a `Set-Cookie` field sets; none without a name.
pub(super) fn name_and_value(field: &[u8]) -> Option<(&[u8], &[u8])> {
    let pair = field.split(|byte| *byte == b';').next()?;
    let at = pair.iter().position(|byte| *byte == b'=')?;
    let (name, value) = (pair[..at].trim_ascii(), pair[at + 1..].trim_ascii());
    (!name.is_empty()).then_some((name, value))
}

/// The path of a cookie, and whether its life is over.
fn attributes(field: &[u8]) -> (&[u8], bool) {
    let (mut path, mut is_over): (&[u8], bool) = (b"/", false);
    let mut max_age = None;
    for attribute in field.split(|byte| *byte == b';').skip(1) {
        let mut parts = attribute.splitn(2, |byte| *byte == b'=');
        let name = parts.next().unwrap_or_default().trim_ascii();
        let value = parts.next().unwrap_or_default().trim_ascii();
        if name.eq_ignore_ascii_case(b"path") && value.starts_with(b"/") {
            path = value;
        } else if name.eq_ignore_ascii_case(b"max-age") {
            let text = std::str::from_utf8(value).unwrap_or_default();
            max_age = text
                .parse::<i64>()
                .ok()
                .map(|seconds| seconds <= 0)
                .or(max_age);
        } else if name.eq_ignore_ascii_case(b"expires") {
            is_over = year(value).is_some_and(|year| year < 2000);
        }
    }
    // RFC 6265, 4.1.2.2: Max-Age has precedence.
    (path, max_age.unwrap_or(is_over))
}

/// The year of a date: its only run of four digits.
fn year(date: &[u8]) -> Option<u32> {
    let runs = date.split(|byte| !byte.is_ascii_digit());
    let mut years = runs.filter(|run| run.len() == 4);
    std::str::from_utf8(years.next()?).ok()?.parse().ok()
}

/// RFC 6265, 5.1.4.
fn is_under(path: &[u8], of: &[u8]) -> bool {
    let path = path.split(|byte| *byte == b'?').next().unwrap_or_default();
    match path.strip_prefix(of) {
        Some(rest) => of.ends_with(b"/") || rest.is_empty() || rest.starts_with(b"/"),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sent(jar: &Jar, path: &str) -> String {
        let mut out = Vec::new();
        jar.write(0, path.as_bytes(), &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn cookies_come_back_to_their_target_and_path() {
        let mut jar = Jar::default();
        jar.set(0, b"sid=1; Path=/; HttpOnly; Secure; SameSite=Lax");
        jar.set(0, b"cart=a b; path=/cart");
        jar.set(1, b"other=1");
        assert_eq!(sent(&jar, "/"), "sid=1");
        assert_eq!(sent(&jar, "/cart/x?y=/z"), "sid=1; cart=a b");
        assert_eq!(sent(&jar, "/cartoon"), "sid=1");
        jar.set(0, b"sid=22");
        assert_eq!(sent(&jar, "/"), "sid=22");
        jar.clear();
        assert_eq!(sent(&jar, "/"), "");
    }

    #[test]
    fn cookies_whose_life_is_over_are_dropped() {
        let mut jar = Jar::default();
        for over in [
            "sid=; Max-Age=0",
            "sid=x; expires=Thu, 01 Jan 1970 00:00:00 GMT",
            "sid=x; Expires=Thu, 01-Jan-1970 00:00:01 GMT",
            "sid=x; Max-Age=-5; Expires=Fri, 01 Jan 2100 00:00:00 GMT",
        ] {
            jar.set(0, b"sid=1");
            jar.set(0, over.as_bytes());
            assert_eq!(sent(&jar, "/"), "", "{over}");
        }
        jar.set(
            0,
            b"sid=2; Max-Age=60; Expires=Thu, 01 Jan 1970 00:00:00 GMT",
        );
        assert_eq!(sent(&jar, "/"), "sid=2");
    }

    #[test]
    fn a_jar_is_bounded() {
        let mut jar = Jar::default();
        for number in 0..1000 {
            jar.set(0, format!("a{number}=1").as_bytes());
        }
        assert_eq!(jar.cookies.len(), COOKIES_MAX);
        for number in 0..10_000 {
            jar.set(0, format!("a0={number}{}", "x".repeat(1000)).as_bytes());
        }
        assert!(jar.bytes.len() < BYTES_MAX + 2 * COOKIE_LEN_MAX);
        assert!(sent(&jar, "/").contains("a0=9999x"));
        jar.set(0, &[b"b=", "x".repeat(5000).as_bytes()].concat());
        assert!(!sent(&jar, "/").contains("b="));
    }

    proptest! {
        #[test]
        fn no_field_makes_it_panic(fields in prop::collection::vec("[a-c=; /\\-0-9]{0,20}", 0..8)) {
            let mut jar = Jar::default();
            for field in fields {
                jar.set(0, field.as_bytes());
            }
            jar.write(0, b"/a", &mut Vec::new());
        }
    }
}
