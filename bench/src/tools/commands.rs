//! How each generator is told about a load. `None`: it cannot do that.
//!
//! One thread each: the comparison is by core. Those without an option for it run on as many
//! threads as the pinned process may use cores, which is one.

#![expect(
    clippy::unnecessary_wraps,
    reason = "one table holds them all, and most of them cannot do every load"
)]

use std::fs;
use std::path::Path;

use super::{Load, Protocol};

pub(super) fn dlts(load: &Load) -> Option<Vec<String>> {
    let mut command = words(&["run", &load.url, "--json"]);
    option(&mut command, "--connections", load.connections);
    option(&mut command, "--duration", format!("{}s", load.seconds));
    if load.pipeline > 1 {
        option(&mut command, "--pipeline", load.pipeline);
    }
    if let Some(rate) = load.rate {
        option(&mut command, "--rate", rate);
    }
    match (load.protocol, load.is_tls()) {
        (Protocol::Http1, false) => {}
        (Protocol::Http1, true) => option(&mut command, "--http", "1.1"),
        (Protocol::Http2, true) => option(&mut command, "--http", "2"),
        (Protocol::Http2, false) => option(&mut command, "--http", "h2c"),
    }
    if load.is_tls() {
        command.push("--insecure".into());
    }
    if let Some(requests) = load.requests_per_connection {
        option(&mut command, "--requests-per-connection", requests);
    }
    Some(command)
}

/// For Locust, which is here for what a script says.
pub(super) fn scripts_only(_: &Load) -> Option<Vec<String>> {
    None
}

/// The bare ring of driver-core's example: 64 connections from core 0, nothing else.
pub(super) fn floor(load: &Load) -> Option<Vec<String>> {
    plain(load)?;
    unpipelined(load)?;
    unpaced(load)?;
    let address = load.url.strip_prefix("http://")?.trim_end_matches('/');
    let can = load.connections == 64 && load.core == 0;
    can.then(|| words(&[address, &load.seconds.to_string()]))
}

/// Pipelining by a script that hands wrk several requests as one, as its own `pipeline.lua` does.
pub(super) fn wrk(load: &Load) -> Option<Vec<String>> {
    const SCRIPT: &str = "\
init = function(args)
  local requests = {}
  for i = 1, tonumber(args[1]) do requests[i] = wrk.format() end
  joined = table.concat(requests)
end
request = function() return joined end
";
    unpaced(load)?;
    http1(load)?;
    let mut command = vec!["-t1".into(), format!("-c{}", load.connections)];
    command.push(format!("-d{}s", load.seconds));
    match load.requests_per_connection {
        None => {}
        Some(1) => command.extend(["-H", "Connection: close"].map(str::to_owned)),
        Some(_) => return None,
    }
    if load.pipeline == 1 {
        command.push(load.url.clone());
    } else {
        let script = script(&load.scratch, "pipeline.lua", SCRIPT)?;
        command.extend(words(&[
            "-s",
            &script,
            &load.url,
            "--",
            &load.pipeline.to_string(),
        ]));
    }
    Some(command)
}

/// Its rate is by connection.
pub(super) fn h2load(load: &Load) -> Option<Vec<String>> {
    kept_alive(load)?;
    let mut command = words(&["-t1"]);
    if load.protocol == Protocol::Http1 {
        command.push("--h1".into());
    }
    option(&mut command, "-c", load.connections);
    option(&mut command, "-D", load.seconds);
    option(&mut command, "-m", load.pipeline);
    if let Some(rate) = load.rate {
        option(
            &mut command,
            "--rps",
            f64::from(rate) / f64::from(load.connections),
        );
    }
    command.push(load.url.clone());
    Some(command)
}

pub(super) fn oha(load: &Load) -> Option<Vec<String>> {
    let mut command = words(&["--no-tui"]);
    option(&mut command, "-c", load.connections);
    option(&mut command, "-z", format!("{}s", load.seconds));
    if load.protocol == Protocol::Http2 {
        command.push("--http2".into());
        option(&mut command, "-p", load.pipeline);
    } else {
        unpipelined(load)?;
    }
    if load.is_tls() {
        command.push("--insecure".into());
    }
    match load.requests_per_connection {
        None => {}
        Some(1) => command.push("--disable-keepalive".into()),
        Some(_) => return None,
    }
    if let Some(rate) = load.rate {
        option(&mut command, "-q", rate);
        command.push("--latency-correction".into());
    }
    command.push(load.url.clone());
    Some(command)
}

/// `-t` implies 50000 requests at most unless `-n` comes after it.
pub(super) fn ab(load: &Load) -> Option<Vec<String>> {
    plain(load)?;
    unpipelined(load)?;
    unpaced(load)?;
    let mut command = words(&["-k", "-q"]);
    option(&mut command, "-t", load.seconds);
    // It allocates 32 bytes for each of them.
    option(&mut command, "-n", load.seconds.saturating_mul(200_000));
    option(&mut command, "-c", load.connections);
    command.push(load.url.clone());
    Some(command)
}

