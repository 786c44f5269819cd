//! `client`: the terminal front end of the orchestrator's REST API.

pub mod api;
