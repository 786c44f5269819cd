//! What a generator itself reports about latency: reads the output of each. Pure.

use serde_json::Value;

/// Latencies in milliseconds; `None` for what a tool does not say.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Latency {
    /// Median.
    pub p50_ms: Option<f64>,
    /// 90th percentile.
    pub p90_ms: Option<f64>,
    /// 99th percentile.
    pub p99_ms: Option<f64>,
    /// Greatest.
    pub max_ms: Option<f64>,
}

impl Latency {
    /// As metrics, those that there are.
    pub fn metrics(self) -> impl Iterator<Item = (String, f64)> {
        let all = [
            ("reported_p50_ms", self.p50_ms),
            ("reported_p90_ms", self.p90_ms),
            ("reported_p99_ms", self.p99_ms),
            ("reported_max_ms", self.max_ms),
        ];
        all.into_iter()
            .filter_map(|(name, value)| Some((name.to_owned(), value?)))
    }
}

/// Reads what `tool` wrote to standard output.
#[must_use]
pub fn read(tool: &str, stdout: &str) -> Latency {
    match tool {
        "dlts" => json(
            stdout,
            "metrics",
            ["p50_latency", "p90_latency", "p99_latency", "max_latency"],
            1.0,
        ),
        "oha" => oha(stdout),
        "bombardier" => bombardier(stdout),
        "vegeta" => json(stdout, "latencies", ["50th", "90th", "99th", "max"], 1e-6),
        "gcannon" | "zrk" => json(stdout, "latency_us", ["p50", "p90", "p99", "max"], 1e-3),
        "autocannon" => json(stdout, "latency", ["p50", "p90", "p99", "max"], 1.0),
        "wrk" => wrk(stdout),
        "h2load" => h2load(stdout),
        "ab" => ab(stdout),
        "k6" => k6(stdout),
        _ => Latency::default(),
    }
}

/// How many requests `tool` says that were answered; `None` when it does not say.
#[must_use]
pub fn requests(tool: &str, stdout: &str) -> Option<u64> {
    let document = || serde_json::from_str::<Value>(stdout.trim()).unwrap_or_default();
    match tool {
        "dlts" => document()["ok"].as_u64(),
        "oha" => {
            let statuses = document()["statusCodeDistribution"].clone();
            let counts = statuses.as_object()?.values();
            Some(counts.filter_map(Value::as_u64).sum())
        }
        // `requests: 9 total, 9 started, 8 done, 8 succeeded, 0 failed, 0 errored, 0 timeout`
        "h2load" => {
            let line = stdout.lines().find(|line| line.starts_with("requests:"))?;
            let part = line.split(", ").find(|part| part.ends_with(" succeeded"))?;
            part.split(' ').next()?.parse().ok()
        }
        _ => None,
    }
}

/// A JSON object with the four figures in one of its members.
fn json(stdout: &str, member: &str, names: [&str; 4], to_ms: f64) -> Latency {
    let document: Value = serde_json::from_str(stdout.trim()).unwrap_or_default();
    let [p50, p90, p99, max] = names.map(|name| number(&document[member][name], to_ms));
    Latency {
        p50_ms: p50,
        p90_ms: p90,
        p99_ms: p99,
        max_ms: max,
    }
}

fn oha(stdout: &str) -> Latency {
    let document: Value = serde_json::from_str(stdout.trim()).unwrap_or_default();
    let percentiles = json(stdout, "latencyPercentiles", ["p50", "p90", "p99", ""], 1e3);
    Latency {
        max_ms: number(&document["summary"]["slowest"], 1e3),
        ..percentiles
    }
}

fn bombardier(stdout: &str) -> Latency {
    let document: Value = serde_json::from_str(stdout.trim()).unwrap_or_default();
    let latency = &document["result"]["latency"];
    let percentile = |name: &str| number(&latency["percentiles"][name], 1e-3);
    Latency {
        p50_ms: percentile("50"),
        p90_ms: percentile("90"),
        p99_ms: percentile("99"),
        max_ms: number(&latency["max"], 1e-3),
    }
}

fn number(value: &Value, to_ms: f64) -> Option<f64> {
    value.as_f64().map(|number| number * to_ms)
}

/// `    Latency   223.67us  648.38us   5.83ms   92.20%`, then `     99%    3.32ms`.
fn wrk(stdout: &str) -> Latency {
    let after = |start: &str, nth: usize| {
        let line = stdout
            .lines()
            .find(|line| line.trim_start().starts_with(start))?;
        duration_ms(line.split_whitespace().nth(nth)?)
    };
    Latency {
        p50_ms: after("50%", 1),
        p90_ms: after("90%", 1),
        p99_ms: after("99%", 1),
        max_ms: after("Latency  ", 3),
    }
}

/// `time for request:       15us     28.84ms        60us …`: least, greatest, mean.
fn h2load(stdout: &str) -> Latency {
    let line = stdout
        .lines()
        .find(|line| line.starts_with("time for request:"));
    let max = line.and_then(|line| duration_ms(line.split_whitespace().nth(4)?));
    Latency {
        max_ms: max,
        ..Latency::default()
    }
}

