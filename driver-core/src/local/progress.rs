//! What is shown while a load runs: a bar on a terminal, nothing elsewhere.

use std::io::Write;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use proto::measure::{Counters, Report};
use proto::units::{NS_PER_MS, format_ns};
use proto::workload::Workload;

/// The progress of a run.
pub(super) struct Progress {
    bar: ProgressBar,
    /// Whether the bar counts requests; otherwise milliseconds.
    by_count: bool,
    quiet: bool,
}

impl Progress {
    /// That of a load; of one that replays a log, which takes `replayed_ns`, unless it is cut before.
    pub(super) fn new(workload: &Workload, replayed_ns: Option<u64>, quiet: bool) -> Self {
        let duration_ns = workload.limit.duration_ns.or(replayed_ns);
        let by_count = duration_ns.is_none();
        let duration_ms = duration_ns.map(|ns| ns / NS_PER_MS);
        let length = duration_ms.or(workload.limit.requests).unwrap_or(0);
        let target = if quiet {
            ProgressDrawTarget::hidden()
        } else {
            ProgressDrawTarget::stderr()
        };
        let bar = ProgressBar::with_draw_target(Some(length), target);
        let style = ProgressStyle::with_template("  {bar:32} {percent:>3} %  {msg}")
            .unwrap_or_else(|_| ProgressStyle::default_bar());
        bar.set_style(style);
        Self {
            bar,
            by_count,
            quiet,
        }
    }

    pub(super) fn banner(&self, text: &str) {
        if !self.quiet {
            // To whoever closed the pipe it does not matter.
            let _ = writeln!(std::io::stdout().lock(), "{text}");
        }
    }

    /// How the run stands; `worst` says which step went wrong most.
    pub(super) fn show(&self, report: &Report, total: &Counters, worst: &str) {
        let position = if self.by_count {
            total.sent + total.shed
        } else {
            report.interval_end_ns / NS_PER_MS
        };
        self.bar.set_position(position);
        let seconds = report
            .interval_end_ns
            .saturating_sub(report.interval_start_ns) as f64
            / 1e9;
        let rate = report.counters.ok as f64 / seconds.max(1e-9);
        let latency = |q| {
            report
                .latencies
                .response
                .value_at_quantile(q)
                .map_or("-".to_owned(), format_ns)
        };
        let errors = total.errors.total();
        self.bar.set_message(format!(
            "{rate:.0} ok/s  p50 {}  p99 {}  errors {errors}{worst}",
            latency(0.5),
            latency(0.99)
        ));
    }

    pub(super) fn tick(&self) {
        self.bar.tick();
    }

    pub(super) fn finish(&self) {
        self.bar.finish_and_clear();
    }
}
