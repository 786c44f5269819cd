//! From raw parameters to a [`Workload`]: everything that can be checked is checked here, once,
//! for REST, for the command line and for messages alike.

use std::fmt::Display;
use std::ops::RangeInclusive;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use http::{HeaderName, HeaderValue, Method};

use super::tls::{self, TlsParams};
use super::{InvalidParam, Params};
use crate::units;
use crate::workload::{
    Arrival, HttpChoice, Limit, RateSpec, Request, Reuse, Stage, Target, TestType, Threshold, Tls,
    Workload,
};

/// Most requests of one driver in one test.
pub const REQUESTS_MAX: u64 = 1_000_000_000_000;
/// Most connections of one driver: as many as its ephemeral ports allow to one target address.
pub const CONNECTIONS_MAX: u32 = 50_000;
/// Most requests in flight on one connection.
pub const PIPELINE_MAX: u32 = 1024;
/// Most requests of one load of a tsunami.
const BURST_MAX: u32 = 1_000_000;
/// Most header fields of the request.
pub const HEADERS_MAX: usize = 64;
/// Most bytes of all header fields together.
const HEADERS_LEN_MAX: usize = 32 << 10;
/// Most bytes of the body; a config must fit into one Kafka message of the default 1 MiB.
pub const BODY_LEN_MAX: usize = 512 << 10;
/// Most stages of a schedule.
const STAGES_MAX: usize = 1000;
/// Longest gap between loads, s.
const GAP_S_MAX: f64 = 3600.0;
/// Shortest timeout, ms: drivers look for them in steps of a millisecond.
const TIMEOUT_MS_MIN: f64 = 1.0;
/// Longest timeout and deadline, ms.
const TIMEOUT_MS_MAX: f64 = 3_600_000.0;
/// Longest load, s.
const DURATION_S_MAX: f64 = 604_800.0;
/// Longest warm-up, s.
const WARMUP_S_MAX: f64 = 3600.0;
/// Connections of a tsunami that follow from its burst.
const BURST_CONNECTIONS: RangeInclusive<u64> = 64..=1024;

/// What is taken where a parameter is absent.
#[derive(Debug, Clone)]
pub struct Defaults {
    /// URL of the target.
    pub target: String,
    /// Requests of each driver, unless a duration or stages end the load.
    pub requests: u64,
    /// Requests of one load.
    pub burst: u64,
}

impl Defaults {
    /// Those of `POST /avalanche` and `POST /tsunami`.
    #[must_use]
    pub fn of_rest(test_type: TestType, target: &str) -> Self {
        let (requests, burst) = match test_type {
            TestType::Avalanche => (100_000, 1),
            TestType::Tsunami => (500, 100),
        };
        Self {
            target: target.to_owned(),
            requests,
            burst,
        }
    }
}

type Checked<T> = Result<T, InvalidParam>;

impl Workload {
    /// Checks the parameters of a test. `gap_s` is the time between loads of a tsunami; an
    /// avalanche ignores it.
    ///
    /// # Errors
    /// [`InvalidParam`] with the name, the value and the allowed range of the first that is wrong.
    pub fn from_params(
        test_type: TestType,
        gap_s: f64,
        params: &Params,
        defaults: &Defaults,
    ) -> Checked<Self> {
        let arrival = arrival(test_type, gap_s, params, defaults)?;
        let url = params.target.as_deref().unwrap_or(&defaults.target);
        let target = Target::parse(url).map_err(|e| InvalidParam::new("target", e))?;
        let workload = Self {
            test_type,
            http: tls::http(params.http.as_deref(), &target)?,
            requests_per_connection: params
                .requests_per_connection
                .map(|n| count("requests_per_connection", n, 1..=u32::MAX))
                .transpose()?,
            reuse: reuse(params.reuse.as_deref())?,
            preflight: params.preflight.unwrap_or(true),
            tls: TlsParams::checked(params.tls.as_ref(), &target)?,
            target,
            connections: connections(&arrival, params)?,
            pipeline: count("pipeline", params.pipeline.unwrap_or(1), 1..=PIPELINE_MAX)?,
            limit: limit(&arrival, params, defaults)?,
            timeout_ns: timeout(params.timeout_ms.unwrap_or(30_000.0))?,
            deadline_ns: params
                .deadline_ms
                .map(|v| ms("deadline_ms", v))
                .transpose()?,
            warmup_ns: warmup(params)?,
            phase: params.phase.unwrap_or(false),
            request: request(params)?,
            thresholds: thresholds(params)?,
            arrival,
        };
        Ok(workload)
    }

