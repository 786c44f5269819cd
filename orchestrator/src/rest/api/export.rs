//! `GET /tests/{id}/export`: the result in the formats of others.

mod covers;

use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::{Duration, UNIX_EPOCH};

use hdrhistogram::Histogram;
use hdrhistogram::serialization::V2DeflateSerializer;
use hdrhistogram::serialization::interval_log::IntervalLogWriterBuilder;
use proto::histogram::{Sparse, SparseLatencies};
use proto::summary::SeriesRow;
use proto::units::NS_PER_MS;

use super::query::View;
use super::{Answer, Call, Worker, store_away};
use covers::Covers;

/// Steps to each halving of what is left of the percentiles, as `HdrHistogram`'s own tools have it.
const STEPS_PER_HALVING: u32 = 5;

/// The first line of an interval log, which readers of other languages look for.
const LOG_VERSION: &[u8] = b"#[Histogram log format version 1.3]\n";

/// The columns of a CSV.
const COLUMNS: [&str; 17] = [
    "second",
    "offered",
    "sent",
    "completed",
    "ok",
    "errors",
    "shed",
    "p50_ms",
    "p99_ms",
    "p99_9_ms",
    "max_ms",
    "service_p50_ms",
    "service_p99_ms",
    "note",
    "in_flight",
    "bytes_sent",
    "bytes_received",
];
/// Which of them says what a row is about that is of no second.
const NOTE: usize = 13;

/// Which samples.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Population {
    Response,
    Service,
    ReleaseLag,
    Error,
}

impl Population {
    fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "response" => Self::Response,
            "service" => Self::Service,
            "release_lag" => Self::ReleaseLag,
            "error" => Self::Error,
            _ => return None,
        })
    }

    fn of(self, latencies: &SparseLatencies) -> &Sparse {
        match self {
            Self::Response => &latencies.response,
            Self::Service => &latencies.service,
            Self::ReleaseLag => &latencies.release_lag,
            Self::Error => &latencies.error,
        }
    }
}

impl Worker {
    pub(super) fn export(&mut self, test_id: &str, call: &Call) -> Answer {
        self.try_export(test_id, call)
            .unwrap_or_else(|answer| answer)
    }

    fn try_export(&mut self, test_id: &str, call: &Call) -> Result<Answer, Answer> {
        let format = call
            .param::<String>("format", "a text")?
            .unwrap_or_else(|| "json".into());
        let name = call.param::<String>("histogram", "a text")?;
        let name = name.as_deref().unwrap_or("response");
        let population = Population::parse(name).ok_or_else(|| {
            let error =
                format!("histogram: {name:?} is none of response, service, release_lag and error");
            Answer::error(400, &error, "see /openapi.json")
        })?;
        let (content_type, extension, body) = match format.as_str() {
            "json" => (
                "application/json",
                "json",
                self.result(test_id, View::ALL, 0..usize::MAX)?,
            ),
            "csv" => {
                let rows = self.series(test_id)?;
                let body = csv(&rows, &self.covers(test_id)?);
                ("text/csv; charset=utf-8", "csv", body)
            }
            "hlog" => {
                let body = self.interval_log(test_id, name, population)?;
                ("text/plain; charset=utf-8", "hlog", body)
            }
            "hgrm" => {
                let latencies = self.latencies(test_id)?;
                let histogram = population.of(&latencies).to_histogram();
                let (what, len) = (format!("{name} samples"), histogram.len());
                let comments = self.covers(test_id)?.comments(&what, len, len);
                let body = percentiles(&histogram, &comments);
                ("text/plain; charset=utf-8", "hgrm", body)
            }
            other => {
                let error = format!("format: {other:?} is none of json, csv, hlog and hgrm");
                return Err(Answer::error(400, &error, "see /openapi.json"));
            }
        };
        // The id may come from another implementation: only letters and digits go into a header.
        let file: String = test_id
            .chars()
            .filter(char::is_ascii_alphanumeric)
            .collect();
        let disposition = format!("attachment; filename=\"{file}.{extension}\"");
        let answer = Answer::new(200, content_type, body.into_bytes());
        Ok(answer.with("Content-Disposition", disposition))
    }

    fn covers(&mut self, test_id: &str) -> Result<Covers, Answer> {
        let result = self.result_without_series(test_id)?;
        let view = serde_json::from_str(&result).map_err(|error| store_away(&error))?;
        Ok(Covers::of(view))
    }

