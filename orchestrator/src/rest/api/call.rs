//! A request, taken apart.

use std::borrow::Cow;
use std::io::Read;

use percent_encoding::percent_decode_str;
use serde_json::{Map, Value};
use tiny_http::Request;

use super::Answer;
use crate::rest::access::Credentials;
use crate::rest::front::{BODY_LEN_MAX, is_upload};

/// Largest count in a query: what every JSON reader can hold.
const COUNT_MAX: u64 = 1 << 53;

/// One request.
#[derive(Debug, Clone, Default)]
pub struct Call {
    /// The method.
    pub method: String,
    /// The path as it came, without the query.
    pub path: String,
    /// The query, decoded, in order.
    pub query: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
    headers: Vec<(String, String)>,
    body_len: u64,
}

impl Call {
    /// Reads a request but for its body.
    ///
    /// # Errors
    /// The answer to a query that cannot be read.
    pub fn head(request: &Request) -> Result<Self, Answer> {
        let (path, query) = request.url().split_once('?').unwrap_or((request.url(), ""));
        let text = |header: &tiny_http::Header| {
            (
                header.field.as_str().to_string(),
                header.value.as_str().to_owned(),
            )
        };
        Ok(Self {
            method: request.method().to_string(),
            path: path.to_owned(),
            query: parse_form(query).ok_or_else(|| malformed("query"))?,
            headers: request.headers().iter().map(text).collect(),
            body: Vec::new(),
            body_len: request.body_length().unwrap_or(0) as u64,
        })
    }

    /// The same with its body.
    ///
    /// # Errors
    /// The answer to a body that cannot be read.
    pub fn with_body(mut self, request: &mut Request) -> Result<Self, Answer> {
        let most = BODY_LEN_MAX as u64 + 1;
        let read = request.as_reader().take(most).read_to_end(&mut self.body);
        if read.is_err() || self.body.len() > BODY_LEN_MAX {
            return Err(Answer::error(
                400,
                "the body could not be read",
                "send it again",
            ));
        }
        Ok(self)
    }

    /// Whether its body is a file, which is read as it comes.
    #[must_use]
    pub fn is_upload(&self) -> bool {
        is_upload(&self.method, &self.path)
    }

    /// Bytes of its body, as announced.
    #[must_use]
    pub fn body_len(&self) -> u64 {
        self.body_len
    }

    /// The path's segments, decoded; `None` when it cannot be.
    #[must_use]
    pub fn segments(&self) -> Option<Vec<String>> {
        let path = self.path.strip_prefix('/')?;
        path.split('/')
            .map(|segment| decode(segment, false))
            .collect()
    }

    /// A header's value.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.headers.iter();
        let (_, value) = headers.find(|(other, _)| other.eq_ignore_ascii_case(name))?;
        Some(value)
    }

    /// What it says of itself.
    #[must_use]
    pub fn credentials(&self) -> Credentials<'_> {
        Credentials {
            is_safe: ["GET", "HEAD"].contains(&self.method.as_str()),
            host: self.header("Host"),
            origin: self.header("Origin"),
            fetch_site: self.header("Sec-Fetch-Site"),
            fetch_mode: self.header("Sec-Fetch-Mode"),
            fetch_dest: self.header("Sec-Fetch-Dest"),
            authorization: self.header("Authorization"),
        }
    }

    /// A parameter of the query.
    ///
    /// # Errors
    /// The answer to a value that does not parse.
    pub fn param<T: std::str::FromStr>(
        &self,
        name: &str,
        shape: &str,
    ) -> Result<Option<T>, Answer> {
        let mut values = self.query.iter().filter(|(other, _)| other == name);
        let Some((_, text)) = values.next() else {
            return Ok(None);
        };
        let is_twice = values.next().is_some();
        match text.parse() {
            Ok(value) if !is_twice => Ok(Some(value)),
            _ => {
                let error = format!("{name}: {text:?} is not {shape}");
                Err(Answer::error(400, &error, "see /openapi.json"))
            }
        }
    }

    /// A parameter of the query that is a count.
    ///
    /// # Errors
    /// The answer to a value that is none.
    pub fn count(&self, name: &str) -> Result<Option<u64>, Answer> {
        let count = self.param::<u64>(name, "a whole number from 0 up")?;
        if let Some(over) = count.filter(|count| *count > COUNT_MAX) {
            let error = format!("{name}: {over} is not within 0 to {COUNT_MAX}");
            return Err(Answer::error(400, &error, "see /openapi.json"));
        }
        Ok(count)
    }

    /// The parameters of the query; repeated names become lists.
    #[must_use]
    pub fn query_values(&self) -> Map<String, Value> {
        let mut values = Map::new();
        self.query
            .iter()
            .for_each(|(name, text)| add(&mut values, name, text));
        values
    }

    /// The parameters of query and body together; what stands in both is taken from the body.
    ///
    /// # Errors
    /// The answer to a body that is no JSON object.
    pub fn values(&self) -> Result<Map<String, Value>, Answer> {
        let mut values = self.query_values();
        // Null is the same as absent.
        values.extend(
            self.body_values()?
                .into_iter()
                .filter(|(_, value)| !value.is_null()),
        );
        Ok(values)
    }

    fn body_values(&self) -> Result<Map<String, Value>, Answer> {
        if self.body.trim_ascii().is_empty() {
            return Ok(Map::new());
        }
        let is_form = self
            .header("Content-Type")
            .is_some_and(|kind| kind.starts_with("application/x-www-form-urlencoded"));
        let is_json = self.body.trim_ascii_start().starts_with(b"{");
        if is_form && !is_json {
            let text = std::str::from_utf8(&self.body).map_err(|_| malformed("body"))?;
            let mut values = Map::new();
            for (name, text) in parse_form(text).ok_or_else(|| malformed("body"))? {
                add(&mut values, &name, &text);
            }
            return Ok(values);
        }
        self.json_object(r#"such as {"requests": 1000}"#)
    }

    /// The body as a JSON object. What is derived for a struct would take an array of its fields too.
    pub(super) fn json_object(&self, example: &str) -> Result<Map<String, Value>, Answer> {
        serde_json::from_slice(&self.body).map_err(|error| {
            let error = format!("the body is no JSON object: {error}");
            Answer::error(400, &error, &format!("send an object {example}"))
        })
    }
}

