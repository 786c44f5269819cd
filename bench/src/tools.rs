//! The generators that can be compared: where they are found, how they are told what to do, and
//! how they are installed where they are missing.

mod commands;
mod scripted;

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::results::Missing;

pub use scripted::Script;

/// What is spoken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/1.1, over TLS if the URL says https.
    #[default]
    Http1,
    /// HTTP/2, over TLS if the URL says https, else with prior knowledge.
    Http2,
}

/// What a generator shall do, with one thread on one core.
#[derive(Clone, Debug, Default)]
pub struct Load {
    /// Where to.
    pub url: String,
    /// Over how many connections.
    pub connections: u32,
    /// For how many seconds.
    pub seconds: u32,
    /// With how many requests under way on each connection.
    pub pipeline: u32,
    /// In which protocol.
    pub protocol: Protocol,
    /// On a new connection after so many requests; always the same ones otherwise.
    pub requests_per_connection: Option<u32>,
    /// At this rate, all connections together; as fast as possible otherwise.
    pub rate: Option<u32>,
    /// What is sent; one and the same request to `url` otherwise.
    pub script: Option<Script>,
    /// The core, for those that pin themselves.
    pub core: usize,
    /// A folder for files that a tool needs.
    pub scratch: PathBuf,
}

/// A kind of generator.
#[derive(Clone, Copy, Debug)]
pub struct Tool {
    /// The name in tables.
    pub name: &'static str,
    /// The program's file name.
    pub program: &'static str,
    /// The command that installs it.
    pub install: &'static str,
    /// Whether `bench tools` can run that command: a registry has it.
    pub registry: bool,
    version: &'static [&'static str],
    arguments: fn(&Load) -> Option<Vec<String>>,
}

/// A generator that was found on this machine.
#[derive(Clone, Debug)]
pub struct Found {
    /// What it is.
    pub tool: &'static Tool,
    /// Where it is.
    pub path: PathBuf,
    /// What it says of itself, its first line with a digit.
    pub version: String,
}

/// All of them, dlts first.
pub const TOOLS: &[Tool] = &[
    Tool {
        name: "dlts",
        program: "driver",
        install: "cargo build --release --locked",
        registry: false,
        version: &["--version"],
        arguments: commands::dlts,
    },
    Tool {
        name: "floor",
        program: "examples/floor",
        install: "cargo build --release --locked -p driver-core --example floor",
        registry: false,
        version: &[],
        arguments: commands::floor,
    },
    Tool {
        name: "wrk",
        program: "wrk",
        install: "apt-get install -y wrk",
        registry: true,
        version: &["-v"],
        arguments: commands::wrk,
    },
    Tool {
        name: "h2load",
        program: "h2load",
        install: "apt-get install -y nghttp2-client",
        registry: true,
        version: &["--version"],
        arguments: commands::h2load,
    },
    Tool {
        name: "oha",
        program: "oha",
        install: "cargo install --locked oha",
        registry: true,
        version: &["--version"],
        arguments: commands::oha,
    },
    Tool {
        name: "ab",
        program: "ab",
        install: "apt-get install -y apache2-utils",
        registry: true,
        version: &["-V"],
        arguments: commands::ab,
    },
    Tool {
        name: "bombardier",
        program: "bombardier",
        install: "go install github.com/codesenberg/bombardier@latest",
        registry: true,
        version: &["--version"],
        arguments: commands::bombardier,
    },
    Tool {
        name: "k6",
        program: "k6",
        install: "go install go.k6.io/k6@latest",
        registry: true,
        version: &["version"],
        arguments: commands::k6,
    },
    Tool {
        name: "locust",
        program: "locust",
        install: "pip install locust",
        registry: true,
        version: &["--version"],
        arguments: commands::scripts_only,
    },
    Tool {
        name: "vegeta",
        program: "vegeta",
        install: "go install github.com/tsenart/vegeta/v12@latest",
        registry: true,
        version: &["--version"],
        arguments: commands::vegeta,
    },
    Tool {
        name: "gcannon",
        program: "gcannon",
        install: "git clone https://github.com/MDA2AV/gcannon && make -C gcannon \
                  && install gcannon/gcannon ~/.cargo/bin/",
        registry: false,
        version: &["--help"],
        arguments: commands::gcannon,
    },
    Tool {
        name: "zrk",
        program: "zrk",
        install: "git clone https://github.com/zoxy-io/zrk && (cd zrk && zig build -Doptimize=ReleaseFast) \
                  && install zrk/zig-out/bin/zrk ~/.cargo/bin/",
        registry: false,
        version: &["--version"],
        arguments: commands::zrk,
    },
    Tool {
        name: "autocannon",
        program: "autocannon",
        install: "npm install --global autocannon",
        registry: true,
        version: &["--version"],
        arguments: commands::autocannon,
    },
];

