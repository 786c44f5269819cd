//! What a comparison consists of: a target, a reference, and the loads.

use crate::results::Cell;
use crate::rig::{Kind, Rig, Server};
use crate::tools::{Load, Protocol, Script};

/// A comparison of generators at one target.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    /// The scenario's name in its document and its file.
    pub(crate) scenario: String,
    /// What is loaded.
    pub(crate) target: Kind,
    /// The generator that the ratios are to.
    pub(crate) reference: &'static str,
    /// The loads, each with every generator that can make it.
    pub(crate) groups: Vec<Group>,
}

/// A load that is measured with every tool that can make it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Group {
    pub(crate) connections: u32,
    /// Requests in flight a connection; in HTTP/2, streams.
    pub(crate) pipeline: u32,
    pub(crate) protocol: Protocol,
    pub(crate) requests_per_connection: Option<u32>,
    /// What is sent where that is more than one request.
    pub(crate) script: Option<Script>,
    /// What follows the target's `/`.
    pub(crate) query: &'static str,
    /// Parameters of the cells beside connections and pipeline.
    pub(crate) others: Vec<(&'static str, f64)>,
}

impl Group {
    /// Plain requests over so many connections that stay.
    pub(crate) fn plain(connections: u32) -> Self {
        Self {
            connections,
            pipeline: 1,
            protocol: Protocol::Http1,
            requests_per_connection: None,
            script: None,
            query: "",
            others: Vec::new(),
        }
    }

    /// The load at a server.
    pub(crate) fn load(&self, rig: &Rig, server: &Server, seconds: u32) -> Load {
        Load {
            url: format!("{}{}", server.url(), self.query),
            connections: self.connections,
            seconds,
            pipeline: self.pipeline,
            protocol: self.protocol,
            requests_per_connection: self.requests_per_connection,
            rate: None,
            script: self.script,
            core: rig.host.generator_core,
            scratch: rig.scratch().to_owned(),
        }
    }

    /// A cell without samples.
    pub(crate) fn cell(&self, subject: &str) -> Cell {
        let mut parameters = vec![
            ("connections", f64::from(self.connections)),
            ("pipeline", f64::from(self.pipeline)),
        ];
        parameters.extend(&self.others);
        Cell::new(subject, &parameters)
    }

    /// Why this machine cannot carry it, with the remedy; `None` when it can.
    pub(crate) fn obstacle(&self) -> Option<String> {
        /// Descriptors that a generator or a target needs beside its connections.
        const OTHER_FILES: u64 = 64;
        let connections = u64::from(self.connections);
        let at = format!("{connections} connections are left out:");
        let files = rustix::process::getrlimit(rustix::process::Resource::Nofile);
        if let Some(files) = files
            .maximum
            .filter(|&most| most < connections + OTHER_FILES)
        {
            return Some(format!(
                "{at} {files} open files are allowed; raise ulimit -Hn"
            ));
        }
        let text = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").ok()?;
        let mut bounds = text.split_whitespace().map(str::parse::<u64>);
        let (first, last) = (bounds.next()?.ok()?, bounds.next()?.ok()?);
        let ports = (last + 1).saturating_sub(first);
        (ports < connections).then(|| {
            format!(
                "{at} there are {ports} local ports; sysctl \
                 net.ipv4.ip_local_port_range='1024 65535' makes 64512"
            )
        })
    }
}
