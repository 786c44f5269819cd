//! Loads that are more than one request, told to each generator in its own language: a document for
//! dlts, Lua for wrk, JavaScript for k6, Python for Locust. The texts are the files in `scripted/`,
//! each as its tool's manual advises for speed. Rows are put together for each request, by all of
//! them; [`Script::Prepared`] shows what wrk makes of them when it need not.
//!
//! In a text, `ROOT` stands for the target, `CONNECTIONS` for their number, `SECONDS` for the length,
//! `SCRATCH` for the folder in which it lies.

use std::fmt::Write;

use super::commands::{option, script, words};
use super::{Load, Protocol};

/// What is sent, where that is not one and the same request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Script {
    /// One fixed page, which a mix is held against.
    One,
    /// Ten fixed pages by weights from 10 to 1.
    Mix,
    /// A path and a header out of the next row of a file, put together for each request.
    Rows,
    /// The same at a tool that has all requests ready before the load, as few files are small enough
    /// for.
    Prepared,
    /// A token out of an answer's JSON, sent as a header of the next request, whose answer's body is
    /// checked.
    Login,
}

/// Rows of the file.
const ROWS: u32 = 10_000;

impl Script {
    /// The arguments of a tool for a load of plain HTTP/1.1 as fast as answers come; `None` when it
    /// cannot do that, or has no text for it.
    pub(super) fn arguments(self, tool: &str, load: &Load) -> Option<Vec<String>> {
        let is_plain = load.protocol == Protocol::Http1 && !load.is_tls() && load.pipeline == 1;
        if !is_plain || load.rate.is_some() || load.requests_per_connection.is_some() {
            return None;
        }
        let (name, text) = self.text(tool)?;
        let text = text
            .replace("ROOT", load.url.trim_end_matches('/'))
            .replace("CONNECTIONS", &load.connections.to_string())
            .replace("SECONDS", &load.seconds.to_string())
            .replace("SCRATCH", &load.scratch.to_string_lossy());
        let file = script(&load.scratch, name, &text)?;
        if matches!(self, Self::Rows | Self::Prepared) {
            script(&load.scratch, "rows.csv", &rows())?;
        }
        Some(match tool {
            "wrk" => {
                let mut command = words(&["-t1"]);
                option(&mut command, "-c", load.connections);
                option(&mut command, "-d", format!("{}s", load.seconds));
                option(&mut command, "-s", file);
                command.push(load.url.clone());
                command
            }
            "k6" => words(&["run", "--quiet", "--no-usage-report", &file]),
            "locust" => {
                let mut command = words(&["--headless", "--only-summary", "-f", &file]);
                option(&mut command, "--host", load.url.trim_end_matches('/'));
                option(&mut command, "-u", load.connections);
                option(&mut command, "-r", load.connections);
                option(&mut command, "-t", format!("{}s", load.seconds));
                command
            }
            _ => words(&["run", &file, "--json"]),
        })
    }

    /// A tool's file for it, and what that says.
    fn text(self, tool: &str) -> Option<(&'static str, &'static str)> {
        Some(match (tool, self) {
            ("dlts", Self::One) => ("one.yaml", include_str!("scripted/one.yaml")),
            ("dlts", Self::Mix) => ("mix.yaml", include_str!("scripted/mix.yaml")),
            ("dlts", Self::Rows | Self::Prepared) => {
                ("rows.yaml", include_str!("scripted/rows.yaml"))
            }
            ("dlts", Self::Login) => ("login.yaml", include_str!("scripted/login.yaml")),
            ("wrk", Self::One) => ("one.lua", include_str!("scripted/one.lua")),
            ("wrk", Self::Mix) => ("mix.lua", include_str!("scripted/mix.lua")),
            ("wrk", Self::Rows) => ("rows.lua", include_str!("scripted/rows.lua")),
            ("wrk", Self::Prepared) => ("prepared.lua", include_str!("scripted/prepared.lua")),
            ("k6", Self::One) => ("one.js", include_str!("scripted/one.js")),
            ("k6", Self::Mix) => ("mix.js", include_str!("scripted/mix.js")),
            ("k6", Self::Rows) => ("rows.js", include_str!("scripted/rows.js")),
            ("k6", Self::Login) => ("login.js", include_str!("scripted/login.js")),
            ("locust", Self::One) => ("one.py", include_str!("scripted/one.py")),
            ("locust", Self::Mix) => ("mix.py", include_str!("scripted/mix.py")),
            ("locust", Self::Rows) => ("rows.py", include_str!("scripted/rows.py")),
            ("locust", Self::Login) => ("login.py", include_str!("scripted/login.py")),
            // Also wrk where there is a session: its `request` does not know whose answer came.
            _ => return None,
        })
    }
}

fn rows() -> String {
    let mut text = "id,name\n".to_owned();
    for row in 0..ROWS {
        let _ = writeln!(text, "{},user-{row}", 1_000_000 + row * 7);
    }
    text
}
