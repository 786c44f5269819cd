//! The load of a document: `{open: 50..2000/s, for: 2m}`, `{burst: 500, every: 2s, for: 30s}`,
//! `{closed: 200, for: 1m}`, `{replay: day.replay, pace: log*2.5}`.

use super::reading::{Fields, Reader, Spot, duration};
use super::sets::file_name;
use crate::units;
use crate::workload::{
    Load, LoadStage, POISSON_MAX, Pace, Rate, SESSIONS_MAX, STAGE_NS_MAX, StageArrivals,
};

pub(super) const STAGE_KEYS: [&str; 10] = [
    "open", "burst", "closed", "replay", "pace", "every", "for", "sessions", "arrival", "warmup",
];
/// Most stages of a load.
const STAGES_MAX: usize = 1000;
/// Longest load, ns: a week.
const LOAD_NS_MAX: u64 = 604_800 * units::NS_PER_S;
/// Most sessions at once, of all drivers together.
const CLOSED_MAX: u64 = 10_000_000;
/// Most sessions of one burst.
const BURST_MAX: u64 = 10_000_000;
/// How long a load lasts that is not said.
const STANDARD_NS: u64 = 10 * units::NS_PER_S;

/// Reads `load`; without one, 64 sessions at once for 10 s.
pub(super) fn load(reader: &mut Reader, spot: Option<&Spot<'_>>) -> Load {
    let mut load = Load {
        stages: Vec::new(),
        sessions_max: None,
        seed: 0,
    };
    let Some(spot) = spot else {
        load.stages.push(LoadStage {
            arrivals: StageArrivals::Closed { sessions: 64 },
            for_ns: Some(STANDARD_NS),
            sessions: None,
            is_warmup: false,
        });
        return load;
    };
    let items = reader.items(spot);
    if items.is_empty() || items.len() > STAGES_MAX {
        reader.wrong(spot, format!("{} stages; 1 to {STAGES_MAX}", items.len()));
        return load;
    }
    if items.len() > 1 && replayed(reader, spot).is_some() {
        let problem = "a replay is the whole load: take the other stages out";
        reader.wrong(spot, problem);
    }
    let last = items.len() - 1;
    for (index, item) in items.iter().enumerate() {
        if let Some(stage) = stage(reader, item) {
            if stage.for_ns.is_none() && index < last {
                let problem = "only the last stage can end with its sessions; give it for: 1m";
                reader.wrong(item, problem);
            }
            load.stages.push(stage);
        }
    }
    let total = load.stage_start_ns(load.stages.len());
    if total > LOAD_NS_MAX {
        let seconds = units::ns_to_seconds(total);
        reader.wrong(spot, format!("{seconds} s in all; at most a week"));
    }
    let is_poisson = |stage: &&LoadStage| {
        let arrivals = stage.arrivals;
        matches!(
            arrivals,
            StageArrivals::Open {
                is_poisson: true,
                ..
            }
        )
    };
    let poisson = load.stages.iter().filter(is_poisson);
    let drawn = poisson
        .filter_map(LoadStage::expected)
        .fold(0, u64::saturating_add);
    if drawn > POISSON_MAX {
        let problem =
            format!("{drawn} poisson arrivals; at most {POISSON_MAX} in all: take arrival: even");
        reader.wrong(spot, problem);
    }
    if !load.stages.is_empty() && load.stages.iter().all(|stage| stage.is_warmup) {
        reader.wrong(spot, "every stage only warms up; one has to be measured");
    }
    load
}

/// The file of the log that a load replays.
pub(super) fn replay(reader: &mut Reader, spot: Option<&Spot<'_>>) -> Option<String> {
    let at = replayed(reader, spot?)?;
    reader.parsed(&at, |text| file_name(text).map(str::to_owned))
}

/// Where a load names the log that it replays.
fn replayed<'n>(reader: &Reader, spot: &Spot<'n>) -> Option<Spot<'n>> {
    let items = reader.items(spot);
    items.iter().find_map(|item| item.get("replay"))
}

