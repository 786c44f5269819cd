//! What an answer has to be, and what is kept of it: the compiled form and its text.

use std::str::FromStr;

use regex::bytes::{Regex, RegexBuilder};

use super::json_path::{self, JsonPath};
use crate::units;

/// Most bytes of one value that is extracted.
pub const VALUE_LEN_MAX: usize = 8 << 10;
/// Most bytes of a body that is looked at; what is behind them is neither found nor missed.
pub const BODY_KEPT_MAX: usize = 1 << 20;
/// Most memory of a compiled regular expression, in bytes.
const REGEX_LEN_MAX: usize = 1 << 20;

/// Statuses, as ranges.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatusSet(Vec<(u16, u16)>);

/// A part of an answer.
#[derive(Debug, Clone, PartialEq)]
pub enum Subject {
    /// The status.
    Status,
    /// The time from the actual send to the end of the answer, ms.
    Latency,
    /// The whole body.
    Body,
    /// The first field of this name, in lower case.
    Header(String),
    /// A cookie that the answer sets.
    Cookie(String),
    /// A value within a JSON body.
    Json(JsonPath),
    /// The first group of a match in the body, or the whole match where there is none.
    Regex(Pattern),
}

/// A regular expression that was compiled once.
#[derive(Debug, Clone)]
pub struct Pattern(pub Regex);

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_str() == other.0.as_str()
    }
}

/// A value to keep.
#[derive(Debug, Clone, PartialEq)]
pub struct Extract {
    /// Where it goes, by its number in [`super::Scenario::slots`].
    pub slot: usize,
    /// Where it is found.
    pub from: Subject,
    /// Whether it goes into a header later: a value that no header takes is as good as none.
    pub is_for_header: bool,
}

/// A condition on an answer, such as `status == 200` or `json $.items >= 1`.
#[derive(Debug, Clone, PartialEq)]
pub struct Check {
    /// As it was written.
    pub text: String,
    /// What is looked at.
    pub subject: Subject,
    /// How it is compared.
    pub comparison: Comparison,
}

/// How a part of an answer is compared.
#[derive(Debug, Clone, PartialEq)]
pub enum Comparison {
    /// The same text, or the same number.
    Equal(String),
    /// Another one.
    Unequal(String),
    /// A number below.
    Less(f64),
    /// A number not above.
    AtMost(f64),
    /// A number above.
    More(f64),
    /// A number not below.
    AtLeast(f64),
    /// A status among these.
    In(StatusSet),
    /// The text is in it.
    Contains(String),
    /// It matches.
    Matches(Pattern),
    /// It is there at all.
    Exists,
}

impl StatusSet {
    /// What no document says otherwise: all but client and server errors.
    #[must_use]
    pub fn standard() -> Self {
        Self(vec![(100, 399)])
    }

    /// From ranges, both ends included.
    #[must_use]
    pub fn new(ranges: Vec<(u16, u16)>) -> Self {
        Self(ranges)
    }

    /// Whether a status is among them.
    #[must_use]
    pub fn contains(&self, status: u16) -> bool {
        self.0
            .iter()
            .any(|(from, to)| (*from..=*to).contains(&status))
    }
}

/// Reads `200` or `200-299`.
///
/// # Errors
/// In words.
pub fn status_range(text: &str) -> Result<(u16, u16), String> {
    let status = |text: &str| {
        text.trim()
            .parse::<u16>()
            .ok()
            .filter(|s| (100..=999).contains(s))
    };
    let (from, to) = text.split_once('-').unwrap_or((text, text));
    match (status(from), status(to)) {
        (Some(from), Some(to)) if from <= to => Ok((from, to)),
        _ => Err(format!(
            "{text:?} is no status: write one from 100 to 999, or a range such as 200-299"
        )),
    }
}

/// Reads a list such as `[200-299, 304]`, with or without the brackets.
impl FromStr for StatusSet {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let inner = text.trim().trim_start_matches('[').trim_end_matches(']');
        let ranges: Result<Vec<_>, _> = inner.split(',').map(|t| status_range(t.trim())).collect();
        ranges.map(Self)
    }
}

