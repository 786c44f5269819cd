//! Comparisons under other loads than the canonical one: many connections, large answers, answers
//! that are never alike, short connections, TLS, handshakes, HTTP/2, documents. Each is a plan for
//! [`crate::throughput`], which measures it like the canonical comparison.
//!
//! | scenario | target | reference | load |
//! |---|---|---|---|
//! | `connections` | stamping | wrk | 64 to 50000 connections; the largest is for the memory they take |
//! | `large` | stamping | wrk | answers of 16 KiB and of 1 MiB |
//! | `unique-heads` | stamping | wrk | a header that is new in each answer |
//! | `connection-per-request` | stamping | wrk | a connection for each request |
//! | `tls` | nginx | wrk | https, HTTP/1.1, connections that stay |
//! | `handshakes` | nginx | wrk | https, a connection for each request; full, then resumed where the tool resumes |
//! | `h2` | nginx, nghttpd | h2load | 1 and 32 streams a connection, over TLS |
//! | `documents` | stamping | wrk | one page and ten by weight; a path and a header out of each row of a file |
//! | | test server | k6 | login, extract, use, check |
//!
//! nghttpd keeps no count: what each generator says itself is taken there.

use crate::cli::Outcome;
use crate::output::{self, View};
use crate::rig::{Error, Kind};
use crate::throughput::{self, Budget, Common, Group, Plan, WRK};
use crate::tools::{Protocol, Script};

const H2LOAD: &str = "h2load";
const K6: &str = "k6";
const KIB: u32 = 1024;

/// Options of each of these scenarios.
#[derive(Clone, Debug, clap::Args)]
#[group(skip)]
pub struct Options {
    /// Connections [default: 64; of `connections`: 64,1000,10000,50000]
    #[arg(long, value_name = "LIST", value_delimiter = ',',
          value_parser = clap::value_parser!(u32).range(1..=50_000))]
    pub connections: Vec<u32>,

    /// How long to go on
    #[command(flatten)]
    pub budget: Budget,

    /// What all scenarios know
    #[command(flatten)]
    pub common: Common,
}

/// Which load.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kinds {
    /// Many connections.
    Connections,
    /// Large answers.
    Large,
    /// A header that is new in each answer.
    UniqueHeads,
    /// A connection for each request.
    ConnectionPerRequest,
    /// HTTP/1.1 over TLS.
    Tls,
    /// A connection over TLS for each request.
    Handshakes,
    /// HTTP/2 over TLS.
    H2,
    /// More than one request.
    Documents,
}

/// Measures and publishes; doubtful when any of the documents is.
///
/// # Errors
/// When the rig cannot be set up, or no generator is there.
pub fn run(kind: Kinds, options: &Options) -> Result<Outcome, Error> {
    let mut outcome = Outcome::Done;
    for plan in plans(kind, &options.connections) {
        let view = view(&plan);
        let document = throughput::compare(&plan, options.budget, &options.common)?;
        output::publish(&document, &view, &options.common.results)?;
        if options.common.strict && !document.doubts.is_empty() {
            outcome = Outcome::Doubtful;
        }
    }
    Ok(outcome)
}

fn plans(kind: Kinds, connections: &[u32]) -> Vec<Plan> {
    let all = |default: &[u32]| match connections {
        [] => default.to_vec(),
        asked => asked.to_vec(),
    };
    let groups = |of: &dyn Fn(&Group) -> Vec<Group>| {
        let plain = all(&[64]).into_iter().map(Group::plain);
        plain.flat_map(|group| of(&group)).collect::<Vec<_>>()
    };
    let plan = |scenario: &str, target, groups| Plan {
        scenario: scenario.to_owned(),
        target,
        reference: WRK,
        groups,
    };
    let short = |group: &Group| {
        vec![Group {
            requests_per_connection: Some(1),
            ..group.clone()
        }]
    };
    let stamping = Kind::Stamping;
    match kind {
        Kinds::Connections => {
            let many = all(&[64, 1000, 10_000, 50_000]);
            let groups = many.into_iter().map(Group::plain).collect();
            vec![plan("connections", stamping, groups)]
        }
        Kinds::Large => vec![plan("large", stamping, groups(&large))],
        Kinds::UniqueHeads => vec![plan("unique-heads", stamping, groups(&unique))],
        Kinds::ConnectionPerRequest => {
            vec![plan("connection-per-request", stamping, groups(&short))]
        }
        Kinds::Tls => vec![plan(
            "tls",
            Kind::NginxTls,
            groups(&|group| vec![group.clone()]),
        )],
        Kinds::Handshakes => vec![
            plan("handshakes-full", Kind::NginxTlsFull, groups(&short)),
            plan("handshakes-resumed", Kind::NginxTls, groups(&short)),
        ],
        Kinds::H2 => {
            let at = |name: &str, target| Plan {
                reference: H2LOAD,
                ..plan(name, target, groups(&streams))
            };
            vec![
                at("h2-nginx", Kind::NginxTls),
                at("h2-nghttpd", Kind::Nghttpd),
            ]
        }
        Kinds::Documents => {
            let scripted = |group: &Group, script, pages| Group {
                script: Some(script),
                others: vec![("pages", pages)],
                ..group.clone()
            };
            let of = |name: &str, script| {
                plan(
                    name,
                    stamping,
                    groups(&|group| vec![scripted(group, script, 1.0)]),
                )
            };
            let mix = groups(&|group| {
                vec![
                    scripted(group, Script::One, 1.0),
                    scripted(group, Script::Mix, 10.0),
                ]
            });
            // What it logs in at answers with JSON.
            let login = Plan {
                target: Kind::Testserver,
                reference: K6,
                ..of("documents-login", Script::Login)
            };
            vec![
                plan("documents-mix", stamping, mix),
                of("documents-rows", Script::Rows),
                of("documents-prepared", Script::Prepared),
                login,
            ]
        }
    }
}