    /// `HdrHistogram`'s interval log: a histogram of each second, over all drivers.
    fn interval_log(
        &mut self,
        test_id: &str,
        name: &str,
        population: Population,
    ) -> Result<String, Answer> {
        let detail = self.detail(test_id)?;
        let warm_up_s = detail.config.params.warmup_s;
        let start = measured_from(detail.row.started_unix_ms, warm_up_s);
        let mut seconds: BTreeMap<u64, Sparse> = BTreeMap::new();
        let add = |second: u64, latencies: &SparseLatencies| {
            let samples = seconds.entry(second).or_default();
            samples.add(population.of(latencies));
        };
        self.reader()?
            .each_second(test_id, add)
            .map_err(|error| store_away(&error))?;
        let held = seconds.values().map(Sparse::len).sum();
        let total = population.of(&self.latencies(test_id)?).len();
        let what = format!("{name} samples of {} seconds", seconds.len());
        let comments = self.covers(test_id)?.comments(&what, held, total);
        Ok(write_log(start, &seconds, &comments))
    }
}

/// When the first second of the series began, since 1970: what warms the target up before it is
/// counted nowhere.
fn measured_from(started_unix_ms: Option<u64>, warm_up_s: Option<f64>) -> Duration {
    let warm_up = Duration::try_from_secs_f64(warm_up_s.unwrap_or(0.0)).unwrap_or_default();
    Duration::from_millis(started_unix_ms.unwrap_or(0)).saturating_add(warm_up)
}

fn write_log(start: Duration, seconds: &BTreeMap<u64, Sparse>, comments: &[String]) -> String {
    let (mut bytes, mut serializer) = (LOG_VERSION.to_vec(), V2DeflateSerializer::new());
    let mut builder = IntervalLogWriterBuilder::new();
    for comment in comments {
        builder.add_comment(comment);
    }
    let begun = builder
        .with_start_time(UNIX_EPOCH + start)
        .with_base_time(UNIX_EPOCH + start)
        .with_max_value_divisor(NS_PER_MS as f64)
        .begin_log_with(&mut bytes, &mut serializer);
    let mut log = begun.expect("invariant: writing to a Vec cannot fail");
    for (second, samples) in seconds {
        let at = Duration::from_secs(*second);
        log.write_histogram(&samples.to_histogram(), at, Duration::from_secs(1), None)
            .expect("invariant: writing to a Vec cannot fail and counts stay below 2^63");
    }
    String::from_utf8(bytes).expect("invariant: an interval log is ASCII")
}

/// `HdrHistogram`'s percentile distribution, in ms.
fn percentiles(histogram: &Histogram<u64>, comments: &[String]) -> String {
    let ms = |ns: f64| ns / NS_PER_MS as f64;
    let mut text = format!(
        "{:>12} {:>14} {:>10} {:>14}\n\n",
        "Value", "Percentile", "TotalCount", "1/(1-Percentile)"
    );
    let mut total = 0;
    for step in histogram.iter_quantiles(STEPS_PER_HALVING) {
        total += step.count_since_last_iteration();
        let (value, quantile) = (
            ms(step.value_iterated_to() as f64),
            step.quantile_iterated_to(),
        );
        let line = if quantile < 1.0 {
            let inverse = 1.0 / (1.0 - quantile);
            writeln!(
                text,
                "{value:12.3} {quantile:2.12} {total:10} {inverse:14.2}"
            )
        } else {
            writeln!(text, "{value:12.3} {quantile:2.12} {total:10}")
        };
        line.expect("invariant: a String grows");
    }
    let (mean, deviation) = (ms(histogram.mean()), ms(histogram.stdev()));
    let (max, count) = (ms(histogram.max() as f64), histogram.len());
    let figures = format!(
        "#[Mean    = {mean:12.3}, StdDeviation   = {deviation:12.3}]\n\
         #[Max     = {max:12.3}, Total count    = {count:12}]\n\
         #[Buckets = {:12}, SubBuckets     = {:12}]\n",
        histogram.buckets(),
        2048
    );
    // The tools that draw these files look for the lines above first, and for no others.
    let comments = comments.iter().map(|comment| format!("#{comment}\n"));
    text + &figures + &comments.collect::<String>()
}

/// A line a second, and one without a second for what is in none.
///
/// Readers of CSV know no comments: a `#` line would be a broken head or a broken row to them. So
/// what is missing is a row like the others: the columns add up to the result for everyone who
/// adds them, and the last one says why.
fn csv(rows: &[SeriesRow], covers: &Covers) -> String {
    let mut table = csv::Writer::from_writer(Vec::new());
    let mut write = |fields: Vec<String>| {
        let written = table.write_record(fields);
        written.expect("invariant: writing to a Vec cannot fail, and all rows are of one length");
    };
    write(COLUMNS.map(str::to_owned).to_vec());
    for row in rows {
        write(csv_row(row));
    }
    let rest = covers.in_no_second();
    if !rest.is_empty() {
        let [offered, sent, completed] = [rest.offered, rest.sent, rest.completed];
        let numbers = [offered, sent, completed, rest.ok, rest.errors, rest.shed];
        let mut fields = vec![String::new()];
        fields.extend(numbers.map(|number| number.to_string()));
        // What was in flight and the bytes of these requests nobody knows.
        fields.resize(COLUMNS.len(), String::new());
        fields[NOTE] = format!("in no second: {}", covers.gaps().join("; "));
        write(fields);
    }
    let bytes = table.into_inner().expect("invariant: a Vec takes all");
    String::from_utf8(bytes).expect("invariant: what was written is UTF-8")
}

