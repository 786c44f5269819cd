//! A running `broker` process on a port of its own.

use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};

use proto::bus::BusSettings;
use rustix::process::{Pid, Signal, kill_process};

/// Killed when dropped.
pub(crate) struct BrokerProcess {
    child: Child,
    stdout: BufReader<ChildStdout>,
    pub(crate) address: String,
}

pub(crate) fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_broker"));
    command
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped());
    command
}

impl BrokerProcess {
    pub(crate) fn start() -> Self {
        Self::with(&[])
    }

    pub(crate) fn with(arguments: &[&str]) -> Self {
        let mut child = command(arguments).spawn().unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let line = read_line(&mut stdout);
        let address = line
            .strip_prefix("ready ")
            .expect("the ready line comes first");
        Self {
            child,
            stdout,
            address: address.to_owned(),
        }
    }

    pub(crate) fn settings(&self) -> BusSettings {
        BusSettings::new(&self.address, "test", &[]).unwrap()
    }

    pub(crate) fn read_line(&mut self) -> String {
        read_line(&mut self.stdout)
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let pid = Pid::from_child(&self.child);
        kill_process(pid, signal).unwrap();
    }

    pub(crate) fn end(mut self, signal: Signal) -> ExitStatus {
        self.signal(signal);
        self.child.wait().unwrap()
    }
}

impl Drop for BrokerProcess {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn read_line(stdout: &mut BufReader<ChildStdout>) -> String {
    let mut line = String::new();
    stdout.read_line(&mut line).unwrap();
    line.trim_end().to_owned()
}
