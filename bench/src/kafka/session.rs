//! A broker for as long as a command runs, or for as long as a test wants it.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use proto::bus::{BusSettings, inspect};
use rustix::process::{Pid, Signal, kill_process};

use super::Error;

/// Longest wait for a broker to answer: a Java that starts on a busy machine is slow.
const START_MAX: Duration = Duration::from_secs(180);
/// Longest wait for it to end when it is asked to.
const END_MAX: Duration = Duration::from_secs(30);
const LOOK: Duration = Duration::from_millis(50);
const ASK_TIMEOUT: Duration = Duration::from_secs(1);

/// A broker that ends when this is dropped, or when this process ends.
#[derive(Debug)]
pub struct Broker {
    child: Child,
    folder: PathBuf,
    /// Where clients reach it.
    pub address: String,
}

impl Broker {
    /// Starts `bench kafka run` with its folder at `data`, and waits until it has an address. It may
    /// not answer there yet.
    ///
    /// # Errors
    /// [`Error::Start`] with what it said.
    pub fn start(
        bench: &Path,
        distribution: &Path,
        data: &Path,
        arguments: &[&str],
    ) -> Result<Self, Error> {
        let making = || Error::system(format!("making {}", data.display()));
        fs::create_dir_all(data).map_err(making())?;
        let output = data.join("start.out");
        let child = Command::new(bench)
            .arg("kafka")
            .arg("--folder")
            .arg(distribution)
            .args(["run", "--die-with-parent", "--data"])
            .arg(data)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(File::create(&output).map_err(making())?)
            .stderr(File::create(data.join("start.err")).map_err(making())?)
            .spawn()
            .map_err(Error::system(format!("starting {}", bench.display())))?;
        let mut broker = Self {
            child,
            folder: data.to_owned(),
            address: String::new(),
        };
        broker.address = broker.await_it("its address", || {
            let text = fs::read_to_string(&output).ok()?;
            let line = text.lines().find_map(|line| line.strip_prefix("address "));
            line.map(str::to_owned)
        })?;
        Ok(broker)
    }

    /// Waits until a client without credentials gets an answer.
    ///
    /// # Errors
    /// [`Error::Start`] when it ends, or gives none in time.
    pub fn await_answer(&mut self) -> Result<(), Error> {
        let settings = BusSettings::new(&self.address, "bench", &[])
            .map_err(|error| Error::Start(error.to_string()))?;
        self.await_it("an answer", || inspect(&settings, ASK_TIMEOUT).ok())
            .map(drop)
    }

    fn await_it<T>(&mut self, what: &str, come: impl Fn() -> Option<T>) -> Result<T, Error> {
        let began = Instant::now();
        loop {
            if let Some(it) = come() {
                return Ok(it);
            }
            let ended = self.child.try_wait().map_err(Error::system("waiting"))?;
            if let Some(status) = ended {
                return Err(Error::Start(format!("{status}: {}", self.last_words())));
            }
            if began.elapsed() > START_MAX {
                let words = self.last_words();
                return Err(Error::Start(format!("no {what} in {START_MAX:?}: {words}")));
            }
            std::thread::sleep(LOOK);
        }
    }

    /// The last thing that it said.
    fn last_words(&self) -> String {
        let last = |name: &str| {
            let text = fs::read_to_string(self.folder.join(name)).ok()?;
            let line = text.lines().rfind(|line| !line.trim().is_empty())?;
            Some(line.to_owned())
        };
        last("start.err")
            .or_else(|| last("kafka.log"))
            .unwrap_or_else(|| "it said nothing".to_owned())
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        // One that has ended already needs none.
        let _ = pid.map(|pid| kill_process(pid, signal));
    }

    /// Asks it to end, waits until it has, and insists when it does not.
    pub fn end(&mut self) {
        self.signal(Signal::TERM);
        let began = Instant::now();
        while began.elapsed() < END_MAX && matches!(self.child.try_wait(), Ok(None)) {
            std::thread::sleep(LOOK);
        }
        self.kill();
    }

    /// Ends it as `kill -9` does.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Runs a command with `BROKER` set to a fresh broker, and leaves nothing of the broker.
///
/// # Errors
/// [`Error::Start`], or [`Error::Command`] when the command fails.
pub fn with(distribution: &Path, command: &[String]) -> Result<(), Error> {
    let data = distribution.join(format!("data-{}", std::process::id()));
    let done = with_data(distribution, &data, command);
    let _ = fs::remove_dir_all(&data);
    done
}

fn with_data(distribution: &Path, data: &Path, command: &[String]) -> Result<(), Error> {
    let [program, arguments @ ..] = command else {
        return Ok(());
    };
    let bench = std::env::current_exe().map_err(Error::system("finding ourselves"))?;
    let mut broker = Broker::start(&bench, distribution, data, &[])?;
    broker.await_answer()?;
    eprintln!(
        "Apache Kafka {} at {}",
        super::distribution::version(),
        broker.address
    );
    let status = Command::new(program)
        .args(arguments)
        .env("BROKER", &broker.address)
        .status()
        .map_err(Error::system(format!("running {program}")))?;
    broker.end();
    if status.success() {
        return Ok(());
    }
    Err(Error::Command {
        command: program.clone(),
        status: status.to_string(),
    })
}
