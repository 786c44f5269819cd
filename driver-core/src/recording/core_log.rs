//! The per-core metric logs: `core-N.hlog`, an `HdrHistogram` interval log, and `core-N.jsonl`, a
//! line a second. Written by whoever reads the intervals, never by a core.

use std::fs::{File, create_dir_all};
use std::io::{self, BufWriter, Write};
use std::path::Path;

use hdrhistogram::Histogram;
use proto::codec;
use proto::histogram::{Sparse, encode_sparse};
use proto::measure::Counters;
use proto::summary::Statistics;
use proto::units::{ns_to_ms, ns_to_seconds};
use serde::Serialize;

use super::CoreInterval;

/// The two logs of one core.
#[derive(Debug)]
pub struct CoreLog {
    histograms: BufWriter<File>,
    lines: BufWriter<File>,
}

/// One line of `core-N.jsonl`.
#[derive(Debug, Serialize)]
struct Line<'a> {
    test_id: &'a str,
    core: usize,
    second: u64,
    start_s: f64,
    end_s: f64,
    #[serde(flatten)]
    counters: Counters,
    response: Statistics,
    service: Statistics,
    release_lag: Statistics,
    cpu_share: f64,
    spin_share: f64,
    stall_max_ms: f64,
    last: bool,
}

impl CoreLog {
    /// Opens the logs of a core in `directory`, which is made if need be. An earlier test's lines
    /// stay: logs are appended to.
    ///
    /// # Errors
    /// Of the file system.
    pub fn open(directory: &Path, core: usize) -> io::Result<Self> {
        create_dir_all(directory)?;
        let open = |extension: &str| {
            let path = directory.join(format!("core-{core}.{extension}"));
            File::options()
                .create(true)
                .append(true)
                .open(path)
                .map(BufWriter::new)
        };
        Ok(Self {
            histograms: open("hlog")?,
            lines: open("jsonl")?,
        })
    }

    /// Begins the part of a test that starts at `start_unix_ns`.
    ///
    /// # Errors
    /// Of the file system.
    pub fn begin(&mut self, test_id: &str, start_unix_ns: u64) -> io::Result<()> {
        let seconds = ns_to_seconds(start_unix_ns);
        let log = &mut self.histograms;
        writeln!(log, "#[Histogram log format version 1.3]")?;
        // An id is whatever a message says: it must not begin a line of its own.
        let test_id = test_id.escape_debug();
        writeln!(log, "#[test {test_id}; values in ns, Interval_Max in ms]")?;
        writeln!(log, "#[StartTime: {seconds:.3} (seconds since epoch)]")?;
        writeln!(log, "#[BaseTime: {seconds:.3} (seconds since epoch)]")?;
        let columns = "\"StartTimestamp\",\"Interval_Length\",\"Interval_Max\"";
        writeln!(log, "{columns},\"Interval_Compressed_Histogram\"")
    }

    /// Writes what the core did in an interval.
    ///
    /// # Errors
    /// Of the file system.
    pub fn write(&mut self, test_id: &str, interval: &CoreInterval) -> io::Result<()> {
        let latencies = &interval.recorder().latencies;
        for (tag, histogram) in [
            ("response", &latencies.response),
            ("service", &latencies.service),
            ("release_lag", &latencies.release_lag),
            ("error", &latencies.error),
        ] {
            if !histogram.is_empty() {
                self.write_histogram(tag, interval, histogram)?;
            }
        }
        self.lines
            .write_all(&codec::encode(&Line::new(test_id, interval)))?;
        self.lines.write_all(b"\n")?;
        self.histograms.flush()?;
        self.lines.flush()
    }

    fn write_histogram(
        &mut self,
        tag: &str,
        interval: &CoreInterval,
        histogram: &Histogram<u64>,
    ) -> io::Result<()> {
        let start_s = ns_to_seconds(interval.start_ns);
        let length_s = ns_to_seconds(interval.end_ns.saturating_sub(interval.start_ns));
        let max_ms = ns_to_ms(histogram.max());
        let text = encode_sparse(&Sparse::from(histogram));
        writeln!(
            self.histograms,
            "Tag={tag},{start_s:.3},{length_s:.3},{max_ms:.3},{text}"
        )
    }
}

impl<'a> Line<'a> {
    fn new(test_id: &'a str, interval: &CoreInterval) -> Self {
        let (recorder, health) = (interval.recorder(), &interval.health);
        let wall_ns = interval.end_ns.saturating_sub(interval.start_ns).max(1) as f64;
        Self {
            test_id,
            core: interval.core,
            second: interval.second,
            start_s: ns_to_seconds(interval.start_ns),
            end_s: ns_to_seconds(interval.end_ns),
            counters: recorder.counters(),
            response: Statistics::of(&recorder.latencies.response),
            service: Statistics::of(&recorder.latencies.service),
            release_lag: Statistics::of(&recorder.latencies.release_lag),
            cpu_share: health.cpu_ns as f64 / wall_ns,
            spin_share: health.spin_ns as f64 / wall_ns,
            stall_max_ms: ns_to_ms(health.stall_max_ns),
            last: interval.last,
        }
    }
}

#[cfg(test)]
mod tests {
    use hdrhistogram::serialization::interval_log::{IntervalLogIterator, LogEntry};

    use super::*;
    use crate::recording::{Instants, Recorder};

    #[test]
    fn other_tools_read_the_interval_log() {
        let mut recorder = Box::new(Recorder::new());
        let instants = Instants {
            intended_ns: 0,
            sent_ns: 250,
            end_ns: 2_000_000,
        };
        recorder.sent(0, 250, 3);
        recorder.answered(200, instants, 3);
        let mut interval = CoreInterval::new(0, recorder, crossbeam_channel::bounded(1).0);
        interval.end_ns = 1_000_000_000;
        let directory = tempfile::tempdir().unwrap();
        let mut log = CoreLog::open(directory.path(), 0).unwrap();
        log.begin("abc", 1_700_000_000_000_000_000).unwrap();
        log.write("abc", &interval).unwrap();

        let bytes = std::fs::read(directory.path().join("core-0.hlog")).unwrap();
        let mut tags = Vec::new();
        for entry in IntervalLogIterator::new(&bytes) {
            if let LogEntry::Interval(line) = entry.unwrap() {
                let histogram = proto::histogram::decode(line.encoded_histogram()).unwrap();
                tags.push((line.tag().unwrap().as_str().to_owned(), histogram.len()));
            }
        }
        let expected = [("response", 3), ("service", 3), ("release_lag", 3)];
        assert_eq!(tags, expected.map(|(tag, count)| (tag.to_owned(), count)));
        let line = std::fs::read_to_string(directory.path().join("core-0.jsonl")).unwrap();
        let line: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(line["ok"], 3);
        let max_ms = line["response"]["max_latency"].as_f64().unwrap();
        assert!((max_ms - 2.0).abs() < 0.01, "{max_ms} ms");
    }

    #[test]
    fn an_id_with_line_ends_forges_no_lines() {
        let directory = tempfile::tempdir().unwrap();
        let mut log = CoreLog::open(directory.path(), 0).unwrap();
        log.begin("a\nTag=response,0,1,1,forged\r\n", 0).unwrap();
        drop(log);
        let text = std::fs::read_to_string(directory.path().join("core-0.hlog")).unwrap();
        assert_eq!(text.lines().count(), 5, "{text}");
        assert!(
            text.lines().all(|line| line.starts_with(['#', '"'])),
            "{text}"
        );
    }
}
