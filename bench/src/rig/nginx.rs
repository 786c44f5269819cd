//! nginx as a server to compare with: one worker, no logs, `return 200`.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::Error;

const REMEDY: &str = "apt-get install -y nginx-light";
const START_DEADLINE: Duration = Duration::from_secs(5);

pub(super) fn start(core: usize, scratch: &Path) -> Result<(Child, String), Error> {
    let program = ["nginx", "/usr/sbin/nginx", "/usr/local/sbin/nginx"]
        .iter()
        .find_map(|program| crate::tools::locate(program))
        .ok_or_else(|| Error::Missing {
            program: "nginx".into(),
            remedy: REMEDY.into(),
        })?;
    let failed = |error: std::io::Error| Error::Start {
        program: "nginx".into(),
        message: error.to_string(),
    };
    let address = free_address().map_err(failed)?;
    let file = scratch.join("nginx.conf");
    fs::write(&file, configuration(&address, scratch)).map_err(failed)?;
    let child = pinned(core, &program, &file, scratch).map_err(failed)?;
    let begin = Instant::now();
    while TcpStream::connect(&address).is_err() {
        if begin.elapsed() > START_DEADLINE {
            let message = format!("it does not listen on {address}");
            return Err(Error::Start {
                program: "nginx".into(),
                message,
            });
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    Ok((child, address))
}

/// One process, no master, in the foreground: its CPU time is the whole of it.
fn configuration(address: &str, scratch: &Path) -> String {
    let folder = scratch.display();
    format!(
        "daemon off; master_process off; worker_processes 1; pid {folder}/nginx.pid;\n\
         error_log stderr crit;\n\
         events {{ worker_connections 16384; }}\n\
         http {{\n\
           access_log off; server_tokens off; keepalive_requests 1000000000;\n\
           client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;\n\
           fastcgi_temp_path {folder}/fastcgi; uwsgi_temp_path {folder}/uwsgi;\n\
           scgi_temp_path {folder}/scgi;\n\
           server {{ listen {address} backlog=4096; default_type text/plain;\n\
             location = /metric {{ stub_status; }}
             location / {{ return 200 'Hello World'; }} }}\n\
         }}\n"
    )
}

fn pinned(core: usize, program: &Path, file: &Path, scratch: &Path) -> std::io::Result<Child> {
    Command::new(std::env::current_exe()?)
        .args(["exec", "--core", &core.to_string(), "--replace", "--"])
        .arg(program)
        .arg("-c")
        .arg(file)
        .arg("-p")
        .arg(scratch)
        .stdin(Stdio::null())
        .spawn()
}

fn free_address() -> std::io::Result<String> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string())
}
