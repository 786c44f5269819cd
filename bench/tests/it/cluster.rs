//! A cluster of real processes for one test, in a folder of its own, gone when the test is.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

pub(crate) mod process;
mod rest;
pub(crate) mod result;
pub(crate) mod skip;
pub(crate) mod small_disk;

pub(crate) use process::{Process, Signal, wait_for};
pub(crate) use rest::{Answer, Rest};
pub(crate) use result::{assert_whole, int};

/// Longest wait for anything that takes about a second.
pub(crate) const SOON: Duration = Duration::from_secs(20);
/// Longest wait for a run of a test.
pub(crate) const RUN: Duration = Duration::from_secs(90);

/// One cluster at a time: two that load from the same cores would measure each other.
static ALONE: Mutex<()> = Mutex::new(());

/// The right to load this machine's cores.
pub(crate) fn alone() -> MutexGuard<'static, ()> {
    // A test that failed before this one has nothing to say to it.
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A broker, a test server, an orchestrator and drivers.
pub(crate) struct Cluster {
    pub(crate) broker: Option<Process>,
    pub(crate) bootstrap: String,
    pub(crate) target: Process,
    pub(crate) orchestrator: Process,
    pub(crate) drivers: Vec<Process>,
    pub(crate) rest: Rest,
    /// After the processes, which write into it to their end.
    pub(crate) folder: TempDir,
    _alone: MutexGuard<'static, ()>,
}

impl Cluster {
    /// Starts everything and waits until the orchestrator sees `drivers` drivers up.
    pub(crate) fn start(drivers: usize) -> Self {
        Self::without_drivers().with(drivers)
    }

    /// Adds drivers and waits until the orchestrator sees them up.
    pub(crate) fn with(mut self, drivers: usize) -> Self {
        (0..drivers).for_each(|at| self.add_driver(&format!("driver-{}", at + 1)));
        self.await_up(drivers);
        // On a broker that others had before, one of theirs may have been cut off in mid-run.
        wait_for(RUN, "the runs of other clusters to end", || {
            let health = self.rest.get("/healthz").json;
            (health["active_tests"] == json!([])).then_some(())
        });
        self
    }

    /// What the client says and how it ends, with these arguments, at this orchestrator.
    pub(crate) fn client(&self, arguments: &[&str]) -> Output {
        Command::new(process::binary("client"))
            .args(["--orchestrator", &self.rest.orchestrator])
            .args(arguments)
            .output()
            .unwrap()
    }

    /// Starts everything but drivers.
    pub(crate) fn without_drivers() -> Self {
        Self::around(std::env::var("BROKER").ok())
    }

    /// The same around a broker that runs already, or one of its own.
    pub(crate) fn around(bootstrap: Option<String>) -> Self {
        let alone = alone();
        let folder = tempfile::tempdir().unwrap();
        let (broker, bootstrap) = if let Some(bootstrap) = bootstrap {
            (None, bootstrap)
        } else {
            let broker = start_broker(folder.path());
            let bootstrap = broker.line(|line| line.strip_prefix("ready ").map(str::to_owned));
            (Some(broker), bootstrap)
        };
        let target = Process::start(
            folder.path(),
            "testserver",
            "target",
            &["--listen", "127.0.0.1:0"],
        );
        let target_address = target.address();
        let orchestrator = start_orchestrator(
            folder.path(),
            "127.0.0.1:0",
            &bootstrap,
            &target_address,
            &[],
        );
        let rest = Rest::new(&orchestrator.address(), &target_address);
        let cluster = Self {
            folder,
            broker,
            bootstrap,
            target,
            orchestrator,
            drivers: Vec::new(),
            rest,
            _alone: alone,
        };
        cluster.await_broker();
        cluster
    }

    /// Waits until the orchestrator has found the broker.
    pub(crate) fn await_broker(&self) {
        wait_for(SOON, "the orchestrator to find the broker", || {
            (self.rest.get("/healthz").json["broker"]["state"] == "up").then_some(())
        });
    }

    /// Starts one more driver.
    pub(crate) fn add_driver(&mut self, node_id: &str) {
        let driver = self.start_driver(node_id, node_id);
        self.drivers.push(driver);
    }

