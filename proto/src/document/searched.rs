//! A document whose rate is searched: what of its load stays in every step, and the document of one.

use super::place::{Place, Problem};
use super::{Document, InvalidDocument, Node, Setting};
use crate::units::{self, NS_PER_S};
use crate::workload::{LoadStage, POISSON_MAX, StageArrivals};

/// How long a step warms up where the document does not say it, ns.
pub const SEARCHED_WARMUP_NS: u64 = NS_PER_S;
/// How long all of a search takes at most, ns.
pub const SEARCHED_NS_MAX: u64 = 3600 * NS_PER_S;

/// What a document says of the steps of a search.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Searched {
    /// The rate of its load, sessions a second: the first one to offer.
    pub rate: f64,
    /// How long a step warms up, ns.
    pub warmup_ns: u64,
    /// How long it is measured then, ns.
    pub for_ns: u64,
    /// Whether sessions arrive as a Poisson process.
    pub is_poisson: bool,
}

impl Searched {
    /// The highest rate that a step can have, to a tenth of a session; `None` where its arrivals are
    /// not drawn one by one, so that their number is not bounded.
    #[must_use]
    pub fn rate_max(&self) -> Option<f64> {
        // Each of the stages rounds up.
        let tenths = (POISSON_MAX - 2) as f64 * 10.0 / units::ns_to_seconds(self.length_ns());
        self.is_poisson.then(|| tenths.floor() / 10.0)
    }

    /// The length of a step without its drain, ns.
    #[must_use]
    pub const fn length_ns(&self) -> u64 {
        self.warmup_ns.saturating_add(self.for_ns)
    }
}

impl Document {
    /// What a search varies and keeps: the rate of the one open stage that counts.
    ///
    /// # Errors
    /// What a search needs and the document lacks, each with its place and what to write.
    pub fn searched(&self) -> Result<Searched, InvalidDocument> {
        let mut problems = Vec::new();
        if self.thresholds.is_empty() {
            let error =
                "a search needs what the target has to keep: write thresholds: [p99 < 50ms]";
            problems.push(self.problem("thresholds", error.to_owned()));
        }
        if self.repeat > 1 {
            let error = format!(
                "{} runs, and a search repeats by itself what it has to: write repeat: 1, or leave it out",
                self.repeat
            );
            problems.push(self.problem("repeat", error));
        }
        let stages = &self.scenario.load.stages;
        let (warmups, counted): (Vec<&LoadStage>, Vec<&LoadStage>) =
            stages.iter().partition(|stage| stage.is_warmup);
        let searched = match counted[..] {
            [stage] => of_stage(stage, &warmups),
            _ => Err(format!(
                "a search offers one rate after another, and {} stages count",
                counted.len()
            )),
        };
        match searched {
            Ok(searched) if problems.is_empty() => return Ok(searched),
            Ok(_) => {}
            Err(error) => {
                let error = format!(
                    "{error}; write load: {{open: 100/s, for: 5s}}, whose rate is the first one"
                );
                problems.push(self.problem("load", error));
            }
        }
        problems.sort_by_key(|problem| problem.place);
        Err(InvalidDocument(problems))
    }

    /// What its load counts: `requests`, where every session is one, or else `sessions`.
    #[must_use]
    pub fn arrives(&self) -> &'static str {
        let flows = self.scenario.flows.len();
        let steps = self.scenario.steps.len();
        if flows == 1 && steps == 1 {
            "requests"
        } else {
            "sessions"
        }
    }

    /// The document of one step, which offers `rate` sessions a second.
    ///
    /// # Errors
    /// As [`Self::searched`], and what a rate that is out of range makes of it.
    pub fn at_rate(&self, rate: f64) -> Result<Self, InvalidDocument> {
        let Searched {
            warmup_ns,
            for_ns,
            is_poisson,
            ..
        } = self.searched()?;
        let arrival = if is_poisson { "poisson" } else { "even" };
        let stage = |ns: u64, more: &str| {
            format!("{{open: {rate}/s, for: {ns}ns, arrival: {arrival}{more}}}")
        };
        let mut stages = vec![stage(for_ns, "")];
        if warmup_ns > 0 {
            stages.insert(0, stage(warmup_ns, ", warmup: true"));
        }
        let load = Node::read(&format!("[{}]", stages.join(", ")))?;
        let mut node = self.node.clone();
        node.set("load", load);
        // Which targets are allowed was asked when it was read first.
        Self::of_tree(node, Setting::default())
    }

    fn problem(&self, key: &str, error: String) -> Problem {
        let place = self.node.get(key).map_or(Place::default(), |at| at.place);
        Problem {
            place,
            path: key.to_owned(),
            error,
        }
    }
}

