//! The REST API, on `tiny_http` behind the [`crate::rest::front`].
//!
//! `tiny_http` listens on a Unix socket of this process only; what comes through it was bounded and
//! read whole by the front. A few threads take requests from it. None of them owns anything: they
//! look at the snapshot or read the store, and hand what is to be done to the control thread.

mod answer;
mod backup;
mod call;
mod campaigns;
mod capacity;
mod commands;
mod compare;
mod create;
mod data;
mod documents;
mod export;
mod health;
mod heatmap;
mod lines;
mod nodes;
mod prometheus;
mod query;
mod repeats;
mod reply;
mod stream;
mod trend;

use std::io::{self, Read};
use std::sync::Arc;

use proto::document::SCHEMA;
use proto::workload::TestType;

pub use answer::Answer;
pub use call::Call;

use crate::control_thread::Handle;
use crate::dashboard;
use crate::files::Files;
use crate::live::Live;
use crate::rest::access::{Access, Denied};
use crate::rest::front::{Downloads, Traffic};
use crate::store::{Backups, Reader};

/// The contract, true to the code; schemathesis holds the one against the other.
const CONTRACT: &str = include_str!("api/openapi.json");

/// What every REST thread knows.
#[derive(Clone)]
pub struct Api {
    /// The way to the control thread.
    pub handle: Handle,
    /// What can be seen without asking it.
    pub live: Arc<Live>,
    /// The rules of access.
    pub access: Arc<Access>,
    /// Target of tests that name none.
    pub default_target: String,
    /// Where drivers find the broker.
    pub bootstrap: String,
    /// What went by at the front.
    pub traffic: Arc<Traffic>,
    /// Answers that are files.
    pub downloads: Arc<Downloads>,
    /// Makes copies of the store.
    pub backups: Arc<Backups>,
    /// The store's file.
    pub store_path: std::path::PathBuf,
    /// The files beside it.
    pub files: Arc<Files>,
}

/// One REST thread: the API with a reader of its own.
pub struct Worker {
    api: Api,
    reader: Option<Reader>,
}