    /// The parameters that give this workload again, every default written out.
    #[must_use]
    pub fn to_params(&self) -> Params {
        let text = std::str::from_utf8(&self.request.body).ok();
        // JSON makes up to six bytes of one; what is longer so than in Base64 goes as that.
        let text = text.filter(|text| escaped_len(text) <= text.len().div_ceil(3) * 4);
        let body_base64 = text.is_none().then(|| BASE64.encode(&self.request.body));
        let (burst, rate, stages) = match &self.arrival {
            Arrival::ClosedLoop => (None, None, None),
            Arrival::Bursts { burst, .. } => (Some(u64::from(*burst)), None, None),
            Arrival::Rate(rate) => (None, Some(RateSpec::Constant(*rate)), None),
            Arrival::Stages(stages) => (None, None, Some(stages.clone())),
        };
        let thresholds: Vec<String> = self.thresholds.iter().map(Threshold::to_string).collect();
        Params {
            target: Some(self.target.to_string()),
            requests: self.limit.requests,
            connections: Some(u64::from(self.connections)),
            burst,
            rate,
            stages,
            method: Some(self.request.method.clone()),
            headers: some_unless_empty(self.request.headers.clone()),
            body: text.filter(|text| !text.is_empty()).map(str::to_owned),
            body_base64,
            timeout_ms: Some(units::ns_to_ms(self.timeout_ns)),
            deadline_ms: self.deadline_ns.map(units::ns_to_ms),
            duration_s: self.limit.duration_ns.map(units::ns_to_seconds),
            warmup_s: (self.warmup_ns > 0).then(|| units::ns_to_seconds(self.warmup_ns)),
            pipeline: Some(u64::from(self.pipeline)),
            http: (self.http != HttpChoice::Auto).then(|| self.http.name().to_owned()),
            requests_per_connection: self.requests_per_connection.map(u64::from),
            reuse: (self.reuse != Reuse::First).then(|| self.reuse.name().to_owned()),
            preflight: (!self.preflight).then_some(false),
            tls: (self.tls != Tls::default()).then(|| TlsParams::from(&self.tls)),
            phase: self.phase.then_some(true),
            threshold: some_unless_empty(thresholds),
        }
    }
}

fn reuse(name: Option<&str>) -> Checked<Reuse> {
    let Some(name) = name else {
        return Ok(Reuse::First);
    };
    let known = [Reuse::First, Reuse::Last].into_iter();
    let found = known.clone().find(|reuse| reuse.name() == name);
    found.ok_or_else(|| {
        let names: Vec<&str> = known.map(Reuse::name).collect();
        InvalidParam::new("reuse", format!("{name:?} is none of {}", names.join(", ")))
    })
}

fn some_unless_empty<T>(list: Vec<T>) -> Option<Vec<T>> {
    if list.is_empty() { None } else { Some(list) }
}