impl Subject {
    /// Whether it is found in header fields.
    #[must_use]
    pub fn is_of_fields(&self) -> bool {
        matches!(self, Self::Header(_) | Self::Cookie(_))
    }

    /// Whether it is found in the body.
    #[must_use]
    pub fn is_of_body(&self) -> bool {
        matches!(self, Self::Body | Self::Json(_) | Self::Regex(_))
    }
}

impl Pattern {
    /// Compiles a regular expression.
    ///
    /// # Errors
    /// In words, when it is none or compiles to more than 1 MiB.
    pub fn new(text: &str) -> Result<Self, String> {
        let compiled = RegexBuilder::new(text).size_limit(REGEX_LEN_MAX).build();
        compiled.map(Self).map_err(|error| {
            let last = error.to_string();
            let last = last.lines().last().unwrap_or_default().trim().to_owned();
            format!("{text:?} is no regular expression: {last}")
        })
    }
}

const EXTRACT_SHAPE: &str =
    "write json $.token, header X-Name, cookie name, or regex \"id=(\\d+)\"";

/// Where a value is extracted from, such as `json $.token`.
///
/// # Errors
/// In words, with the forms that there are.
pub fn extract_from(text: &str) -> Result<Subject, String> {
    let refuse = || format!("{text:?} says not where to find the value; {EXTRACT_SHAPE}");
    let (kind, rest) = text.trim().split_once(' ').ok_or_else(refuse)?;
    let rest = rest.trim();
    match kind {
        "regex" => Pattern::new(unquoted(rest)).map(Subject::Regex),
        "json" => rest.parse().map(Subject::Json),
        "header" | "cookie" if is_token(rest) => Ok(named(kind, rest)),
        "header" | "cookie" => Err(format!("{rest:?} is no name of a {kind}")),
        _ => Err(refuse()),
    }
}

fn named(kind: &str, name: &str) -> Subject {
    match kind {
        "header" => Subject::Header(name.to_ascii_lowercase()),
        _ => Subject::Cookie(name.to_owned()),
    }
}

/// RFC 9110, 5.6.2.
fn is_token(text: &str) -> bool {
    let is_part = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
    !text.is_empty() && text.chars().all(is_part)
}

const CHECK_SHAPE: &str = "write what is looked at, how and with what, such as status == 200, \
    status in [200-299], latency < 300ms, body contains \"ok\", body ~ \"regex\", \
    header X-Name == \"v\", cookie sid exists, json $.items >= 1";

impl FromStr for Check {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let refuse = || format!("{text:?} is no check; {CHECK_SHAPE}");
        let (subject, rest) = subject(text.trim()).ok_or_else(refuse)??;
        let (sign, value) = operator(rest.trim()).ok_or_else(refuse)?;
        let comparison = comparison(&subject, sign, value.trim())
            .map_err(|problem| format!("{text:?}: {problem}"))?;
        Ok(Self {
            text: text.trim().to_owned(),
            subject,
            comparison,
        })
    }
}

/// What a check looks at, and the rest of its text. The inner error is that of a JSON path.
fn subject(text: &str) -> Option<Result<(Subject, &str), String>> {
    let len = text
        .find([' ', '=', '!', '<', '>', '~'])
        .unwrap_or(text.len());
    let (word, rest) = text.split_at(len);
    let subject = match word {
        "status" => Subject::Status,
        "latency" => Subject::Latency,
        "body" => Subject::Body,
        "header" | "cookie" => {
            let rest = rest.trim_start();
            let len = rest.find([' ', '=', '<', '>']).unwrap_or(rest.len());
            let (name, rest) = rest.split_at(len);
            return is_token(name).then(|| Ok((named(word, name), rest)));
        }
        "json" => {
            let rest = rest.trim_start();
            let len = json_path::path_len(rest);
            let (path, rest) = rest.split_at(len);
            return Some(path.parse().map(|path| (Subject::Json(path), rest)));
        }
        _ => return None,
    };
    Some(Ok((subject, rest)))
}

