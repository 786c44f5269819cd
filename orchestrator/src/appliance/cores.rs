//! Which CPUs each driver gets. Pure, but for reading the affinity mask.

use rustix::thread::{CpuSet, sched_getaffinity};

/// The machine's CPUs, dealt out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deal {
    /// The CPUs of each driver, at least one.
    pub drivers: Vec<Vec<usize>>,
    /// What no driver got; the test server's. Empty when there is none to spare.
    pub rest: Vec<usize>,
}

/// The CPUs that this process may use, in order.
#[must_use]
pub fn allowed() -> Vec<usize> {
    let set = sched_getaffinity(None).unwrap_or_else(|_| CpuSet::new());
    let cpus: Vec<usize> = (0..CpuSet::MAX_CPU)
        .filter(|cpu| set.is_set(*cpu))
        .collect();
    if cpus.is_empty() { vec![0] } else { cpus }
}

/// Deals CPUs to drivers. Half of the machine at most loads, since the target and the broker need
/// the rest; but each driver gets a CPU of its own as long as there are any.
///
/// # Panics
/// When there is no CPU or no driver.
#[must_use]
pub fn deal(allowed: &[usize], drivers: usize) -> Deal {
    assert!(
        !allowed.is_empty() && drivers > 0,
        "invariant: a machine has a CPU, a test a driver"
    );
    if drivers > allowed.len() {
        let shared = |driver: usize| vec![allowed[driver % allowed.len()]];
        return Deal {
            drivers: (0..drivers).map(shared).collect(),
            rest: Vec::new(),
        };
    }
    let each = (allowed.len() / 2 / drivers).max(1);
    let (dealt, rest) = allowed.split_at(each * drivers);
    Deal {
        drivers: dealt.chunks(each).map(<[usize]>::to_vec).collect(),
        rest: rest.to_vec(),
    }
}

/// CPUs as the `--cores` options take them.
#[must_use]
pub fn list(cpus: &[usize]) -> String {
    let texts: Vec<String> = cpus.iter().map(usize::to_string).collect();
    texts.join(",")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn each_driver_has_its_own_cpu_as_long_as_there_are_any() {
        // allowed CPUs, drivers: CPUs of each, what is left
        for (cpus, drivers, each, rest) in [
            (2, 1, 1, 1),
            (2, 2, 1, 0),
            (3, 2, 1, 1),
            (4, 2, 1, 2),
            (8, 2, 2, 4),
            (16, 2, 4, 8),
            (16, 16, 1, 0),
            (64, 4, 8, 32),
        ] {
            let allowed: Vec<usize> = (10..10 + cpus).collect();
            let deal = deal(&allowed, drivers);
            assert!(
                deal.drivers.iter().all(|cpus| cpus.len() == each),
                "{deal:?}"
            );
            assert_eq!(
                (deal.drivers.len(), deal.rest.len()),
                (drivers, rest),
                "{deal:?}"
            );
            let distinct: BTreeSet<usize> =
                deal.drivers.concat().into_iter().chain(deal.rest).collect();
            assert_eq!(
                distinct,
                allowed.into_iter().collect(),
                "none twice, none forgotten"
            );
        }
    }

    #[test]
    fn drivers_share_evenly_when_they_must() {
        let shared = deal(&[1, 5], 5);
        assert_eq!(shared.drivers.concat(), [1, 5, 1, 5, 1]);
        assert!(shared.rest.is_empty());
        assert_eq!(deal(&[3], 2).drivers, [[3], [3]]);
    }

    #[test]
    fn this_machine_has_a_cpu() {
        assert!(!allowed().is_empty());
    }
}
