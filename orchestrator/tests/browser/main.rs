//! The dashboard in a real browser: chromium, driven over `WebDriver`, against the real binaries
//! on the embedded broker.
//!
//! Needs `chromium` and `chromedriver` on the PATH (Debian: `chromium chromium-driver`) and the
//! other crates' binaries (`cargo build --workspace --bins`). Without a browser each test says so
//! in one line and passes. One test runs at a time: each has a cluster of its own.
//!
//! With `SCREENSHOTS=1`, the pictures of the README are taken anew.
#![allow(clippy::unwrap_used, reason = "a test may fail by a panic")]

mod accessible;
mod cluster;
mod editor;
mod figures;
mod forms;
mod heat;
mod lines;
mod live;
mod looks;
mod modules;
mod past;
mod search;
mod set;
mod stage;
mod trend;
mod webdriver;
mod zoom;
