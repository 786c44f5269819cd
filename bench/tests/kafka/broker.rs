//! A Kafka for one test.

use std::net::TcpListener;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bench::kafka::distribution::Distribution;
use bench::kafka::session::Broker;
use tempfile::TempDir;

use crate::cluster::process::binary;

/// One test at a time: a Kafka takes half of a small machine.
static ALONE: Mutex<()> = Mutex::new(());

/// A broker, the folder that it lives in, and the tools that came with it.
pub(crate) struct Kafka {
    pub(crate) broker: Broker,
    pub(crate) folder: TempDir,
    pub(crate) distribution: Distribution,
    arguments: Vec<String>,
    _alone: MutexGuard<'static, ()>,
}

impl Kafka {
    /// Starts a broker that answers to everybody.
    pub(crate) fn start() -> Self {
        let mut kafka = Self::with(|_| Vec::new());
        kafka.broker.await_answer().unwrap();
        kafka
    }

    /// Starts a broker with the arguments of `bench kafka run` that `arguments` gives, once the
    /// folder exists that they may point into. It may not answer yet.
    pub(crate) fn with(arguments: impl FnOnce(&std::path::Path) -> Vec<String>) -> Self {
        // A test that failed before this one has nothing to say to it.
        let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        let distribution = Distribution::fetch(&distribution_folder()).unwrap();
        let folder = tempfile::tempdir_in(distribution_folder()).unwrap();
        let arguments = arguments(folder.path());
        let broker = start(&folder.path().join("broker"), &arguments);
        Self {
            broker,
            folder,
            distribution,
            arguments,
            _alone: alone,
        }
    }

    /// Starts it again after its end: the same address, the same log.
    pub(crate) fn restart(&mut self) {
        self.broker = start(&self.folder.path().join("broker"), &self.arguments);
    }

    /// Where clients reach it.
    pub(crate) fn address(&self) -> String {
        self.broker.address.clone()
    }

    /// Runs one of Kafka's own tools against it.
    pub(crate) fn tool(&self, class: &str, arguments: &[&str]) -> String {
        let address = self.address();
        let whole = [&["--bootstrap-server", &address], arguments].concat();
        self.distribution
            .tool(class, &whole)
            .unwrap_or_else(|text| panic!("{class} {arguments:?}: {text}"))
    }
}

/// Starts one more broker.
pub(crate) fn start(data: &std::path::Path, arguments: &[String]) -> Broker {
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    Broker::start(&binary("bench"), &distribution_folder(), data, &arguments).unwrap()
}

/// `kafka` in the folder of the build, which is where `make test-kafka` has it fetched.
fn distribution_folder() -> PathBuf {
    let build = binary("bench");
    build.ancestors().nth(2).unwrap().join("kafka")
}

/// Ports that nobody uses now.
pub(crate) fn free_ports<const COUNT: usize>() -> [u16; COUNT] {
    let bound = [(); COUNT].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    bound.map(|listener| listener.local_addr().unwrap().port())
}

/// `--property name=value`.
pub(crate) fn property(name: &str, value: &str) -> [String; 2] {
    ["--property".to_owned(), format!("{name}={value}")]
}
