//! `appliance status`: the processes, how they fare, and where they listen.

use std::process::ExitCode;

use proto::clock;
use serde_json::json;

use super::cli::StatusOptions;
use super::failure::Failure;
use super::folders::Folders;
use super::running::{Entry, Running};
use super::{api, say};
use crate::client::api::Node;

/// Shows what is up. The exit code is 1 when it is so only in part.
///
/// # Errors
/// When the record cannot be read.
pub fn status(folders: &Folders, options: &StatusOptions) -> Result<ExitCode, Failure> {
    let Some(record) = Running::load(folders)? else {
        if options.json {
            say(&format!("{}", json!({"state": "down", "processes": []})));
        } else {
            say("dlts is not up; start it with `make up`");
        }
        return Ok(ExitCode::SUCCESS);
    };
    let nodes = api(&record.orchestrator).nodes().unwrap_or_default();
    let rows: Vec<Row> = record
        .entries
        .iter()
        .map(|entry| row(&record, entry, &nodes))
        .collect();
    if options.json {
        print_json(&record, &rows);
    } else {
        print_table(&record, &rows);
    }
    let works = record.complete && rows.iter().all(|row| row.state != ENDED);
    Ok(if works {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

const RUNNING: &str = "running";
const ENDED: &str = "ended";

struct Row {
    name: String,
    pid: u32,
    state: String,
    uptime_s: u64,
    place: String,
}

/// A driver's state is what the orchestrator sees, as long as its process runs.
fn row(record: &Running, entry: &Entry, nodes: &[Node]) -> Row {
    let alive = record.is_alive(entry.process);
    let node = nodes.iter().find(|node| node.node_id == entry.name);
    let state = match node {
        _ if !alive => ENDED.to_owned(),
        Some(node) => node.state.clone(),
        None => RUNNING.to_owned(),
    };
    let now_ms = clock::unix_ns() / 1_000_000;
    Row {
        name: entry.name.clone(),
        pid: entry.process.pid,
        state,
        uptime_s: if alive {
            now_ms.saturating_sub(entry.started_unix_ms) / 1000
        } else {
            0
        },
        place: entry.place.clone(),
    }
}

fn print_json(record: &Running, rows: &[Row]) {
    let processes: Vec<_> = rows
        .iter()
        .map(|row| {
            json!({"name": row.name, "pid": row.pid, "state": row.state,
                   "uptime_s": row.uptime_s, "place": row.place})
        })
        .collect();
    let ended = rows.iter().any(|row| row.state == ENDED);
    let state = if ended || !record.complete {
        "degraded"
    } else {
        "up"
    };
    let whole = json!({"state": state, "orchestrator": record.orchestrator,
        "testserver": record.testserver, "broker": record.broker,
        "broker_kind": record.broker_kind, "processes": processes});
    say(&format!("{whole}"));
}

fn print_table(record: &Running, rows: &[Row]) {
    say(&format!(
        "{:<14} {:>8} {:<10} {:>10}  WHERE",
        "NAME", "PID", "STATE", "UPTIME"
    ));
    for row in rows {
        let uptime = duration(row.uptime_s);
        say(&format!(
            "{:<14} {:>8} {:<10} {uptime:>10}  {}",
            row.name, row.pid, row.state, row.place
        ));
    }
    say(&format!(
        "\nbroker: {} ({})",
        record.broker, record.broker_kind
    ));
    say(&format!("dashboard: {}", record.orchestrator));
    if !record.complete {
        say("the start did not go to its end; `make down` clears it");
    }
}

fn duration(seconds: u64) -> String {
    let (hours, minutes) = (seconds / 3600, seconds / 60 % 60);
    match (hours, minutes) {
        (0, 0) => format!("{seconds}s"),
        (0, _) => format!("{minutes}m{:02}s", seconds % 60),
        _ => format!("{hours}h{minutes:02}m"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_well() {
        assert_eq!(duration(5), "5s");
        assert_eq!(duration(65), "1m05s");
        assert_eq!(duration(7_265), "2h01m");
    }
}