fn stage(reader: &mut Reader, spot: &Spot<'_>) -> Option<LoadStage> {
    let fields = reader.fields(spot, &STAGE_KEYS);
    let kinds = ["open", "burst", "closed", "replay"];
    let given: Vec<&str> = kinds.into_iter().filter(|kind| fields.has(kind)).collect();
    let [kind] = given[..] else {
        let problem = "a stage has exactly one of open (50/s), burst (500), closed (200) and replay \
            (a file of driver import log --pace)";
        reader.wrong(spot, problem);
        return None;
    };
    let for_ns = fields
        .get("for")
        .map(|at| reader.duration(&at, STAGE_NS_MAX));
    let sessions = fields
        .get("sessions")
        .map(|at| reader.whole(&at, 1..=SESSIONS_MAX));
    if for_ns.is_none() && sessions.is_none() && kind != "replay" {
        reader.wrong(spot, "a stage needs an end: for: 30s, or sessions: 1000");
    }
    let warmup = fields.get("warmup").map(|at| reader.truth(&at));
    let arrivals = arrivals(reader, spot, kind, &fields)?;
    let stage = LoadStage {
        arrivals,
        for_ns: for_ns.flatten(),
        sessions: sessions.flatten(),
        is_warmup: warmup.flatten().unwrap_or(false),
    };
    check_whole(reader, spot, &stage);
    Some(stage)
}

fn arrivals(
    reader: &mut Reader,
    spot: &Spot<'_>,
    kind: &str,
    fields: &Fields<'_>,
) -> Option<StageArrivals> {
    if kind != "burst"
        && let Some(every) = fields.get("every")
    {
        reader.wrong(&every, "every is the time between bursts; it needs burst");
    }
    if kind != "replay"
        && let Some(pace) = fields.get("pace")
    {
        reader.wrong(&pace, "pace is how fast a log is replayed; it needs replay");
    }
    if kind == "replay"
        && let Some(warmup) = fields.get("warmup")
    {
        reader.wrong(&warmup, "a replay is the whole load, and all of it counts");
    }
    if kind != "open"
        && let Some(arrival) = fields.get("arrival")
    {
        reader.wrong(&arrival, "arrival is that of a rate; it needs open");
    }
    let at = fields.get(kind)?;
    match kind {
        "open" => {
            let (from, to) = reader.parsed(&at, rates)?;
            let words = [("even", false), ("uniform", false), ("poisson", true)];
            let arrival = fields.get("arrival").map(|at| reader.word(&at, &words));
            let is_poisson = arrival.flatten().unwrap_or(false);
            Some(StageArrivals::Open {
                from,
                to,
                is_poisson,
            })
        }
        "burst" => {
            let size = reader.whole(&at, 1..=BURST_MAX)?;
            let Some(every) = fields.get("every") else {
                reader.wrong(spot, "bursts need every: 2s, the time between them");
                return None;
            };
            let every_ns = reader.duration(&every, 3600 * units::NS_PER_S)?;
            Some(StageArrivals::Bursts { size, every_ns })
        }
        "replay" => {
            let pace = fields.get("pace");
            let pace = pace.map(|at| reader.parsed(&at, Pace::parse));
            Some(StageArrivals::Replay {
                pace: pace.unwrap_or(Some(Pace::default()))?,
                requests: None,
            })
        }
        _ => {
            let sessions = reader.whole(&at, 1..=CLOSED_MAX)?;
            Some(StageArrivals::Closed { sessions })
        }
    }
}

fn check_whole(reader: &mut Reader, spot: &Spot<'_>, stage: &LoadStage) {
    let StageArrivals::Open {
        from,
        to,
        is_poisson,
    } = stage.arrivals
    else {
        return;
    };
    if from != to && stage.for_ns.is_none() {
        reader.wrong(spot, "a ramp needs for: 2m, the time that it takes");
    }
    if is_poisson && stage.expected().is_none() {
        reader.wrong(spot, "poisson arrivals need for: 2m");
    }
}

/// Reads `50/s`, `3000/m`, `50..2000/s`, or a plain number of sessions a second.
pub(super) fn rates(text: &str) -> Result<(Rate, Rate), String> {
    let shape = || format!("{text:?} is no rate: write 50/s, 3000/m or 50..2000/s");
    let (numbers, per_second) = match text.trim().split_once('/') {
        None => (text.trim(), 1.0),
        Some((numbers, unit)) => (
            numbers.trim(),
            1.0 / unit_seconds(unit.trim()).ok_or_else(shape)?,
        ),
    };
    let rate = |number: &str| {
        let number: f64 = number.trim().parse().map_err(|_| shape())?;
        let milli = (number * per_second * 1000.0).round();
        let is_in_range = (Rate::MILLI_MIN as f64..=Rate::MILLI_MAX as f64).contains(&milli);
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // in range
        let milli = is_in_range.then_some(milli as u64);
        milli
            .and_then(Rate::from_milli)
            .ok_or_else(|| format!("{text:?} is not within 0.001/s to 10000000/s"))
    };
    let (from, to) = numbers.split_once("..").unwrap_or((numbers, numbers));
    Ok((rate(from)?, rate(to)?))
}

