//! Real processes: the embedded broker, an orchestrator, a test server and drivers.

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;
use ureq::Agent;

const START_MAX: Duration = Duration::from_secs(30);

/// A process that ends with its owner.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Everything that a test needs, on ports of its own.
pub(crate) struct Cluster {
    drivers: Vec<(String, Process)>,
    orchestrator: Option<Process>,
    _testserver: Process,
    _broker: Process,
    broker: String,
    port: u16,
    target: u16,
    agent: Agent,
    token: Option<&'static str>,
    home: TempDir,
}

impl Cluster {
    /// Starts one with drivers of these ids, and waits until they are up. With a token, the
    /// orchestrator asks for it.
    pub(crate) fn start(node_ids: &[&str], token: Option<&'static str>) -> Self {
        let home = TempDir::new().unwrap();
        let mut broker = spawn(Command::new(binary("broker")).stdout(Stdio::piped()), &home);
        let target = free_port();
        let listen = format!("127.0.0.1:{target}");
        let testserver = spawn(
            Command::new(binary("testserver")).args(["--listen", &listen]),
            &home,
        );
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(Duration::from_secs(10)))
            .build();
        let mut cluster = Self {
            drivers: Vec::new(),
            orchestrator: None,
            _testserver: testserver,
            broker: ready_address(&mut broker),
            _broker: broker,
            port: free_port(),
            target,
            agent: Agent::new_with_config(config),
            token,
            home,
        };
        cluster.start_orchestrator();
        node_ids.iter().for_each(|id| cluster.start_driver(id));
        cluster.wait("all drivers up", |cluster| {
            cluster.nodes_up() == node_ids.len()
        });
        cluster
    }

    pub(crate) fn start_orchestrator(&mut self) {
        let data = self.home.path().join("data.sqlite");
        let mut command = Command::new(binary("orchestrator"));
        command
            .args([
                "--listen",
                &self.address(),
                "--kafka",
                &self.broker,
                "--data",
            ])
            .arg(data);
        command.args(["--target", &self.target_url("")]);
        if let Some(token) = self.token {
            command.args(["--token", token]);
        }
        self.orchestrator = Some(spawn(&mut command, &self.home));
        self.wait("the orchestrator", |cluster| {
            cluster.get("healthz").is_some()
        });
    }

    /// Ends it as a crash would.
    pub(crate) fn kill_orchestrator(&mut self) {
        assert!(self.orchestrator.take().is_some(), "the orchestrator runs");
    }

    fn start_driver(&mut self, id: &str) {
        let logs = self.home.path().join("logs");
        let mut command = Command::new(binary("driver"));
        command.args([
            "--kafka",
            &self.broker,
            "--node-id",
            id,
            "--cores",
            "0",
            "--logs",
        ]);
        self.drivers
            .push((id.to_owned(), spawn(command.arg(logs), &self.home)));
    }

    /// Ends a driver as a crash would.
    pub(crate) fn kill_driver(&mut self, id: &str) {
        let count = self.drivers.len();
        self.drivers.retain(|(other, _)| other != id);
        assert_eq!(self.drivers.len() + 1, count, "{id} runs");
    }

    /// A page of the dashboard, by its fragment.
    pub(crate) fn url(&self, fragment: &str) -> String {
        format!("http://{}/{fragment}", self.address())
    }

    pub(crate) fn target_url(&self, query: &str) -> String {
        format!("http://127.0.0.1:{}/{query}", self.target)
    }

    fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// The answer to a GET; `None` unless it is a 200 with JSON.
    pub(crate) fn get(&self, path: &str) -> Option<Value> {
        let request = self
            .agent
            .get(self.url(path))
            .header("Authorization", self.authorization());
        let mut answer = request.call().ok()?;
        let text = answer.body_mut().read_to_string().ok()?;
        (answer.status() == 200).then(|| serde_json::from_str(&text).ok())?
    }

    /// The status of the answer to a POST, and the answer.
    pub(crate) fn post(&self, path: &str, body: &Value) -> (u16, Value) {
        let request = self
            .agent
            .post(self.url(path))
            .header("Authorization", self.authorization())
            .header("Content-Type", "application/json");
        let mut answer = request.send(body.to_string()).unwrap();
        let text = answer.body_mut().read_to_string().unwrap();
        (
            answer.status().as_u16(),
            serde_json::from_str(&text).unwrap(),
        )
    }

    /// How many bytes come within a time in answer to a GET that has no end.
    pub(crate) fn hear(&self, path: &str, time: Duration) -> usize {
        let mut stream = TcpStream::connect(self.address()).unwrap();
        let (host, token) = (self.address(), self.authorization());
        let head =
            format!("GET /{path} HTTP/1.1\r\nHost: {host}\r\nAuthorization: {token}\r\n\r\n");
        stream.write_all(head.as_bytes()).unwrap();
        let (begin, mut heard, mut bytes) = (Instant::now(), 0, [0; 16 << 10]);
        while let Some(left) = time
            .checked_sub(begin.elapsed())
            .filter(|left| !left.is_zero())
        {
            stream.set_read_timeout(Some(left)).unwrap();
            match stream.read(&mut bytes) {
                Ok(0) => panic!("it ended after {:?}", begin.elapsed()),
                Ok(more) => heard += more,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => panic!("{error}"),
            }
        }
        heard
    }

    /// Creates and triggers a test, and returns its id.
    pub(crate) fn run(&self, path: &str, body: &Value) -> String {
        let (status, created) = self.post(path, body);
        assert_eq!(status, 200, "{created}");
        let id = created["TestId"].as_str().unwrap().to_owned();
        let (status, told) = self.post(&format!("trigger/{id}"), &json!({}));
        assert_eq!(status, 200, "{told}");
        id
    }

    /// Runs a test to its end.
    pub(crate) fn run_to_end(&self, path: &str, body: &Value) -> String {
        let id = self.run(path, body);
        self.wait("the end of the run", |cluster| {
            cluster
                .get(&format!("metrics/{id}"))
                .is_some_and(|result| result["state"] == "done")
        });
        id
    }

    fn authorization(&self) -> String {
        format!("Bearer {}", self.token.unwrap_or("none"))
    }

    fn nodes_up(&self) -> usize {
        let nodes = self.get("nodes").unwrap_or_default();
        let list = nodes.as_array().or_else(|| nodes["nodes"].as_array());
        list.map_or(0, |list| {
            list.iter().filter(|node| node["state"] == "up").count()
        })
    }

    pub(crate) fn wait(&self, what: &str, condition: impl Fn(&Self) -> bool) {
        let start = Instant::now();
        while !condition(self) {
            assert!(
                start.elapsed() < START_MAX,
                "waited {START_MAX:?} for {what}"
            );
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

fn spawn(command: &mut Command, home: &TempDir) -> Process {
    let log = std::fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(home.path().join("processes.log"))
        .unwrap();
    let name = command.get_program().to_owned();
    if name != binary("broker") {
        command.stdout(Stdio::null());
    }
    let spawned = command.current_dir(home.path()).stderr(log).spawn();
    Process(spawned.unwrap_or_else(|error| {
        panic!(
            "{}: {error}; cargo build --workspace --bins first",
            name.display()
        )
    }))
}

/// Binaries of the other crates lie beside our own.
pub(crate) fn binary(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_BIN_EXE_orchestrator")).with_file_name(name)
}

/// The broker prints `ready host:port`; the rest of what it prints is thrown away.
fn ready_address(broker: &mut Process) -> String {
    let mut lines = BufReader::new(broker.0.stdout.take().unwrap()).lines();
    let first = lines.next().unwrap().unwrap();
    std::thread::spawn(move || lines.for_each(drop));
    first.strip_prefix("ready ").unwrap().to_owned()
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port()
}