/// `  99%     12`, whole milliseconds.
fn ab(stdout: &str) -> Latency {
    let after = |percent: &str| {
        let line = stdout
            .lines()
            .find(|line| line.trim_start().starts_with(percent))?;
        line.split_whitespace().nth(1)?.parse().ok()
    };
    Latency {
        p50_ms: after("50%"),
        p90_ms: after("90%"),
        p99_ms: after("99%"),
        max_ms: after("100%"),
    }
}

/// `http_req_duration..: avg=1ms min=1ms med=1ms max=2s p(90)=1ms p(95)=1ms`.
fn k6(stdout: &str) -> Latency {
    let line = stdout
        .lines()
        .find(|line| line.trim_start().starts_with("http_req_duration"));
    let after = |name: &str| {
        let word = line?
            .split_whitespace()
            .find_map(|word| word.strip_prefix(name))?;
        duration_ms(word)
    };
    Latency {
        p50_ms: after("med="),
        p90_ms: after("p(90)="),
        p99_ms: None,
        max_ms: after("max="),
    }
}

fn duration_ms(text: &str) -> Option<f64> {
    let units = [
        ("ns", 1e-6),
        ("us", 1e-3),
        ("µs", 1e-3),
        ("ms", 1.0),
        ("s", 1e3),
        ("m", 6e4),
    ];
    units.iter().find_map(|(unit, to_ms)| {
        text.strip_suffix(unit)?
            .parse::<f64>()
            .ok()
            .map(|number| number * to_ms)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn assert_read(tool: &str, stdout: &str, expected: [Option<f64>; 4]) {
        let read = read(tool, stdout);
        let read = [read.p50_ms, read.p90_ms, read.p99_ms, read.max_ms];
        for (read, expected) in read.iter().zip(expected) {
            match (read, expected) {
                (Some(read), Some(expected)) => {
                    assert!((read - expected).abs() < 1e-9, "{tool}: {read}");
                }
                (read, expected) => assert_eq!(*read, expected, "{tool}"),
            }
        }
    }

    #[test]
    fn what_a_tool_says_that_was_answered_is_read() {
        let h2load = "finished in 2.00s, 4.50 req/s\nrequests: 10 total, 10 started, 9 done, \
                      9 succeeded, 1 failed, 0 errored, 0 timeout\n";
        assert_eq!(requests("h2load", h2load), Some(9));
        let oha = r#"{"statusCodeDistribution": {"200": 7, "503": 2}}"#;
        assert_eq!(requests("oha", oha), Some(9));
        assert_eq!(requests("dlts", r#"{"sent": 10, "ok": 9}"#), Some(9));
        for tool in ["h2load", "oha", "dlts", "wrk"] {
            assert_eq!(requests(tool, "nonsense"), None, "{tool}");
        }
    }

    #[test]
    fn text_reports_are_read() {
        let wrk = "  Thread Stats   Avg      Stdev     Max   +/- Stdev\n\
                   \x20   Latency   223.67us  648.38us   5.83ms   92.20%\n\
                   \x20 Latency Distribution\n     50%   34.00us\n     90%  321.00us\n     99%    3.32s\n";
        assert_read(
            "wrk",
            wrk,
            [Some(0.034), Some(0.321), Some(3320.0), Some(5.83)],
        );
        let h2load = "time for request:       15us     28.84ms        60us       250us    99.63%\n";
        assert_read("h2load", h2load, [None, None, None, Some(28.84)]);
        let ab = "  50%      0\n  90%      1\n  99%      3\n 100%   2000 (longest request)\n";
        assert_read("ab", ab, [Some(0.0), Some(1.0), Some(3.0), Some(2000.0)]);
        let k6 =
            "    http_req_duration..: avg=1ms min=90.1µs med=1.5ms max=2s p(90)=2ms p(95)=3ms\n";
        assert_read("k6", k6, [Some(1.5), Some(2.0), None, Some(2000.0)]);
    }

    #[test]
    fn json_reports_are_read() {
        let dlts =
            r#"{"metrics":{"p50_latency":1.0,"p90_latency":2,"p99_latency":3,"max_latency":4}}"#;
        assert_read("dlts", dlts, [Some(1.0), Some(2.0), Some(3.0), Some(4.0)]);
        let oha =
            r#"{"summary":{"slowest":2.0},"latencyPercentiles":{"p50":0.001,"p90":0.002,"p99":1}}"#;
        assert_read(
            "oha",
            oha,
            [Some(1.0), Some(2.0), Some(1000.0), Some(2000.0)],
        );
        let zrk = r#"{"latency_us":{"p50":251,"p90":471,"p99":1913,"max":13991}}"#;
        assert_read(
            "zrk",
            zrk,
            [Some(0.251), Some(0.471), Some(1.913), Some(13.991)],
        );
    }

    #[test]
    fn anything_else_says_nothing() {
        for tool in [
            "dlts",
            "oha",
            "wrk",
            "h2load",
            "ab",
            "k6",
            "bombardier",
            "unknown",
        ] {
            assert_eq!(read(tool, "nonsense\n99%"), Latency::default(), "{tool}");
        }
    }
}
