//! The rooms of each crate and the arrows between them: a room names only those that stand below it,
//! so that each can be read, tested and replaced without those above. A room is a module of the
//! crate's root; what its tests name does not count.

use std::collections::{BTreeMap, BTreeSet};

use crate::{Source, assert_none, is_no_letter, sources};

/// A room, and the rooms of its crate that it may name.
type Row = (&'static str, &'static [&'static str]);

/// The crates' rooms, the upper floors first. An arrow that is not here is refused; so is a room
/// without a row, a row without a room, and an arrow that nothing uses any more.
const FLOORS: [(&str, &[Row]); 3] = [
    ("proto", PROTO),
    ("driver-core", DRIVER),
    ("orchestrator", ORCHESTRATOR),
];

const PROTO: &[Row] = &[
    ("bin", &["bus", "log"]),
    (
        "fuzzing",
        &[
            "codec", "document", "message", "summary", "topic", "transfer", "workload",
        ],
    ),
    ("bus", &["clock", "codec", "message", "topic"]),
    // Reports of a range into one message; never a topic.
    ("merging", &["codec", "histogram", "measure", "message"]),
    // Which piece of which file goes to whom; never a file or a topic.
    ("transfer", &["digest", "message"]),
    // From reports to a result.
    (
        "summary",
        &[
            "digest",
            "document",
            "histogram",
            "measure",
            "message",
            "units",
            "workload",
        ],
    ),
    // What CI pages show of an answer; never how it came about.
    ("ci", &["comparison", "document", "stdout", "summary"]),
    // Two sets of runs against each other; never how their figures came about.
    ("comparison", &["histogram", "units"]),
    // Envelopes, without any mathematics.
    (
        "message",
        &[
            "digest",
            "document",
            "histogram",
            "lenient",
            "measure",
            "topic",
            "workload",
        ],
    ),
    // What people write; never a topic.
    (
        "document",
        &["digest", "lenient", "replay", "secret", "units", "workload"],
    ),
    // What is asked; never YAML, messages, results.
    ("workload", &["replay", "secret", "units"]),
    // A log as it came, in a file; never what plays it.
    ("replay", &["units"]),
    // What was measured; never a test's intent.
    ("measure", &["histogram", "lenient", "secret", "units"]),
    ("log", &["clock", "codec"]),
    ("clock", &[]),
    ("codec", &[]),
    ("digest", &[]),
    ("histogram", &["lenient"]),
    // What is secret by its name, and how it is shown.
    ("secret", &[]),
    ("stdout", &[]),
    ("id", &[]),
    ("lenient", &["units"]),
    ("topic", &[]),
    ("units", &[]),
];

const DRIVER: &[Row] = &[
    ("bin", &["agent", "local"]),
    (
        "agent",
        &[
            "affinity",
            "control",
            "load",
            "plan",
            "recording",
            "ring",
            "source",
        ],
    ),
    (
        "local",
        &[
            "affinity",
            "import",
            "load",
            "plan",
            "protocol",
            "recording",
            "source",
            "transport",
        ],
    ),
    // What people have already, into documents; never a load.
    ("import", &[]),
    // Picks the static types of a run.
    (
        "load",
        &[
            "affinity",
            "core_loop",
            "cpu",
            "dispatch",
            "plan",
            "protocol",
            "recording",
            "ring",
            "source",
            "transport",
        ],
    ),
    // Reads the clock and owns the ring; never what is due.
    (
        "core_loop",
        &[
            "dispatch",
            "plan",
            "protocol",
            "recording",
            "ring",
            "source",
            "transport",
        ],
    ),
    // Pure: what is due, who takes it, what an answer means.
    (
        "dispatch",
        &["plan", "protocol", "recording", "source", "transport"],
    ),
    ("cpu", &["recording"]),
    // Pure: what the node does about messages.
    ("control", &[]),
    // Pure: what was measured, from a core to the node's report.
    ("recording", &["transport"]),
    // Pure: when each request is intended.
    ("plan", &["source"]),
    // Pure: which request comes next, what its answer leads to, and what of that it looks at.
    ("source", &["protocol"]),
    // Pure: requests and answers as bytes.
    ("protocol", &[]),
    // Pure: plain bytes and those of the socket.
    ("transport", &[]),
    ("ring", &[]),
    ("affinity", &[]),
];

const ORCHESTRATOR: &[Row] = &[
    ("bin", &["appliance", "client", "front", "merger", "start"]),
    // Beside the orchestrator, over the bus alone.
    ("merger", &[]),
    ("front", &["appliance", "client"]),
    (
        "start",
        &[
            "control",
            "control_thread",
            "data_sender",
            "files",
            "rest",
            "store",
            "topic_reader",
        ],
    ),
    (
        "rest",
        &[
            "comparison",
            "control",
            "control_thread",
            "dashboard",
            "files",
            "live",
            "report",
            "store",
        ],
    ),
    ("appliance", &["client"]),
    ("client", &["control", "report"]),
    ("control_thread", &["control", "files", "live", "store"]),
    // What is seen of the fold, for all who look.
    ("live", &["control", "store"]),
    // Side by side over the fold's events.
    ("store", &["control"]),
    ("topic_reader", &["control"]),
    ("data_sender", &["control", "files"]),
    // Pure: the fold.
    ("control", &[]),
    // Uploaded files; never who names them.
    ("files", &[]),
    ("comparison", &[]),
    ("dashboard", &[]),
    ("report", &[]),
];

#[test]
fn rooms_name_only_those_below_them() {
    let all = sources();
    for (package, rows) in FLOORS {
        let used = arrows(package, &all);
        let allowed: BTreeMap<&str, &[&str]> = rows.iter().copied().collect();
        let stray: Vec<String> = used
            .iter()
            .filter(|((from, to), _)| {
                let row = allowed.get(from.as_str());
                !row.is_some_and(|row| row.contains(&to.as_str()))
            })
            .map(|((from, to), place)| format!("{from} -> {to}, in {place}"))
            .collect();
        assert_none(
            &stray,
            &format!("these arrows are not in {package}'s table"),
        );
        let idle: Vec<String> = rows
            .iter()
            .flat_map(|(from, row)| row.iter().map(move |to| (*from, *to)))
            .filter(|(from, to)| !used.contains_key(&(String::from(*from), String::from(*to))))
            .map(|(from, to)| format!("{from} -> {to}"))
            .collect();
        assert_none(&idle, &format!("take these out of {package}'s table"));
    }
}

#[test]
fn every_room_has_a_row() {
    let all = sources();
    for (package, rows) in FLOORS {
        let there: BTreeSet<String> = rooms(package, &all).collect();
        let listed: BTreeSet<String> = rows.iter().map(|(room, _)| String::from(*room)).collect();
        let differs: Vec<String> = there.symmetric_difference(&listed).cloned().collect();
        assert_none(
            &differs,
            &format!("{package} has a room without a row, or a row without a room"),
        );
    }
}

#[test]
fn no_room_is_above_itself() {
    for (package, rows) in FLOORS {
        let mut left: Vec<&Row> = rows.iter().collect();
        loop {
            let names: Vec<&str> = left.iter().map(|(room, _)| *room).collect();
            let before = left.len();
            left.retain(|(_, row)| row.iter().any(|to| names.contains(to)));
            if left.len() == before {
                break;
            }
        }
        let circle: Vec<String> = left.iter().map(|(room, _)| String::from(*room)).collect();
        assert_none(
            &circle,
            &format!("{package}'s table has a circle among these"),
        );
    }
}

/// The rooms that a crate has: the modules of its root, and its binaries as one.
fn rooms<'a>(package: &'a str, all: &'a [Source]) -> impl Iterator<Item = String> + 'a {
    all.iter().filter_map(move |source| room(package, source))
}

/// The room that a file belongs to; none for the root itself and for what is not under `src`.
fn room(package: &str, source: &Source) -> Option<String> {
    let path = source.path.strip_prefix(&format!("{package}/src/"))?;
    let first = path.split('/').next()?.trim_end_matches(".rs");
    (!["lib", "main"].contains(&first)).then(|| String::from(first))
}

/// Which room names which, each with a place where it does.
fn arrows(package: &str, all: &[Source]) -> BTreeMap<(String, String), String> {
    let known: BTreeSet<String> = rooms(package, all).collect();
    let own_name = package.replace('-', "_");
    let mut arrows = BTreeMap::new();
    for source in all.iter().filter(|source| !is_test(source)) {
        let Some(from) = room(package, source) else {
            continue;
        };
        for to in named(&without_tests(source), &own_name) {
            if to != from && known.contains(&to) {
                arrows
                    .entry((from.clone(), to))
                    .or_insert_with(|| source.path.clone());
            }
        }
    }
    arrows
}

fn is_test(source: &Source) -> bool {
    source.path.ends_with("/tests.rs") || source.path.contains("/tests/")
}

/// The code of a file without its comments and its tests, which stand at its end.
fn without_tests(source: &Source) -> String {
    let lines: Vec<&str> = source.code().map(|(_, line)| line).collect();
    let code = lines.join("\n");
    match code.find("#[cfg(test)]\nmod tests {") {
        Some(end) => code[..end].to_owned(),
        None => code,
    }
}

/// What follows `crate::`, or the crate's own name in its binaries: one name, or those of a list.
fn named(code: &str, own_name: &str) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for root in ["crate::".to_owned(), format!("{own_name}::")] {
        for (at, _) in code.match_indices(&root) {
            let is_whole = code[..at].chars().next_back().is_none_or(is_no_letter);
            if is_whole {
                names.extend(first_names(&code[at + root.len()..]));
            }
        }
    }
    names
}

/// The name that a path goes on with; of a list in braces, the first name of each entry.
fn first_names(rest: &str) -> Vec<String> {
    let first = |text: &str| text.split(is_no_letter).next().map(String::from);
    let Some(list) = rest.strip_prefix('{') else {
        return first(rest).into_iter().collect();
    };
    let (mut depth, mut entry, mut entries) = (0_u32, String::new(), Vec::new());
    for letter in list.chars() {
        match letter {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => entries.push(std::mem::take(&mut entry)),
            _ if depth == 0 => entry.push(letter),
            _ => {}
        }
    }
    entries.push(entry);
    let entries = entries.iter().map(|entry| entry.trim());
    entries
        .filter(|entry| !entry.is_empty())
        .filter_map(first)
        .collect()
}

#[test]
fn names_are_found_in_every_form_of_a_path() {
    let code = "use crate::one::{A, b::C};\nuse crate::{two::{D, E}, three, four::F};\n\
        fn f(x: crate::five::G) -> proto::six::H {}\nuse mycrate::seven;\nuse super::eight;";
    let found: Vec<String> = named(code, "proto").into_iter().collect();
    assert_eq!(found, ["five", "four", "one", "six", "three", "two"]);
}
