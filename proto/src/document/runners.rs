//! What a document may say and whoever runs it does not do: refused where it stands, never ignored.

use super::place::{Place, Problem};
use super::{Document, InvalidDocument, Node, Scalar, Value};

/// Who runs a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Runner {
    /// One driver on its own.
    Alone,
    /// The drivers of a cluster.
    Cluster,
    /// Whoever tries one session.
    Trial,
}

impl Document {
    /// Whether `runner` does all that the document says.
    ///
    /// # Errors
    /// Everything that it does not do, each with its place and what to do instead.
    pub fn check_runner(&self, runner: Runner) -> Result<(), InvalidDocument> {
        let mut problems = Vec::new();
        let mut refuse = |node: &Node, path: &str, error: String| {
            problems.push(Problem {
                place: node.place,
                path: path.to_owned(),
                error,
            });
        };
        match runner {
            Runner::Alone => self.refuse_company(&mut refuse),
            Runner::Cluster => self.refuse_what_stays_here(&mut refuse),
            Runner::Trial => {}
        }
        if runner != Runner::Cluster {
            self.refuse_what_is_elsewhere(&mut refuse);
        }
        if problems.is_empty() {
            return Ok(());
        }
        problems.sort_by_key(|problem| problem.place);
        Err(InvalidDocument(problems))
    }

    /// One run of it: the same without `repeat`, which is for who makes them one after the other.
    #[must_use]
    pub fn once(mut self) -> Self {
        for name in ["repeat", "rest"] {
            self.node.remove(name);
        }
        self.repeat = 1;
        self.rest_ns = None;
        self
    }

    /// The same, to be run so often, with another rest between the runs where one is given.
    #[must_use]
    pub fn repeated(mut self, times: u32, rest_ns: Option<u64>) -> Self {
        if times <= 1 {
            return self.once();
        }
        self.node.set("repeat", plain(times.to_string()));
        self.repeat = times;
        if let Some(rest_ns) = rest_ns {
            self.node.set("rest", Node::text(format!("{rest_ns}ns")));
            self.rest_ns = Some(rest_ns);
        }
        self
    }

    /// What needs more drivers than one.
    fn refuse_company(&self, refuse: &mut dyn FnMut(&Node, &str, String)) {
        if let (Some(at), Some(min @ 2..)) = (self.node.get("drivers"), self.drivers_min) {
            let problem = format!(
                "at least {min} drivers, and a driver run on its own is one: take drivers out, or give \
                 the document to an orchestrator"
            );
            refuse(at, "drivers", problem);
        }
    }

    /// What an orchestrator has, and nobody else.
    fn refuse_what_is_elsewhere(&self, refuse: &mut dyn FnMut(&Node, &str, String)) {
        let files = self.node.get("files");
        for (name, reference) in self.references() {
            let Some(at) = files.and_then(|files| files.get(name)) else {
                continue;
            };
            let sha256 = reference.sha256;
            let problem = format!(
                "the file with the SHA-256 {sha256} is in the data of an orchestrator: take it out of \
                 files and put it beside the document, or give the document to the orchestrator"
            );
            refuse(at, &format!("files.{name}"), problem);
        }
    }

    /// What does not come to the drivers of a cluster, or back from them.
    fn refuse_what_stays_here(&self, refuse: &mut dyn FnMut(&Node, &str, String)) {
        let mut files = Vec::new();
        files_in(&self.node, &mut files);
        let ca = self.node.get("tls").and_then(|tls| tls.get("ca"));
        let are_all_here = self
            .file_names()
            .iter()
            .all(|name| self.contents.contains_key(*name));
        let is_here = |file: &&Node| match &file.value {
            Value::Scalar(scalar) => are_all_here || self.contents.contains_key(&scalar.text),
            _ => are_all_here,
        };
        for file in files.into_iter().chain(ca).filter(|file| !is_here(file)) {
            let problem = "the drivers of a cluster have no file but those of the document: use client \
                run, which sends it along, upload it with PUT /data/NAME, or write its content under \
                files";
            refuse(file, "file", problem.to_owned());
        }
    }
}

/// A number as a document has it.
fn plain(text: String) -> Node {
    let is_quoted = false;
    Node {
        place: Place::default(),
        value: Value::Scalar(Scalar { text, is_quoted }),
    }
}