const OPERATORS: [&str; 10] = [
    "==", "!=", "<=", ">=", "<", ">", "~", "contains", "in", "exists",
];

fn operator(text: &str) -> Option<(&'static str, &str)> {
    let begins = |sign: &&'static str| {
        let rest = text.strip_prefix(*sign)?;
        let is_word = sign.starts_with(|c: char| c.is_alphabetic());
        let ends = rest.is_empty() || rest.starts_with([' ', '[', '"', '\'']);
        (!is_word || ends).then_some((*sign, rest))
    };
    OPERATORS.iter().find_map(begins)
}

fn comparison(subject: &Subject, sign: &str, value: &str) -> Result<Comparison, String> {
    if sign == "exists" {
        let is_named = matches!(
            subject,
            Subject::Header(_) | Subject::Cookie(_) | Subject::Json(_)
        );
        return match value {
            "" if is_named => Ok(Comparison::Exists),
            "" => Err("exists is for a header, a cookie or a JSON value".to_owned()),
            more => Err(format!("{more:?} after exists")),
        };
    }
    if value.is_empty() {
        return Err(format!("nothing after {sign}"));
    }
    match (subject, sign) {
        (Subject::Status, "in") => value.parse().map(Comparison::In),
        (_, "in") => Err("in is for the status".to_owned()),
        (Subject::Status, "~" | "contains") => Err(format!("{sign} is for texts")),
        (Subject::Status, _) => status_range(value).and_then(|_| numbered(sign, value, None)),
        (Subject::Latency, "<" | "<=" | ">" | ">=") => {
            let ns = units::parse_duration_ns(value).map_err(|error| error.to_string())?;
            if !value.ends_with(|c: char| c.is_alphabetic()) {
                return Err(format!("{value:?} has no unit: write 300ms or 1.5s"));
            }
            numbered(sign, value, Some(units::ns_to_ms(ns)))
        }
        (Subject::Latency, _) => Err("latency is compared by < <= > >=".to_owned()),
        (Subject::Body, "<" | "<=" | ">" | ">=") => {
            Err("a body is compared by == != ~ contains".to_owned())
        }
        (_, "~") => Pattern::new(unquoted(value)).map(Comparison::Matches),
        (_, "contains") => Ok(Comparison::Contains(unquoted(value).to_owned())),
        _ => numbered(sign, value, None),
    }
}

fn numbered(sign: &str, value: &str, known: Option<f64>) -> Result<Comparison, String> {
    let text = unquoted(value).to_owned();
    let number = || {
        known
            .or_else(|| text.parse().ok())
            .filter(|number: &f64| number.is_finite())
            .ok_or_else(|| format!("{text:?} is no number, and {sign} compares numbers"))
    };
    Ok(match sign {
        "<" => Comparison::Less(number()?),
        "<=" => Comparison::AtMost(number()?),
        ">" => Comparison::More(number()?),
        ">=" => Comparison::AtLeast(number()?),
        "!=" => Comparison::Unequal(text),
        _ => Comparison::Equal(text),
    })
}

/// A text without the quotes around it.
fn unquoted(text: &str) -> &str {
    let within = |quote: char| text.strip_prefix(quote)?.strip_suffix(quote);
    within('"').or_else(|| within('\'')).unwrap_or(text)
}

impl Comparison {
    /// Whether a value that was found satisfies it.
    #[must_use]
    pub fn holds(&self, value: &[u8]) -> bool {
        match self {
            Self::Equal(text) => equals(value, text),
            Self::Unequal(text) => !equals(value, text),
            Self::Less(bound) => number(value).is_some_and(|number| number < *bound),
            Self::AtMost(bound) => number(value).is_some_and(|number| number <= *bound),
            Self::More(bound) => number(value).is_some_and(|number| number > *bound),
            Self::AtLeast(bound) => number(value).is_some_and(|number| number >= *bound),
            Self::In(statuses) => number(value).is_some_and(|number| {
                (100.0..1000.0).contains(&number) && {
                    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // in range
                    statuses.contains(number as u16)
                }
            }),
            Self::Contains(text) => contains(value, text.as_bytes()),
            Self::Matches(pattern) => pattern.0.is_match(value),
            Self::Exists => true,
        }
    }
}