pub(super) fn bombardier(load: &Load) -> Option<Vec<String>> {
    plain(load)?;
    unpipelined(load)?;
    let mut command = words(&["--print", "r"]);
    option(&mut command, "-c", load.connections);
    option(&mut command, "-d", format!("{}s", load.seconds));
    if let Some(rate) = load.rate {
        option(&mut command, "-r", rate);
    }
    command.push(load.url.clone());
    Some(command)
}

/// With a rate it drops what no virtual user is free for: there are enough for answers that are 4 s
/// late, within what one machine can hold.
pub(super) fn k6(load: &Load) -> Option<Vec<String>> {
    const USERS_MAX: u32 = 20_000;
    plain(load)?;
    unpipelined(load)?;
    let (url, connections, seconds) = (&load.url, load.connections, load.seconds);
    let scenario = match load.rate {
        None => format!("executor: 'constant-vus', vus: {connections}, duration: '{seconds}s'"),
        Some(rate) => {
            let users = rate.saturating_mul(4).min(USERS_MAX).max(connections);
            format!(
                "executor: 'constant-arrival-rate', rate: {rate}, timeUnit: '1s', \
                 duration: '{seconds}s', preAllocatedVUs: {connections}, maxVUs: {users}"
            )
        }
    };
    let text = format!(
        "import http from 'k6/http';\n\
         export const options = {{ discardResponseBodies: true, scenarios: {{ load: {{ {scenario} }} }} }};\n\
         export default function () {{ http.get('{url}'); }}\n"
    );
    let script = script(&load.scratch, "load.js", &text)?;
    Some(words(&["run", "--quiet", "--no-usage-report", &script]))
}

/// With a rate it opens connections as it needs them.
pub(super) fn vegeta(load: &Load) -> Option<Vec<String>> {
    plain(load)?;
    unpipelined(load)?;
    let targets = script(&load.scratch, "targets.txt", &format!("GET {}\n", load.url))?;
    let mut command = words(&["attack", "-output", "/dev/null"]);
    option(&mut command, "-targets", &targets);
    option(&mut command, "-duration", format!("{}s", load.seconds));
    option(&mut command, "-rate", load.rate.unwrap_or(0));
    // Without a rate it takes as many workers as it may have. With one it adds workers while
    // answers are late; a limit would make it wait for them, and close the loop again.
    if load.rate.is_none() {
        option(&mut command, "-workers", load.connections);
        option(&mut command, "-max-workers", load.connections);
        option(&mut command, "-connections", load.connections);
    }
    Some(command)
}

pub(super) fn gcannon(load: &Load) -> Option<Vec<String>> {
    plain(load)?;
    unpaced(load)?;
    let mut command = words(&[&load.url, "--json", "-t", "1"]);
    option(&mut command, "-c", load.connections);
    option(&mut command, "-d", format!("{}s", load.seconds));
    option(&mut command, "-p", load.pipeline);
    Some(command)
}

pub(super) fn zrk(load: &Load) -> Option<Vec<String>> {
    plain(load)?;
    unpipelined(load)?;
    let mut command = words(&["--plain", "--format", "json", "-t1"]);
    command.push(format!("-c{}", load.connections));
    command.push(format!("-d{}s", load.seconds));
    command.push(
        load.rate
            .map_or_else(|| "--closed".to_owned(), |rate| format!("-R{rate}")),
    );
    command.push(load.url.clone());
    Some(command)
}

pub(super) fn autocannon(load: &Load) -> Option<Vec<String>> {
    plain(load)?;
    let mut command = words(&["--json", "--no-progress"]);
    option(&mut command, "-c", load.connections);
    option(&mut command, "-d", load.seconds);
    option(&mut command, "-p", load.pipeline);
    if let Some(rate) = load.rate {
        option(&mut command, "-R", rate);
    }
    command.push(load.url.clone());
    Some(command)
}

/// HTTP/1.1 without TLS over connections that stay: what every tool does.
fn plain(load: &Load) -> Option<()> {
    http1(load)?;
    kept_alive(load)?;
    (!load.is_tls()).then_some(())
}

fn http1(load: &Load) -> Option<()> {
    (load.protocol == Protocol::Http1).then_some(())
}

fn kept_alive(load: &Load) -> Option<()> {
    load.requests_per_connection.is_none().then_some(())
}

fn unpipelined(load: &Load) -> Option<()> {
    (load.pipeline == 1).then_some(())
}

fn unpaced(load: &Load) -> Option<()> {
    load.rate.is_none().then_some(())
}

pub(super) fn option(command: &mut Vec<String>, name: &str, value: impl std::fmt::Display) {
    command.extend([name.to_owned(), value.to_string()]);
}

pub(super) fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|&word| word.to_owned()).collect()
}

/// Writes a file that a tool reads; `None` when the scratch folder does not take it.
pub(super) fn script(scratch: &Path, name: &str, text: &str) -> Option<String> {
    let path = scratch.join(name);
    fs::write(&path, text).ok()?;
    Some(path.to_string_lossy().into_owned())
}
