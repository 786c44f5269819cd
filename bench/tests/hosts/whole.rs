//! Orchestrator, target and drivers, each on a host of its own, around one broker.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use crate::cluster::skip::skip;
use crate::cluster::{
    Process, RUN, Rest, SOON, core, process::binary, result, start_broker, wait_for,
};
use crate::network::{Host, Network, is_possible};
use crate::relay::Relay;

/// One bad network at a time.
static ALONE: Mutex<()> = Mutex::new(());

const LOOPBACK: Ipv4Addr = Ipv4Addr::LOCALHOST;

/// What a test of several hosts is made of. Fields are dropped in this order: processes and relays
/// before the hosts that they are on.
pub(crate) struct Whole {
    pub(crate) rest: Rest,
    pub(crate) drivers: Vec<(Host, Process)>,
    _orchestrator: Process,
    _target: Process,
    _relays: Vec<Relay>,
    _broker: Option<Process>,
    pub(crate) broker_host: Ipv4Addr,
    pub(crate) control: Host,
    _network: Network,
    _folder: TempDir,
    _alone: MutexGuard<'static, ()>,
}

impl Whole {
    /// Starts it with a driver for each of `delays`: the time that a message between that driver
    /// and the broker takes. `None`, and a line why, on a machine that has no such hosts.
    pub(crate) fn start(delays: &[Duration]) -> Option<Self> {
        // Before the probe: two at once would be in each other's way, and take it for a refusal.
        let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        if let Err(reason) = is_possible() {
            skip(&reason);
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        let (broker, broker_address) = broker(&folder);
        let mut building = Building {
            folder,
            network: Network::new(),
            broker: broker_address,
            relays: Vec::new(),
        };
        building.open_broker();
        let (target, target_address) = building.target();
        let (control, orchestrator) = building.orchestrator(target_address);
        let drivers: Vec<(Host, Process)> = delays
            .iter()
            .enumerate()
            .map(|(at, delay)| building.driver(at, *delay, target_address))
            .collect();
        let rest = Rest::new(&orchestrator.address(), &target_address.to_string());
        let whole = Self {
            rest,
            drivers,
            _orchestrator: orchestrator,
            _target: target,
            _relays: building.relays,
            _broker: broker,
            broker_host: building.network.own_address(),
            control,
            _network: building.network,
            _folder: building.folder,
            _alone: alone,
        };
        whole.await_up(SOON);
        Some(whole)
    }

    fn await_up(&self, limit: Duration) {
        wait_for(limit, "all drivers to be up", || {
            (self.nodes_in("up").len() == self.drivers.len()).then_some(())
        });
    }

    /// Ids of the nodes in a state.
    pub(crate) fn nodes_in(&self, state: &str) -> Vec<String> {
        let nodes = self.rest.get("/nodes").json;
        let rows = nodes.as_array().or_else(|| nodes["nodes"].as_array());
        let in_state = rows
            .into_iter()
            .flatten()
            .filter(|node| node["state"] == state);
        in_state
            .map(|node| node["node_id"].as_str().unwrap().to_owned())
            .collect()
    }

    /// Creates a test and starts it on all drivers: on a loaded machine one of them may have been
    /// silent for so long that it would take no part.
    pub(crate) fn run(&self, call: &str) -> String {
        self.await_up(RUN);
        let created = self.rest.post(call);
        assert_eq!(created.status, 200, "{}", created.text);
        let test_id = created.json["TestId"].as_str().unwrap().to_owned();
        let started = self.rest.post(&format!("/trigger/{test_id}"));
        assert_eq!(started.status, 200, "{}", started.text);
        let participants = started.json["participants"].as_array().unwrap();
        assert_eq!(participants.len(), self.drivers.len(), "{}", started.text);
        test_id
    }

    pub(crate) fn metrics(&self, test_id: &str) -> Value {
        self.rest.get(&format!("/metrics/{test_id}")).json
    }

    /// Waits until every driver's load shows in the result.
    pub(crate) fn await_load(&self, test_id: &str) {
        wait_for(SOON, "load of all drivers", || {
            let reporting = self.metrics(test_id)["coverage"]["nodes_reporting"].as_u64()?;
            (reporting == self.drivers.len() as u64).then_some(())
        });
    }

    /// Waits until a test has ended, and gives its result.
    pub(crate) fn await_end(&self, test_id: &str) -> Value {
        wait_for(RUN, "the end", || result::if_ended(self.metrics(test_id)))
    }

    /// Requests that the target was sent.
    pub(crate) fn seen(&self) -> u64 {
        self.rest.target_text("/metric").trim().parse().unwrap()
    }
}

/// The broker of `BROKER`, which must listen on this machine's loopback, or an embedded one.
fn broker(folder: &TempDir) -> (Option<Process>, SocketAddr) {
    if let Ok(address) = std::env::var("BROKER") {
        return (None, address.parse().expect("BROKER is on loopback here"));
    }
    let broker = start_broker(folder.path());
    let address = broker.line(|line| line.strip_prefix("ready ")?.parse().ok());
    (Some(broker), address)
}

struct Building {
    folder: TempDir,
    network: Network,
    broker: SocketAddr,
    relays: Vec<Relay>,
}

impl Building {
    fn relay(&mut self, host: Option<&Host>, from: Ipv4Addr, to: Ipv4Addr, delay: Duration) {
        let port = self.broker.port();
        let (from, to) = ((from, port).into(), (to, port).into());
        self.relays.push(Relay::start(host, from, to, delay));
    }

