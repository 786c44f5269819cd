//! A `WebDriver` client, as small as the tests need it.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;
use ureq::Agent;

const FLAGS: [&str; 9] = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--window-size=1280,900",
];
/// Longest wait for an element, on a busy machine.
const APPEARS_MAX: Duration = Duration::from_secs(20);
/// The key of an element's id (W3C `WebDriver`, 12.2).
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";
/// A call that takes longer hangs.
const CALL_MAX: Duration = Duration::from_secs(60);

/// A browser with an empty profile, ended with its driver when dropped.
pub(crate) struct Browser {
    driver: Child,
    agent: Agent,
    session: String,
    home: TempDir,
}

impl Browser {
    /// Starts one; `None` when chromium or its driver is not installed.
    pub(crate) fn start() -> Option<Self> {
        let chromium = on_path("chromium")?;
        let chromedriver = on_path("chromedriver")?;
        let home = TempDir::new().unwrap();
        let (driver, port) = started(&chromedriver);
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(CALL_MAX))
            .build();
        let agent = Agent::new_with_config(config);
        let session = format!("http://127.0.0.1:{port}/session");
        let mut browser = Self {
            driver,
            agent,
            session,
            home,
        };
        let answer = browser.post("", &capabilities(&chromium, browser.home.path()));
        browser.session = format!(
            "{}/{}",
            browser.session,
            answer["sessionId"].as_str().unwrap()
        );
        browser.allow_downloads();
        Some(browser)
    }

    fn allow_downloads(&self) {
        let folder = self.downloads();
        fs::create_dir_all(&folder).unwrap();
        let params = json!({"behavior": "allow", "downloadPath": folder});
        self.devtools("Browser.setDownloadBehavior", &params);
    }

    /// Where downloads go.
    pub(crate) fn downloads(&self) -> PathBuf {
        self.home.path().join("downloads")
    }

    pub(crate) fn open(&self, url: &str) {
        self.post("/url", &json!({"url": url}));
    }

    /// Runs the body of a function in the page.
    #[allow(clippy::needless_pass_by_value, reason = "callers write json!(…)")]
    pub(crate) fn run(&self, script: &str, arguments: Value) -> Value {
        self.post(
            "/execute/sync",
            &json!({"script": script, "args": arguments}),
        )
    }

    /// Runs one that calls `arguments[arguments.length - 1]` with its result.
    pub(crate) fn run_later(&self, script: &str) -> Value {
        self.post("/timeouts", &json!({"script": 50_000}));
        self.post("/execute/async", &json!({"script": script, "args": []}))
    }

    pub(crate) fn devtools(&self, command: &str, params: &Value) -> Value {
        self.post(
            "/goog/cdp/execute",
            &json!({"cmd": command, "params": params}),
        )
    }

    /// Clicks as a person does: what is hidden or covered cannot be clicked.
    pub(crate) fn click(&self, css: &str) {
        let id = self.element(css);
        self.post(&format!("/element/{id}/click"), &json!({}));
    }

    /// Types as a person does.
    pub(crate) fn type_into(&self, css: &str, text: &str) {
        let id = self.element(css);
        self.post(&format!("/element/{id}/value"), &json!({"text": text}));
    }

    /// An element; one that is not there yet is waited for, as a person does.
    fn element(&self, css: &str) -> String {
        let script = "return document.querySelector(arguments[0]) !== null";
        self.wait(css, APPEARS_MAX, |browser| {
            browser.run(script, json!([css])) == json!(true)
        });
        let found = self.post("/element", &json!({"using": "css selector", "value": css}));
        found[ELEMENT]
            .as_str()
            .unwrap_or_else(|| panic!("no {css}: {found}"))
            .to_owned()
    }

    /// The text that the element shows; empty when it is not there or not visible.
    pub(crate) fn text(&self, css: &str) -> String {
        let script = "const element = document.querySelector(arguments[0]);
            return element?.checkVisibility() ? element.innerText : ''";
        self.run(script, json!([css])).as_str().unwrap().to_owned()
    }

    /// An attribute of an element; `None` without either.
    pub(crate) fn attribute(&self, css: &str, name: &str) -> Option<String> {
        let script = "return document.querySelector(arguments[0])?.getAttribute(arguments[1])";
        self.run(script, json!([css, name]))
            .as_str()
            .map(str::to_owned)
    }

    /// The same as a number; 0 without one.
    pub(crate) fn number(&self, css: &str, name: &str) -> f64 {
        self.attribute(css, name)
            .and_then(|text| text.parse().ok())
            .unwrap_or(0.0)
    }

    /// Waits until `condition` holds, or fails with what it waited for and what the page says.
    pub(crate) fn wait(&self, what: &str, max: Duration, mut condition: impl FnMut(&Self) -> bool) {
        let start = Instant::now();
        while !condition(self) {
            let page = || self.run("return document.body.innerText", json!([]));
            assert!(
                start.elapsed() < max,
                "waited {max:?} for {what}; the page says {}",
                page()
            );
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Errors in the console since the last call. Chromium writes a line for every refused or
    /// failed request, which no page can prevent: these are not errors of the page.
    pub(crate) fn console_errors(&self) -> Vec<String> {
        let entries = self.post("/se/log", &json!({"type": "browser"}));
        let errors = entries
            .as_array()
            .unwrap()
            .iter()
            .filter(|entry| entry["level"] == "SEVERE" && entry["source"] != "network");
        errors.map(|entry| entry["message"].to_string()).collect()
    }

    /// A window of this size, with the system's theme `light` or `dark`.
    pub(crate) fn emulate(&self, width: u32, height: u32, theme: &str) {
        let metrics = json!({"width": width, "height": height, "deviceScaleFactor": 1,
            "mobile": width < 600});
        self.devtools("Emulation.setDeviceMetricsOverride", &metrics);
        let features = json!({"features": [{"name": "prefers-color-scheme", "value": theme}]});
        self.devtools("Emulation.setEmulatedMedia", &features);
        self.devtools("Emulation.setScrollbarsHidden", &json!({"hidden": true}));
    }

    /// A PNG of the window, in base64.
    pub(crate) fn screenshot(&self) -> String {
        let answer = self.devtools("Page.captureScreenshot", &json!({"format": "png"}));
        answer["data"].as_str().unwrap().to_owned()
    }

    fn post(&self, path: &str, body: &Value) -> Value {
        let url = format!("{}{path}", self.session);
        let request = self
            .agent
            .post(&url)
            .header("Content-Type", "application/json");
        let mut answer = request.send(body.to_string()).unwrap();
        let text = answer
            .body_mut()
            .with_config()
            .limit(64 << 20)
            .read_to_string()
            .unwrap();
        let mut value: Value = serde_json::from_str(&text).unwrap();
        let value = value["value"].take();
        assert!(
            value["error"].is_null(),
            "{path} {body}: {}",
            value["message"]
        );
        value
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = self.agent.delete(&self.session).call();
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}

fn capabilities(chromium: &Path, home: &Path) -> Value {
    let mut flags: Vec<String> = FLAGS.iter().map(|&flag| flag.to_owned()).collect();
    flags.push(format!(
        "--user-data-dir={}",
        home.join("profile").display()
    ));
    json!({"capabilities": {"alwaysMatch": {
        "goog:loggingPrefs": {"browser": "ALL"},
        "goog:chromeOptions": {"binary": chromium, "args": flags},
    }}})
}

/// The driver and its port. It looks for a free one of IPv4 first and ends where that is not free in
/// IPv6, or not any more: then another is tried.
fn started(chromedriver: &Path) -> (Child, u16) {
    let mut said = String::new();
    for _ in 0..5 {
        let mut driver = Command::new(chromedriver)
            .arg("--port=0")
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        match port_of(&mut driver) {
            Ok(port) => return (driver, port),
            Err(output) => said = output,
        }
        let _ = driver.kill();
        let _ = driver.wait();
    }
    panic!("chromedriver does not start: {said}");
}

/// The driver prints `… started successfully on port N.`; else what it printed.
fn port_of(driver: &mut Child) -> Result<u16, String> {
    let mut said = Vec::new();
    for line in BufReader::new(driver.stdout.take().unwrap()).lines() {
        let Ok(line) = line else { break };
        let port = line.split_once("successfully on port ");
        if let Some(port) = port.and_then(|(_, port)| port.trim_end_matches('.').parse().ok()) {
            return Ok(port);
        }
        said.push(line);
    }
    Err(said.join("\n"))
}

fn on_path(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|folder| folder.join(name))
        .find(|file| file.is_file())
}