impl Load {
    /// Whether it goes over TLS.
    #[must_use]
    pub fn is_tls(&self) -> bool {
        self.url.starts_with("https://")
    }
}

impl Tool {
    /// The arguments for a load; `None` when the tool cannot do it.
    #[must_use]
    pub fn arguments(&self, load: &Load) -> Option<Vec<String>> {
        match load.script {
            Some(script) => script.arguments(self.name, load),
            None => (self.arguments)(load),
        }
    }
}

impl Found {
    /// The command for a load; `None` when the tool cannot do it.
    #[must_use]
    pub fn command(&self, load: &Load) -> Option<Vec<String>> {
        let mut command = vec![self.path.to_string_lossy().into_owned()];
        command.extend(self.tool.arguments(load)?);
        Some(command)
    }
}

/// The named tools, or all: those found, and those that are missing.
#[must_use]
pub fn look(names: &[String]) -> (Vec<Found>, Vec<Missing>) {
    let (mut found, mut missing) = (Vec::new(), Vec::new());
    for tool in TOOLS
        .iter()
        .filter(|tool| names.is_empty() || names.iter().any(|n| n == tool.name))
    {
        match locate(tool.program) {
            Some(path) => found.push(Found {
                tool,
                version: version(tool, &path),
                path,
            }),
            None => {
                missing.push(Missing {
                    tool: tool.name.to_owned(),
                    install: tool.install.to_owned(),
                });
            }
        }
    }
    (found, missing)
}

/// The command with what it takes to make the tool report latencies that can be read.
#[must_use]
pub fn reporting(name: &str, mut command: Vec<String>) -> Vec<String> {
    match name {
        "wrk" => command.insert(1, "--latency".to_owned()),
        "oha" => command.extend(["--output-format".to_owned(), "json".to_owned()]),
        "bombardier" => command.extend(["-l", "-o", "json"].map(str::to_owned)),
        "vegeta" => {
            let attack = command
                .iter()
                .filter(|word| !["-output", "/dev/null"].contains(&word.as_str()));
            let attack = attack.map(String::as_str).collect::<Vec<_>>().join(" ");
            let report = format!("{attack} | {} report -type=json", command[0]);
            return vec!["sh".to_owned(), "-c".to_owned(), report];
        }
        _ => {}
    }
    command
}

/// Runs the install command of a tool that a registry has; says whether it is there afterwards.
#[must_use]
pub fn install(name: &str) -> bool {
    let Some(tool) = TOOLS.iter().find(|tool| tool.name == name) else {
        return false;
    };
    if !tool.registry {
        println!("            no registry has it; the command above is for you to run");
        return true;
    }
    let status = Command::new("sh").args(["-c", tool.install]).status();
    let installed = status.is_ok_and(|status| status.success()) && locate(tool.program).is_some();
    if !installed {
        eprintln!("bench: {name} is still missing; its installer's reason is above");
    }
    installed
}

/// The names that `--tools` takes.
#[must_use]
pub fn names() -> Vec<&'static str> {
    TOOLS.iter().map(|tool| tool.name).collect()
}

