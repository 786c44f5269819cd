//! The parameters of a test as people, queries and messages write them: all optional, numbers also
//! as text. [`crate::workload::Workload::from_params`] checks them.

use std::fmt;

use serde::de::{self, Deserializer, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Serialize, Serializer};
use serde_json::{Map, Value};
use thiserror::Error;

use super::tls::TlsParams;
use crate::lenient::{self, Milliseconds, Seconds, Text, Truth, Whole};
use crate::workload::{RateSpec, Stage};

/// A parameter that is unknown, of the wrong type, or out of its range.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{name}: {problem}")]
pub struct InvalidParam {
    /// The parameter.
    pub name: String,
    /// The value, and what is allowed.
    pub problem: String,
}

impl InvalidParam {
    pub(crate) fn new(name: &str, problem: impl fmt::Display) -> Self {
        Self {
            name: name.to_owned(),
            problem: problem.to_string(),
        }
    }
}

/// Optional parameters of a test. Field names are those of REST and of the wire.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Params {
    /// URL of the target.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// Requests of each driver (REST only; `message_count_per_driver` on the wire).
    #[serde(
        skip_serializing_if = "Option::is_none",
        deserialize_with = "lenient::option::<_, Whole, _>"
    )]
    pub requests: Option<u64>,
    /// Connections of each driver.
    #[serde(
        skip_serializing_if = "Option::is_none",
        deserialize_with = "lenient::option::<_, Whole, _>"
    )]
    pub connections: Option<u64>,
    /// Requests of one load of a tsunami.
    #[serde(
        skip_serializing_if = "Option::is_none",
        deserialize_with = "lenient::option::<_, Whole, _>"
    )]
    pub burst: Option<u64>,
    /// Requests a second of each driver: makes it an open loop of that rate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate: Option<RateSpec>,
    /// Rates over time.
    #[serde(skip_serializing_if = "Option::is_none", with = "stages")]
    pub stages: Option<Vec<Stage>>,
    /// HTTP method.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    /// Header fields: an object, a list of `Name: value`, or such lines in one text.
    #[serde(skip_serializing_if = "Option::is_none", with = "headers")]
    pub headers: Option<Vec<(String, String)>>,
    /// Body as text.
    #[serde(
        skip_serializing_if = "Option::is_none",
        deserialize_with = "lenient::option::<_, Text, _>"
    )]
    pub body: Option<String>,
    /// Body as base64, for bytes that are no text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body_base64: Option<String>,
    /// From the actual send to the end of the answer.
    #[serde(
        skip_serializing_if = "Option::is_none",
        deserialize_with = "lenient::option::<_, Milliseconds, _>"
    )]
    pub timeout_ms: Option<f64>,
    /// From the intended send to the actual one; a request past it is shed.
    #[serde(
        skip_serializing_if = "Option::is_none",
        deserialize_with = "lenient::option::<_, Milliseconds, _>"
    )]
    pub deadline_ms: Option<f64>,
    /// Length of the load.
    #[serde(
        skip_serializing_if = "Option::is_none",
        deserialize_with = "lenient::option::<_, Seconds, _>"
    )]
    pub duration_s: Option<f64>,
    /// Load before the measured one.
    #[serde(
        skip_serializing_if = "Option::is_none",
        deserialize_with = "lenient::option::<_, Seconds, _>"
    )]
    pub warmup_s: Option<f64>,
    /// Requests in flight on one connection.
    #[serde(
        skip_serializing_if = "Option::is_none",
        deserialize_with = "lenient::option::<_, Whole, _>"
    )]
    pub pipeline: Option<u64>,
    /// Which HTTP is spoken: `auto`, `1.1`, `2` or `h2c`.
    #[serde(
        skip_serializing_if = "Option::is_none",
        deserialize_with = "lenient::option::<_, Text, _>"
    )]
    pub http: Option<String>,
    /// Requests after which a connection is replaced by another.
    #[serde(
        skip_serializing_if = "Option::is_none",
        deserialize_with = "lenient::option::<_, Whole, _>"
    )]
    pub requests_per_connection: Option<u64>,
    /// Which free connection gets the next request: `first` (the one that is free longest) or `last`.
    #[serde(
        skip_serializing_if = "Option::is_none",
        deserialize_with = "lenient::option::<_, Text, _>"
    )]
    pub reuse: Option<String>,
    /// Whether a target that takes no connection before the start fails the test.
    #[serde(
        skip_serializing_if = "Option::is_none",
        deserialize_with = "lenient::option::<_, Truth, _>"
    )]
    pub preflight: Option<bool>,
    /// How TLS is spoken: an object, or its fields as `tls.ca` and the like.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<TlsParams>,
    /// Whether node i of n starts i/n of a gap later.
    #[serde(
        skip_serializing_if = "Option::is_none",
        deserialize_with = "lenient::option::<_, Truth, _>"
    )]
    pub phase: Option<bool>,
    /// What the merged result must satisfy, such as `p99<250ms`: a list, or one text with commas.
    #[serde(
        skip_serializing_if = "Option::is_none",
        deserialize_with = "list_of_text"
    )]
    pub threshold: Option<Vec<String>>,
}