/// Reads a rate that a test takes on while it runs: `50/s`, `3000/m`, or a plain number a second.
///
/// # Errors
/// In words, with the range and what else may be meant.
pub fn parse_rate(text: &str) -> Result<Rate, String> {
    let (from, to) = rates(text).map_err(|problem| {
        let is_zero = text.trim_start().starts_with('0') && problem.contains("not within");
        let pause = "; 0.001/s is as good as a pause, and a stop ends the test";
        format!("{problem}{}", if is_zero { pause } else { "" })
    })?;
    if from != to {
        return Err(format!(
            "{text:?} is a ramp; a running test takes one rate at a time, such as 500/s"
        ));
    }
    Ok(from)
}

fn unit_seconds(unit: &str) -> Option<f64> {
    match unit {
        "s" | "sec" => Some(1.0),
        "m" | "min" => Some(60.0),
        "h" => Some(3600.0),
        _ => None,
    }
}

/// Reads `200ms`, `200ms..2s` or `exp 1s`.
pub(super) fn think(text: &str) -> Result<crate::workload::Think, String> {
    use crate::workload::Think;
    const LONGEST: u64 = 3600 * units::NS_PER_S;
    let text = text.trim();
    let mean = text.strip_prefix("exp").map(|rest| {
        let rest = rest.trim();
        let inner = rest
            .strip_prefix('(')
            .and_then(|rest| rest.strip_suffix(')'));
        inner.unwrap_or(rest)
    });
    if let Some(mean) = mean {
        return duration(mean, LONGEST).map(Think::Exponential);
    }
    let Some((from, to)) = text.split_once("..") else {
        return duration(text, LONGEST).map(Think::Fixed);
    };
    let (from_ns, to_ns) = (units::parse_duration_ns(from), duration(to, LONGEST)?);
    match from_ns {
        Ok(from_ns) if from_ns <= to_ns => Ok(Think::Range(from_ns, to_ns)),
        _ => Err(format!(
            "{text:?}: write 200ms..2s, the shortest and the longest"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workload::Think;

    #[test]
    fn rates_have_units_and_ranges() {
        let milli = |text| rates(text).map(|(from, to)| (from.milli(), to.milli()));
        assert_eq!(milli("50/s"), Ok((50_000, 50_000)));
        assert_eq!(milli("3000/m"), Ok((50_000, 50_000)));
        assert_eq!(milli("50..2000/s"), Ok((50_000, 2_000_000)));
        assert_eq!(milli("0.5"), Ok((500, 500)));
        for text in [
            "", "0/s", "-1/s", "50/x", "a..b/s", "1e99/s", "50..", "nan/s",
        ] {
            assert!(rates(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_running_test_takes_one_rate_that_is_none_of_zero() {
        assert_eq!(parse_rate("500/s").map(Rate::milli), Ok(500_000));
        assert_eq!(parse_rate("30/m").map(Rate::milli), Ok(500));
        assert_eq!(parse_rate("7").map(Rate::milli), Ok(7_000));
        assert!(
            parse_rate("5..9/s")
                .unwrap_err()
                .contains("one rate at a time")
        );
        assert!(
            parse_rate("0/s")
                .unwrap_err()
                .contains("as good as a pause")
        );
        assert!(
            parse_rate("20000000/s")
                .unwrap_err()
                .contains("0.001/s to 10000000/s")
        );
        assert!(parse_rate("-1/s").is_err() && parse_rate("fast").is_err());
    }

    #[test]
    fn users_think_as_it_is_written() {
        assert_eq!(think("200ms"), Ok(Think::Fixed(200_000_000)));
        assert_eq!(think("0s..2s"), Ok(Think::Range(0, 2_000_000_000)));
        assert_eq!(think("exp 1s"), Ok(Think::Exponential(1_000_000_000)));
        assert_eq!(think("exp(1s)"), Ok(Think::Exponential(1_000_000_000)));
        for text in ["", "2s..1s", "long", "exp", "2h", "1s..", "-1s"] {
            assert!(think(text).is_err(), "{text}");
        }
    }
}
