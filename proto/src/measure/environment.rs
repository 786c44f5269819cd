//! What a node ran on: the facts that a number needs beside it.

use serde::{Deserialize, Serialize};

use crate::lenient::{self, Number, Text, Whole};

/// The machine and the software of a node when its load began; in its last report. What could not be
/// found out, or is not there, is absent.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Environment {
    /// The machine's name.
    #[serde(
        skip_serializing_if = "Option::is_none",
        deserialize_with = "lenient::option::<_, Text, _>"
    )]
    pub hostname: Option<String>,
    /// Version of the driver.
    #[serde(
        skip_serializing_if = "Option::is_none",
        deserialize_with = "lenient::option::<_, Text, _>"
    )]
    pub version: Option<String>,
    /// Release of the kernel, such as `6.1.0-18-amd64`.
    #[serde(
        skip_serializing_if = "Option::is_none",
        deserialize_with = "lenient::option::<_, Text, _>"
    )]
    pub kernel: Option<String>,
    /// Model of the processor.
    #[serde(
        skip_serializing_if = "Option::is_none",
        deserialize_with = "lenient::option::<_, Text, _>"
    )]
    pub processor: Option<String>,
    /// Whether the processor says that a hypervisor is below; absent where it does not say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub virtual_machine: Option<bool>,
    /// CPUs that the load ran on.
    #[serde(
        skip_serializing_if = "Option::is_none",
        deserialize_with = "lenient::option::<_, Whole, _>"
    )]
    pub cpus: Option<u64>,
    /// What governs the frequency of these CPUs, such as `performance`; several joined by `, ` where
    /// they differ; absent where there is no cpufreq, as in most virtual machines.
    #[serde(
        skip_serializing_if = "Option::is_none",
        deserialize_with = "lenient::option::<_, Text, _>"
    )]
    pub governor: Option<String>,
    /// The lowest limit on the CPU of the driver's cgroup (version 2) and those around it, in CPUs;
    /// absent where there is none.
    #[serde(
        skip_serializing_if = "Option::is_none",
        deserialize_with = "lenient::option::<_, Number, _>"
    )]
    pub cpu_quota: Option<f64>,
    /// The network interface by which the connections left; absent where they stayed on the machine,
    /// or left by several.
    #[serde(
        skip_serializing_if = "Option::is_none",
        deserialize_with = "lenient::option::<_, Text, _>"
    )]
    pub interface: Option<String>,
    /// What that interface can carry in each direction, Mbit/s; absent where it does not say, as most
    /// virtual ones.
    #[serde(
        skip_serializing_if = "Option::is_none",
        deserialize_with = "lenient::option::<_, Whole, _>"
    )]
    pub link_mbit_per_s: Option<u64>,
}