/// Beside this program, in PATH, or where the package managers of languages put things.
#[must_use]
pub fn locate(program: &str) -> Option<PathBuf> {
    let beside = std::env::current_exe().ok()?.parent()?.to_owned();
    let home = std::env::var_os("HOME")
        .map(PathBuf::from)
        .unwrap_or_default();
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::iter::once(beside)
        .chain(std::env::split_paths(&path))
        .chain([".cargo/bin", "go/bin", ".npm-global/bin"].map(|folder| home.join(folder)))
        .map(|folder| folder.join(program))
        .find(|file| is_executable(file))
}

fn is_executable(file: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    file.metadata()
        .is_ok_and(|data| data.is_file() && data.permissions().mode() & 0o111 != 0)
}

/// The first line with a digit that the tool prints about itself, whatever its exit code; some
/// begin with a name alone, or with a `Version:` that was left empty.
fn version(tool: &Tool, path: &Path) -> String {
    if tool.version.is_empty() {
        return String::new();
    }
    let Ok(output) = Command::new(path).args(tool.version).output() else {
        return String::new();
    };
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text);
    version_line(&text).to_owned()
}

fn version_line(text: &str) -> &str {
    let mut lines = text.lines().map(str::trim);
    let numbered = lines.find(|line| line.contains(|letter: char| letter.is_ascii_digit()));
    numbered.unwrap_or_else(|| text.trim().lines().next().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn load(pipeline: u32, rate: Option<u32>, scratch: &Path) -> Load {
        Load {
            url: "http://127.0.0.1:1/".into(),
            connections: 64,
            seconds: 2,
            pipeline,
            rate,
            scratch: scratch.to_owned(),
            ..Load::default()
        }
    }

    fn able(pipeline: u32, rate: Option<u32>) -> Vec<&'static str> {
        let scratch = tempfile::tempdir().unwrap();
        able_to(&load(pipeline, rate, scratch.path()))
    }

    fn able_to(load: &Load) -> Vec<&'static str> {
        let able = |tool: &&Tool| (tool.arguments)(load).is_some();
        TOOLS.iter().filter(able).map(|tool| tool.name).collect()
    }

    #[test]
    fn every_tool_can_do_the_plain_load_and_names_the_url() {
        let scratch = tempfile::tempdir().unwrap();
        let others = ["floor", "locust"];
        for tool in TOOLS.iter().filter(|tool| !others.contains(&tool.name)) {
            let arguments = (tool.arguments)(&load(1, None, scratch.path()))
                .unwrap()
                .join(" ");
            let in_file = ["k6", "vegeta"].contains(&tool.name);
            assert!(
                in_file || arguments.contains("http://127.0.0.1:1/"),
                "{arguments}"
            );
        }
    }

    #[test]
    fn who_cannot_pipeline_or_keep_a_rate_is_left_out() {
        assert_eq!(
            able(16, None),
            ["dlts", "wrk", "h2load", "gcannon", "autocannon"]
        );
        let paced = [
            "dlts",
            "h2load",
            "oha",
            "bombardier",
            "k6",
            "vegeta",
            "zrk",
            "autocannon",
        ];
        assert_eq!(able(1, Some(1000)), paced);
    }

    #[test]
    fn who_cannot_speak_it_or_close_is_left_out() {
        let scratch = tempfile::tempdir().unwrap();
        let secure = Load {
            url: "https://127.0.0.1:1/".into(),
            ..load(1, None, scratch.path())
        };
        assert_eq!(able_to(&secure), ["dlts", "wrk", "h2load", "oha"]);
        let short = Load {
            requests_per_connection: Some(1),
            ..secure.clone()
        };
        assert_eq!(able_to(&short), ["dlts", "wrk", "oha"]);
        let streams = Load {
            protocol: Protocol::Http2,
            ..load(32, None, scratch.path())
        };
        assert_eq!(able_to(&streams), ["dlts", "h2load", "oha"]);
    }

    #[test]
    fn a_script_is_told_to_each_in_its_language_and_refused_where_it_would_not_be_alike() {
        let scratch = tempfile::tempdir().unwrap();
        let able = |load: &Load| {
            let able = |tool: &&Tool| tool.arguments(load).is_some();
            let able = TOOLS.iter().filter(able).map(|tool| tool.name);
            able.collect::<Vec<_>>()
        };
        let scripted = |script| Load {
            script: Some(script),
            ..load(1, None, scratch.path())
        };
        for script in [Script::One, Script::Mix, Script::Rows] {
            assert_eq!(able(&scripted(script)), ["dlts", "wrk", "k6", "locust"]);
        }
        assert_eq!(able(&scripted(Script::Prepared)), ["dlts", "wrk"]);
        assert_eq!(able(&scripted(Script::Login)), ["dlts", "k6", "locust"]);
        for file in fs::read_dir(scratch.path()).unwrap() {
            let path = file.unwrap().path();
            let text = fs::read_to_string(&path).unwrap();
            for word in ["ROOT", "CONNECTIONS", "SECONDS", "SCRATCH"] {
                assert!(!text.contains(word), "{}: {text}", path.display());
            }
        }
        let mut other = scripted(Script::Mix);
        other.rate = Some(100);
        assert!(able(&other).is_empty());
    }

    #[test]
    fn what_is_spoken_is_told_to_each_in_its_words() {
        let scratch = tempfile::tempdir().unwrap();
        let said =
            |tool: fn(&Load) -> Option<Vec<String>>, load: &Load| tool(load).unwrap().join(" ");
        let mut load = Load {
            url: "https://127.0.0.1:1/".into(),
            requests_per_connection: Some(1),
            ..load(1, None, scratch.path())
        };
        let ours = said(commands::dlts, &load);
        assert!(
            ours.contains("--http 1.1 --insecure --requests-per-connection 1"),
            "{ours}"
        );
        assert!(said(commands::wrk, &load).contains("-H Connection: close"));
        assert!(said(commands::oha, &load).contains("--insecure --disable-keepalive"));
        load.requests_per_connection = None;
        load.protocol = Protocol::Http2;
        load.pipeline = 32;
        assert!(said(commands::dlts, &load).contains("--pipeline 32 --http 2 --insecure"));
        assert!(said(commands::oha, &load).contains("--http2 -p 32 --insecure"));
        assert!(!said(commands::h2load, &load).contains("--h1"));
        load.url = "http://127.0.0.1:1/".into();
        assert!(said(commands::dlts, &load).contains("--http h2c"));
    }

    #[test]
    fn a_rate_leaves_the_loop_open() {
        let scratch = tempfile::tempdir().unwrap();
        let arguments = |rate| commands::vegeta(&load(1, rate, scratch.path())).unwrap();
        assert!(arguments(None).contains(&"-max-workers".to_owned()));
        let paced = arguments(Some(1000)).join(" ");
        assert!(paced.contains("-rate 1000"), "{paced}");
        assert!(!paced.contains("workers") && !paced.contains("-connections"));
        for (rate, users) in [(1, 64), (1000, 4000), (50_000, 20_000)] {
            commands::k6(&load(1, Some(rate), scratch.path())).unwrap();
            let text = std::fs::read_to_string(scratch.path().join("load.js")).unwrap();
            assert!(text.contains(&format!("maxVUs: {users} ")), "{text}");
        }
    }

    #[test]
    fn the_version_is_the_first_line_with_a_digit() {
        let vegeta = "Version: \nCommit: \nRuntime: go1.24.4 linux/amd64\n";
        assert_eq!(version_line(vegeta), "Runtime: go1.24.4 linux/amd64");
        assert_eq!(version_line("\nwrk 4.1.0 [epoll]\n"), "wrk 4.1.0 [epoll]");
        assert_eq!(version_line("gcannon\nusage\n"), "gcannon");
    }

    #[test]
    fn what_is_missing_comes_with_the_command_that_installs_it() {
        assert_eq!(locate("no-such-generator"), None);
        assert!(locate("sh").is_some());
        let (found, missing) = look(&["zrk".to_owned(), "wrk".to_owned()]);
        assert_eq!(found.len() + missing.len(), 2);
        assert!(missing.iter().all(|missing| !missing.install.is_empty()));
    }
}
