//! What can be held against a result, one a variant, with its weight and its words.

use std::fmt;

use super::Judgement;
use crate::measure::Imbalance;
use crate::summary::LinkUse;

/// Share of a core's time taken by the hypervisor from which on nothing can be said.
const STEAL_INVALID: f64 = 0.25;
/// Share of the run for which a cgroup's limit stopped the driver from which on nothing can be said.
const THROTTLED_INVALID: f64 = 0.25;
/// Share of what was sent or offered from which on a remark is more than that.
const SHARE_SUSPECT: f64 = 0.01;
/// Samples that must lie beyond a quantile for its value to be more than luck.
const BEYOND_MIN: u64 = 10;

/// Something that speaks against a result, or that its reader should know.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::summary) enum Doubt<'a> {
    /// The node could not go on.
    Failed { why: Option<&'a str> },
    /// The trigger came too late.
    Missed { why: Option<&'a str> },
    /// A closed loop's target was away for good.
    TargetLost { why: Option<&'a str> },
    /// The node ended in a way that a later version knows.
    UnknownOutcome,
    /// The driver's own work took all of a core.
    Saturated { busy: f64, closed_loop: bool },
    /// A core had no time left, but the driver took little of it.
    SharedCore { idle: f64, busy: f64 },
    /// A core had no time left, and nobody knows who took it.
    NoIdleTime { idle: f64 },
    /// The hypervisor took the core away.
    Stolen { share: f64 },
    /// The cgroup's limit stopped the driver.
    Throttled { throttled_ns: u64, elapsed_ns: u64 },
    /// An executor did not come back to its ring.
    Stalled { stall_ns: u64 },
    /// File descriptors ran out.
    NoDescriptors,
    /// Ephemeral ports ran out.
    NoPorts,
    /// The common start is a guess.
    VagueClock { uncertainty_ns: u64 },
    /// Requests left later than they were intended to.
    LateRelease { lag_ms: f64 },
    /// The node read a change of the rate too late for its instant.
    LateRate { at_s: f64, late_ns: u64 },
    /// The node sent beyond a change of the rate without taking it on.
    RateIgnored { at_s: f64 },
    /// Requests were given up at their deadline.
    Shed { share: f64 },
    /// The engine's own back-off took load away.
    HeldBack { count: u64, offered: u64 },
    /// An open loop did not reach its rate.
    NotAchieved { share: f64 },
    /// Requests fell due while the target was away.
    Refused { count: u64 },
    /// Requests crossed the target's close of an idle connection.
    Stale { count: u64, sent: u64 },
    /// The target closed connections before it had answered what was pipelined.
    Unanswered { count: u64, sent: u64 },
    /// Bytes came that nobody had asked for.
    Unsolicited { count: u64 },
    /// The target's certificate was not looked at.
    Unchecked,
    /// A node's own accounting does not add up.
    NodeImbalance { imbalance: Imbalance },
    /// No answer was ok.
    NothingOk,
    /// Of another implementation: nothing to merge.
    NoHistograms,
    /// Lost before its last report.
    Lost { unknown: u64 },
    /// Interval reports that no last report healed.
    ReportsMissing { missing: u64 },
    /// Times that only a last report has, which cannot be taken out of it.
    TimesMissing { answers: u64 },
    /// No driver reported anything.
    NothingReported,
    /// The run's accounting does not add up.
    Imbalance { imbalance: &'a str },
    /// Too few samples for a quantile that is shown.
    FewSamples {
        samples: u64,
        quantile: &'static str,
    },
    /// Rate and response time of a closed loop do not go together.
    Implausible { allowed: f64, seen: f64 },
    /// What was sent or received came near to what the link can carry.
    LinkFull { link: &'a LinkUse },
    /// The target's response time had a trend under a load that had none.
    Drift { first_ms: f64, last_ms: f64 },
}

/// The lowest quantile that so many samples say little about.
pub(in crate::summary) fn few_samples(samples: u64) -> Option<Doubt<'static>> {
    let one_in = [
        ("p90", 10),
        ("p95", 20),
        ("p99", 100),
        ("p99.9", 1_000),
        ("p99.99", 10_000),
    ];
    let is_thin = |(_, n): &(&str, u64)| samples / n < BEYOND_MIN;
    let (quantile, _) = one_in.into_iter().find(is_thin)?;
    (samples > 0).then_some(Doubt::FewSamples { samples, quantile })
}

impl Doubt<'_> {
    /// How heavily it weighs; a remark leaves the result valid.
    pub(in crate::summary) fn judgement(&self) -> Judgement {
        match self {
            Self::Failed { .. }
            | Self::Missed { .. }
            | Self::TargetLost { .. }
            | Self::NoDescriptors
            | Self::NoPorts
            | Self::NotAchieved { .. }
            | Self::NodeImbalance { .. }
            | Self::NothingOk
            | Self::ReportsMissing { .. }
            | Self::NothingReported
            | Self::Imbalance { .. } => Judgement::Invalid,
            Self::UnknownOutcome
            | Self::Saturated { .. }
            | Self::SharedCore { .. }
            | Self::NoIdleTime { .. }
            | Self::Stalled { .. }
            | Self::VagueClock { .. }
            | Self::LateRelease { .. }
            | Self::LateRate { .. }
            | Self::RateIgnored { .. }
            | Self::Shed { .. }
            | Self::TimesMissing { .. }
            | Self::NoHistograms
            | Self::LinkFull { .. }
            | Self::Lost { .. } => Judgement::Suspect,
            Self::Refused { .. }
            | Self::Unsolicited { .. }
            | Self::Unchecked
            | Self::FewSamples { .. }
            | Self::Implausible { .. }
            | Self::Drift { .. } => Judgement::Valid,
            Self::Stolen { share } => beyond(*share, STEAL_INVALID, Judgement::Invalid),
            Self::Throttled {
                throttled_ns,
                elapsed_ns,
            } => {
                let share = share(*throttled_ns, *elapsed_ns);
                beyond(share, THROTTLED_INVALID, Judgement::Invalid)
            }
            Self::HeldBack { count, offered } => of_share(*count, *offered),
            Self::Stale { count, sent } | Self::Unanswered { count, sent } => {
                of_share(*count, *sent)
            }
        }
    }
}

fn share(part: u64, whole: u64) -> f64 {
    part as f64 / whole.max(1) as f64
}

fn beyond(share: f64, limit: f64, then: Judgement) -> Judgement {
    if share > limit {
        then
    } else {
        Judgement::Suspect
    }
}

fn of_share(part: u64, whole: u64) -> Judgement {
    if share(part, whole) > SHARE_SUSPECT {
        Judgement::Suspect
    } else {
        Judgement::Valid
    }
}

impl fmt::Display for Doubt<'_> {
    #[allow(clippy::too_many_lines, reason = "a table: each variant and its words")]
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let after = |why: Option<&str>| why.map(|why| format!(": {why}")).unwrap_or_default();
        let percent = |share: &f64| share * 100.0;
        match self {
            Self::Failed { why } => write!(f, "the run failed{}", after(*why)),
            Self::Missed { why } => write!(f, "the trigger came too late to start{}", after(*why)),
            Self::TargetLost { why } => write!(
                f,
                "the target was away for too long and the run ended early{}; the rest was not sent",
                after(*why)
            ),
            Self::UnknownOutcome => f.write_str(
                "it ended in a way that this version does not know; use the same version everywhere",
            ),
            Self::Saturated { busy, closed_loop } => saturated(f, percent(busy), *closed_loop),
            Self::SharedCore { idle, busy } => write!(
                f,
                "something else used a driver core: it was idle for only {:.1} % of a second, and \
                 the driver itself took {:.0} %; look for what shares it",
                percent(idle),
                percent(busy)
            ),
            Self::NoIdleTime { idle } => write!(
                f,
                "a driver core was idle for only {:.1} % of a second: the generator was the limit, \
                 and the target may do more; add cores or drivers",
                percent(idle)
            ),
            Self::Stolen { share } => write!(
                f,
                "the hypervisor took up to {:.0} % of a driver core; use a machine of its own",
                percent(share)
            ),
            Self::Throttled { throttled_ns, .. } => write!(
                f,
                "the limit on its cgroup's CPU (cpu.max) stopped the driver for {} ms; raise it, \
                 or load from fewer cores",
                throttled_ns / 1_000_000
            ),
            Self::Stalled { stall_ns } => write!(
                f,
                "an executor stood still for {} ms; look for what shares its core",
                stall_ns / 1_000_000
            ),
            Self::NoDescriptors => {
                f.write_str("file descriptors ran out; raise the open-file limit (ulimit -n)")
            }
            Self::NoPorts => f.write_str(
                "ephemeral ports ran out; use fewer connections, or widen \
                 net.ipv4.ip_local_port_range",
            ),
            Self::Implausible { allowed, seen } => write!(
                f,
                "rate and response time do not go together: the mean time allows {allowed:.0} \
                 requests a second (Little's law), and {seen:.0} were counted; connections stood still \
                 where nothing was timed"
            ),
            Self::LinkFull { link } => write!(
                f,
                "the network was the limit: {}; load over a faster link, or from more machines",
                link.in_words()
            ),
            Self::VagueClock { uncertainty_ns } => write!(
                f,
                "its clock is known only to ±{} ms: the common start is a guess",
                uncertainty_ns / 1_000_000
            ),
            Self::LateRelease { lag_ms } => write!(
                f,
                "requests left late (release lag p99 {lag_ms:.1} ms): all connections were busy or \
                 the core was; response times say so, but use more connections or drivers"
            ),
            Self::LateRate { at_s, late_ns } => write!(
                f,
                "it read the change of the rate at second {at_s} too late, and went on at the rate \
                 before it for another {} ms",
                late_ns / 1_000_000
            ),
            Self::RateIgnored { at_s } => write!(
                f,
                "it did not follow the change of the rate at second {at_s}; use the same version \
                 everywhere, and look at the broker"
            ),
            Self::Shed { share } => write!(
                f,
                "{:.1} % of the requests were shed at their deadline and measure nothing",
                share * 100.0
            ),
            Self::HeldBack { count, .. } => write!(
                f,
                "the driver's own back-off after failed connects delayed {count} requests or \
                 connections: the target got its load later than asked"
            ),
            Self::NotAchieved { share } => write!(
                f,
                "only {:.1} % of the offered requests could be sent",
                share * 100.0
            ),
            Self::Refused { count } => write!(
                f,
                "{count} requests fell due while the target was away and were refused at once; \
                 they count in the error rate"
            ),
            Self::Stale { count, .. } => write!(
                f,
                "{count} requests crossed the target's close of an idle connection (stale): its \
                 keep-alive time, not a failure; use fewer connections to keep them busy"
            ),
            Self::Unanswered { count, .. } => write!(
                f,
                "{count} pipelined requests were left unanswered when the target closed their \
                 connections: a limit of requests a connection there, or pipeline 1 here"
            ),
            Self::Unsolicited { count } => write!(
                f,
                "bytes that nobody had asked for came {count} times; see the reasons"
            ),
            Self::Unchecked => f.write_str(
                "the target's certificate was not checked (tls.insecure): whose server answered is \
                 not known; give its authority as tls.ca",
            ),
            Self::NodeImbalance { imbalance } => write!(
                f,
                "the accounting does not add up: {imbalance}; please report it"
            ),
            Self::NothingOk => f.write_str("no request succeeded; look at the errors by kind"),
            Self::NoHistograms => {
                f.write_str("sends no histograms; its samples are in no percentile")
            }
            Self::Lost { unknown: 0 } => {
                f.write_str("lost before its last report; its later requests are unknown")
            }
            Self::Lost { unknown } => write!(
                f,
                "lost before its last report; {unknown} requests of its plan are unknown"
            ),
            Self::ReportsMissing { missing } => write!(f, "{missing} reports never came"),
            Self::TimesMissing { answers } => write!(
                f,
                "the times of {answers} answers are in no percentile: their reports never came, and \
                 where the samples of many drivers are in one sum, as mergers make it and a run of more \
                 than 1000 has it, last reports are taken only when every driver has sent its own"
            ),
            Self::NothingReported => f.write_str("no driver reported anything"),
            Self::Imbalance { imbalance } => {
                write!(f, "the accounting does not add up: {imbalance}")
            }
            Self::FewSamples { samples, quantile } => write!(
                f,
                "{samples} samples: fewer than 10 lie beyond {quantile}, so that it and what is \
                 above it are a matter of luck; run longer to read them"
            ),
            Self::Drift { first_ms, last_ms } => write!(
                f,
                "not steady: the median response time {} from {first_ms:.3} ms in the first quarter \
                 of the run to {last_ms:.3} ms in the last, under the same load; the figures of the \
                 whole hold for neither",
                if last_ms > first_ms { "rose" } else { "fell" }
            ),
        }
    }
}

/// In a closed loop the generator's limit is in every number, not only in the throughput.
fn saturated(f: &mut fmt::Formatter<'_>, percent: f64, closed_loop: bool) -> fmt::Result {
    write!(
        f,
        "the driver's own work took {percent:.1} % of a core: the generator was the limit, "
    )?;
    f.write_str(if closed_loop {
        "so that the throughput is the generator's, not the target's, and the latencies hold the \
         time for which answers waited for it; add cores or drivers, or use fewer connections"
    } else {
        "and the target may do more; add cores or drivers"
    })
}