fn number(value: &[u8]) -> Option<f64> {
    std::str::from_utf8(value).ok()?.trim().parse().ok()
}

fn equals(value: &[u8], text: &str) -> bool {
    if value == text.as_bytes() {
        return true;
    }
    // 1.0 is 1, but a text is never a number with another spelling.
    let written = text.parse::<f64>().ok().filter(|number| number.is_finite());
    written.is_some() && number(value) == written
}

fn contains(value: &[u8], part: &[u8]) -> bool {
    part.is_empty() || value.windows(part.len()).any(|window| window == part)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::workload::json_path::Segment;

    fn check(text: &str) -> Check {
        text.parse().unwrap()
    }

    #[test]
    fn checks_hold_or_do_not() {
        for (text, value, holds) in [
            ("status == 200", "200", true),
            ("status==200", "201", false),
            ("status in [200-299, 304]", "304", true),
            ("status in [200-299, 304]", "305", false),
            ("latency < 300ms", "299.9", true),
            ("latency <= 1s", "1000.1", false),
            ("body contains \"welcome back\"", "hi, welcome back!", true),
            ("body ~ \"^[0-9]+$\"", "123", true),
            ("body ~ '^[0-9]+$'", "12a", false),
            ("header Content-Type == text/html", "text/html", true),
            ("header X != \"a b\"", "a b", false),
            ("json $.items >= 1", "1.0", true),
            ("json $.items >= 1", "none", false),
            ("json $.ok == true", "true", true),
            ("json $['a == b'].n == 1", "1.0", true),
            ("json $.s == 01x", "1x", false),
            ("json $.id exists", "", true),
        ] {
            assert_eq!(
                check(text).comparison.holds(value.as_bytes()),
                holds,
                "{text} of {value}"
            );
        }
    }

    #[test]
    fn what_is_no_check_is_refused_with_the_forms() {
        for (text, words) in [
            ("", "is no check"),
            ("status", "is no check"),
            ("status = 200", "is no check"),
            ("status == 99", "from 100 to 999"),
            ("status ~ 2..", "is for texts"),
            ("latency < 300", "no unit"),
            ("latency == 3ms", "< <= > >="),
            ("body < 3", "contains"),
            ("body ~ \"(\"", "no regular expression"),
            ("json items == 1", "no path"),
            ("json $.a >= x", "no number"),
            ("json $.a ==", "nothing after"),
            ("status exists", "exists is for"),
            ("header a b == c", "is no check"),
        ] {
            let error = text.parse::<Check>().unwrap_err();
            assert!(error.contains(words), "{text:?}: {error}");
        }
    }

    #[test]
    fn extracts_say_where_they_look() {
        let path = JsonPath(vec![
            Segment::Name("a".into()),
            Segment::Index(0),
            Segment::Name("b.c".into()),
        ]);
        assert_eq!(extract_from("json $.a[0]['b.c']"), Ok(Subject::Json(path)));
        assert_eq!(
            extract_from("header X-CSRF"),
            Ok(Subject::Header("x-csrf".into()))
        );
        assert_eq!(
            extract_from("cookie sid"),
            Ok(Subject::Cookie("sid".into()))
        );
        assert!(matches!(
            extract_from("regex \"id=(\\d+)\""),
            Ok(Subject::Regex(_))
        ));
        for text in [
            "",
            "json",
            "json a",
            "json $..a",
            "json $[*]",
            "xpath //a",
            "header a b",
        ] {
            assert!(extract_from(text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_a_parser_panic(text in ".{0,60}") {
            let _ = text.parse::<Check>();
            let _ = extract_from(&text);
            let _ = text.parse::<StatusSet>();
        }
    }
}
