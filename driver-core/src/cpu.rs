//! What the machine did with the CPUs that the load runs on: from `/proc/stat` whether they were busy
//! with something, and whether a hypervisor took them away; from the cgroup's `cpu.stat` whether a
//! limit stopped the driver.

mod environment;

pub use environment::environment;

use std::path::PathBuf;

use proto::measure::Health;

use crate::recording::CoreHealth;

const STAT: &str = "/proc/stat";
/// In which cgroups this process is; that of version 2 begins with `0::`.
const CGROUP: &str = "/proc/self/cgroup";
const CGROUPS: &str = "/sys/fs/cgroup";
/// The fewest ticks (of 10 ms, usually) that shares are told of: of a moment's few, one that was
/// stolen would look like a thief.
const TICKS_MIN: u64 = 50;

/// Watches a set of CPUs.
#[derive(Debug)]
pub struct CpuWatch {
    cpus: Vec<usize>,
    before: Vec<Option<Ticks>>,
    throttle: Throttle,
}

/// The limit on the CPU of this process's cgroup, where it has one.
#[derive(Debug, Default)]
struct Throttle {
    files: Vec<PathBuf>,
    /// For how long it had stopped the process when it was last looked at, µs.
    before_us: u64,
}

impl Throttle {
    /// Of this process; a limit of an outer group counts too.
    fn new() -> Self {
        let mut throttle = Self {
            files: cgroup_files("cpu.stat"),
            before_us: 0,
        };
        throttle.before_us = throttle.read_us();
        throttle
    }

    /// For how long it has stopped the process since the last look, ns.
    fn sample_ns(&mut self) -> u64 {
        let now_us = self.read_us();
        let before_us = std::mem::replace(&mut self.before_us, now_us);
        now_us.saturating_sub(before_us).saturating_mul(1_000)
    }

    fn read_us(&self) -> u64 {
        let texts = self.files.iter().map(std::fs::read_to_string);
        texts.flatten().map(|text| throttled_us(&text)).sum()
    }
}

/// Where the files of that name are of this process's cgroup and those around it.
fn cgroup_files(name: &str) -> Vec<PathBuf> {
    let text = std::fs::read_to_string(CGROUP).unwrap_or_default();
    let group = text.lines().find_map(|line| line.strip_prefix("0::/"));
    let outer = group.into_iter().flat_map(|group| {
        let group = PathBuf::from(group);
        let outer: Vec<PathBuf> = group.ancestors().map(PathBuf::from).collect();
        outer
    });
    outer
        .map(|group| PathBuf::from(CGROUPS).join(group).join(name))
        .collect()
}

/// `throttled_usec` of a `cpu.stat`; 0 where there is no limit.
fn throttled_us(stat: &str) -> u64 {
    let value = stat
        .lines()
        .find_map(|line| line.strip_prefix("throttled_usec "));
    value
        .and_then(|value| value.trim().parse().ok())
        .unwrap_or(0)
}

/// Ticks of one CPU since boot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Ticks {
    idle: u64,
    steal: u64,
    total: u64,
}

impl CpuWatch {
    /// Begins to watch; the first sample is of the time from here on.
    #[must_use]
    pub fn new(cpus: &[usize]) -> Self {
        Self {
            cpus: cpus.to_vec(),
            before: read(cpus),
            throttle: Throttle::new(),
        }
    }

    /// Idle and steal since the last sample, worst over the CPUs; nothing of a CPU of which too
    /// little time has passed. `spin_shares` says how much of each CPU's time its engine spent
    /// spinning, which is idle time that it had to spare.
    pub fn sample(&mut self, spin_shares: &[f64]) -> Health {
        let now = read(&self.cpus);
        Health {
            throttled_ns: self.throttle.sample_ns(),
            ..self.sample_of(&now, spin_shares)
        }
    }

    fn sample_of(&mut self, now: &[Option<Ticks>], spin_shares: &[f64]) -> Health {
        let mut worst = Health::default();
        for (core, (last, now)) in self.before.iter_mut().zip(now).enumerate() {
            let spin = spin_shares.get(core).copied().unwrap_or(0.0);
            let (Some(before), Some(after)) = (*last, *now) else {
                *last = *now;
                continue;
            };
            if after.total.saturating_sub(before.total) >= TICKS_MIN {
                worst.absorb(&shares(before, after, spin));
                *last = Some(after);
            }
        }
        worst
    }
}

