//! nginx: `GOAWAY` each 1000 requests, a limit of streams, answers of its own to each request.

use std::path::Path;

use driver_core::protocol::http2::Malformed;

use crate::client::{Load, first_word, get, post};
use crate::program::{Program, find};

fn start(settings: &str) -> Option<Program> {
    let nginx = find("nginx", "apt-get install -y nginx-light")?;
    let arguments = |port: u16, folder: &Path| {
        let file = folder.join("nginx.conf");
        std::fs::write(&file, configuration(port, folder, settings)).unwrap();
        ["-c", file.to_str().unwrap(), "-p", folder.to_str().unwrap()]
            .map(str::to_owned)
            .to_vec()
    };
    Some(Program::on_port(&nginx, arguments))
}

fn configuration(port: u16, folder: &Path, settings: &str) -> String {
    let folder = folder.display();
    format!(
        "daemon off; master_process off; worker_processes 1; pid {folder}/nginx.pid;
         error_log stderr crit;
         events {{ worker_connections 256; }}
         http {{
           log_format line '$status $request_length';
           access_log {folder}/access.log line;
           client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
           fastcgi_temp_path {folder}/fastcgi; uwsgi_temp_path {folder}/uwsgi;
           scgi_temp_path {folder}/scgi;
           server {{ listen 127.0.0.1:{port} {settings} default_type text/plain;
             location / {{ return 200 'Hello World'; }}
             location /gone {{ return 410; }} }}
         }}"
    )
}

#[test]
fn requests_that_goaway_hands_back_are_each_answered_once() {
    let Some(nginx) = start("http2;") else { return };
    let tally = Load::new(&[get("/"), get("/gone")], 5000, 100).run(nginx.port);
    assert_eq!((tally.statuses[&200], tally.statuses[&410]), (2500, 2500));
    assert!(tally.connections >= 5, "{tally:?}"); // 1000 requests each
    assert!(tally.returned > 0, "{tally:?}");
    assert_eq!(tally.sent, 5000 + tally.returned);
    assert_eq!(
        nginx.lines("access.log", 5000, |line| line.starts_with("200 ")),
        2500
    );
    assert_eq!(nginx.lines("access.log", 5000, |_| true), 5000);
}

#[test]
fn the_limit_of_streams_is_obeyed() {
    let settings = "http2; http2_max_concurrent_streams 7; keepalive_requests 100000;";
    let Some(nginx) = start(settings) else { return };
    let tally = Load::new(&[get("/")], 2000, 100).run(nginx.port);
    assert_eq!(
        (tally.most_in_flight, tally.connections, tally.returned),
        (7, 1, 0)
    );
    assert_eq!(
        nginx.lines("access.log", 2000, |line| line.starts_with("200 ")),
        2000
    );
}

#[test]
fn bodies_beyond_every_window_arrive() {
    let settings = "http2; client_max_body_size 10m; keepalive_requests 100000;";
    let Some(nginx) = start(settings) else { return };
    let tally = Load::new(&[post("/", 300_000), get("/"), post("/", 10)], 60, 10).run(nginx.port);
    assert_eq!(tally.statuses[&200], 60);
    assert_eq!(
        nginx.lines("access.log", 60, |line| line.starts_with("200 ")),
        60
    );
}

#[test]
fn a_server_of_http1_is_named_as_one() {
    let Some(nginx) = start(";") else { return };
    let patience = std::time::Duration::from_secs(10);
    assert_eq!(first_word(nginx.port, patience), Err(Malformed::Http1));
}
