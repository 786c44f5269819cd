//! How often, in which order, and until when.
//!
//! Tools alternate within each repetition, each time in another order, so that a machine that slows
//! down slows all of them down. The reference runs before and after each of the others: the ratios
//! are to the mean of those two neighbours in time, so that a drift of the machine cancels out.

use std::time::{Duration, Instant};

use crate::results::{Cell, Sample};
use crate::rig::Error;
use crate::verdict;

/// How often to measure.
#[derive(Clone, Copy, Debug)]
pub(super) struct Repeats {
    /// At least so often.
    pub(super) least: u32,
    /// More often until then, while it does not suffice for a verdict.
    pub(super) until: Option<Instant>,
}

/// Reads `20m`, `90s`, `1h`; 0 for no more than the least repetitions.
pub(super) fn parse_budget(text: &str) -> Result<Duration, String> {
    let wrong = || format!("'{text}' is no time of at most a day such as 20m, 90s, 1h or 0s");
    let split = text.len() - text.chars().last().map_or(0, char::len_utf8);
    let (number, unit) = text.split_at(split);
    let number: u64 = number.parse().map_err(|_| wrong())?;
    let seconds = match unit {
        "s" => Some(number),
        "m" => number.checked_mul(60),
        "h" => number.checked_mul(3600),
        _ => None,
    };
    let seconds = seconds.filter(|&seconds| seconds <= 86_400);
    seconds.map(Duration::from_secs).ok_or_else(wrong)
}

/// Measures each cell so many times, in another order each time, with the reference before and
/// after each of the others: what follows one of them is what precedes the next.
pub(super) fn interleave(
    cells: &mut [Cell],
    repeats: Repeats,
    reference: &str,
    mut measure: impl FnMut(usize, &mut Cell) -> Result<Sample, Error>,
) -> Result<(), Error> {
    let mut run = |at: usize, cells: &mut [Cell]| {
        let sample = measure(at, &mut cells[at])?;
        cells[at].samples.push(sample.clone());
        Ok::<Sample, Error>(sample)
    };
    let name = reference;
    let reference = cells.iter().position(|cell| cell.subject == name);
    // Alone it is measured as any other would be.
    let reference = reference.filter(|_| cells.len() > 1);
    let others: Vec<usize> = (0..cells.len())
        .filter(|&at| Some(at) != reference)
        .collect();
    let mut before = reference.map(|at| run(at, cells)).transpose()?;
    let mut repetition = 0;
    while repetition < repeats.least || goes_on(cells, repeats.until, name) {
        for at in rotated(others.len(), repetition).map(|turn| others[turn]) {
            run(at, cells)?;
            if let (Some(reference), Some(earlier)) = (reference, before.take()) {
                let later = run(reference, cells)?;
                let sample = cells[at].samples.last_mut();
                let sample = sample.expect("invariant: it ran");
                add_ratios(sample, [&earlier, &later], name);
                before = Some(later);
            }
        }
        repetition += 1;
    }
    Ok(())
}

/// The order of a repetition: each time another one goes first.
pub(crate) fn rotated(count: usize, repetition: u32) -> impl Iterator<Item = usize> {
    (0..count).map(move |turn| (turn + repetition as usize) % count)
}

/// Whether there is time for more, and more is needed.
fn goes_on(cells: &mut [Cell], until: Option<Instant>, reference: &str) -> bool {
    let has_time = until.is_some_and(|until| Instant::now() < until);
    if !has_time {
        return false;
    }
    cells.iter_mut().for_each(Cell::summarise);
    !verdict::is_settled(cells, reference)
}

/// The ratios to the mean of the reference's neighbours in time.
fn add_ratios(sample: &mut Sample, neighbours: [&Sample; 2], reference: &str) {
    for metric in ["requests_per_second", "requests_per_cpu_second"] {
        let of = |sample: &Sample| sample.get(metric).copied().unwrap_or(0.0);
        let mean = neighbours.map(of).iter().sum::<f64>() / 2.0;
        if mean > 0.0 {
            sample.insert(format!("{metric}_vs_{reference}"), of(sample) / mean);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const METRIC: &str = "requests_per_cpu_second";
    const RATIO: &str = "requests_per_cpu_second_vs_wrk";

    /// Interleaves, on a machine that gets faster by 100 requests with each run, whoever runs. Gives
    /// the cells and the order.
    fn interleaved(subjects: &[&str], repeats: Repeats) -> (Vec<Cell>, Vec<usize>) {
        let mut cells: Vec<Cell> = subjects.iter().map(|name| Cell::new(name, &[])).collect();
        let (mut order, mut speed) = (Vec::new(), 1000.0);
        let measured = interleave(&mut cells, repeats, "wrk", |at, _| {
            order.push(at);
            speed += 100.0;
            Ok(Sample::from([(METRIC.to_owned(), speed)]))
        });
        measured.unwrap();
        (cells, order)
    }

    const TWICE: Repeats = Repeats {
        least: 2,
        until: None,
    };

    #[test]
    fn the_reference_runs_before_and_after_each_other_and_drift_cancels_out() {
        let (cells, order) = interleaved(&["dlts", "wrk", "oha"], TWICE);
        assert_eq!(order, [1, 0, 1, 2, 1, 2, 1, 0, 1]);
        let counts: Vec<usize> = cells.iter().map(|cell| cell.samples.len()).collect();
        assert_eq!(counts, [2, 5, 2]);
        for sample in [&cells[0], &cells[2]].iter().flat_map(|cell| &cell.samples) {
            assert!((sample[RATIO] - 1.0).abs() < 1e-9, "{sample:?}");
        }
        let of_reference = cells[1].samples.iter();
        assert!(
            of_reference
                .flat_map(Sample::keys)
                .all(|name| name == METRIC)
        );
    }

    #[test]
    fn without_others_or_without_the_reference_there_are_no_ratios() {
        for (subjects, expected) in [
            (&["dlts", "oha"][..], vec![0, 1, 1, 0]),
            (&["wrk"][..], vec![0, 0]),
        ] {
            let (cells, order) = interleaved(subjects, TWICE);
            assert_eq!(order, expected);
            let samples = cells.iter().flat_map(|cell| &cell.samples);
            assert!(samples.flat_map(Sample::keys).all(|name| name == METRIC));
        }
    }

    #[test]
    fn with_time_left_it_goes_on_until_that_suffices() {
        let repeats = Repeats {
            least: 1,
            until: Some(Instant::now() + Duration::from_secs(600)),
        };
        let (cells, _) = interleaved(&["dlts", "wrk"], repeats);
        assert_eq!(cells[0].samples.len(), verdict::REPETITIONS_MIN);
    }

    #[test]
    fn without_time_left_it_ends_after_the_least() {
        let repeats = Repeats {
            least: 2,
            until: Some(Instant::now()),
        };
        let (cells, _) = interleaved(&["dlts", "wrk"], repeats);
        assert_eq!(cells[0].samples.len(), 2);
    }

    #[test]
    fn budgets_are_read_or_refused_by_name() {
        assert_eq!(parse_budget("20m"), Ok(Duration::from_secs(1200)));
        assert_eq!(parse_budget("0s"), Ok(Duration::ZERO));
        assert_eq!(parse_budget("2h"), Ok(Duration::from_secs(7200)));
        for text in ["", "20", "m", "-1s", "25h", "9999999999999999999h", "1é"] {
            assert!(parse_budget(text).unwrap_err().contains("20m"), "{text}");
        }
    }
}
