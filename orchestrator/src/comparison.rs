//! Which runs may be held against each other: those that ended well and were asked the same. Pure;
//! the judgement itself is [`proto::comparison`]'s.

use std::collections::BTreeSet;

use proto::comparison::Run;
use proto::summary::RateRow;
use serde_json::{Map, Value, json};

/// What is said of a test and asks nothing of the drivers, in a configuration and in a document.
const SAID: [&str; 7] = [
    "test_id",
    "threshold",
    "thresholds",
    "abort",
    "name",
    "note",
    "tags",
];
/// How long the same load lasts. What differs in nothing else is as many answers a second.
const LENGTHS: [&str; 3] = ["message_count_per_driver", "duration_s", "warmup_s"];
/// What is asked, and by whom, that makes no other load.
const NO_LOAD: [&str; 3] = ["target", "method", "headers"];

/// A run with what is to be known of it.
#[derive(Debug, Clone)]
pub struct Member {
    /// Its figures.
    pub run: Run,
    /// Why nobody should compare it, in words; empty where nothing speaks against it.
    pub doubts: Vec<String>,
    /// What it was asked.
    pub asked: Asked,
}

/// What a test asks of the target, by name.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Asked(Map<String, Value>);

impl Asked {
    /// Of a test's configuration as it is shown, its target and the number of its participants. A
    /// document is taken apart. What its files hold is masked where it is shown, so that two files of
    /// one name are taken for the same.
    #[must_use]
    pub fn new(config: &Value, target: &str, drivers: usize) -> Self {
        let document = config["document"].as_str();
        let document = document.and_then(|text| serde_json::from_str::<Value>(text).ok());
        let mut asked = Map::new();
        for source in [Some(config), document.as_ref()].into_iter().flatten() {
            let fields = source.as_object().into_iter().flatten();
            asked.extend(fields.map(|(name, value)| (name.clone(), value.clone())));
        }
        asked.remove("document");
        asked.retain(|name, value| !SAID.contains(&name.as_str()) && !value.is_null());
        keep_asking_vars(&mut asked);
        asked.insert("target".to_owned(), target.into());
        asked.insert("drivers".to_owned(), drivers.into());
        Self(asked)
    }

    /// The same with the changes of its rate while it ran: another load than the one that was asked.
    #[must_use]
    pub fn with_rates(mut self, changes: &[RateRow]) -> Self {
        let rates = changes
            .iter()
            .map(|change| json!([change.at_s, change.rate]));
        let rates: Vec<Value> = rates.collect();
        if !rates.is_empty() {
            self.0.insert("rate_changes".to_owned(), rates.into());
        }
        self
    }

    /// The names of what is not the same.
    fn unlike<'a>(&'a self, other: &'a Self) -> BTreeSet<&'a str> {
        let names = self.0.keys().chain(other.0.keys());
        names
            .filter(|name| self.0.get(*name) != other.0.get(*name))
            .map(String::as_str)
            .collect()
    }

    /// Whether they are the same.
    #[must_use]
    pub fn is_like(&self, other: &Self) -> bool {
        self.unlike(other).is_empty()
    }

    fn shown(&self, name: &str) -> String {
        let text = match self.0.get(name) {
            None => return "none".to_owned(),
            Some(Value::String(text)) => text.clone(),
            Some(value) => value.to_string(),
        };
        let mut chars = text.chars();
        let head: String = chars.by_ref().take(60).collect();
        if chars.next().is_some() {
            head + "…"
        } else {
            head
        }
    }
}

/// Takes out the variables that nothing names but what is said: a commit in a tag makes no other load.
/// One whose name begins as another's is kept with it.
fn keep_asking_vars(asked: &mut Map<String, Value>) {
    let Some(Value::Object(vars)) = asked.remove("vars") else {
        return;
    };
    let is_named = |name: &str, text: &str| {
        text.contains(&format!("${name}")) || text.contains(&format!("${{{name}"))
    };
    let mut text = Value::Object(asked.clone()).to_string();
    let mut kept = Map::new();
    let mut rest = vars;
    // What a kept one is made of asks too.
    loop {
        let (more, others): (Map<_, _>, Map<_, _>) = rest
            .into_iter()
            .partition(|(name, _)| is_named(name, &text));
        rest = others;
        if more.is_empty() {
            break;
        }
        text = Value::Object(more.clone()).to_string();
        kept.extend(more);
    }
    if !kept.is_empty() {
        asked.insert("vars".to_owned(), Value::Object(kept));
    }
}

/// What speaks against holding two sets of runs against each other.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Objections {
    /// In words, each about a run or about two; empty where nothing does.
    pub words: Vec<String>,
    /// Whether another load was offered, so that answers a second are no measure.
    pub loads_differ: bool,
}