fn arrival(kind: TestType, gap_s: f64, params: &Params, defaults: &Defaults) -> Checked<Arrival> {
    if params.rate.is_some() && params.stages.is_some() {
        return Err(InvalidParam::new(
            "stages",
            "given together with rate; give one of them",
        ));
    }
    if let Some(stages) = &params.stages {
        return staged(stages);
    }
    match params.rate {
        Some(RateSpec::Constant(rate)) => return Ok(Arrival::Rate(rate)),
        Some(RateSpec::Ramp(from, to)) => {
            let problem = "a ramp needs duration_s, the time that it takes";
            let seconds = params
                .duration_s
                .ok_or_else(|| InvalidParam::new("rate", problem))?;
            let duration_ns = seconds_up_to("duration_s", seconds, DURATION_S_MAX)?;
            return Ok(Arrival::Stages(vec![Stage {
                from,
                to,
                duration_ns,
            }]));
        }
        None => {}
    }
    if kind == TestType::Avalanche {
        return Ok(Arrival::ClosedLoop);
    }
    let gap_ns = seconds_up_to("seconds", gap_s, GAP_S_MAX)?;
    let burst = count(
        "burst",
        params.burst.unwrap_or(defaults.burst),
        1..=BURST_MAX,
    )?;
    Ok(Arrival::Bursts { gap_ns, burst })
}

fn staged(stages: &[Stage]) -> Checked<Arrival> {
    if stages.is_empty() || stages.len() > STAGES_MAX {
        return Err(range(
            "stages",
            format!("{} stages", stages.len()),
            1,
            STAGES_MAX,
        ));
    }
    let total = stages
        .iter()
        .fold(0_u64, |sum, stage| sum.saturating_add(stage.duration_ns));
    let seconds = units::ns_to_seconds(total);
    if seconds > DURATION_S_MAX {
        return Err(range(
            "stages",
            format!("{seconds} s in all"),
            0,
            DURATION_S_MAX,
        ));
    }
    Ok(Arrival::Stages(stages.to_vec()))
}

fn limit(arrival: &Arrival, params: &Params, defaults: &Defaults) -> Checked<Limit> {
    let seconds = params
        .duration_s
        .map(|s| seconds_up_to("duration_s", s, DURATION_S_MAX));
    let staged = match arrival {
        Arrival::Stages(stages) => Some(stages.iter().map(|stage| stage.duration_ns).sum()),
        _ => None,
    };
    let duration_ns = match (seconds.transpose()?, staged) {
        (Some(given), Some(staged)) => Some(given.min(staged)),
        (given, staged) => given.or(staged),
    };
    let requests = match (params.requests, duration_ns) {
        (None, Some(_)) => None,
        (given, _) => Some(given.unwrap_or(defaults.requests)),
    };
    match requests {
        Some(requests) if !(1..=REQUESTS_MAX).contains(&requests) => {
            Err(range("requests", requests, 1, REQUESTS_MAX))
        }
        requests => Ok(Limit {
            requests,
            duration_ns,
        }),
    }
}

fn connections(arrival: &Arrival, params: &Params) -> Checked<u32> {
    let default = match arrival {
        Arrival::Bursts { burst, .. } => {
            u64::from(*burst).clamp(*BURST_CONNECTIONS.start(), *BURST_CONNECTIONS.end())
        }
        _ => *BURST_CONNECTIONS.start(),
    };
    count(
        "connections",
        params.connections.unwrap_or(default),
        1..=CONNECTIONS_MAX,
    )
}

fn warmup(params: &Params) -> Checked<u64> {
    match params.warmup_s {
        None | Some(0.0) => Ok(0),
        Some(seconds) => seconds_up_to("warmup_s", seconds, WARMUP_S_MAX),
    }
}

fn thresholds(params: &Params) -> Checked<Vec<Threshold>> {
    let texts = params.threshold.iter().flatten();
    texts
        .map(|text| text.parse().map_err(|e| InvalidParam::new("threshold", e)))
        .collect()
}

fn request(params: &Params) -> Checked<Request> {
    let method = params.method.clone().unwrap_or_else(|| "GET".to_owned());
    if method == "CONNECT" || Method::from_bytes(method.as_bytes()).is_err() {
        let problem = format!("{method:?} is no method to load with; GET, POST, PUT and the like");
        return Err(InvalidParam::new("method", problem));
    }
    let headers = params.headers.clone().unwrap_or_default();
    check_headers(&headers)?;
    Ok(Request {
        method,
        headers,
        body: body(params)?,
    })
}

