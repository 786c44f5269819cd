//! `appliance up`: everything works at its end, or nothing of it is left.

use std::fmt::Display;
use std::fs;
use std::process::{Command, ExitCode, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use proto::bus::{self, BusSettings};
use signal_hook::consts::{SIGINT, SIGTERM};

use super::broker::{self, Broker};
use super::cli::UpOptions;
use super::cores;
use super::down;
use super::failure::Failure;
use super::folders::Folders;
use super::launch::Launcher;
use super::plan::{self, Program};
use super::preflight;
use super::redpanda;
use super::running::{self, Running};
use super::{api, say};
use crate::client::api::{Api, Node};

/// How often it is looked whether what was waited for has come.
const LOOK: Duration = Duration::from_millis(50);
/// How long a broker may take for one answer; it is asked again.
const BROKER_ANSWER_MAX: Duration = Duration::from_millis(500);
/// Where a broker of ours writes its address, from the root.
const ADDRESS_FILE: &str = "run/broker.address";
/// Lines of standard error that are shown of a process that ended.
const WORDS_LINES: usize = 5;

/// Starts everything and waits until all drivers are up.
///
/// # Errors
/// The first thing that failed, with its remedy. What was started is ended again.
pub fn up(folders: &Folders, options: &UpOptions) -> Result<ExitCode, Failure> {
    let _lock = folders.lock()?;
    if let Some(record) = Running::load(folders)? {
        if record.complete && record.ended().is_empty() {
            say("dlts is up; nothing was changed\n");
            print_places(&record);
            return Ok(ExitCode::SUCCESS);
        }
        clear_what_is_left(folders, &record)?;
    }
    let launcher = Launcher::new(folders)?;
    preflight::check(&launcher, options)?;
    let broker = broker::decide(&options.broker)?;
    say(&format!("broker: {broker}"));
    folders.make()?;
    let mut start = Start {
        folders,
        options,
        launcher,
        record: Running {
            boot_id: running::boot_id(),
            broker_kind: broker.to_string(),
            ..Running::default()
        },
        interrupted: interrupt_flag(),
        deadline: Instant::now(),
    };
    let begin = Instant::now();
    match start.everything(&broker) {
        Ok(()) => {
            say(&format!(
                "dlts is up after {:.1} s\n",
                begin.elapsed().as_secs_f64()
            ));
            print_places(&start.record);
            Ok(ExitCode::SUCCESS)
        }
        Err(failure) => {
            if let Err(second) = down::end_all(folders, &start.record) {
                eprintln!("appliance: while ending what was started: {second}");
            }
            Err(failure)
        }
    }
}

/// A record from before: of an `up` that was killed, of another boot, or of a whole of which a
/// part has ended. Only the last is somebody's to decide upon.
fn clear_what_is_left(folders: &Folders, record: &Running) -> Result<(), Failure> {
    let ended = record.ended();
    if record.complete && ended.len() < record.entries.len() {
        let names: Vec<&str> = ended.iter().map(|entry| entry.name.as_str()).collect();
        return Err(Failure::Degraded(format!("{} ended", names.join(", "))));
    }
    say("clearing what an earlier start left behind");
    down::end_all(folders, record)
}

fn interrupt_flag() -> Arc<AtomicBool> {
    let flag = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        // Without the handler the signal ends us at once, and `down` finds what was started.
        let _ = signal_hook::flag::register(signal, Arc::clone(&flag));
    }
    flag
}

fn print_places(record: &Running) {
    let (orchestrator, testserver) = (&record.orchestrator, &record.testserver);
    say(&format!("  dashboard and REST  {orchestrator}"));
    say(&format!("  test server         {testserver}"));
    say(&format!("  broker              {}\n", record.broker));
    say("Try:");
    say(&format!(
        "  curl -X POST {orchestrator}avalanche         # answers {{\"TestId\":\"...\"}}"
    ));
    say(&format!("  curl -X POST {orchestrator}trigger/<TestId>"));
    say(&format!("  curl {orchestrator}metrics/<TestId>"));
    say(&format!(
        "  target/release/client run tsunami 0.1 --burst 10{}",
        client_option(orchestrator)
    ));
    say("  make status | make logs | make down");
}

