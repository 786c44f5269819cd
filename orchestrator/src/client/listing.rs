//! `client list`.

use std::fmt::Write;

use proto::clock;
use serde_json::Value;

use super::api::{self, Api};
use super::cli::ListOptions;
use super::ending::{Ending, Problem};
use super::print;

/// Prints the tests, newest first.
///
/// # Errors
/// [`Problem::Api`].
pub fn list(api: &Api, options: &ListOptions, as_json: bool) -> Result<Ending, Problem> {
    let mut path = "tests?".to_owned();
    if options.limit > 0 {
        let _ = write!(path, "limit={}&", options.limit);
    }
    if let Some(search) = &options.search {
        let _ = write!(path, "search={}", api::segment(search));
    }
    let tests = api.get(path.trim_end_matches(['?', '&']))?;
    if as_json {
        print(&format!("{tests}\n"))?;
    } else {
        let now_ms = clock::unix_ns() / 1_000_000;
        print(&table(tests.as_array().map_or(&[], Vec::as_slice), now_ms))?;
    }
    Ok(Ending::Ok)
}

fn table(tests: &[Value], now_ms: u64) -> String {
    if tests.is_empty() {
        return "no tests yet; create one with `client run avalanche`\n".to_owned();
    }
    let mut out = format!(
        "{:<20} {:<10} {:<10} {:<10} {:>9} {:>9} {:>8} {:>8} {:>5}  {}\n",
        "TEST",
        "TYPE",
        "STATE",
        "RESULT",
        "OK/S",
        "P99 MS",
        "ERRORS",
        "AGE",
        "NODES",
        "NAME, TARGET"
    );
    for test in tests {
        let text = |name: &str| test[name].as_str().unwrap_or("-");
        let outcome = &test["outcome"];
        let figure = |name: &str, digits: usize| {
            let figure = outcome[name].as_f64();
            figure.map_or_else(|| "-".to_owned(), |value| format!("{value:.digits$}"))
        };
        let rate = outcome["error_rate"].as_f64();
        let errors = rate.map_or_else(|| "-".to_owned(), |rate| format!("{:.2} %", rate * 100.0));
        let result = match outcome["breached"].as_u64() {
            None => "-",
            Some(0) => outcome["verdict"].as_str().unwrap_or("-"),
            Some(_) => "FAIL",
        };
        let created_ms = test["created_unix_ms"].as_u64().unwrap_or(now_ms);
        let nodes = test["nodes"].as_u64();
        let name = test["name"].as_str().filter(|name| !name.is_empty());
        let _ = writeln!(
            out,
            "{:<20} {:<10} {:<10} {result:<10} {:>9} {:>9} {errors:>8} {:>8} {:>5}  {}{}",
            text("test_id"),
            text("test_type").to_lowercase(),
            text("state"),
            figure("ok_per_second", 1),
            figure("p99_ms", 3),
            age(now_ms.saturating_sub(created_ms) / 1000),
            nodes.map_or_else(|| "-".to_owned(), |nodes| nodes.to_string()),
            name.map(|name| format!("{name}, ")).unwrap_or_default(),
            text("target"),
        );
    }
    out
}

pub(super) fn age(seconds: u64) -> String {
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7_200 => format!("{} min", seconds / 60),
        7_200..172_800 => format!("{} h", seconds / 3600),
        _ => format!("{} days", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_test_is_a_line() {
        let test = json!({"test_id": "XVlBzgbaiCMRAjWwhTHc", "test_type": "AVALANCHE",
            "state": "done", "created_unix_ms": 1_000_000, "planned": 200_000, "nodes": 2,
            "target": "http://127.0.0.1:8000/", "name": "shop", "outcome": {
                "ok_per_second": 1234.56, "p50_ms": 1.0, "p99_ms": 2.5, "error_rate": 0.5,
                "verdict": "valid", "thresholds": 2, "breached": 1}});
        let table = table(&[test], 1_000_000 + 3 * 3_600_000);
        let line = table.lines().nth(1).unwrap();
        let fields: Vec<&str> = line.split_whitespace().collect();
        let expected = "XVlBzgbaiCMRAjWwhTHc avalanche done FAIL 1234.6 2.500 50.00 % 3 h 2 shop, \
            http://127.0.0.1:8000/";
        assert_eq!(fields.join(" "), expected);
        assert!(super::table(&[], 0).contains("client run avalanche"));
    }
}