/// Takes a truth value out of the parameters; false when it is absent.
pub(super) fn take_flag(values: &mut Map<String, Value>, name: &str) -> Result<bool, Answer> {
    let value = values.remove(name);
    let text = match &value {
        None => return Ok(false),
        Some(Value::Bool(flag)) => return Ok(*flag),
        Some(Value::Number(number)) => number.to_string(),
        Some(Value::String(text)) => text.to_ascii_lowercase(),
        Some(other) => other.to_string(),
    };
    match text.as_str() {
        "1" | "true" | "yes" => Ok(true),
        "0" | "false" | "no" => Ok(false),
        _ => {
            let error = format!("{name}: {text:?} is neither true nor false");
            Err(Answer::error(400, &error, "write 1 or 0"))
        }
    }
}

/// Adds a text value; a second one of the same name makes a list.
fn add(values: &mut Map<String, Value>, name: &str, text: &str) {
    let text = Value::String(text.to_owned());
    match values.get_mut(name) {
        None => {
            values.insert(name.to_owned(), text);
        }
        Some(Value::Array(list)) => list.push(text),
        Some(first) => *first = Value::Array(vec![first.take(), text]),
    }
}

fn malformed(what: &str) -> Answer {
    let error = format!("the {what} is not valid percent-encoded UTF-8");
    Answer::error(400, &error, "encode it as name=value pairs joined by &")
}

/// `name=value&…`, decoded.
fn parse_form(text: &str) -> Option<Vec<(String, String)>> {
    let pairs = text.split('&').filter(|pair| !pair.is_empty());
    pairs
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            Some((decode(name, true)?, decode(value, true)?))
        })
        .collect()
}

/// Undoes percent-encoding; `None` when it is broken or no UTF-8.
fn decode(text: &str, plus_is_space: bool) -> Option<String> {
    let is_digit = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_hexdigit);
    let is_whole = |rest: &[u8]| is_digit(rest.first()) && is_digit(rest.get(1));
    if !text.split('%').skip(1).map(str::as_bytes).all(is_whole) {
        return None;
    }
    let text = if plus_is_space {
        text.replace('+', " ").into()
    } else {
        Cow::Borrowed(text)
    };
    let decoded = percent_decode_str(&text).decode_utf8();
    Some(decoded.ok()?.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_and_paths_are_decoded() {
        assert_eq!(decode("a%20b+c", true).unwrap(), "a b c");
        assert_eq!(decode("a+b%C3%BC", false).unwrap(), "a+bü");
        for broken in ["%", "%4", "%zz", "%ff", "%+1"] {
            assert_eq!(decode(broken, true), None, "{broken}");
        }
        let pairs = parse_form("a=1&&b=x%3Dy&flag").unwrap();
        let texts: Vec<(&str, &str)> = pairs
            .iter()
            .map(|(n, v)| (n.as_str(), v.as_str()))
            .collect();
        assert_eq!(texts, [("a", "1"), ("b", "x=y"), ("flag", "")]);
    }

    #[test]
    fn query_and_body_are_joined_and_the_body_wins() {
        let call = |query: &str, body: &str| Call {
            query: parse_form(query).unwrap(),
            body: body.as_bytes().to_vec(),
            ..Call::default()
        };
        let values = call("threshold=a&threshold=b&burst=5", r#" {"burst": 2}"#).values();
        let expected = serde_json::json!({"threshold": ["a", "b"], "burst": 2});
        assert_eq!(Value::Object(values.unwrap()), expected);
        for body in ["[1]", "{", "x=1", "5", "null"] {
            assert_eq!(call("", body).values().unwrap_err().status, 400, "{body}");
        }
    }
}