impl Objections {
    /// Those against `base` and `test`. Every run is held against the first of the base.
    #[must_use]
    pub fn of(base: &[Member], test: &[Member]) -> Self {
        let mut objections = Self::default();
        let mut seen = BTreeSet::new();
        for member in base.iter().chain(test) {
            if !seen.insert(member.run.id.as_str()) {
                continue;
            }
            let of_run = |doubt: &String| format!("{}: {doubt}", member.run.id);
            objections.words.extend(member.doubts.iter().map(of_run));
        }
        let Some(first) = base.first() else {
            return objections;
        };
        // Many runs that are unlike in one thing are one difference.
        let mut told = BTreeSet::new();
        for member in base.iter().chain(test) {
            for name in first.asked.unlike(&member.asked) {
                objections.loads_differ |= !NO_LOAD.contains(&name) && !LENGTHS.contains(&name);
                let (one, other) = (first.asked.shown(name), member.asked.shown(name));
                if told.insert((name, other.clone())) {
                    let (first, id) = (&first.run.id, &member.run.id);
                    objections
                        .words
                        .push(format!("{name}: {one} in {first}, {other} in {id}"));
                }
            }
        }
        objections
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn member(id: &str, config: &Value, target: &str) -> Member {
        Member {
            run: Run {
                id: id.to_owned(),
                ..Run::default()
            },
            doubts: Vec::new(),
            asked: Asked::new(config, target, 2),
        }
    }

    #[test]
    fn what_is_only_said_makes_no_difference() {
        let one = json!({"test_id": "a", "rate": 5, "threshold": ["p99<1s"], "body": null});
        let other = json!({"test_id": "b", "rate": 5});
        let (base, test) = (
            member("a", &one, "http://h/"),
            member("b", &other, "http://h/"),
        );
        assert!(base.asked.is_like(&test.asked));
        assert_eq!(Objections::of(&[base], &[test]), Objections::default());
    }

    #[test]
    fn documents_are_held_against_each_other_field_by_field() {
        let of = |name: &str, open: &str| {
            let load = json!([{"open": open, "for": "10s"}]);
            let document = json!({"name": name, "target": "http://h", "load": load});
            json!({"test_id": name, "document": document.to_string()})
        };
        let (one, other) = (of("a", "50/s"), of("b", "50/s"));
        let like = Asked::new(&one, "http://h", 1).is_like(&Asked::new(&other, "http://h", 1));
        assert!(like);
        let other = member("b", &of("b", "60/s"), "http://h");
        let objections = Objections::of(&[member("a", &one, "http://h")], &[other]);
        assert!(objections.loads_differ && objections.words.len() == 1);
        assert!(objections.words[0].starts_with("load: "), "{objections:?}");
    }

    #[test]
    fn a_variable_that_only_a_label_names_makes_no_difference() {
        let of = |commit: &str, path: &str| {
            let document = json!({
                "tags": {"commit": "$COMMIT"}, "steps": ["GET /${page}"],
                "vars": {"COMMIT": commit, "page": "a/$PATH_OF_IT", "PATH_OF_IT": path},
            });
            let config = json!({"document": document.to_string()});
            Asked::new(&config, "http://h", 1)
        };
        assert!(of("a1", "x").is_like(&of("b2", "x")));
        let other = of("a1", "y");
        assert_eq!(other.unlike(&of("a1", "x")), BTreeSet::from(["vars"]));
    }

    #[test]
    fn each_difference_is_told_once_and_only_another_load_spoils_the_rate() {
        let config = |rate: u64, seconds: u64| json!({"rate": rate, "duration_s": seconds});
        let base = [
            member("a", &config(5, 10), "http://h/"),
            member("b", &config(5, 20), "http://h/"),
        ];
        let test = |rate| {
            [
                member("c", &config(rate, 20), "http://g/"),
                member("d", &config(rate, 20), "http://g/"),
            ]
        };
        let objections = Objections::of(&base, &test(5));
        assert_eq!(
            objections.words,
            [
                "duration_s: 10 in a, 20 in b",
                "target: http://h/ in a, http://g/ in c"
            ]
        );
        assert!(!objections.loads_differ);
        assert!(Objections::of(&base, &test(6)).loads_differ);
    }

    #[test]
    fn what_is_wrong_with_a_run_is_told_once_though_it_stands_on_both_sides() {
        let mut bad = member("a", &json!({}), "http://h/");
        bad.doubts.push("it ended failed".to_owned());
        let objections = Objections::of(&[bad.clone()], &[bad]);
        assert_eq!(objections.words, ["a: it ended failed"]);
    }
}
