//! Which cores this process may use, and pinning to some of them.

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// Why a process cannot be pinned.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A core that does not exist or that this process must not use.
    #[error("core {core} is not among the allowed ones, {allowed:?}; choose from them")]
    NotAllowed {
        /// The core that was asked for.
        core: usize,
        /// The cores that the process may use.
        allowed: Vec<usize>,
    },
    /// The generator and the target need one each.
    #[error("{0:?} is the only core; the generator and the target need one each")]
    TooFew(Vec<usize>),
    /// The system refused.
    #[error("cannot read or set the cores of this process: {0}")]
    System(#[from] rustix::io::Errno),
}

/// The cores that this process may use, by its affinity mask.
///
/// # Errors
/// When the system does not say.
pub fn allowed() -> Result<Vec<usize>, Error> {
    let mask = sched_getaffinity(None)?;
    Ok((0..CpuSet::MAX_CPU)
        .filter(|&core| mask.is_set(core))
        .collect())
}

/// Pins this thread, and what it starts from now on, to these cores.
///
/// # Errors
/// When one of them is not allowed.
pub fn pin(cores: &[usize]) -> Result<(), Error> {
    let allowed = allowed()?;
    let mut chosen = CpuSet::new();
    for &core in cores {
        if !allowed.contains(&core) {
            return Err(Error::NotAllowed { core, allowed });
        }
        chosen.set(core);
    }
    Ok(sched_setaffinity(None, &chosen)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pinned_thread_may_use_its_cores_only() {
        let core = *allowed().unwrap().last().unwrap();
        // In a thread of its own, so that the other tests keep their cores.
        std::thread::spawn(move || {
            pin(&[core]).unwrap();
            assert_eq!(allowed().unwrap(), [core]);
            let message = pin(&[1023]).unwrap_err().to_string();
            assert!(message.contains(&format!(
                "core 1023 is not among the allowed ones, [{core}]"
            )));
        })
        .join()
        .unwrap();
    }
}