impl Params {
    /// Every field's name, in the order of the documentation.
    pub const NAMES: [&'static str; 23] = [
        "target",
        "requests",
        "connections",
        "burst",
        "rate",
        "ramp",
        "stages",
        "method",
        "headers",
        "body",
        "body_base64",
        "timeout_ms",
        "deadline_ms",
        "duration_s",
        "warmup_s",
        "pipeline",
        "http",
        "requests_per_connection",
        "reuse",
        "preflight",
        "tls",
        "phase",
        "threshold",
    ];

    /// Builds parameters from named values, as a query or a JSON body has them. `ramp` is another
    /// name for a `rate` of the form `from:to`.
    ///
    /// # Errors
    /// [`InvalidParam`] naming the first value that is unknown or of the wrong type.
    pub fn from_values(values: Map<String, Value>) -> Result<Self, InvalidParam> {
        let mut all = Map::new();
        for (name, value) in nested(values)? {
            let field = if name == "ramp" {
                "rate"
            } else {
                name.as_str()
            };
            if !Self::NAMES.contains(&field) {
                let known = Self::NAMES.join(", ");
                return Err(InvalidParam::new(
                    &name,
                    format!("no such parameter; known: {known}"),
                ));
            }
            let single = Map::from_iter([(field.to_owned(), value.clone())]);
            serde_json::from_value::<Self>(Value::Object(single))
                .map_err(|error| InvalidParam::new(&name, error))?;
            if all.insert(field.to_owned(), value).is_some() {
                return Err(InvalidParam::new(
                    &name,
                    "given twice (ramp is another name of rate)",
                ));
            }
        }
        let params: Self = serde_json::from_value(Value::Object(all))
            .map_err(|error| InvalidParam::new("parameters", error))?;
        params.refuse_masks()?;
        Ok(params)
    }
}

/// Moves fields that are named as `tls.ca` into an object of that name.
fn nested(values: Map<String, Value>) -> Result<Map<String, Value>, InvalidParam> {
    let (flat, dotted): (Map<_, _>, Map<_, _>) = values
        .into_iter()
        .partition(|(name, _)| !name.starts_with("tls."));
    let mut all = flat;
    for (name, value) in dotted {
        let tls = all
            .entry("tls")
            .or_insert_with(|| Value::Object(Map::new()));
        let field = name.trim_start_matches("tls.").to_owned();
        let taken = tls.as_object_mut().map(|tls| tls.insert(field, value));
        if taken != Some(None) {
            return Err(InvalidParam::new(&name, "given twice, here and in tls"));
        }
    }
    if let Some(tls) = all.get("tls").and_then(Value::as_object) {
        TlsParams::check_names(tls)?;
    }
    Ok(all)
}

/// Header fields as an object on the wire; repeated names as a list of lines.
mod headers {
    use super::{
        Deserializer, MapAccess, SeqAccess, Serialize, Serializer, Text, Visitor, de, fmt,
    };

    type Headers = Vec<(String, String)>;

    #[allow(clippy::ref_option)] // serde calls it with a reference to the field
    pub(super) fn serialize<S: Serializer>(
        headers: &Option<Headers>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        let headers = headers.as_deref().unwrap_or_default();
        let repeats = |(at, (name, _)): (usize, &(String, String))| {
            headers[..at].iter().any(|(earlier, _)| earlier == name)
        };
        if headers.iter().enumerate().any(repeats) {
            let lines: Vec<String> = headers
                .iter()
                .map(|(name, value)| format!("{name}: {value}"))
                .collect();
            lines.serialize(serializer)
        } else {
            serializer.collect_map(headers.iter().map(|(name, value)| (name, value)))
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Headers>, D::Error> {
        deserializer.deserialize_any(HeadersVisitor)
    }

    struct HeadersVisitor;

    impl<'de> Visitor<'de> for HeadersVisitor {
        type Value = Option<Headers>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("header fields: an object, or \"Name: value\" lines")
        }

        fn visit_str<E: de::Error>(self, text: &str) -> Result<Option<Headers>, E> {
            let lines = text.lines().filter(|line| !line.trim().is_empty());
            lines.map(field).collect::<Result<_, E>>().map(Some)
        }

        fn visit_unit<E>(self) -> Result<Option<Headers>, E> {
            Ok(None)
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut lines: A) -> Result<Option<Headers>, A::Error> {
            let mut headers = Headers::new();
            while let Some(line) = lines.next_element::<String>()? {
                headers.push(field(&line)?);
            }
            Ok(Some(headers))
        }

        fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Option<Headers>, A::Error> {
            let mut headers = Headers::new();
            while let Some((name, value)) = fields.next_entry::<String, Text>()? {
                if name.contains(':') {
                    let told = format!("{name:?} is no name of a header field: it has a colon");
                    return Err(de::Error::custom(told));
                }
                headers.push(trimmed(&name, &value.0));
            }
            Ok(Some(headers))
        }
    }

    fn field<E: de::Error>(line: &str) -> Result<(String, String), E> {
        let (name, value) = line
            .split_once(':')
            .ok_or_else(|| E::custom(format!("{line:?} is no header field; write Name: value")))?;
        Ok(trimmed(name, value))
    }

    fn trimmed(name: &str, value: &str) -> (String, String) {
        (name.trim().to_owned(), value.trim().to_owned())
    }
}

/// Stages as a list of `from:to@duration`, or as one text with commas.
mod stages {
    use super::{Deserializer, Serialize, Serializer, Stage, de, list_of_text};

