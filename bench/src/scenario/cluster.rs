//! A whole cluster as processes of this machine; ended when dropped.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::rig::{self, Error};

const PATIENCE: Duration = Duration::from_secs(30);

/// Broker, target, orchestrator and drivers.
pub(super) struct Cluster {
    processes: Vec<Process>,
    bootstrap: String,
    orchestrator: String,
    /// Where the orchestrator stands among the processes.
    orchestrator_at: usize,
    target: String,
}

/// How many processes there are beside the broker, the target and the orchestrator.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Size {
    /// Drivers.
    pub(super) drivers: u32,
    /// Mergers, and partitions of `metrics` for them.
    pub(super) mergers: u32,
}

/// One of them, its output in a file.
struct Process {
    name: String,
    child: Child,
    stdout: PathBuf,
}

impl Cluster {
    /// Starts everything, around a broker of its own unless there is one, and waits until the
    /// orchestrator sees all drivers.
    pub(super) fn start(
        folder: &Path,
        broker: Option<&str>,
        size: Size,
        cores: &[usize],
    ) -> Result<Self, Error> {
        fs::create_dir_all(folder).map_err(Error::Scratch)?;
        let mut processes = Vec::new();
        let mut start = |program: &str, name: &str, arguments: &[&str]| {
            let process = Process::start(folder, program, name, size, arguments)?;
            processes.push(process);
            Ok::<_, Error>(processes.len() - 1)
        };
        let own = broker.map_or_else(|| start("broker", "broker", &[]).map(Some), |_| Ok(None))?;
        let target = start("testserver", "target", &["--listen", "127.0.0.1:0"])?;
        let bootstrap = match (broker, own) {
            (None, Some(own)) => {
                processes[own].wait_for(|line| line.strip_prefix("ready ")?.split(' ').next())?
            }
            (given, _) => given.unwrap_or_default().to_owned(),
        };
        let target = processes[target].address()?;
        let target_url = format!("http://{target}/");
        let arguments = [
            "--listen",
            "127.0.0.1:0",
            "--kafka",
            &bootstrap,
            "--target",
            &target_url,
            "--data",
            "o.sqlite",
        ];
        processes.push(Process::start(
            folder,
            "orchestrator",
            "orchestrator",
            size,
            &arguments,
        )?);
        let orchestrator_at = processes.len() - 1;
        let orchestrator = processes[orchestrator_at].address()?;
        for index in 0..size.mergers {
            let name = format!("merger-{index}");
            let arguments = ["--kafka", &bootstrap, "--merger-id", &name];
            processes.push(Process::start(folder, "merger", &name, size, &arguments)?);
        }
        for index in 0..size.drivers {
            let core = cores[index as usize % cores.len()].to_string();
            let name = format!("driver-{index}");
            let arguments = [
                "--kafka",
                &bootstrap,
                "--node-id",
                &name,
                "--cores",
                &core,
                "--target",
                &target_url,
                "--logs",
                "logs",
            ];
            processes.push(Process::start(folder, "driver", &name, size, &arguments)?);
        }
        let cluster = Self {
            processes,
            bootstrap,
            orchestrator,
            orchestrator_at,
            target,
        };
        cluster.wait_until_up(size.drivers as usize)?;
        if size.mergers > 0 {
            cluster.wait_until_merged()?;
        }
        Ok(cluster)
    }

    /// Where the broker is.
    pub(super) fn bootstrap(&self) -> &str {
        &self.bootstrap
    }

    /// The orchestrator's process id.
    pub(super) fn orchestrator_pid(&self) -> u32 {
        self.processes[self.orchestrator_at].child.id()
    }

    /// The broker's process id, if it is our own.
    pub(super) fn broker_pid(&self) -> Option<u32> {
        let mut ours = self.pids_of("broker");
        ours.next()
    }

    /// The drivers' process ids.
    pub(super) fn driver_pids(&self) -> Vec<u32> {
        self.pids_of("driver-").collect()
    }

    /// The mergers' process ids.
    pub(super) fn merger_pids(&self) -> Vec<u32> {
        self.pids_of("merger-").collect()
    }

    fn pids_of(&self, start: &str) -> impl Iterator<Item = u32> {
        let named = self.processes.iter();
        named
            .filter(move |process| process.name.starts_with(start))
            .map(|process| process.child.id())
    }

    /// The target's own count.
    pub(super) fn target_count(&self) -> Result<u64, Error> {
        let url = format!("http://{}/metric", self.target);
        let text = rig::get(&url)?;
        text.trim()
            .parse()
            .map_err(|_| Error::Answer { url, message: text })
    }

    /// A figure of the orchestrator's exposition, 0 where it has none of that name.
    pub(super) fn exposed(&self, name: &str) -> Result<f64, Error> {
        let text = rig::get(&format!("http://{}/metrics", self.orchestrator))?;
        let line = |line: &str| line.strip_prefix(name)?.trim().parse().ok();
        Ok(text.lines().find_map(line).unwrap_or(0.0))
    }

    pub(super) fn get(&self, path: &str) -> Result<Value, Error> {
        self.read(path, self.text(path)?)
    }

