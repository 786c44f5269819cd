//! The request, rendered once before the load starts and sent the same each time.

use proto::workload::{Request, Target};

/// Renders the request head and body as they go onto the wire.
///
/// `Host` comes from the target unless the workload's own headers carry it, `Content-Length` from
/// the body; a workload that brings its own is refused when it is validated.
#[must_use]
pub fn render(request: &Request, target: &Target) -> Vec<u8> {
    let mut text = format!("{} {} HTTP/1.1\r\n", request.method, target.path);
    let mut field = |name: &str, value: &str| {
        text.push_str(name);
        text.push_str(": ");
        text.push_str(value);
        text.push_str("\r\n");
    };
    let is_host = |(name, _): &(String, String)| name.eq_ignore_ascii_case("host");
    if !request.headers.iter().any(is_host) {
        field("Host", &target.authority);
    }
    for (name, value) in &request.headers {
        field(name, value);
    }
    if announces_body(request) {
        field("Content-Length", &request.body.len().to_string());
    }
    text.push_str("\r\n");
    let mut bytes = text.into_bytes();
    bytes.extend_from_slice(&request.body);
    bytes
}

/// Servers expect a length with these methods even when the body is empty.
fn announces_body(request: &Request) -> bool {
    !request.body.is_empty() || matches!(request.method.as_str(), "POST" | "PUT" | "PATCH")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(method: &str, headers: &[(&str, &str)], body: &[u8]) -> Request {
        let headers = headers
            .iter()
            .map(|(n, v)| ((*n).to_owned(), (*v).to_owned()))
            .collect();
        Request {
            method: method.to_owned(),
            headers,
            body: body.to_vec(),
        }
    }

    fn rendered(request: &Request) -> String {
        let target = Target::parse("http://[::1]:8000/path?q=1").unwrap();
        String::from_utf8(render(request, &target)).unwrap()
    }

    #[test]
    fn a_get_carries_the_host_and_nothing_it_was_not_told() {
        let text = rendered(&request("GET", &[], b""));
        assert_eq!(text, "GET /path?q=1 HTTP/1.1\r\nHost: [::1]:8000\r\n\r\n");
    }

    #[test]
    fn a_body_brings_its_length() {
        let text = rendered(&request(
            "POST",
            &[("Content-Type", "text/plain")],
            b"hello",
        ));
        assert!(text.ends_with("Content-Type: text/plain\r\nContent-Length: 5\r\n\r\nhello"));
        assert!(rendered(&request("PUT", &[], b"")).contains("Content-Length: 0\r\n"));
    }

    #[test]
    fn an_own_host_wins() {
        let text = rendered(&request("GET", &[("host", "a")], b""));
        assert_eq!(text, "GET /path?q=1 HTTP/1.1\r\nhost: a\r\n\r\n");
    }
}