    #[allow(clippy::ref_option)] // serde calls it with a reference to the field
    pub(super) fn serialize<S: Serializer>(
        stages: &Option<Vec<Stage>>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        let texts: Vec<String> = stages.iter().flatten().map(Stage::to_string).collect();
        texts.serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Vec<Stage>>, D::Error> {
        let Some(texts) = list_of_text(deserializer)? else {
            return Ok(None);
        };
        let stages: Result<Vec<Stage>, String> = texts.iter().map(|text| text.parse()).collect();
        stages.map(Some).map_err(de::Error::custom)
    }
}

/// A list of texts, or one text with commas.
fn list_of_text<'de, D: Deserializer<'de>>(d: D) -> Result<Option<Vec<String>>, D::Error> {
    struct ListVisitor;
    impl<'de> Visitor<'de> for ListVisitor {
        type Value = Option<Vec<String>>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a list of texts, or one text with commas")
        }

        fn visit_str<E: de::Error>(self, text: &str) -> Result<Option<Vec<String>>, E> {
            let parts = text
                .split(',')
                .map(str::trim)
                .filter(|part| !part.is_empty());
            Ok(Some(parts.map(str::to_owned).collect()))
        }

        fn visit_unit<E>(self) -> Result<Option<Vec<String>>, E> {
            Ok(None)
        }

        fn visit_seq<A: SeqAccess<'de>>(
            self,
            mut texts: A,
        ) -> Result<Option<Vec<String>>, A::Error> {
            let mut list = Vec::new();
            while let Some(text) = texts.next_element()? {
                list.push(text);
            }
            Ok(Some(list))
        }
    }
    d.deserialize_any(ListVisitor)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn from(values: Value) -> Result<Params, InvalidParam> {
        match values {
            Value::Object(values) => Params::from_values(values),
            other => panic!("not an object: {other}"),
        }
    }

    #[test]
    fn values_may_be_text_or_typed() {
        let typed = from(json!({"requests": 10, "rate": 2.5, "phase": true,
            "headers": {"A": "1"}, "threshold": ["p99<5ms"], "stages": ["1:2@3s"]}));
        let text = from(json!({"requests": "10", "rate": "2.5", "phase": "yes",
            "headers": "A: 1", "threshold": "p99<5ms", "stages": "1:2@3s"}));
        assert_eq!(typed.unwrap(), text.unwrap());
    }

    #[test]
    fn times_have_a_unit_of_their_own_or_that_of_their_name() {
        let read = |values: Value| from(values);
        let params = read(
            json!({"duration_s": "2m", "warmup_s": "250ms", "timeout_ms": "1.5s",
            "deadline_ms": "300"}),
        )
        .unwrap();
        let told = (params.duration_s, params.warmup_s, params.timeout_ms);
        assert_eq!(told, (Some(120.0), Some(0.25), Some(1500.0)));
        assert_eq!(params.deadline_ms, Some(300.0));
        let error = read(json!({"duration_s": "soon"})).unwrap_err().to_string();
        assert!(error.contains("a duration such as 250ms"), "{error}");
    }

    #[test]
    fn null_is_as_good_as_absent() {
        for name in Params::NAMES {
            let read = from(json!({name: null}));
            assert_eq!(read, Ok(Params::default()), "{name}");
        }
    }

    #[test]
    fn errors_name_the_parameter_and_the_value() {
        for (values, name, word) in [
            (json!({"requests": "many"}), "requests", "many"),
            (json!({"requests": -1}), "requests", "-1"),
            (json!({"requests": 1.5}), "requests", "1.5"),
            (json!({"rat": 5}), "rat", "known: target, requests"),
            (json!({"rate": "5:x"}), "rate", "0.001 to 10000000"),
            (json!({"ramp": "1:2", "rate": 3}), "rate", "twice"),
            (json!({"headers": "no colon"}), "headers", "Name: value"),
            (json!({"headers": {"A:B": 1}}), "headers", "colon"),
            (json!({"stages": "5"}), "stages", "rate@duration"),
            (json!({"phase": "maybe"}), "phase", "maybe"),
        ] {
            let error = from(values.clone()).unwrap_err();
            assert_eq!(error.name, name, "{values}");
            assert!(error.problem.contains(word), "{values}: {error}");
        }
    }

    #[test]
    fn repeated_headers_survive_the_wire() {
        let params = Params {
            headers: Some(vec![("A".into(), "1".into()), ("A".into(), "2".into())]),
            ..Params::default()
        };
        let text = serde_json::to_string(&params).unwrap();
        assert_eq!(serde_json::from_str::<Params>(&text).unwrap(), params);
    }
}