/// Share of an interval of `wall_ns` that a core spent spinning.
#[must_use]
pub fn spin_share(health: &CoreHealth, wall_ns: u64) -> f64 {
    health.spin_ns as f64 / wall_ns.max(1) as f64
}

fn shares(before: Ticks, after: Ticks, spin: f64) -> Health {
    let total = after.total.saturating_sub(before.total);
    if total == 0 {
        return Health::default();
    }
    let share = |before: u64, after: u64| after.saturating_sub(before) as f64 / total as f64;
    Health {
        cpu_idle_min: Some((share(before.idle, after.idle) + spin).min(1.0)),
        cpu_steal_max: Some(share(before.steal, after.steal)),
        ..Health::default()
    }
}

fn read(cpus: &[usize]) -> Vec<Option<Ticks>> {
    let text = std::fs::read_to_string(STAT).unwrap_or_default();
    cpus.iter().map(|cpu| parse(&text, *cpu)).collect()
}

/// `cpuN user nice system idle iowait irq softirq steal guest guest_nice`; the guests' time is in
/// the user's already.
fn parse(stat: &str, cpu: usize) -> Option<Ticks> {
    let name = format!("cpu{cpu}");
    let line = stat
        .lines()
        .find(|line| line.split_ascii_whitespace().next() == Some(&name))?;
    let fields = line
        .split_ascii_whitespace()
        .skip(1)
        .take(8)
        .map(str::parse);
    let fields: Vec<u64> = fields.collect::<Result<_, _>>().ok()?;
    let at = |index: usize| fields.get(index).copied().unwrap_or(0);
    Some(Ticks {
        idle: at(3) + at(4),
        steal: at(7),
        total: fields.iter().sum(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEFORE: &str = "cpu  9 9 9 9\ncpu0 100 0 50 800 50 0 0 0 0 0\ncpu10 1 1 1 1 1 1 1 1";

    #[test]
    fn the_shares_of_an_interval_are_those_of_its_ticks() {
        let before = parse(BEFORE, 0).unwrap();
        let after = parse("cpu0 150 0 70 810 60 0 5 5 0 0", 0).unwrap();
        let health = shares(before, after, 0.25);
        assert_eq!(
            (health.cpu_idle_min, health.cpu_steal_max),
            (Some(0.45), Some(0.05))
        );
    }

    #[test]
    fn a_moment_is_told_of_together_with_the_next_interval() {
        let ticks = |idle, steal, total| Some(Ticks { idle, steal, total });
        let mut watch = CpuWatch {
            cpus: vec![0],
            before: vec![ticks(0, 0, 0)],
            throttle: Throttle::default(),
        };
        assert_eq!(watch.sample_of(&[ticks(0, 1, 2)], &[]), Health::default());
        let health = watch.sample_of(&[ticks(49, 1, 100)], &[]);
        assert_eq!(
            (health.cpu_idle_min, health.cpu_steal_max),
            (Some(0.49), Some(0.01))
        );
    }

    #[test]
    fn a_limit_of_the_cgroup_is_told_of_once() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("cpu.stat");
        let write = |us: u64| {
            let text = format!("usage_usec 5\nnr_throttled 2\nthrottled_usec {us}\n");
            std::fs::write(&file, text).unwrap();
        };
        write(1_000);
        let mut throttle = Throttle {
            files: vec![file.clone(), folder.path().join("no such file")],
            before_us: 0,
        };
        assert_eq!(throttle.sample_ns(), 1_000_000);
        assert_eq!(throttle.sample_ns(), 0);
        write(1_250);
        assert_eq!(throttle.sample_ns(), 250_000);
        assert_eq!(throttled_us("usage_usec 5\n"), 0);
    }

    #[test]
    fn a_cpu_that_is_not_listed_has_no_shares() {
        assert_eq!(parse(BEFORE, 1), None);
        assert_eq!(parse(BEFORE, 10).unwrap().total, 8);
        assert_eq!(
            shares(Ticks::default(), Ticks::default(), 0.0),
            Health::default()
        );
    }
}
