//! The machine: what it is, and how much of it others took meanwhile.

use std::fs;
use std::process::Command;

use proto::units::format_utc_day;
use serde::{Deserialize, Serialize};

/// Ticks a second of `/proc/stat`; the kernel's ABI fixes it at 100 on every supported platform.
const TICKS_PER_S: f64 = 100.0;

/// The facts that a number needs beside it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Host {
    /// Model of the processor.
    pub processor: String,
    /// Cores that this process may use.
    pub cores: Vec<usize>,
    /// Kernel release.
    pub kernel: String,
    /// Memory in MiB.
    pub memory_mib: u64,
    /// Whether a hypervisor is below.
    pub virtual_machine: bool,
    /// Core of the generators.
    pub generator_core: usize,
    /// Core of the target.
    pub target_core: usize,
}

impl Host {
    /// Looks at this machine.
    ///
    /// # Errors
    /// When the cores cannot be read, or a core that was asked for is not allowed, or there is
    /// only one.
    pub fn look(asked: Option<(usize, usize)>) -> Result<Self, crate::cores::Error> {
        let cores = crate::cores::allowed()?;
        let (generator_core, target_core) = match (asked, cores.as_slice()) {
            (Some(pair), _) => pair,
            (None, [first, second, ..]) => (*first, *second),
            (None, _) => return Err(crate::cores::Error::TooFew(cores)),
        };
        for core in [generator_core, target_core] {
            if !cores.contains(&core) {
                return Err(crate::cores::Error::NotAllowed {
                    core,
                    allowed: cores,
                });
            }
        }
        let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let meminfo = fs::read_to_string("/proc/meminfo").unwrap_or_default();
        let memory_kib =
            field(&meminfo, "MemTotal").and_then(|text| text.split(' ').next()?.parse().ok());
        Ok(Self {
            processor: field(&cpuinfo, "model name")
                .unwrap_or("unknown")
                .to_owned(),
            cores,
            kernel: fs::read_to_string("/proc/sys/kernel/osrelease")
                .unwrap_or_default()
                .trim()
                .to_owned(),
            memory_mib: memory_kib.unwrap_or(0_u64) / 1024,
            virtual_machine: field(&cpuinfo, "flags")
                .is_some_and(|flags| flags.contains("hypervisor")),
            generator_core,
            target_core,
        })
    }

    /// One line for tables.
    #[must_use]
    pub fn line(&self) -> String {
        format!(
            "{}{}, {} cores, {} MiB, Linux {}; generator on core {}, target on core {}",
            self.processor,
            if self.virtual_machine {
                " (virtual machine)"
            } else {
                ""
            },
            self.cores.len(),
            self.memory_mib,
            self.kernel,
            self.generator_core,
            self.target_core,
        )
    }
}

/// The git commit (short) and whether the working tree differs from it.
#[must_use]
pub fn commit() -> (String, bool) {
    let git = |arguments: &[&str]| {
        let output = Command::new("git").args(arguments).output().ok()?;
        output
            .status
            .success()
            .then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let commit = git(&["rev-parse", "--short", "HEAD"]).unwrap_or_else(|| "unknown".to_owned());
    let modified = git(&["status", "--porcelain", "--untracked-files=no"]);
    (commit, modified.is_none_or(|status| !status.is_empty()))
}

/// Now, in UTC, as `2026-11-22T13:00:00Z`.
#[must_use]
pub fn date() -> String {
    date_of(proto::clock::unix_ns() / 1_000_000_000)
}

fn date_of(unix_s: u64) -> String {
    let second = unix_s % 86_400;
    let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
    let day = format_utc_day(unix_s);
    format!("{day}T{hour:02}:{minute:02}:{second:02}Z")
}

/// How the cores spent their time up to now, in seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct CpuTimes {
    /// Doing something for somebody here.
    pub busy: f64,
    /// Wanted, but taken by the hypervisor for others.
    pub steal: f64,
    /// All of it.
    pub total: f64,
}

impl CpuTimes {
    /// Of the given cores together, now. Zero where the system does not say.
    #[must_use]
    pub fn now(cores: &[usize]) -> Self {
        Self::parse(&fs::read_to_string("/proc/stat").unwrap_or_default(), cores)
    }

    /// What was spent since an earlier reading.
    #[must_use]
    pub fn since(self, earlier: Self) -> Self {
        Self {
            busy: self.busy - earlier.busy,
            steal: self.steal - earlier.steal,
            total: self.total - earlier.total,
        }
    }

    fn parse(stat: &str, cores: &[usize]) -> Self {
        let mut times = Self::default();
        for line in stat.lines() {
            let mut words = line.split_whitespace();
            let core = words
                .next()
                .and_then(|name| name.strip_prefix("cpu")?.parse().ok());
            if core.is_some_and(|core| cores.contains(&core)) {
                // user nice system idle iowait irq softirq steal; guest is within user.
                let ticks: Vec<f64> = words.take(8).filter_map(|word| word.parse().ok()).collect();
                let at = |index: usize| ticks.get(index).copied().unwrap_or(0.0) / TICKS_PER_S;
                times.total += (0..8).map(at).sum::<f64>();
                times.steal += at(7);
                times.busy += at(0) + at(1) + at(2) + at(5) + at(6);
            }
        }
        times
    }
}

/// CPU seconds that all threads of a running process have taken, from the scheduler's own account
/// in nanoseconds. Threads that have ended are not in it.
#[must_use]
pub fn cpu_seconds(pid: u32) -> Option<f64> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).ok()?;
    let run_ns = |task: fs::DirEntry| -> Option<u64> {
        let text = fs::read_to_string(task.path().join("schedstat")).ok()?;
        text.split(' ').next()?.parse().ok()
    };
    let total: u64 = tasks.filter_map(|task| run_ns(task.ok()?)).sum();
    Some(total as f64 / 1e9)
}

/// The most memory that a running process has held, MiB.
#[must_use]
pub fn rss_max_mib(pid: u32) -> Option<f64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let kib: f64 = field(&status, "VmHWM")?.split(' ').next()?.parse().ok()?;
    Some(kib / 1024.0)
}

/// The value of the first line `name : value` or `name: value`.
fn field<'text>(text: &'text str, name: &str) -> Option<&'text str> {
    text.lines().find_map(|line| {
        let (key, value) = line.split_once(':')?;
        (key.trim() == name).then(|| value.trim())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_civil() {
        assert_eq!(date_of(0), "1970-01-01T00:00:00Z");
        assert_eq!(date_of(951_782_400), "2000-02-29T00:00:00Z");
        assert_eq!(date_of(1_795_353_552), "2026-11-22T13:19:12Z");
    }

    #[test]
    fn only_the_cores_that_were_asked_for_are_added_up() {
        let stat = "cpu  9 9 9 9 9 9 9 9 0 0\n\
                    cpu0 100 0 100 700 0 50 50 0 0 0\n\
                    cpu1 1 1 1 1 1 1 1 100 0 0\n";
        let core0 = CpuTimes::parse(stat, &[0]);
        assert_eq!(
            core0,
            CpuTimes {
                busy: 3.0,
                steal: 0.0,
                total: 10.0
            }
        );
        let both = CpuTimes::parse(stat, &[0, 1]);
        assert!((both.since(core0).steal - 1.0).abs() < 1e-9);
    }

    #[test]
    fn this_process_takes_time() {
        assert!(cpu_seconds(std::process::id()).unwrap() > 0.0);
        assert_eq!(cpu_seconds(u32::MAX), None);
    }
}
