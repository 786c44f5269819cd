//! Processes that are ours: named so that a recycled process id is never taken for one of them.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open, pidfd_send_signal};
use serde::{Deserialize, Serialize};

/// How often an ending process is looked at.
const LOOK: Duration = Duration::from_millis(20);
/// From SIGTERM to SIGKILL. A driver in a run needs a moment to drain and report.
const GRACE: Duration = Duration::from_secs(10);
/// From SIGKILL to giving up.
const KILL_MAX: Duration = Duration::from_secs(5);

/// A process of one boot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// Its id.
    pub pid: u32,
    /// When the kernel started it, in clock ticks since boot.
    pub start_ticks: u64,
}

/// What `/proc/PID/stat` says of a process.
#[derive(Debug, PartialEq, Eq)]
struct Stat {
    state: char,
    start_ticks: u64,
}

impl Identity {
    /// The process that has this id now.
    #[must_use]
    pub fn of(pid: u32) -> Option<Self> {
        let start_ticks = stat(pid)?.start_ticks;
        Some(Self { pid, start_ticks })
    }

    /// Whether it still runs. One that ended and was not waited for does not.
    #[must_use]
    pub fn is_alive(self) -> bool {
        stat(self.pid).is_some_and(|stat| {
            stat.start_ticks == self.start_ticks && !matches!(stat.state, 'Z' | 'X')
        })
    }

    /// Sends a signal to this process and to no other. The handle is taken first and the identity
    /// checked then, so that the id cannot be recycled in between.
    pub fn signal(self, signal: Signal) {
        let Some(pid) = i32::try_from(self.pid).ok().and_then(Pid::from_raw) else {
            return;
        };
        match pidfd_open(pid, PidfdFlags::empty()) {
            Ok(handle) if self.is_alive() => {
                let _ = pidfd_send_signal(handle, signal);
            }
            // A sandbox without process handles: the check alone must do.
            Err(rustix::io::Errno::NOSYS) if self.is_alive() => {
                let _ = kill_process(pid, signal);
            }
            Ok(_) | Err(_) => {}
        }
    }
}

/// Ends processes: asks, waits, insists. Returns those that still run.
#[must_use]
pub fn end(processes: &[Identity]) -> Vec<Identity> {
    for process in processes {
        process.signal(Signal::TERM);
        // A stopped process takes the signal only when it goes on.
        process.signal(Signal::CONT);
    }
    let left = wait_gone(processes, GRACE);
    for process in &left {
        process.signal(Signal::KILL);
    }
    wait_gone(&left, KILL_MAX)
}

/// Waits until the processes are gone, for `limit` at most. Returns those that still run.
#[must_use]
pub fn wait_gone(processes: &[Identity], limit: Duration) -> Vec<Identity> {
    let deadline = Instant::now() + limit;
    let alive = || {
        processes
            .iter()
            .copied()
            .filter(|process| process.is_alive())
            .collect()
    };
    loop {
        let left: Vec<Identity> = alive();
        if left.is_empty() || Instant::now() >= deadline {
            return left;
        }
        thread::sleep(LOOK);
    }
}

fn stat(pid: u32) -> Option<Stat> {
    parse(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// The name in parentheses may itself hold spaces and parentheses: fields count from the last one.
fn parse(line: &str) -> Option<Stat> {
    let (_, fields) = line.rsplit_once(')')?;
    let mut fields = fields.split_whitespace();
    let state = fields.next()?.chars().next()?;
    // State is field 3 of the line, the start time field 22.
    let start_ticks = fields.nth(22 - 4)?.parse().ok()?;
    Some(Stat { state, start_ticks })
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn the_name_of_a_process_may_hold_anything() {
        let line = "42 (a) Z (b)) S 1 42 42 0 -1 4194304 1 0 0 0 0 0 0 0 20 0 1 0 987654 0 0";
        assert_eq!(
            parse(line),
            Some(Stat {
                state: 'S',
                start_ticks: 987_654
            })
        );
        assert_eq!(parse("42 (a) S 1"), None);
        assert_eq!(parse(""), None);
    }

    #[test]
    fn a_recycled_id_is_another_process() {
        let own = Identity::of(std::process::id()).unwrap();
        assert!(own.is_alive());
        let other = Identity {
            start_ticks: own.start_ticks + 1,
            ..own
        };
        assert!(!other.is_alive());
        // Would end this test if it reached us.
        other.signal(Signal::KILL);
        assert_eq!(end(&[other]), []);
    }

    #[test]
    fn ending_asks_first_and_then_insists() {
        let start = |script: &str| {
            Command::new("sh")
                .args(["-c", script])
                .stdout(Stdio::piped())
                .spawn()
                .unwrap()
        };
        let mut polite = start("exec sleep 1000");
        let mut stopped = start("kill -STOP $$; exec sleep 1000");
        let identities: Vec<Identity> = [&polite, &stopped]
            .iter()
            .map(|child| Identity::of(child.id()).unwrap())
            .collect();
        assert_eq!(end(&identities), []);
        for child in [&mut polite, &mut stopped] {
            assert!(!child.wait().unwrap().success());
        }
    }
}
