//! Which cores this process may use, and pinning a thread to one of them.

use core_affinity::CoreId;

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
    fn this_process_may_use_some_cpu_and_be_pinned_to_it() {
        let cpus = allowed();
        assert!(cpus.windows(2).all(|pair| pair[0] < pair[1]), "{cpus:?}");
        std::thread::spawn(move || assert!(pin(*cpus.last().unwrap())))
            .join()
            .unwrap();
    }
}