    /// The broker listens on loopback and says so to its clients; a relay opens it to the bridge,
    /// and one on each host makes that host's loopback lead to it.
    fn open_broker(&mut self) {
        let own = self.network.own_address();
        self.relay(None, own, LOOPBACK, Duration::ZERO);
    }

    fn host(&mut self, name: &str, delay: Duration) -> Host {
        let host = self.network.add(name);
        let own = self.network.own_address();
        self.relay(Some(&host), LOOPBACK, own, delay);
        host
    }

    fn start(&self, host: &Host, program: &str, name: &str, arguments: &[&str]) -> Process {
        let path = binary(program);
        let mut command = host.command(path.to_str().unwrap());
        command.args(arguments);
        Process::spawn(self.folder.path(), name, &mut command)
    }

    fn target(&mut self) -> (Process, SocketAddr) {
        let host = self.network.add("web");
        let listen = format!("{}:0", host.address);
        let target = self.start(&host, "testserver", "target", &["--listen", &listen]);
        let address = target.address().parse().unwrap();
        (target, address)
    }

    fn orchestrator(&mut self, target: SocketAddr) -> (Host, Process) {
        let host = self.host("control", Duration::ZERO);
        let listen = format!("{}:0", host.address);
        let (kafka, url) = (self.broker.to_string(), format!("http://{target}/"));
        let arguments = [
            "--listen",
            &listen,
            "--insecure",
            "--kafka",
            &kafka,
            "--target",
            &url,
            "--allow-target",
            &target.to_string(),
            "--data",
            "data/o.sqlite",
        ];
        let orchestrator = self.start(&host, "orchestrator", "orchestrator", &arguments);
        (host, orchestrator)
    }

    fn driver(&mut self, at: usize, delay: Duration, target: SocketAddr) -> (Host, Process) {
        let name = format!("driver-{}", at + 1);
        let host = self.host(&name, delay);
        let (kafka, url) = (self.broker.to_string(), format!("http://{target}/"));
        let arguments = [
            "--kafka",
            &kafka,
            "--node-id",
            &name,
            "--cores",
            &core(at),
            "--target",
            &url,
            "--allow-target",
            &target.to_string(),
            "--logs",
            "logs",
        ];
        let driver = self.start(&host, "driver", &name, &arguments);
        (host, driver)
    }
}
