//! What the load runs on, from the texts of `/proc` and `/sys`: read once when a load begins. The
//! texts are taken apart by pure functions; what is not there stays absent.

use std::collections::BTreeSet;
use std::fs::read_to_string;

use proto::measure::Environment;

use super::cgroup_files;

/// The environment of a load on these CPUs, as it is now.
#[must_use]
pub fn environment(cpus: &[usize]) -> Environment {
    let governor = |cpu| format!("/sys/devices/system/cpu/cpu{cpu}/cpufreq/scaling_governor");
    let read = |path: &str| read_to_string(path).unwrap_or_default();
    let texts = Texts {
        hostname: read("/proc/sys/kernel/hostname"),
        kernel: read("/proc/sys/kernel/osrelease"),
        cpuinfo: read("/proc/cpuinfo"),
        governors: cpus.iter().map(|cpu| read(&governor(cpu))).collect(),
        quotas: cgroup_files("cpu.max")
            .iter()
            .flat_map(read_to_string)
            .collect(),
    };
    Environment {
        version: Some(env!("CARGO_PKG_VERSION").to_owned()),
        cpus: Some(cpus.len() as u64),
        ..texts.environment()
    }
}

/// What the kernel says; a file that is not there is an empty text.
#[derive(Debug, Default)]
struct Texts {
    hostname: String,
    kernel: String,
    cpuinfo: String,
    /// `scaling_governor` of each CPU.
    governors: Vec<String>,
    /// `cpu.max` of the cgroup and those around it.
    quotas: Vec<String>,
}

impl Texts {
    fn environment(&self) -> Environment {
        let flags = field(&self.cpuinfo, "flags");
        Environment {
            hostname: line(&self.hostname),
            kernel: line(&self.kernel),
            processor: field(&self.cpuinfo, "model name").and_then(line),
            virtual_machine: flags.map(|flags| flags.split(' ').any(|flag| flag == "hypervisor")),
            governor: governor(&self.governors),
            cpu_quota: self
                .quotas
                .iter()
                .filter_map(|text| quota(text))
                .reduce(f64::min),
            ..Environment::default()
        }
    }
}

/// The text without its white space; `None` where nothing is left.
fn line(text: &str) -> Option<String> {
    let text = text.trim();
    (!text.is_empty()).then(|| text.to_owned())
}

/// The first field of that name in `/proc/cpuinfo`.
fn field<'a>(cpuinfo: &'a str, name: &str) -> Option<&'a str> {
    let mut fields = cpuinfo.lines().filter_map(|line| line.split_once(':'));
    let (_, value) = fields.find(|(key, _)| key.trim() == name)?;
    Some(value.trim())
}

/// The governors that there are, each once.
fn governor(of_cpus: &[String]) -> Option<String> {
    let governors: BTreeSet<String> = of_cpus.iter().filter_map(|text| line(text)).collect();
    let governors: Vec<String> = governors.into_iter().collect();
    (!governors.is_empty()).then(|| governors.join(", "))
}

/// The limit of a `cpu.max`, `QUOTA PERIOD` in µs, in CPUs; none where it says `max`.
fn quota(cpu_max: &str) -> Option<f64> {
    let (quota, period) = cpu_max.trim().split_once(' ')?;
    let quota: u64 = quota.parse().ok()?;
    let period: u64 = period.parse().ok().filter(|period| *period > 0)?;
    Some(quota as f64 / period as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CPUINFO: &str = "processor\t: 0\nmodel name\t: AMD EPYC 7B13\n\
        flags\t\t: fpu sse2 hypervisor\n\nprocessor\t: 1\nmodel name\t: another\n";

    #[test]
    fn what_is_not_there_is_absent() {
        let nothing = Texts::default().environment();
        assert_eq!(nothing, Environment::default());
    }

    #[test]
    fn the_texts_of_the_kernel_become_facts() {
        let texts = |cpuinfo: &str, governors: &[&str], quotas: &[&str]| Texts {
            hostname: "load-1\n".into(),
            kernel: "6.1.0-18-amd64\n".into(),
            cpuinfo: cpuinfo.into(),
            governors: governors.iter().map(ToString::to_string).collect(),
            quotas: quotas.iter().map(ToString::to_string).collect(),
        };
        let whole = texts(
            CPUINFO,
            &["powersave\n", "performance\n", "powersave\n"],
            &["250000 100000\n", "max 100000\n", "150000 100000\n"],
        );
        let expected = Environment {
            hostname: Some("load-1".into()),
            kernel: Some("6.1.0-18-amd64".into()),
            processor: Some("AMD EPYC 7B13".into()),
            virtual_machine: Some(true),
            governor: Some("performance, powersave".into()),
            cpu_quota: Some(1.5),
            ..Environment::default()
        };
        assert_eq!(whole.environment(), expected);
        // A processor that has neither, as those of Arm; no cpufreq; no limit.
        let bare = texts(
            "processor\t: 0\nFeatures\t: fp\n",
            &["", ""],
            &["max 100000\n"],
        );
        let bare = bare.environment();
        assert_eq!((bare.processor, bare.virtual_machine), (None, None));
        assert_eq!((bare.governor, bare.cpu_quota), (None, None));
        let metal = texts("flags : fpu nohypervisor\n", &[], &[]).environment();
        assert_eq!(metal.virtual_machine, Some(false));
    }

    #[test]
    fn a_limit_that_makes_no_sense_is_none() {
        for text in ["", "max", "100000", "100000 0", "-1 100000", "many 100000"] {
            assert_eq!(quota(text), None, "{text:?}");
        }
    }

    #[test]
    fn this_machine_has_a_kernel_and_a_name() {
        let here = environment(&[0]);
        assert!(here.kernel.is_some() && here.hostname.is_some(), "{here:?}");
        assert_eq!(here.cpus, Some(1));
    }
}