fn large(group: &Group) -> Vec<Group> {
    let of = |query, bytes: u32| Group {
        query,
        others: vec![("body_bytes", f64::from(bytes))],
        ..group.clone()
    };
    vec![of("?size=16k", 16 * KIB), of("?size=1m", KIB * KIB)]
}

fn unique(group: &Group) -> Vec<Group> {
    vec![Group {
        query: "?unique",
        ..group.clone()
    }]
}

fn streams(group: &Group) -> Vec<Group> {
    let with = |streams| Group {
        pipeline: streams,
        protocol: Protocol::Http2,
        // What nghttpd has; nginx answers the same to any path.
        query: "index.html",
        ..group.clone()
    };
    vec![with(1), with(32)]
}

fn view(plan: &Plan) -> View {
    let other = plan.groups.iter().flat_map(|group| &group.others).next();
    View {
        title: title(&plan.scenario),
        parameters: match other {
            Some(("body_bytes", _)) => &["connections", "body_bytes"],
            Some(("pages", _)) => &["connections", "pages"],
            _ => throughput::PARAMETERS,
        },
        columns: match plan.reference {
            H2LOAD => throughput::COLUMNS_VS_H2LOAD,
            K6 => throughput::COLUMNS_VS_K6,
            _ => throughput::COLUMNS,
        },
        plots: throughput::PLOTS,
    }
}

fn title(scenario: &str) -> &'static str {
    match scenario {
        "connections" => "Many connections from one core",
        "large" => "Large answers on one core",
        "unique-heads" => "Answers with a header of their own on one core",
        "connection-per-request" => "A connection for each request from one core",
        "tls" => "HTTP/1.1 over TLS from one core",
        "handshakes-full" => "A full TLS handshake for each request from one core",
        "handshakes-resumed" => "A TLS handshake for each request, resumption allowed",
        "documents-mix" => "One page, and ten by weight, from one core",
        "documents-prepared" => "Rows of a file, at wrk with all requests ready before the load",
        "documents-rows" => "A path and a header out of each row of a file, from one core",
        "documents-login" => "Login, extraction, use and check from one core, start included",
        "h2-nginx" => "HTTP/2 over TLS at nginx from one core",
        _ => "HTTP/2 over TLS at nghttpd from one core, by the generators' own counts",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Kinds; 8] = [
        Kinds::Connections,
        Kinds::Large,
        Kinds::UniqueHeads,
        Kinds::ConnectionPerRequest,
        Kinds::Tls,
        Kinds::Handshakes,
        Kinds::H2,
        Kinds::Documents,
    ];

    #[test]
    fn every_scenario_has_a_file_of_its_own_and_cells_that_differ() {
        let plans: Vec<Plan> = ALL.iter().flat_map(|&kind| plans(kind, &[])).collect();
        let names: std::collections::BTreeSet<&str> =
            plans.iter().map(|plan| plan.scenario.as_str()).collect();
        assert_eq!(names.len(), plans.len());
        for plan in &plans {
            let cells = plan
                .groups
                .iter()
                .map(|group| group.cell("dlts").parameters);
            let cells: Vec<_> = cells.collect();
            assert!((1..cells.len()).all(|at| !cells[..at].contains(&cells[at])));
            assert!(!title(&plan.scenario).is_empty());
        }
    }

    #[test]
    fn connections_that_are_asked_for_replace_the_default() {
        let count = |kind, asked: &[u32]| {
            let groups = plans(kind, asked).remove(0).groups;
            groups
                .iter()
                .map(|group| group.connections)
                .collect::<Vec<_>>()
        };
        assert_eq!(count(Kinds::Connections, &[]), [64, 1000, 10_000, 50_000]);
        assert_eq!(count(Kinds::Connections, &[5]), [5]);
        assert_eq!(count(Kinds::Large, &[5]), [5, 5]);
        assert_eq!(count(Kinds::H2, &[]), [64, 64]);
    }
}
