//! What a node ran on, in a line.

use crate::measure::Environment;

use super::plural;

/// What a node ran on, without its name, so that nodes alike say the same: the processor, how many
/// CPUs of it, their governor, the limit, the kernel and the version. Nothing of what is unknown.
#[must_use]
pub fn environment(of: &Environment) -> Option<String> {
    let virtual_machine = of.virtual_machine == Some(true);
    let facts = [
        of.processor.clone(),
        virtual_machine.then(|| "virtual machine".to_owned()),
        of.cpus.map(|cpus| plural(cpus, "CPU")),
        of.governor.as_ref().map(|name| format!("governor {name}")),
        of.cpu_quota.map(|cpus| format!("limited to {cpus} CPUs")),
        link(of),
        of.kernel.as_ref().map(|release| format!("Linux {release}")),
        of.version.as_ref().map(|version| format!("dlts {version}")),
    ];
    let facts: Vec<String> = facts.into_iter().flatten().collect();
    (!facts.is_empty()).then(|| format!("on {}", facts.join(", ")))
}

fn link(of: &Environment) -> Option<String> {
    let (interface, speed) = (of.interface.as_ref()?, of.link_mbit_per_s?);
    Some(format!("{interface} of {speed} Mbit/s"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_known_is_said() {
        assert_eq!(environment(&Environment::default()), None);
        let metal = Environment {
            hostname: Some("load-1".into()),
            kernel: Some("6.1.0".into()),
            virtual_machine: Some(false),
            cpus: Some(1),
            ..Environment::default()
        };
        let said = environment(&metal);
        assert_eq!(said.as_deref(), Some("on 1 CPU, Linux 6.1.0"));
        let whole = Environment {
            version: Some("0.1.0".into()),
            processor: Some("AMD EPYC 7B13".into()),
            virtual_machine: Some(true),
            cpus: Some(4),
            governor: Some("performance".into()),
            cpu_quota: Some(2.5),
            interface: Some("eth0".into()),
            link_mbit_per_s: Some(10_000),
            ..metal
        };
        let said = environment(&whole).unwrap();
        let expected = "on AMD EPYC 7B13, virtual machine, 4 CPUs, governor performance, \
            limited to 2.5 CPUs, eth0 of 10000 Mbit/s, Linux 6.1.0, dlts 0.1.0";
        assert_eq!(said, expected);
    }
}
