//! nginx as a server to compare with: one worker, no logs, `return 200`, and its own count of
//! requests, which it keeps over all protocols.

use std::fs;
use std::path::Path;
use std::process::Child;

use super::{Error, certificate, foreign};

const REMEDY: &str = "apt-get install -y nginx-light";

/// What it shall speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Speaks {
    /// HTTP/1.1.
    Http,
    /// HTTP/1.1 and HTTP/2 over TLS; whether sessions may be resumed.
    Https { resumes: bool },
}

/// A started one: where it says its count, and where it is to be loaded.
pub(super) struct Started {
    pub(super) child: Child,
    pub(super) counts_at: String,
    pub(super) loaded_at: String,
}

pub(super) fn start(core: usize, scratch: &Path, speaks: Speaks) -> Result<Started, Error> {
    let program = foreign::find("nginx", REMEDY)?;
    let counts_at = foreign::free_address()?;
    let (loaded_at, secure) = match speaks {
        Speaks::Http => (format!("http://{counts_at}"), String::new()),
        Speaks::Https { resumes } => {
            let address = foreign::free_address()?;
            let secure = listen_securely(&address, resumes, scratch)?;
            (format!("https://{address}"), secure)
        }
    };
    let file = scratch.join("nginx.conf");
    fs::write(&file, configuration(&counts_at, &secure, scratch))
        .map_err(|error| foreign::failed(&program, &error.to_string()))?;
    let arguments = ["-c".into(), text(&file), "-p".into(), text(scratch)];
    let child = foreign::start(core, &program, &arguments)?;
    Ok(Started {
        child: foreign::await_listener(child, &program, &counts_at)?,
        counts_at,
        loaded_at,
    })
}

/// One process, no master, in the foreground: its CPU time is the whole of it.
fn configuration(address: &str, secure: &str, scratch: &Path) -> String {
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
             {secure}\n\
             location = /metric {{ stub_status; }}\n\
             location / {{ return 200 'Hello World'; }} }}\n\
         }}\n"
    )
}

fn listen_securely(address: &str, resumes: bool, scratch: &Path) -> Result<String, Error> {
    let made = certificate::make(scratch)?;
    let (certificate, key) = (made.certificate.display(), made.key.display());
    let sessions = if resumes {
        "ssl_session_cache shared:dlts:10m; ssl_session_tickets on;"
    } else {
        "ssl_session_cache off; ssl_session_tickets off;"
    };
    Ok(format!(
        "listen {address} ssl http2 backlog=4096; http2_max_concurrent_streams 128;\n\
         ssl_certificate {certificate}; ssl_certificate_key {key};\n\
         ssl_protocols TLSv1.2 TLSv1.3; {sessions}"
    ))
}

fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}
