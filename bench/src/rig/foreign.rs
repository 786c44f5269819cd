//! Programs that are not ours as servers: found, pinned, awaited until they listen.

use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::Error;

const START_DEADLINE: Duration = Duration::from_secs(5);
const POLL: Duration = Duration::from_millis(10);

/// Where a program is, in the folders of administrators too.
pub(super) fn find(name: &str, remedy: &str) -> Result<PathBuf, Error> {
    ["", "/usr/sbin/", "/usr/local/sbin/"]
        .iter()
        .find_map(|folder| crate::tools::locate(&format!("{folder}{name}")))
        .ok_or_else(|| Error::Missing {
            program: name.to_owned(),
            remedy: remedy.to_owned(),
        })
}

/// Starts a program on a core, by `bench exec`, which becomes it.
pub(super) fn start(core: usize, program: &Path, arguments: &[String]) -> Result<Child, Error> {
    let own = std::env::current_exe().map_err(|error| failed(program, &error.to_string()))?;
    Command::new(own)
        .args(["exec", "--core", &core.to_string(), "--replace", "--"])
        .arg(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .map_err(|error| failed(program, &error.to_string()))
}

/// Waits until somebody listens there; ends the program if nobody does.
pub(super) fn await_listener(
    mut child: Child,
    program: &Path,
    address: &str,
) -> Result<Child, Error> {
    let begin = Instant::now();
    while TcpStream::connect(address).is_err() {
        let ended = matches!(child.try_wait(), Ok(Some(_)));
        if ended || begin.elapsed() > START_DEADLINE {
            let _ = child.kill();
            let _ = child.wait();
            return Err(failed(program, &format!("it does not listen on {address}")));
        }
        std::thread::sleep(POLL);
    }
    Ok(child)
}

/// An address of this machine that nobody has now.
pub(super) fn free_address() -> Result<String, Error> {
    let listener = TcpListener::bind("127.0.0.1:0");
    let address = listener.and_then(|listener| listener.local_addr());
    let address = address.map_err(|error| failed(Path::new("a server"), &error.to_string()))?;
    Ok(address.to_string())
}

pub(super) fn failed(program: &Path, message: &str) -> Error {
    let name = program.file_name().unwrap_or(program.as_os_str());
    Error::Start {
        program: name.to_string_lossy().into_owned(),
        message: message.to_owned(),
    }
}
