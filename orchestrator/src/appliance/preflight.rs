//! What can be known to fail before anything is started.

use std::fs;
use std::io;
use std::net::TcpListener;
use std::process::{Command, Stdio};
use std::time::Duration;

use rustix::process::{Resource, getrlimit, setrlimit};

use super::answer::within;
use super::cli::UpOptions;
use super::failure::Failure;
use super::launch::Launcher;
use super::plan::{BINARIES, MERGER};

/// What glommio needs for the rings of one executor.
const MEMLOCK_MIN: u64 = 512 << 10;
/// The driver's own check takes a moment; longer means that it hangs.
const DRIVER_CHECK_MAX: Duration = Duration::from_secs(20);
/// How a driver says that it cannot work here. Any other failure is left to its real start.
const CHECK_FAILED: i32 = 1;

/// Checks everything, cheapest first.
///
/// # Errors
/// The first thing that would fail, with its remedy.
pub fn check(launcher: &Launcher<'_>, options: &UpOptions) -> Result<(), Failure> {
    let merger = (options.mergers > 0).then_some(MERGER);
    for name in BINARIES.into_iter().chain(merger) {
        let binary = launcher.binary(name);
        if !binary.is_file() {
            return Err(Failure::BinaryMissing(binary));
        }
    }
    ports(options)?;
    memlock()?;
    driver(launcher)
}

fn ports(options: &UpOptions) -> Result<(), Failure> {
    if options.testserver_port == options.orchestrator_port {
        return Err(Failure::SamePort(options.testserver_port));
    }
    for (port, what, variable) in [
        (options.testserver_port, "test server", "TESTSERVER_PORT"),
        (
            options.orchestrator_port,
            "orchestrator",
            "ORCHESTRATOR_PORT",
        ),
    ] {
        match TcpListener::bind(("127.0.0.1", port)) {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                return Err(Failure::PortInUse {
                    port,
                    what,
                    by: holder(port).map_or_else(String::new, |by| format!(" by {by}")),
                    variable,
                    other: free_port(),
                });
            }
            Err(error) => {
                let name = format!("the {what} on port {port}");
                return Err(Failure::Start { name, error });
            }
        }
    }
    Ok(())
}

fn free_port() -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).and_then(|listener| listener.local_addr());
    listener.map_or(8080, |address| address.port())
}

/// The program that listens on a port, as far as we may see it.
fn holder(port: u16) -> Option<String> {
    let inode = ["/proc/net/tcp", "/proc/net/tcp6"]
        .iter()
        .find_map(|table| {
            let table = fs::read_to_string(table).ok()?;
            table.lines().find_map(|line| listening_inode(line, port))
        })?;
    let socket = format!("socket:[{inode}]");
    let processes = fs::read_dir("/proc").ok()?.flatten();
    let pid = processes
        .filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok())
        .find(|pid| has_open(*pid, &socket))?;
    let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    Some(format!("{} (process {pid})", name.trim()))
}

/// The inode of the socket of a line of `/proc/net/tcp`, if it listens on that port.
fn listening_inode(line: &str, port: u16) -> Option<u64> {
    const LISTEN: &str = "0A";
    let fields: Vec<&str> = line.split_whitespace().collect();
    let local = fields.get(1)?.rsplit_once(':')?.1;
    let is_it = u16::from_str_radix(local, 16) == Ok(port) && *fields.get(3)? == LISTEN;
    if is_it {
        fields.get(9)?.parse().ok()
    } else {
        None
    }
}

fn has_open(pid: u32, socket: &str) -> bool {
    let Ok(files) = fs::read_dir(format!("/proc/{pid}/fd")) else {
        return false;
    };
    files
        .flatten()
        .any(|file| fs::read_link(file.path()).is_ok_and(|target| target.to_str() == Some(socket)))
}

/// Raises the soft limit where the hard one allows it: the drivers inherit it.
fn memlock() -> Result<(), Failure> {
    let limit = getrlimit(Resource::Memlock);
    // No limit at all reads as none.
    let soft = limit.current.unwrap_or(u64::MAX);
    let hard = limit.maximum.unwrap_or(u64::MAX);
    if soft >= MEMLOCK_MIN {
        return Ok(());
    }
    let raised = rustix::process::Rlimit {
        current: limit.maximum,
        ..limit
    };
    if hard >= MEMLOCK_MIN && setrlimit(Resource::Memlock, raised).is_ok() {
        return Ok(());
    }
    Err(Failure::Memlock {
        allowed_kib: hard >> 10,
        needed_kib: MEMLOCK_MIN >> 10,
    })
}

/// Asks the driver whether its executors and rings work on this machine.
fn driver(launcher: &Launcher<'_>) -> Result<(), Failure> {
    let mut check = Command::new(launcher.binary("driver"));
    check
        .arg("check")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    match within(&mut check, DRIVER_CHECK_MAX) {
        Ok(answer) if answer.code == Some(CHECK_FAILED) => {
            Err(Failure::DriverCheck(answer.first_line()))
        }
        Ok(_) => Ok(()),
        Err(error) => Err(Failure::DriverCheck(error.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_holder_of_a_port_is_found() {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let holder = holder(port).unwrap();
        assert!(
            holder.contains(&format!("process {}", std::process::id())),
            "{holder}"
        );
        drop(listener);
        assert_ne!(free_port(), 0);
    }
}