    /// What the orchestrator answers, as it came.
    pub(super) fn text(&self, path: &str) -> Result<String, Error> {
        rig::get(&self.url(path))
    }

    /// What is looked for in an answer.
    pub(super) fn read<T: DeserializeOwned>(&self, path: &str, text: String) -> Result<T, Error> {
        serde_json::from_str(&text).map_err(|_| Error::Answer {
            url: self.url(path),
            message: text,
        })
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.orchestrator)
    }

    pub(super) fn post(&self, path: &str) -> Result<Value, Error> {
        let url = self.url(path);
        let text = rig::post(&url)?;
        let answer: Option<Value> = serde_json::from_str(&text).ok();
        match answer {
            Some(answer) if answer.get("error").is_none() => Ok(answer),
            _ => Err(Error::Answer { url, message: text }),
        }
    }

    /// Waits until the mergers have all partitions.
    fn wait_until_merged(&self) -> Result<(), Error> {
        let begin = Instant::now();
        loop {
            let health = self.get("/healthz")?;
            let partitions = health["mergers"]["partitions"].as_array();
            let has_merger = |row: &Value| !row["merger_id"].is_null();
            if partitions.is_some_and(|rows| !rows.is_empty() && rows.iter().all(has_merger)) {
                return Ok(());
            }
            if begin.elapsed() > PATIENCE {
                let said: Vec<String> = self.processes.iter().map(Process::last_words).collect();
                let message = format!("not all partitions are merged; {}", said.join("; "));
                return Err(Error::Nothing(message));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Waits until so many drivers are up.
    pub(super) fn wait_until_up(&self, drivers: usize) -> Result<(), Error> {
        let begin = Instant::now();
        loop {
            let nodes = self.get("/nodes?summary=1")?;
            let up = nodes["states"]["up"].as_u64().unwrap_or(0);
            if up >= drivers as u64 {
                return Ok(());
            }
            if begin.elapsed() > PATIENCE {
                let said: Vec<String> = self.processes.iter().map(Process::last_words).collect();
                let message = format!("{up} of {drivers} drivers are up; {}", said.join("; "));
                return Err(Error::Nothing(message));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Process {
    fn start(
        folder: &Path,
        program: &str,
        name: &str,
        size: Size,
        arguments: &[&str],
    ) -> Result<Self, Error> {
        let path = crate::tools::locate(program).ok_or_else(|| Error::Missing {
            program: program.to_owned(),
            remedy: "cargo build --release --locked".to_owned(),
        })?;
        let failed = |error: std::io::Error| Error::Start {
            program: program.to_owned(),
            message: error.to_string(),
        };
        let stdout = folder.join(format!("{name}.jsonl"));
        let child = crate::measure::follower(&path)?
            .args(arguments)
            .current_dir(folder)
            .env_remove("BROKER_IP")
            // Of whoever makes the topic: the broker, or the orchestrator.
            .env("DLTS_METRICS_PARTITIONS", size.mergers.max(1).to_string())
            .stdin(Stdio::null())
            .stdout(File::create(&stdout).map_err(failed)?)
            .stderr(File::create(folder.join(format!("{name}.err"))).map_err(failed)?)
            .spawn()
            .map_err(failed)?;
        Ok(Self {
            name: name.to_owned(),
            child,
            stdout,
        })
    }

    /// Waits for a line of standard output that has something to say.
    fn wait_for(&self, read: impl Fn(&str) -> Option<&str>) -> Result<String, Error> {
        let begin = Instant::now();
        while begin.elapsed() < PATIENCE {
            let text = fs::read_to_string(&self.stdout).unwrap_or_default();
            if let Some(found) = text.lines().find_map(&read) {
                return Ok(found.to_owned());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Err(Error::Start {
            program: self.name.clone(),
            message: self.last_words(),
        })
    }

    /// Where it says that it listens, as `host:port`.
    fn address(&self) -> Result<String, Error> {
        let line = self.wait_for(|line| {
            let event: Value = serde_json::from_str(line).ok()?;
            event
                .get("address")
                .or_else(|| event.get("listen"))
                .map(|_| line)
        })?;
        let event: Value = serde_json::from_str(&line).unwrap_or_default();
        let address = event.get("address").or_else(|| event.get("listen"));
        let address = address.and_then(Value::as_str).unwrap_or_default();
        Ok(address
            .trim_start_matches("http://")
            .trim_end_matches('/')
            .to_owned())
    }

    fn last_words(&self) -> String {
        let errors = fs::read_to_string(self.stdout.with_extension("err")).unwrap_or_default();
        format!(
            "{}: {}",
            self.name,
            errors.lines().last().unwrap_or("(nothing)")
        )
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Some(pid) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw) {
            let _ = kill_process(pid, Signal::TERM);
        }
        let begin = Instant::now();
        while matches!(self.child.try_wait(), Ok(None)) {
            if begin.elapsed() > Duration::from_secs(10) {
                let _ = self.child.kill();
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        // The last started first: drivers take their leave from an orchestrator that still listens.
        while let Some(process) = self.processes.pop() {
            drop(process);
        }
    }
}
