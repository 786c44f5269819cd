//! A cluster and a browser on it: what every test begins and ends with.

use std::io::Write;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::json;

use crate::cluster::Cluster;
use crate::webdriver::Browser;

/// Tests own the machine's cores one at a time.
static TURN: Mutex<()> = Mutex::new(());

/// Long enough for a busy machine.
pub(crate) const SOON: Duration = Duration::from_secs(20);
/// The whole page of a test.
pub(crate) const RUN: &str = "#run";

pub(crate) struct Stage {
    pub(crate) browser: Browser,
    pub(crate) cluster: Cluster,
    _turn: MutexGuard<'static, ()>,
}

impl Stage {
    /// `None`, said in a line, when there is no browser.
    pub(crate) fn set(node_ids: &[&str]) -> Option<Self> {
        Self::set_with(node_ids, None)
    }

    /// The same, with an orchestrator that asks for this token.
    pub(crate) fn set_with(node_ids: &[&str], token: Option<&'static str>) -> Option<Self> {
        let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(browser) = Browser::start() else {
            // Not println!, which libtest keeps to itself.
            let skipped = "skipped: no chromium and chromedriver on the PATH";
            let _ = writeln!(std::io::stderr(), "{skipped}");
            return None;
        };
        Some(Self {
            browser,
            cluster: Cluster::start(node_ids, token),
            _turn: turn,
        })
    }

    /// Opens a view, and waits until it is there.
    pub(crate) fn open(&self, fragment: &str) {
        self.browser.open(&self.cluster.url(fragment));
        let there = "return document.querySelector('main:not([aria-busy])') !== null";
        self.browser.wait(fragment, SOON, |browser| {
            browser.run(there, json!([])) == json!(true)
        });
    }

    /// Opens the page of a run of an hour on eight nodes, which goes on.
    pub(crate) fn open_an_hour(&self) {
        self.open_made_up(8, 1, 0);
    }

    /// Opens the page of a run of so many nodes, hours and steps, which goes on: what stands in for
    /// the orchestrator makes it up.
    pub(crate) fn open_made_up(&self, nodes: u32, hours: u32, steps: u32) {
        let made = json!({"nodes": nodes, "hours": hours, "steps": steps});
        let script = format!("window.made = {made};\n{}", include_str!("hour.js"));
        self.browser.devtools(
            "Page.addScriptToEvaluateOnNewDocument",
            &json!({"source": script}),
        );
        self.open("#/test/hour");
        self.browser.wait("the run", SOON, |browser| {
            browser.number(RUN, "data-elapsed-s") > 3000.0
        });
    }

    pub(crate) fn state(&self) -> String {
        self.browser
            .attribute(RUN, "data-state")
            .unwrap_or_default()
    }

    pub(crate) fn wait_for_state(&self, state: &str) {
        self.browser.wait(state, SOON, |_| self.state() == state);
    }

    /// Every test ends with it.
    pub(crate) fn assert_no_console_errors(&self) {
        assert_eq!(self.browser.console_errors(), Vec::<String>::new());
    }
}