/// What the client must be told, where it does not find the orchestrator by itself.
fn client_option(orchestrator: &str) -> String {
    if orchestrator == "http://127.0.0.1:8001/" {
        return String::new();
    }
    format!(" --orchestrator {orchestrator}")
}

/// A start in progress.
struct Start<'a> {
    folders: &'a Folders,
    options: &'a UpOptions,
    launcher: Launcher<'a>,
    record: Running,
    interrupted: Arc<AtomicBool>,
    deadline: Instant,
}

impl Start<'_> {
    fn everything(&mut self, broker: &Broker) -> Result<(), Failure> {
        self.start_broker(broker)?;
        let (options, address) = (self.options, self.record.broker.clone());
        let deal = cores::deal(&cores::allowed(), usize::from(options.drivers));
        let testserver = plan::testserver(options, &deal);
        let orchestrator = plan::orchestrator(options, &address);
        let mergers = plan::mergers(options, &address);
        let drivers = plan::drivers(options, &address, &deal);
        self.record.testserver.clone_from(&testserver.place);
        self.record.orchestrator.clone_from(&orchestrator.place);
        self.start(&testserver)?;
        self.start(&orchestrator)?;
        for program in mergers.iter().chain(&drivers) {
            self.start(program)?;
        }
        self.wait_for_servers()?;
        self.wait_for_broker()?;
        self.wait_for_drivers(&drivers)?;
        self.record.complete = true;
        self.record.save(self.folders)
    }

    fn start(&mut self, program: &Program) -> Result<(), Failure> {
        let entry = self.launcher.start(program)?;
        self.record.entries.push(entry);
        self.record.save(self.folders)
    }

    fn start_broker(&mut self, broker: &Broker) -> Result<(), Failure> {
        self.deadline = Instant::now() + Duration::from_secs(self.options.timeout);
        match broker {
            Broker::Running(address) => self.record.broker.clone_from(address),
            Broker::Redpanda => {
                self.record.redpanda = true;
                self.record.save(self.folders)?;
                redpanda::start(self.folders, self.options.metrics_partitions())?;
                redpanda::ADDRESS.clone_into(&mut self.record.broker);
            }
            Broker::Embedded => self.start_own(&plan::broker(self.options, ADDRESS_FILE))?,
            Broker::Kafka => {
                self.fetch_kafka()?;
                self.deadline = Instant::now() + Duration::from_secs(self.options.timeout);
                self.start_own(&plan::kafka(ADDRESS_FILE))?;
            }
        }
        // Pulling an image may have taken long; the drivers get their time from here on.
        self.deadline = Instant::now() + Duration::from_secs(self.options.timeout);
        self.record.save(self.folders)
    }

    /// Maven's words go to the terminal; the first time takes minutes.
    fn fetch_kafka(&self) -> Result<(), Failure> {
        let binary = self.launcher.binary(plan::KAFKA);
        if !binary.is_file() {
            return Err(Failure::BinaryMissing(binary));
        }
        let mut fetch = Command::new(binary);
        fetch
            .args(["kafka", "fetch"])
            .current_dir(self.folders.root());
        match fetch.stdin(Stdio::null()).status() {
            Ok(status) if status.success() => Ok(()),
            Ok(_) | Err(_) => Err(Failure::KafkaFetch),
        }
    }

    /// A broker that chooses its port itself, writes it to a file, and answers there soon.
    fn start_own(&mut self, program: &Program) -> Result<(), Failure> {
        let file = self.folders.broker_address();
        // That of a broker of before, whose `up` was killed.
        let _ = fs::remove_file(&file);
        self.start(program)?;
        let address = self.wait("the broker is not ready", Some("broker"), || {
            let address = fs::read_to_string(&file).map_err(words)?;
            BusSettings::new(address.trim(), "appliance", &[]).map_err(words)
        })?;
        self.wait("the broker does not answer", Some("broker"), || {
            bus::inspect(&address, BROKER_ANSWER_MAX).map_err(words)
        })?;
        let address = address.brokers().to_owned();
        if let Some(entry) = self.record.entries.last_mut() {
            entry.place.clone_from(&address);
        }
        self.record.broker = address;
        Ok(())
    }

    fn wait_for_servers(&self) -> Result<(), Failure> {
        let servers = [
            // Not /ping: the test server counts that as a request of somebody's load.
            ("testserver", &self.record.testserver, "metric"),
            ("orchestrator", &self.record.orchestrator, "healthz"),
        ];
        for (name, url, path) in servers {
            let api = Api::new(url, None);
            self.wait(&format!("the {name} does not answer"), Some(name), || {
                api.get(path).map_err(words)
            })?;
        }
        Ok(())
    }

    /// Without the broker the orchestrator shows the drivers that it knew before.
    fn wait_for_broker(&self) -> Result<(), Failure> {
        let api = api(&self.record.orchestrator);
        let late = format!("the broker {} was not reached", self.record.broker);
        self.wait(&late, Some("orchestrator"), || {
            let health = api.get("healthz").map_err(words)?;
            let broker = &health["broker"];
            if broker["state"] == "up" {
                return Ok(());
            }
            Err(broker["reason"].as_str().unwrap_or_default().to_owned())
        })
    }

    fn wait_for_drivers(&self, drivers: &[Program]) -> Result<(), Failure> {
        let api = api(&self.record.orchestrator);
        for driver in drivers {
            let late = format!("{} is not up", driver.name);
            self.wait(&late, Some(&driver.name), || {
                let is_it = |node: &Node| node.node_id == driver.name && node.is_up();
                match api.nodes() {
                    Ok(nodes) if nodes.iter().any(is_it) => Ok(()),
                    Ok(_) => Err(String::new()),
                    Err(error) => Err(words(error)),
                }
            })?;
        }
        Ok(())
    }

    /// Asks `come` again and again; it says why not yet, if it knows. Any process that ends
    /// meanwhile, a signal, or the deadline ends the waiting.
    fn wait<T>(
        &self,
        late: &str,
        who: Option<&str>,
        come: impl Fn() -> Result<T, String>,
    ) -> Result<T, Failure> {
        loop {
            if let Some(ended) = self.record.ended().first() {
                return Err(self.ended(&ended.name));
            }
            let why = match come() {
                Ok(what) => return Ok(what),
                Err(why) => why,
            };
            if self.interrupted.load(Ordering::Relaxed) {
                return Err(Failure::Interrupted);
            }
            if Instant::now() >= self.deadline {
                let last_words = who.map(|name| self.last_words(name));
                return Err(Failure::Timeout {
                    waited_for: late.to_owned(),
                    seconds: self.options.timeout,
                    words: indented(&why) + &last_words.unwrap_or_default(),
                    logs: self.folders.logs(),
                });
            }
            thread::sleep(LOOK);
        }
    }

    fn ended(&self, name: &str) -> Failure {
        Failure::Ended {
            name: name.to_owned(),
            words: self.last_words(name),
            logs: self.folders.logs().join(name),
        }
    }

    /// The last lines of standard error of a process, indented, from the second line on.
    fn last_words(&self, name: &str) -> String {
        let text = fs::read(self.folders.stderr_log(name)).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<&str> = text
            .lines()
            .filter(|line| !line.trim().is_empty())
            .collect();
        let last = &lines[lines.len().saturating_sub(WORDS_LINES)..];
        last.iter().map(|line| indented(line)).collect()
    }
}

/// On a line of its own, if it says anything.
fn indented(words: &str) -> String {
    if words.is_empty() {
        return String::new();
    }
    format!("\n  {words}")
}

fn words(error: impl Display) -> String {
    error.to_string()
}
