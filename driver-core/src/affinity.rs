//! Which cores this process may use, and pinning a thread to one of them.

use core_affinity::CoreId;
use thiserror::Error;

/// A list of CPUs that cannot be followed.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum InvalidCores {
    /// It is no list.
    #[error("{0:?} is no list of CPUs; write numbers and ranges such as 0,2 or 1-3")]
    Syntax(String),
    /// It names a CPU that the affinity mask of this process does not have.
    #[error("CPU {cpu} is not one that this process may use; allowed: {allowed:?}")]
    NotAllowed {
        /// The CPU.
        cpu: usize,
        /// Those of the mask.
        allowed: Vec<usize>,
    },
}

/// From so many CPUs on, one is left to the threads that do not load: control, broker, reports.
const CPUS_TO_SHARE: usize = 3;

/// The CPUs that a list such as `0,2` or `1-3` names. Without one: all that this process may use but
/// the last, which is left to the control side; of one or two all, since half would be too much.
///
/// # Errors
/// [`InvalidCores`] when it is no list, or names a CPU beyond the mask.
pub fn choose(list: Option<&str>) -> Result<Vec<usize>, InvalidCores> {
    let allowed = allowed();
    match list {
        None => Ok(without_last(allowed)),
        Some(list) => within(parse(list)?, allowed),
    }
}

fn without_last(mut cpus: Vec<usize>) -> Vec<usize> {
    if cpus.len() >= CPUS_TO_SHARE {
        cpus.pop();
    }
    cpus
}

fn within(cpus: Vec<usize>, allowed: Vec<usize>) -> Result<Vec<usize>, InvalidCores> {
    match cpus.iter().find(|cpu| !allowed.contains(cpu)) {
        Some(cpu) => Err(InvalidCores::NotAllowed { cpu: *cpu, allowed }),
        None => Ok(cpus),
    }
}

/// Numbers and ranges, sorted, each once. No machine has more CPUs than a range may span.
fn parse(ranges: &str) -> Result<Vec<usize>, InvalidCores> {
    let refuse = || InvalidCores::Syntax(ranges.to_owned());
    let number = |text: &str| {
        text.trim()
            .parse::<u16>()
            .map(usize::from)
            .map_err(|_| refuse())
    };
    let mut cpus = Vec::new();
    for part in ranges.split(',') {
        let ends = part.split_once('-').unwrap_or((part, part));
        let (first, last) = (number(ends.0)?, number(ends.1)?);
        if first > last {
            return Err(refuse());
        }
        cpus.extend(first..=last);
    }
    cpus.sort_unstable();
    cpus.dedup();
    Ok(cpus)
}

/// The CPUs that this process may run on, by number: the mask, not the count of the machine.
#[must_use]
pub fn allowed() -> Vec<usize> {
    let mut ids: Vec<usize> = core_affinity::get_core_ids()
        .unwrap_or_default()
        .iter()
        .map(|core| core.id)
        .collect();
    ids.sort_unstable();
    ids
}

/// Pins the calling thread to one CPU; false when the system refuses.
#[must_use]
pub fn pin(cpu: usize) -> bool {
    core_affinity::set_for_current(CoreId { id: cpu })
}

/// Asks for timers that end when they should instead of up to 50 us later, for this thread.
pub fn sharpen_timers() {
    // Refused only where the kernel has no such setting; then sends are found late by the release
    // lag, which is measured anyway.
    let _ = rustix::thread::set_current_timer_slack(std::num::NonZeroU64::new(1));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn from_three_cpus_on_one_is_left_to_the_control_side() {
        assert_eq!(without_last(vec![4]), [4]);
        assert_eq!(without_last(vec![0, 1]), [0, 1]);
        assert_eq!(without_last(vec![0, 1, 5]), [0, 1]);
    }

    #[test]
    fn lists_of_cpus_are_read_and_held_against_the_mask() {
        assert_eq!(parse("0,2"), Ok(vec![0, 2]));
        assert_eq!(parse("3, 1-2,2"), Ok(vec![1, 2, 3]));
        for bad in ["", "x", "2-1", "1-", "-1", "0;1", "99999"] {
            assert_eq!(parse(bad), Err(InvalidCores::Syntax(bad.to_owned())));
        }
        let beyond = InvalidCores::NotAllowed {
            cpu: 7,
            allowed: vec![0, 1],
        };
        assert_eq!(within(vec![0, 7], vec![0, 1]), Err(beyond));
    }

    #[test]
    fn this_process_may_use_some_cpu_and_be_pinned_to_it() {
        let cpus = allowed();
        assert!(cpus.windows(2).all(|pair| pair[0] < pair[1]), "{cpus:?}");
        std::thread::spawn(move || assert!(pin(*cpus.last().unwrap())))
            .join()
            .unwrap();
    }
}