/// The places where steps and data sets name files.
fn files_in<'n>(node: &'n Node, found: &mut Vec<&'n Node>) {
    match &node.value {
        Value::Scalar(_) => {}
        Value::List(items) => items.iter().for_each(|item| files_in(item, found)),
        Value::Map(entries) => {
            for (key, entry) in entries {
                match (key.name.as_str(), &entry.value) {
                    ("file" | "replay", Value::Scalar(_)) => found.push(entry),
                    ("json" | "form" | "headers" | "vars" | "inline" | "tags" | "files", _) => {}
                    _ => files_in(entry, found),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::Setting;

    fn refused(text: &str, runner: Runner) -> Vec<String> {
        let document = Document::read(text, Setting::default()).unwrap();
        let refused = document.check_runner(runner);
        let problems = refused.map_or_else(|invalid| invalid.0, |()| Vec::new());
        problems.iter().map(Problem::to_string).collect()
    }

    #[test]
    fn what_is_not_done_is_refused_where_it_stands() {
        let text = "target: http://a/\nrepeat: 3\ndrivers: {min: 2}\n\
            steps: [GET /, GET http://b/x]\nload: {closed: 1, for: 1s}\n";
        let alone = refused(text, Runner::Alone);
        assert!(
            alone[0].starts_with("3:10: drivers: at least 2"),
            "{alone:?}"
        );
        assert_eq!(alone.len(), 1);
        for runner in [Runner::Cluster, Runner::Trial] {
            assert_eq!(refused(text, runner), Vec::<String>::new(), "{runner:?}");
        }
        let one = "target: http://a/\nrepeat: 1\nsteps: [GET http://a/x]\ndrivers: {min: 1}\n";
        assert_eq!(refused(one, Runner::Alone), Vec::<String>::new());
    }

    fn read(text: &str) -> Document {
        Document::read(text, Setting::default()).unwrap()
    }

    #[test]
    fn one_of_several_runs_is_no_more_than_one() {
        let text =
            "target: http://a/\nrepeat: 3\nrest: 2s\nsteps: [GET /]\nload: {closed: 1, for: 1s}\n";
        let document = read(text);
        assert_eq!(
            (document.repeat, document.rest_ns),
            (3, Some(2_000_000_000))
        );
        let once = document.clone().once();
        let json = once.to_json();
        assert!(!json.contains("repeat") && !json.contains("rest"), "{json}");
        let again = read(&once.to_json());
        assert_eq!(again.scenario, once.scenario);
        for (times, rest_ns, expected) in [
            (5, None, (5, Some(2_000_000_000))),
            (5, Some(0), (5, Some(0))),
            (1, Some(7), (1, None)),
        ] {
            let repeated = document.clone().repeated(times, rest_ns);
            assert_eq!((repeated.repeat, repeated.rest_ns), expected);
            let again = read(&repeated.to_json());
            assert_eq!(
                (again.repeat, again.rest_ns),
                expected,
                "{}",
                again.to_json()
            );
        }
        assert_eq!(once.repeated(2, None).rest_ns, None);
    }

    #[test]
    fn a_rest_is_between_runs_and_bounded() {
        for (rest, word) in [
            ("rest: 1s\n", "2:7: rest: it is between runs"),
            (
                "repeat: 2\nrest: 2h\n",
                "3:7: rest: \"2h\" is longer than 3600 s",
            ),
            ("repeat: 2\nrest: soon\n", "3:7: rest: "),
        ] {
            let text = format!("target: http://a/\n{rest}load: {{closed: 1, for: 1s}}\n");
            let error = Document::read(&text, Setting::default()).unwrap_err();
            assert!(error.to_string().contains(word), "{error}");
        }
    }

    #[test]
    fn what_stays_here_is_refused_for_a_cluster() {
        let text = "target: http://a/\ndata: {u: {file: u.csv}}\n\
            steps: [{PUT: /$u, file: b.bin}, {PUT: /, json: {file: x}}]\n\
            abort: [error_rate > 1% for 2s]\nthresholds: [p99 < 1s, check_rate >= 1%]\n";
        let places = ["2:18: file: ", "3:26: file: "];
        let found = refused(text, Runner::Cluster);
        assert_eq!(found.len(), places.len(), "{found:?}");
        for (found, place) in found.iter().zip(places) {
            assert!(found.starts_with(place), "{found}");
        }
        assert_eq!(refused(text, Runner::Alone), Vec::<String>::new());
    }
}