    /// Starts a driver, under a name of its own among the processes, that is none of the cluster's.
    pub(crate) fn start_driver(&self, name: &str, node_id: &str) -> Process {
        let target = format!("http://{}/", self.rest.target);
        let core = core(self.drivers.len());
        Process::start(
            self.folder.path(),
            "driver",
            name,
            &[
                "--kafka",
                &self.bootstrap,
                "--node-id",
                node_id,
                "--cores",
                &core,
                "--target",
                &target,
                "--logs",
                "logs",
            ],
        )
    }

    /// Waits until so many nodes are up.
    pub(crate) fn await_up(&self, count: usize) {
        wait_for(SOON, &format!("{count} drivers to be up"), || {
            (self.nodes_in("up").len() == count).then_some(())
        });
    }

    /// Ids of the nodes in a state.
    pub(crate) fn nodes_in(&self, state: &str) -> Vec<String> {
        let nodes = self.rest.get("/nodes").json;
        let rows = nodes
            .as_array()
            .or_else(|| nodes["nodes"].as_array())
            .cloned();
        rows.unwrap_or_default()
            .iter()
            .filter(|node| node["state"] == state)
            .map(|node| node["node_id"].as_str().unwrap().to_owned())
            .collect()
    }

    /// Kills the orchestrator as `kill -9` does and starts it again at the same address.
    pub(crate) fn restart_orchestrator(&mut self) {
        self.orchestrator.kill();
        let (address, target) = (self.rest.orchestrator.clone(), self.rest.target.clone());
        self.orchestrator =
            start_orchestrator(self.folder.path(), &address, &self.bootstrap, &target, &[]);
        self.orchestrator.address();
    }

    /// Creates a test, by the call that does it.
    pub(crate) fn create(&self, call: &str) -> String {
        let answer = self.rest.post(call);
        assert_eq!(answer.status, 200, "{call}: {}", answer.json);
        answer.json["TestId"].as_str().unwrap().to_owned()
    }

    /// Creates a test and starts it at once.
    pub(crate) fn run(&self, call: &str) -> String {
        let test_id = self.create(call);
        let answer = self.rest.post(&format!("/trigger/{test_id}"));
        assert_eq!(answer.status, 200, "trigger: {}", answer.json);
        test_id
    }

    /// The result of a test as it stands.
    pub(crate) fn metrics(&self, test_id: &str) -> Value {
        self.rest.get(&format!("/metrics/{test_id}")).json
    }

    /// Waits until a test has ended, and gives its result.
    pub(crate) fn await_end(&self, test_id: &str) -> Value {
        wait_for(RUN, &format!("the end of {test_id}"), || {
            result::if_ended(self.metrics(test_id))
        })
    }

    /// Waits until a running test has sent something.
    pub(crate) fn await_load(&self, test_id: &str) -> Value {
        wait_for(SOON, &format!("load of {test_id}"), || {
            let result = self.metrics(test_id);
            (result["sent"].as_u64()? > 0).then_some(result)
        })
    }

    /// Lets a running test send for a while of any length up to two reports: what happens next
    /// happens at no instant of its choice.
    pub(crate) fn await_any_instant(&self, test_id: &str) {
        self.await_load(test_id);
        std::thread::sleep(Duration::from_micros(fastrand::u64(0..2_000_000)));
    }

    /// Requests that the test server was sent.
    pub(crate) fn seen(&self) -> u64 {
        self.rest.target_text("/metric").trim().parse().unwrap()
    }

    /// A path in the folder of the test.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

/// A core that this process may use, another one for each driver as far as there are any.
pub(crate) fn core(driver: usize) -> String {
    let allowed = bench::cores::allowed().unwrap();
    allowed[driver % allowed.len()].to_string()
}

/// Starts an embedded broker.
pub(crate) fn start_broker(folder: &Path) -> Process {
    Process::start(folder, "broker", "broker", &[])
}

/// Starts an orchestrator on `address`.
pub(crate) fn start_orchestrator(
    folder: &Path,
    address: &str,
    bootstrap: &str,
    target: &str,
    more: &[&str],
) -> Process {
    let target = format!("http://{target}/");
    let mut arguments = vec![
        "--listen",
        address,
        "--kafka",
        bootstrap,
        "--target",
        &target,
        "--data",
        "data/o.sqlite",
    ];
    arguments.extend(more);
    Process::start(folder, "orchestrator", "orchestrator", &arguments)
}
