//! The result by step and flow, as people read it.

use std::fmt::{self, Write};

use crate::summary::{FlowRow, SessionRows, StepRow};

/// Longest name that is shown, in characters.
const NAME_CHARS_MAX: usize = 31;

/// A table of steps, one of flows, and what there is to say of the data.
#[must_use]
pub fn sessions(rows: &SessionRows) -> String {
    let mut out = String::new();
    // Writing to a String cannot fail.
    let _ = write_steps(&mut out, &rows.steps);
    let _ = write_flows(&mut out, &rows.flows);
    for set in &rows.data {
        let (name, used_up, left) = (&set.name, set.used_up, set.left);
        if used_up > 0 {
            let line = format!("the rows of {name} were used up: {used_up} sessions did not start");
            let _ = writeln!(out, "  {line}");
        }
        if left > 0 {
            let _ = writeln!(out, "  {left} rows of {name} are left over");
        }
    }
    out
}

/// The step of which most answers were bad or never came, and how many, for a line that has no room for
/// all: ` (12 of login)`; nothing while all went well, or where there is one step only. `steps` are
/// names, and how many went wrong.
#[must_use]
pub fn worst_step<'a>(steps: impl ExactSizeIterator<Item = (&'a str, u64)>) -> String {
    let is_one = steps.len() < 2;
    let worst = steps.max_by_key(|(_, bad)| *bad);
    match worst.filter(|(_, bad)| *bad > 0 && !is_one) {
        Some((name, bad)) => format!(" ({bad} of {})", shown(name)),
        None => String::new(),
    }
}

fn write_steps(out: &mut String, rows: &[StepRow]) -> fmt::Result {
    writeln!(
        out,
        "\n  {:<32}{:>9}{:>9}{:>8}{:>8}{:>7}{:>10}{:>10}",
        "step (response, ms)", "sent", "ok", "status", "failed", "lost", "p50", "p99"
    )?;
    for row in rows {
        writeln!(
            out,
            "  {:<32}{:>9}{:>9}{:>8}{:>8}{:>7}{:>10}{:>10}",
            shown(&row.name),
            row.sent,
            row.ok,
            row.status,
            row.failed,
            row.lost,
            ms(row.response.p50),
            ms(row.response.p99)
        )?;
        for check in row.checks.iter().filter(|check| check.failed > 0) {
            let all = check.held.saturating_add(check.failed);
            writeln!(out, "    {} of {all} failed: {}", check.failed, check.check)?;
        }
        if row.missing > 0 {
            writeln!(out, "    {} values were not found", row.missing)?;
        }
        if row.without_value > 0 {
            let line = "not sent, since a value for them was never found";
            writeln!(out, "    {} {line}", row.without_value)?;
        }
    }
    Ok(())
}

fn write_flows(out: &mut String, rows: &[FlowRow]) -> fmt::Result {
    writeln!(
        out,
        "\n  {:<32}{:>9}{:>11}{:>8}{:>8}{:>17}",
        "flow", "sessions", "completed", "failed", "cut", "p50 session, ms"
    )?;
    for row in rows {
        writeln!(
            out,
            "  {:<32}{:>9}{:>11}{:>8}{:>8}{:>17}",
            shown(&row.name),
            row.started,
            row.completed,
            row.failed,
            row.cut,
            ms(row.session.p50)
        )?;
    }
    Ok(())
}

fn shown(name: &str) -> String {
    name.chars().take(NAME_CHARS_MAX).collect()
}

fn ms(value: Option<f64>) -> String {
    value.map_or_else(|| "-".to_owned(), |ms| format!("{ms:.3}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_step_that_went_wrong_most_is_named() {
        let of = |steps: &[(&str, u64)]| worst_step(steps.iter().map(|(name, bad)| (*name, *bad)));
        assert_eq!(of(&[("a", 1), ("login", 12), ("b", 3)]), " (12 of login)");
        assert_eq!(of(&[("a", 0), ("b", 0)]), "");
        assert_eq!(of(&[("a", 5)]), "", "that is all of them");
    }
}