fn csv_row(row: &SeriesRow) -> Vec<String> {
    let counts = &row.counts;
    let numbers = [counts.second, counts.offered, counts.sent, counts.completed]
        .into_iter()
        .chain([counts.ok, counts.errors, counts.shed])
        .map(|number| number.to_string());
    let figures = [
        row.p50,
        row.p99,
        row.p99_9,
        row.max,
        row.service_p50,
        row.service_p99,
    ];
    let figures = figures
        .into_iter()
        .map(|figure| figure.map_or(String::new(), |ms| ms.to_string()));
    let note = [String::new()];
    let traffic = [counts.in_flight, counts.bytes_sent, counts.bytes_received]
        .map(|count| count.map_or(String::new(), |count| count.to_string()));
    let all = numbers.chain(figures).chain(note).chain(traffic);
    all.collect()
}

#[cfg(test)]
mod tests {
    use hdrhistogram::serialization::interval_log::{IntervalLogIterator, LogEntry};

    use super::*;

    fn samples(values_ms: &[u64]) -> Sparse {
        let mut histogram = proto::histogram::new();
        values_ms
            .iter()
            .for_each(|ms| histogram.saturating_record(ms * NS_PER_MS));
        Sparse::from(&histogram)
    }

    #[test]
    fn seconds_are_counted_from_the_end_of_the_warm_up() {
        let started = Some(1_700_000_000_250);
        let at = |warm_up_s| measured_from(started, warm_up_s).as_millis();
        assert_eq!(at(None), 1_700_000_000_250);
        assert_eq!(at(Some(1.5)), 1_700_000_001_750);
        assert_eq!(at(Some(-1.0)), 1_700_000_000_250, "of another program");
    }

    #[test]
    fn an_interval_log_reads_again() {
        let seconds = BTreeMap::from([(0, samples(&[1, 2, 3])), (7, samples(&[40]))]);
        let text = write_log(
            Duration::from_millis(1_700_000_000_250),
            &seconds,
            &["[Covers: 2 seconds]".to_owned()],
        );
        assert!(text.contains("\n#[Covers: 2 seconds]\n"), "{text}");
        assert!(text.starts_with("#[Histogram log format version"), "{text}");
        let intervals: Vec<(u64, f64)> = IntervalLogIterator::new(text.as_bytes())
            .filter_map(|entry| match entry.unwrap() {
                LogEntry::Interval(log) => Some((log.start_timestamp().as_secs(), log.max())),
                _ => None,
            })
            .collect();
        assert_eq!(intervals.len(), 2);
        assert_eq!((intervals[0].0, intervals[1].0), (0, 7));
        assert!(
            (intervals[1].1 - 40.0).abs() < 0.1,
            "the largest value in ms: {intervals:?}"
        );
    }

    #[test]
    fn a_percentile_distribution_ends_with_all_samples() {
        let text = percentiles(&samples(&[1, 2, 3, 4]).to_histogram(), &["[Covers]".into()]);
        assert!(text.ends_with("]\n#[Covers]\n"), "{text}");
        assert!(text.starts_with("       Value     Percentile TotalCount 1/(1-Percentile)\n\n"));
        let last = text.lines().rfind(|line| !line.starts_with('#')).unwrap();
        assert!(
            last.trim_end().ends_with("1.000000000000          4"),
            "{text}"
        );
        assert!(text.contains("#[Max     =        4.0"), "{text}");
        assert!(
            percentiles(&samples(&[]).to_histogram(), &[])
                .contains("Total count    =            0")
        );
    }

    #[test]
    fn a_csv_has_a_line_a_second_and_empty_figures_without_samples() {
        let mut row = SeriesRow {
            p50: Some(1.5),
            ..SeriesRow::default()
        };
        row.counts.bytes_received = Some(70);
        let text = csv(&[row], &Covers::default());
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(COLUMNS[NOTE], "note");
        assert_eq!(lines[1], "0,0,0,0,0,0,0,1.5,,,,,,,,,70");
        assert_eq!(lines[0].split(',').count(), lines[1].split(',').count());
    }
}
