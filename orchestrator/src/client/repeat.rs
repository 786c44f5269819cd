//! `client run avalanche --repeat N`, and of a tsunami: tests that are runs of one, after each other,
//! and how far their figures are spread. Each is a test of its own, made here; a tag makes them a set
//! that `client compare` and `client gate` take. The runs of a document are the orchestrator's: see
//! `set`.

use std::time::Duration;

use proto::ci::Findings;
use proto::comparison::SET_TAG;
use proto::summary::{Brief, REST_NS, Repeats, RepeatsWithResults, words};
use proto::units::ns_to_seconds;
use serde_json::Value;

use super::api::Api;
use super::cli::RunTerms;
use super::ending::{Ending, Problem};
use super::follow::{Followed, Interrupts};
use super::print;
use super::run::{Source, label, labels, launch};

/// A set on its way.
struct Repeater<'a> {
    api: &'a Api,
    source: &'a Source,
    terms: &'a RunTerms,
    interrupts: &'a Interrupts,
    as_json: bool,
    set: Repeats,
    /// The id of the first test.
    first: Option<String>,
    /// Ids of the tests that have a result.
    ended: Vec<String>,
    /// Their results in brief.
    briefs: Vec<Brief>,
}

/// Makes so many runs, prints them and their spread.
///
/// # Errors
/// Those of the first run, before which nothing is known to be right. Later ones are in the answer.
pub(super) fn repeat(
    api: &Api,
    source: &Source,
    (terms, times): (&RunTerms, u32),
    interrupts: &Interrupts,
    as_json: bool,
) -> Result<Ending, Problem> {
    let rest_ns = terms.rest.unwrap_or(REST_NS);
    let mut repeater = Repeater {
        api,
        source,
        terms,
        interrupts,
        as_json,
        set: Repeats::new(times, ns_to_seconds(rest_ns)),
        first: None,
        ended: Vec::new(),
        briefs: Vec::new(),
    };
    repeater.run()?;
    let rest = Duration::from_nanos(rest_ns);
    while !repeater.set.is_complete() && !repeater.set.interrupted {
        if interrupts.come_within(rest) {
            repeater.set.interrupted = true;
        } else if let Err(problem) = repeater.run() {
            let row = words::repeat(repeater.set.add_failed(None, problem.to_string()));
            repeater.say(&row)?;
        }
    }
    repeater.conclude()
}

impl Repeater<'_> {
    fn run(&mut self) -> Result<(), Problem> {
        let of_set = labels(self.terms, self.first.as_deref());
        let test_id = self.source.create(self.api, &of_set)?;
        if self.first.is_none() {
            label(self.api, &test_id, &labels(self.terms, Some(&test_id)))?;
            self.first = Some(test_id.clone());
        }
        let queue = self.terms.queue;
        match launch(self.api, &test_id, queue, self.interrupts, self.as_json)? {
            Followed::Left => {
                self.set.interrupted = true;
                let left = format!("left; it may still run: client watch {test_id}");
                let row = words::repeat(self.set.add_failed(Some(test_id), left));
                self.row(&row)
            }
            Followed::Ended {
                brief, interrupted, ..
            } => self.take(test_id, *brief, interrupted),
        }
    }

    fn take(
        &mut self,
        test_id: String,
        mut brief: Brief,
        interrupted: bool,
    ) -> Result<(), Problem> {
        if interrupted && brief.state == "aborted" && brief.aborted_by.is_none() {
            "interrupted".clone_into(&mut brief.state);
        }
        self.set.interrupted |= interrupted;
        let row = words::repeat(self.set.add(&brief));
        self.ended.push(test_id);
        self.briefs.push(brief);
        self.row(&row)
    }

    /// A row, the first one below what stands above all.
    fn row(&self, row: &str) -> Result<(), Problem> {
        if self.set.runs.len() == 1 {
            self.say(&words::repeats_head())?;
        }
        self.say(row)
    }

    fn say(&self, line: &str) -> Result<(), Problem> {
        if self.as_json || self.terms.report.take_stdout() {
            return Ok(());
        }
        print(&format!("{line}\n"))
    }

    fn conclude(&self) -> Result<Ending, Problem> {
        let (title, asked) = (self.source.title(self.terms), self.source.asked());
        let findings = Findings::of_set(&title, &self.set, &self.briefs, &asked);
        self.terms.report.write(&findings)?;
        if self.as_json {
            let whole = self.ended.iter().map(|id| self.api.result(id));
            let results: Vec<Value> = whole.collect::<Result<_, _>>()?;
            let (set, results) = (&self.set, &results[..]);
            let json = proto::codec::encode(&RepeatsWithResults { set, results });
            print(&format!("{}\n", String::from_utf8_lossy(&json)))?;
        } else if !self.terms.report.take_stdout() {
            print(&format!("\n{}", words::spread(&self.set)))?;
            if let Some(first) = &self.first {
                print(&format!(
                    "the set is {SET_TAG}={first}: client compare BASE tag:{SET_TAG}={first}\n"
                ))?;
            }
        }
        Ok(self.set.standing().into())
    }
}
