//! What a result has to satisfy, and what ends a run early: of all, of a step or of a flow.

use std::fmt;

use super::nearest::nearest;
use super::reading::{Reader, Spot, duration};

use crate::units::{self, NS_PER_S};
use crate::workload::{Flow, Step, Threshold};

/// A condition on the numbers of a run.
#[derive(Debug, Clone, PartialEq)]
pub struct Condition {
    /// As it was written.
    pub text: String,
    /// Whose numbers.
    pub of: Whose,
    /// What they have to be.
    pub bound: Bound,
}

/// Whose numbers a condition is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Whose {
    /// Those of the whole run.
    All,
    /// Those of a step, by its name.
    Step(String),
    /// Those of a flow, by its name.
    Flow(String),
}

/// What numbers have to be.
#[derive(Debug, Clone, PartialEq)]
pub enum Bound {
    /// A figure of the requests.
    Requests(Threshold),
    /// The least share of checks that hold, of 1.
    CheckRate(f64),
}

/// A condition on the requests of the whole run that ends it when it has held for a time.
#[derive(Debug, Clone, PartialEq)]
pub struct AbortCondition {
    /// What ends it.
    pub condition: Condition,
    /// For how long it has to hold, ns; whole seconds.
    pub for_ns: u64,
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Reads `thresholds`.
pub(super) fn thresholds(
    reader: &mut Reader,
    spot: &Spot<'_>,
    names: (&[Flow], &[Step]),
) -> Vec<Condition> {
    let items = reader.items(spot);
    let read = |item| reader.parsed(item, |text| condition(text, names));
    items.iter().filter_map(read).collect()
}

/// Reads `abort`.
pub(super) fn aborts(
    reader: &mut Reader,
    spot: &Spot<'_>,
    names: (&[Flow], &[Step]),
) -> Vec<AbortCondition> {
    let items = reader.items(spot);
    let read = |item| reader.parsed(item, |text| abort(text, names));
    items.iter().filter_map(read).collect()
}

fn abort(text: &str, names: (&[Flow], &[Step])) -> Result<AbortCondition, String> {
    let (what, time) = text.split_once(" for ").ok_or_else(|| {
        format!("{text:?} has no time: write error_rate > 20% for 10s, in whole seconds")
    })?;
    let for_ns = duration(time.trim(), 3600 * NS_PER_S)?;
    if for_ns % NS_PER_S != 0 {
        return Err(format!("{text:?}: for is in whole seconds"));
    }
    let condition = condition(what, names)?;
    if condition.of != Whose::All || matches!(condition.bound, Bound::CheckRate(_)) {
        return Err(format!(
            "{text:?}: what ends a run is judged each second on the requests of the whole run, such \
             as error_rate or p99; write {what} among the thresholds"
        ));
    }
    Ok(AbortCondition { condition, for_ns })
}

fn condition(text: &str, (flows, steps): (&[Flow], &[Step])) -> Result<Condition, String> {
    let text = text.trim();
    let (of, rest) = if let Some((name, rest)) = scoped(text, "step(")? {
        known("step", &name, steps.iter().map(|step| step.name.as_str()))?;
        (Whose::Step(name), rest)
    } else if let Some((name, rest)) = scoped(text, "flow(")? {
        known("flow", &name, flows.iter().map(|flow| flow.name.as_str()))?;
        (Whose::Flow(name), rest)
    } else {
        (Whose::All, text)
    };
    let bound = match rest.strip_prefix("check_rate") {
        Some(rest) => Bound::CheckRate(check_rate(rest.trim())?),
        None => Bound::Requests(rest.parse()?),
    };
    let text = text.to_owned();
    Ok(Condition { text, of, bound })
}

/// The name in `step(name).p99 < 1s`, and what is behind the dot.
fn scoped<'t>(text: &'t str, prefix: &str) -> Result<Option<(String, &'t str)>, String> {
    let Some(rest) = text.strip_prefix(prefix) else {
        return Ok(None);
    };
    // The name of a step that has none of its own may have parentheses in it.
    let at = rest
        .find(").")
        .ok_or_else(|| format!("{text:?}: write {prefix}name).p99 < 250ms"))?;
    Ok(Some((rest[..at].to_owned(), &rest[at + 2..])))
}

fn known<'n>(
    kind: &str,
    name: &str,
    names: impl Iterator<Item = &'n str> + Clone,
) -> Result<(), String> {
    if names.clone().any(|known| known == name) {
        return Ok(());
    }
    let hint = match nearest(name, names.clone()) {
        Some(near) => format!("did you mean {near}?"),
        None => format!("there are {}", names.collect::<Vec<_>>().join(", ")),
    };
    Err(format!("no {kind} has the name {name:?}; {hint}"))
}

fn check_rate(text: &str) -> Result<f64, String> {
    let shape = || format!("check_rate {text}: write check_rate >= 99.9%");
    let value = text.strip_prefix(">=").ok_or_else(shape)?.trim();
    let (number, scale) = match value.strip_suffix('%') {
        Some(number) => (number, 0.01),
        None => (value, 1.0),
    };
    let share: f64 = number.trim().parse().map_err(|_| shape())?;
    let share = share * scale;
    if (0.0..=1.0).contains(&share) {
        Ok(share)
    } else {
        Err(shape())
    }
}

/// How long a condition has to hold, for people.
impl fmt::Display for AbortCondition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} for {}",
            self.condition,
            units::format_ns(self.for_ns)
        )
    }
}