/// What a path leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Route<'a> {
    Asset,
    Health,
    Create(TestType, Option<&'a str>),
    Trigger(&'a str),
    Stop(&'a str),
    Searches,
    Search(&'a str),
    Sets,
    Set(&'a str),
    Tests,
    Check,
    Test(&'a str),
    Notes(&'a str),
    Export(&'a str),
    HeatMap(&'a str),
    Lines(&'a str),
    Stream(&'a str),
    Rate(&'a str),
    Backup,
    Compare,
    Trend,
    Metrics(&'a str),
    Exposition,
    Nodes,
    Contract,
    Schema,
    Data,
    Datum(&'a str),
}

impl Route<'_> {
    fn allow(self) -> &'static str {
        match self {
            Self::Create(..)
            | Self::Check
            | Self::Trigger(_)
            | Self::Stop(_)
            | Self::Notes(_)
            | Self::Rate(_) => "POST",
            Self::Tests | Self::Searches => "GET, HEAD, POST",
            Self::Search(_) => "GET, HEAD, DELETE",
            // Its head alone is as much work as all of it.
            Self::Backup => "GET",
            Self::Test(_) | Self::Set(_) => "GET, HEAD, PATCH, DELETE",
            Self::Datum(_) => "PUT, DELETE",
            _ => "GET, HEAD",
        }
    }

    /// Whether it needs no token: the page that asks for it, and what drivers must know first.
    fn is_public(self) -> bool {
        matches!(
            self,
            Self::Asset | Self::Health | Self::Contract | Self::Schema
        )
    }
}

fn route<'a>(path: &'a str, segments: &'a [String]) -> Option<Route<'a>> {
    let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
    let found = match segments.as_slice() {
        ["healthz"] => Route::Health,
        ["avalanche"] => Route::Create(TestType::Avalanche, None),
        ["tsunami", seconds] => Route::Create(TestType::Tsunami, Some(seconds)),
        ["trigger", id] => Route::Trigger(id),
        ["stop", id] => Route::Stop(id),
        ["capacity"] => Route::Searches,
        ["capacity", id] => Route::Search(id),
        ["repeats"] => Route::Sets,
        ["repeats", id] => Route::Set(id),
        ["tests"] => Route::Tests,
        ["tests", "check"] => Route::Check,
        ["tests", id] => Route::Test(id),
        ["tests", id, "notes"] => Route::Notes(id),
        ["tests", id, "export"] => Route::Export(id),
        ["tests", id, "heatmap"] => Route::HeatMap(id),
        ["tests", id, "lines"] => Route::Lines(id),
        ["tests", id, "stream"] => Route::Stream(id),
        ["tests", id, "rate"] => Route::Rate(id),
        ["backup"] => Route::Backup,
        ["compare"] => Route::Compare,
        ["trend"] => Route::Trend,
        ["metrics"] => Route::Exposition,
        ["metrics", id] => Route::Metrics(id),
        ["openapi.json"] => Route::Contract,
        ["document.schema.json"] => Route::Schema,
        ["nodes"] => Route::Nodes,
        ["data"] => Route::Data,
        ["data", name] => Route::Datum(name),
        _ => return dashboard::asset(path).map(|_| Route::Asset),
    };
    Some(found)
}

impl Worker {
    /// A worker; it opens its reader when it first needs it.
    #[must_use]
    pub fn new(api: Api) -> Self {
        Self { api, reader: None }
    }

    /// Serves until the server is unblocked.
    pub fn run(mut self, server: &tiny_http::Server) {
        while let Ok(mut request) = server.recv() {
            let answer = match Call::head(&request) {
                Ok(call) if call.is_upload() => self.reply(&call, request.as_reader()),
                Ok(call) => match call.with_body(&mut request) {
                    Ok(call) => self.answer(&call),
                    Err(answer) => answer,
                },
                Err(answer) => answer,
            };
            // A client that went away does not matter.
            let _ = request.respond(answer.into_response());
        }
    }

    /// The answer to one call that was read whole.
    pub fn answer(&mut self, call: &Call) -> Answer {
        self.reply(call, &mut io::empty())
    }

    /// The answer to one call, whose body is read when it is an upload.
    fn reply(&mut self, call: &Call, body: &mut dyn Read) -> Answer {
        let Some(segments) = call.segments() else {
            return Answer::error(
                400,
                "the path is not valid percent-encoded UTF-8",
                "see /openapi.json",
            );
        };
        let route = route(&call.path, &segments);
        let is_public = route.is_some_and(Route::is_public);
        if let Err(denied) = self.api.access.check(&call.credentials(), is_public) {
            return refuse(&denied);
        }
        let Some(route) = route else {
            let error = format!("there is nothing at {}", call.path);
            return Answer::error(404, &error, "the paths are listed in /openapi.json");
        };
        if !route
            .allow()
            .split(", ")
            .any(|method| method == call.method)
        {
            let error = format!("{} is not for {}", call.method, call.path);
            let hint = format!("allowed: {}", route.allow());
            return Answer::error(405, &error, &hint).with("Allow", route.allow());
        }
        self.serve(route, call, body)
    }

    fn serve(&mut self, route: Route<'_>, call: &Call, body: &mut dyn Read) -> Answer {
        match route {
            Route::Asset => asset(call),
            Route::Health => self.health(),
            Route::Create(kind, seconds) => self.create(kind, seconds, call),
            Route::Trigger(id) => self.trigger(id, call),
            Route::Stop(id) => self.stop(id),
            Route::Rate(id) => self.change_rate(id, call),
            Route::Searches if call.method == "POST" => self.seek(call),
            Route::Searches => self.searches(),
            Route::Search(id) if call.method == "DELETE" => self.delete_search(id),
            Route::Search(id) => self.search(id),
            Route::Sets => self.sets(),
            Route::Set(id) => match call.method.as_str() {
                "DELETE" => self.delete_set(id),
                "PATCH" => self.label_set(id, call),
                _ => self.set(id),
            },
            Route::Tests if call.method == "POST" => self.compose(call),
            Route::Tests => self.tests(call),
            Route::Check => self.check(call),
            Route::Test(id) => match call.method.as_str() {
                "DELETE" => self.delete(id),
                "PATCH" => self.label(id, call),
                _ => self.test(id),
            },
            Route::Notes(id) => self.note(id, call),
            Route::Export(id) => self.export(id, call),
            Route::HeatMap(id) => self.heat_map(id, call),
            Route::Lines(id) => self.lines(id, call),
            Route::Stream(id) => self.stream(id, call),
            Route::Backup => self.backup(),
            Route::Compare => self.compare(call),
            Route::Trend => self.trend(call),
            Route::Metrics(id) => self.metrics(id, call),
            Route::Exposition => self.exposition(),
            Route::Contract => Answer::new(200, "application/json", CONTRACT.as_bytes().to_vec()),
            Route::Schema => {
                Answer::new(200, "application/schema+json", SCHEMA.as_bytes().to_vec())
            }
            Route::Nodes => self.nodes(call),
            Route::Data => self.data(),
            Route::Datum(name) if call.method == "PUT" => self.upload(name, call, body),
            Route::Datum(name) => self.remove_data(name),
        }
    }

    /// This thread's reader of the store.
    fn reader(&mut self) -> Result<&Reader, Answer> {
        if self.reader.is_none() {
            self.reader = Some(Reader::open(&self.api.store_path).map_err(|e| store_away(&e))?);
        }
        self.reader.as_ref().ok_or_else(Answer::busy)
    }
}

fn store_away(error: &dyn std::fmt::Display) -> Answer {
    let error = format!("the store cannot be read: {error}");
    Answer::error(
        503,
        &error,
        "look at the disk of the orchestrator and at its log",
    )
}

fn refuse(denied: &Denied) -> Answer {
    match denied {
        Denied::Token => {
            let hint = "send the header Authorization: Bearer <token>, with the token of --token";
            Answer::error(401, &denied.to_string(), hint).with("WWW-Authenticate", "Bearer")
        }
        Denied::CrossSite(_) => {
            let hint = "open the dashboard at the orchestrator's own address; behind a proxy, start \
                        the orchestrator with the URL that people use: --public-url https://…";
            Answer::error(403, &denied.to_string(), hint)
        }
        Denied::Host(_) => {
            let hint = "ask it by its address, or start it with --public-url and the URL that \
                        people use";
            Answer::error(403, &denied.to_string(), hint)
        }
        Denied::NoHost(_) => {
            Answer::error(400, &denied.to_string(), "send the host that you asked for")
        }
    }
}

fn asset(call: &Call) -> Answer {
    let Some(asset) = dashboard::asset(&call.path) else {
        return Answer::error(404, "no such asset", "reload the dashboard");
    };
    let cache = if asset.immutable {
        "public, max-age=31536000, immutable"
    } else {
        "no-cache"
    };
    let is_gzip_taken = takes_gzip(call.header("Accept-Encoding").unwrap_or_default());
    let answer = if is_gzip_taken {
        Answer::new(200, asset.content_type, asset.gzipped.to_vec())
            .with("Content-Encoding", "gzip")
    } else {
        Answer::new(200, asset.content_type, asset.body.to_vec())
    };
    answer
        .with("Vary", "Accept-Encoding")
        .with("Cache-Control", cache)
        .with(
            "Content-Security-Policy",
            dashboard::CONTENT_SECURITY_POLICY,
        )
        .with("Referrer-Policy", "no-referrer")
}

/// Whether an Accept-Encoding names gzip, and not as one that is refused: RFC 9110, 12.5.3.
fn takes_gzip(accepted: &str) -> bool {
    accepted.split(',').any(|coding| {
        let (name, weight) = coding.split_once(';').unwrap_or((coding, ""));
        let weight = weight.trim().strip_prefix("q=").unwrap_or("1");
        name.trim().eq_ignore_ascii_case("gzip") && weight.parse::<f32>().is_ok_and(|q| q > 0.0)
    })
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    #[test]
    fn gzip_is_taken_where_it_is_named_and_not_refused() {
        for taken in ["gzip", "gzip, deflate, br", "br;q=1.0, GZIP;q=0.5"] {
            assert!(takes_gzip(taken), "{taken}");
        }
        for not in ["", "identity", "gzip;q=0", "x-gzip", "*", "gzip;q=x"] {
            assert!(!takes_gzip(not), "{not}");
        }
    }

    #[test]
    fn the_contract_names_the_paths_that_there_are_and_their_methods() {
        let contract: Value = serde_json::from_str(CONTRACT).unwrap();
        for (path, calls) in contract["paths"].as_object().unwrap() {
            let segments: Vec<String> = path.split('/').skip(1).map(str::to_owned).collect();
            let route = route(path, &segments).unwrap_or_else(|| panic!("{path} is no path"));
            let known = calls.as_object().unwrap().keys();
            let mut told: Vec<String> = known
                .map(|method| method.to_uppercase())
                .filter(|name| name != "PARAMETERS")
                .collect();
            // Whoever may ask for all may ask for the head, which nobody needs to be told.
            let mut allowed: Vec<&str> = route.allow().split(", ").collect();
            allowed.retain(|method| *method != "HEAD");
            told.retain(|method| method != "HEAD");
            allowed.sort_unstable();
            told.sort_unstable();
            assert_eq!(told, allowed, "{path}");
        }
    }
}
