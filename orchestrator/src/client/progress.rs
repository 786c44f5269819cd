//! What is shown while a test runs: a bar with live percentiles on a terminal, a plain line a second
//! elsewhere. On standard error, so that the answer can be piped.

use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use proto::summary::{StepRow, words};

use crate::report::{View, ms};

/// Between plain lines.
const LINE_EVERY: Duration = Duration::from_secs(1);

/// The progress of a test.
pub enum Progress {
    /// Nothing is shown.
    Quiet,
    /// On a terminal.
    Bar(ProgressBar),
    /// Elsewhere.
    Lines {
        /// When the last line was written.
        last: Option<Instant>,
    },
}

impl Progress {
    /// A progress for where standard error goes; nothing when the answer is JSON.
    #[must_use]
    pub fn new(as_json: bool) -> Self {
        if as_json {
            return Self::Quiet;
        }
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
        if bar.is_hidden() {
            return Self::Lines { last: None };
        }
        bar.enable_steady_tick(Duration::from_millis(100));
        Self::Bar(bar)
    }

    /// A remark, above the bar.
    pub fn note(&self, text: &str) {
        match self {
            Self::Quiet => {}
            Self::Bar(bar) => bar.println(text),
            Self::Lines { .. } => eprintln!("{text}"),
        }
    }

    /// How the test stands.
    pub fn show(&mut self, result: &View) {
        match self {
            Self::Quiet => {}
            Self::Bar(bar) => show_bar(bar, result),
            Self::Lines { last } => {
                if last.is_none_or(|last| last.elapsed() >= LINE_EVERY) {
                    *last = Some(Instant::now());
                    eprintln!("{:>6.1} s  {}", result.tally.elapsed_s, line(result));
                }
            }
        }
    }

    /// Takes the bar away.
    pub fn finish(&self) {
        if let Self::Bar(bar) = self {
            bar.finish_and_clear();
        }
    }
}

/// A load limited by time plans what it offers, so that its share is unknown until its end.
fn show_bar(bar: &ProgressBar, result: &View) {
    let counted = result.tally.planned > result.tally.sent && result.tally.planned > 0;
    if counted && bar.length() != Some(result.tally.planned) {
        bar.set_length(result.tally.planned);
        set_style(bar, "{bar:20} {percent:>3} %  ETA {eta}  {wide_msg}");
    } else if bar.length().is_none() {
        set_style(bar, "{spinner} {elapsed}  {wide_msg}");
    }
    bar.set_position(result.tally.settled());
    bar.set_message(line(result));
}

fn set_style(bar: &ProgressBar, template: &str) {
    let style = ProgressStyle::with_template(template);
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
}

fn line(result: &View) -> String {
    let tally = &result.tally;
    let rate = tally.requests_per_second.unwrap_or(0.0);
    let steps = result.sessions.as_ref().map_or(&[][..], |rows| &rows.steps);
    let bad = |step: &StepRow| step.status + step.failed + step.lost;
    let worst = words::worst_step(steps.iter().map(|step| (step.name.as_str(), bad(step))));
    format!(
        "{}  sent {} of {}  {rate:.0} ok/s  p50 {} ms  p99 {} ms  errors {}{worst}",
        result.state,
        tally.sent,
        tally.planned,
        ms(result.metrics.p50),
        ms(result.metrics.p99),
        tally.errors.total(),
    )
}