fn of_stage(stage: &LoadStage, warmups: &[&LoadStage]) -> Result<Searched, String> {
    let StageArrivals::Open {
        from,
        to,
        is_poisson,
    } = stage.arrivals
    else {
        return Err("a search offers rates, and this load has none".to_owned());
    };
    if from != to {
        return Err("a search offers one rate after another, and this is a ramp".to_owned());
    }
    let (Some(for_ns), None) = (stage.for_ns, stage.sessions) else {
        return Err("every rate of a search is offered for a time".to_owned());
    };
    let lengths = warmups.iter().filter_map(|warmup| warmup.for_ns);
    let warmup_ns = if warmups.is_empty() {
        SEARCHED_WARMUP_NS
    } else {
        lengths.fold(0, u64::saturating_add)
    };
    let searched = Searched {
        rate: from.per_second(),
        warmup_ns,
        for_ns,
        is_poisson,
    };
    if searched.length_ns() > SEARCHED_NS_MAX {
        return Err(format!(
            "one step would take {} s, and all of a search takes at most {} s",
            searched.length_ns() / NS_PER_S,
            SEARCHED_NS_MAX / NS_PER_S
        ));
    }
    Ok(searched)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Document {
        Document::read(text, Setting::default()).unwrap()
    }

    #[test]
    fn a_step_is_the_document_with_another_rate() {
        let document = read(
            "target: http://h/\nname: x\nsteps: [GET /a, {think: 1ms}, GET /b]\n\
             load: [{open: 5/s, for: 3s, warmup: true}, {open: 50/s, for: 2s, arrival: poisson}]\n\
             thresholds: [p99 < 50ms]\n",
        );
        let searched = document.searched().unwrap();
        let told = (searched.rate, searched.warmup_ns, searched.for_ns);
        assert_eq!(told, (50.0, 3_000_000_000, 2_000_000_000));
        let step = document.at_rate(141.4).unwrap();
        let rates: Vec<(f64, bool)> = step.scenario.load.stages.iter().map(rate_of).collect();
        assert_eq!(rates, [(141.4, true), (141.4, false)]);
        assert!(step.searched().unwrap().is_poisson);
        assert_eq!(step.scenario.steps, document.scenario.steps);
        assert_eq!(step.at_rate(50.0).unwrap().searched().unwrap(), searched);
    }

    #[test]
    fn a_step_of_poisson_arrivals_has_a_highest_rate_that_can_be_run() {
        let of = |arrival: &str, length: &str| {
            let text = format!(
                "target: http://h/\nload: {{open: 50/s, for: {length}, arrival: {arrival}}}\n\
                 thresholds: [p99 < 50ms]\n"
            );
            read(&text)
        };
        assert_eq!(of("even", "999s").searched().unwrap().rate_max(), None);
        for length in ["5s", "333ms", "999s", "1234.567s"] {
            let document = of("poisson", length);
            let most = document.searched().unwrap().rate_max().unwrap();
            let rate = most.min(10_000_000.0);
            assert!(document.at_rate(rate).is_ok(), "{length}: {rate}");
            let over = document.at_rate((most * 1.001).min(10_000_000.0));
            assert_eq!(over.is_err(), most < 10_000_000.0, "{length}: {most}");
        }
    }

    fn rate_of(stage: &LoadStage) -> (f64, bool) {
        let StageArrivals::Open { from, to, .. } = stage.arrivals else {
            panic!("{stage:?} is not open");
        };
        assert_eq!(from, to);
        (from.per_second(), stage.is_warmup)
    }

    #[test]
    fn without_a_warm_up_of_its_own_a_step_has_one() {
        let text = "target: http://h/\nload: {open: 50/s, for: 2s}\nthresholds: [p99 < 50ms]\n";
        let step = read(text).at_rate(7.0).unwrap();
        assert_eq!(step.scenario.load.stages[0].for_ns, Some(NS_PER_S));
        assert!(step.scenario.load.stages[0].is_warmup);
        let none = "target: http://h/\nload: [{open: 1/s, for: 0s, warmup: true}, \
            {open: 50/s, for: 2s}]\nthresholds: [p99 < 50ms]\n";
        if let Ok(document) = Document::read(none, Setting::default()) {
            assert_eq!(document.at_rate(7.0).unwrap().scenario.load.stages.len(), 1);
        }
    }

    #[test]
    fn what_cannot_be_searched_is_refused_with_what_to_write() {
        let kept = "thresholds: [p99 < 50ms]\n";
        for (load, more, word) in [
            ("load: {open: 5/s, for: 1s}\n", "", "thresholds: a search"),
            ("", kept, "has none"),
            ("load: {closed: 5, for: 1s}\n", kept, "3:1: load: "),
            ("load: {burst: 5, every: 1s, for: 9s}\n", kept, "has none"),
            ("load: {open: 5..9/s, for: 1s}\n", kept, "a ramp"),
            ("load: {open: 5/s, sessions: 9}\n", kept, "for a time"),
            (
                "load: {open: 5/s, for: 1s}\n",
                "repeat: 3\nthresholds: [p99 < 50ms]\n",
                "3 runs, and",
            ),
            ("load: {open: 5/s, for: 2h}\n", kept, "7201 s"),
            (
                "load: [{open: 5/s, for: 1s}, {open: 6/s, for: 1s}]\n",
                kept,
                "2 stages count",
            ),
        ] {
            let document = read(&format!("target: http://h/\n{more}{load}"));
            let refused = document.searched().unwrap_err().to_string();
            assert!(
                refused.contains(word) || word.starts_with("3:1") && refused.starts_with("3:7"),
                "{load}: {refused}"
            );
            assert!(refused.contains("write "), "{refused}");
            assert!(document.at_rate(5.0).is_err());
        }
    }
}