/// Bytes of a string within the quotes of JSON.
fn escaped_len(text: &str) -> usize {
    let len = |byte| match byte {
        b'"' | b'\\' | b'\n' | b'\r' | b'\t' | 0x08 | 0x0c => 2,
        0x00..0x20 => 6,
        _ => 1,
    };
    text.bytes().map(len).sum()
}

fn body(params: &Params) -> Checked<Vec<u8>> {
    let body = match (&params.body, &params.body_base64) {
        (Some(_), Some(_)) => {
            return Err(InvalidParam::new(
                "body_base64",
                "given together with body; give one",
            ));
        }
        (Some(text), None) => text.clone().into_bytes(),
        (None, Some(text)) => BASE64
            .decode(text)
            .map_err(|e| InvalidParam::new("body_base64", e))?,
        (None, None) => Vec::new(),
    };
    if body.len() > BODY_LEN_MAX {
        return Err(range(
            "body",
            format!("{} bytes", body.len()),
            0,
            BODY_LEN_MAX,
        ));
    }
    Ok(body)
}

/// Refuses what would break the framing of requests, or smuggle a second one into the first.
fn check_headers(headers: &[(String, String)]) -> Checked<()> {
    let refuse = |problem: String| Err(InvalidParam::new("headers", problem));
    if headers.len() > HEADERS_MAX {
        return Err(range(
            "headers",
            format!("{} fields", headers.len()),
            0,
            HEADERS_MAX,
        ));
    }
    let len: usize = headers
        .iter()
        .map(|(name, value)| name.len() + value.len() + 4)
        .sum();
    if len > HEADERS_LEN_MAX {
        return Err(range("headers", format!("{len} bytes"), 0, HEADERS_LEN_MAX));
    }
    for (name, value) in headers {
        if HeaderName::from_bytes(name.as_bytes()).is_err() {
            return refuse(format!(
                "{name:?} is no name of a header field (RFC 9110, 5.6.2)"
            ));
        }
        if HeaderValue::from_str(value).is_err() {
            return refuse(format!(
                "the value of {name} has characters that no header may have"
            ));
        }
        if ["content-length", "transfer-encoding"].contains(&name.to_ascii_lowercase().as_str()) {
            return refuse(format!(
                "{name} is written by the driver, which frames the requests"
            ));
        }
    }
    Ok(())
}

fn count(name: &str, value: u64, allowed: RangeInclusive<u32>) -> Checked<u32> {
    match u32::try_from(value) {
        Ok(small) if allowed.contains(&small) => Ok(small),
        _ => Err(range(name, value, allowed.start(), allowed.end())),
    }
}

fn timeout(value: f64) -> Checked<u64> {
    let name = "timeout_ms";
    if value > 0.0 && value < TIMEOUT_MS_MIN {
        let step = "timeouts are looked for in steps of a millisecond";
        let reason = format!("{value} is not {TIMEOUT_MS_MIN} to {TIMEOUT_MS_MAX}: {step}");
        return Err(InvalidParam::new(name, reason));
    }
    ms(name, value)
}

fn ms(name: &str, value: f64) -> Checked<u64> {
    let ns = units::ms_to_ns(value).filter(|ns| *ns > 0 && value <= TIMEOUT_MS_MAX);
    ns.ok_or_else(|| {
        InvalidParam::new(
            name,
            format!("{value} is not more than 0 and at most {TIMEOUT_MS_MAX}"),
        )
    })
}

fn seconds_up_to(name: &str, value: f64, max: f64) -> Checked<u64> {
    let ns = units::seconds_to_ns(value).filter(|ns| *ns > 0 && value <= max);
    ns.ok_or_else(|| {
        InvalidParam::new(
            name,
            format!("{value} is not more than 0 and at most {max} seconds"),
        )
    })
}

fn range(name: &str, value: impl Display, min: impl Display, max: impl Display) -> InvalidParam {
    InvalidParam::new(name, format!("{value} is not within {min} to {max}"))
}

#[cfg(test)]
mod tests;
