//! The rules of the code base, written as absences and executed: what is not checked rots.
#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, reason = "a test may fail by a panic")]

mod floors;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// The crates, each with those of ours that it may depend on, and those that its tests may.
const ARROWS: [(&str, &[&str], &[&str]); 5] = [
    ("proto", &[], &[]),
    ("driver-core", &["proto"], &[]),
    ("orchestrator", &["proto"], &[]),
    ("testserver", &[], &[]),
    ("bench", &["proto"], &["driver-core", "orchestrator"]),
];

/// Packages that one crate alone may name.
const OWNED: [(&str, &str); 6] = [
    ("rdkafka", "proto"),
    ("simd-json", "proto"),
    ("glommio", "driver-core"),
    ("io-uring", "driver-core"),
    ("rusqlite", "orchestrator"),
    ("may_minihttp", "testserver"),
];

/// What the user fixed for the top level. Folders of the build and of runs are git-ignored.
const TOP_LEVEL: [&str; 11] = [
    "Cargo.toml",
    "Cargo.lock",
    "LICENSE",
    "Makefile",
    "README.md",
    "bench",
    "driver-core",
    "orchestrator",
    "proto",
    "redpanda-compose.yml",
    "testserver",
];
const IGNORED: [&str; 4] = ["target", "run", "logs", "data"];

/// Most lines of a file. Most have far fewer; a longer one is two.
const FILE_LINES_MAX: usize = 600;

/// A Rust file of ours.
struct Source {
    /// Its path from the root, with slashes.
    path: String,
    text: String,
}

impl Source {
    /// The lines that are not comments, with their numbers.
    fn code(&self) -> impl Iterator<Item = (usize, &str)> {
        let lines = self
            .text
            .lines()
            .enumerate()
            .map(|(index, line)| (index + 1, line));
        lines.filter(|(_, line)| !line.trim_start().starts_with("//"))
    }

    fn is_under(&self, prefixes: &[&str]) -> bool {
        prefixes.iter().any(|prefix| self.path.starts_with(prefix))
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap()
        .to_owned()
}

fn sources() -> Vec<Source> {
    let mut files = Vec::new();
    for (package, ..) in ARROWS {
        collect(&root().join(package), &mut files);
    }
    assert!(files.len() > 50, "the sources were not found");
    files.sort();
    let source = |path: PathBuf| Source {
        path: path
            .strip_prefix(root())
            .unwrap()
            .to_str()
            .unwrap()
            .to_owned(),
        text: fs::read_to_string(&path).unwrap(),
    };
    files.into_iter().map(source).collect()
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

/// The manifest of a crate, by section.
fn manifest(package: &str) -> BTreeMap<String, BTreeSet<String>> {
    sections(&fs::read_to_string(root().join(package).join("Cargo.toml")).unwrap())
}

/// Sections of a manifest, such as `dependencies`, each with the names that it gives values to.
fn sections(text: &str) -> BTreeMap<String, BTreeSet<String>> {
    let mut sections: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut section = String::new();
    for line in text
        .lines()
        .map(str::trim)
        .filter(|line| !line.starts_with('#'))
    {
        if let Some(name) = line
            .strip_prefix('[')
            .and_then(|line| line.strip_suffix(']'))
        {
            name.trim_matches(['[', ']']).clone_into(&mut section);
        } else if let Some((name, _)) = line.split_once('=') {
            let name = name.trim().trim_end_matches(".workspace").to_owned();
            sections.entry(section.clone()).or_default().insert(name);
        }
    }
    sections
}

/// All names of the dependency sections whose name ends like this.
fn dependencies(package: &str, kind: &str) -> BTreeSet<String> {
    let of_kind = |(section, names): (String, BTreeSet<String>)| {
        let last = section.rsplit('.').next().unwrap_or_default();
        (last == kind).then_some(names)
    };
    manifest(package)
        .into_iter()
        .filter_map(of_kind)
        .flatten()
        .collect()
}

fn assert_none(found: &[String], rule: &str) {
    assert!(found.is_empty(), "{rule}:\n  {}", found.join("\n  "));
}

#[test]
fn crates_depend_on_each_other_only_along_the_arrows() {
    let ours: BTreeSet<String> = ARROWS.iter().map(|(name, ..)| (*name).to_owned()).collect();
    for (package, normal, for_tests) in ARROWS {
        for (kind, allowed) in [("dependencies", normal), ("dev-dependencies", for_tests)] {
            let named: Vec<String> = dependencies(package, kind)
                .intersection(&ours)
                .cloned()
                .collect();
            let stray: Vec<String> = named
                .into_iter()
                .filter(|name| !allowed.contains(&name.as_str()))
                .collect();
            assert_none(
                &stray,
                &format!("{package} may not name these in its {kind}"),
            );
        }
    }
}

#[test]
fn packages_with_one_owner_are_named_by_no_other_crate() {
    for (package, ..) in ARROWS {
        let named: BTreeSet<String> = ["dependencies", "dev-dependencies", "build-dependencies"]
            .iter()
            .flat_map(|kind| dependencies(package, kind))
            .collect();
        for (dependency, owner) in OWNED {
            assert!(
                !named.contains(dependency) || package == owner,
                "{dependency} belongs to {owner}, and {package} names it"
            );
        }
        for banned in ["tokio", "openssl", "async-trait", "num_cpus"] {
            assert!(!named.contains(banned), "{package} names {banned}");
        }
    }
}

#[test]
fn every_declared_dependency_is_named_in_the_sources() {
    let sources = sources();
    for (package, ..) in ARROWS {
        let folder = format!("{package}/");
        let own: Vec<&Source> = sources.iter().filter(|s| s.is_under(&[&folder])).collect();
        let is_named = |name: &String| {
            let word = name.replace('-', "_");
            own.iter().any(|source| {
                let mut code = source.code();
                code.any(|(_, line)| line.split(is_no_letter).any(|other| other == word))
            })
        };
        let unused: Vec<String> = ["dependencies", "dev-dependencies"]
            .iter()
            .flat_map(|kind| dependencies(package, kind))
            .filter(|name| !is_named(name))
            .collect();
        assert_none(
            &unused,
            &format!("{package} does not use what it depends on"),
        );
    }
}

/// Of what cannot be in the name of a crate.
fn is_no_letter(letter: char) -> bool {
    !letter.is_ascii_alphanumeric() && letter != '_'
}

#[test]
fn every_dependency_of_the_workspace_belongs_to_a_crate() {
    let text = fs::read_to_string(root().join("Cargo.toml")).unwrap();
    let of_workspace = sections(&text).remove("workspace.dependencies").unwrap();
    let used: BTreeSet<String> = ARROWS
        .iter()
        .flat_map(|(package, ..)| manifest(package).into_values().flatten())
        .collect();
    let unused: Vec<String> = of_workspace.difference(&used).cloned().collect();
    assert_none(&unused, "no crate depends on these");
}

#[test]
fn kafka_is_named_in_the_bus_alone() {
    let stray: Vec<String> = sources()
        .iter()
        .filter(|source| !source.is_under(&["proto/src/bus", "bench/tests/tidy/"]))
        .flat_map(|source| places(source, |line| line.contains("rdkafka::")))
        .collect();
    assert_none(&stray, "only proto/src/bus may name rdkafka");
}

#[test]
fn messages_of_the_wire_are_decoded_by_the_codec_alone() {
    let messages = ["Register", "TestConfig", "Trigger", "Metrics", "Heartbeat"];
    let decodes = |line: &str| {
        let by_hand = line.contains("serde_json::from_");
        by_hand
            && messages
                .iter()
                .any(|name| line.contains(&format!("<{name}>")))
    };
    let outside = |source: &&Source| !source.is_under(&["proto/", "bench/tests/tidy/"]);
    let stray: Vec<String> = sources()
        .iter()
        .filter(outside)
        .flat_map(|source| places(source, decodes))
        .collect();
    assert_none(&stray, "use proto::codec::decode");
}

#[test]
fn unsafe_code_is_forbidden_but_for_the_ring_and_the_affinity_of_the_driver() {
    let allowed = ["driver-core/src/ring", "driver-core/src/affinity"];
    for source in sources() {
        let is_root = source.path.ends_with("src/lib.rs")
            || source.path.ends_with("src/main.rs")
            || source.path.contains("/src/bin/");
        if is_root {
            let attribute = if source.path == "driver-core/src/lib.rs" {
                "#![deny(unsafe_code)]"
            } else {
                "#![forbid(unsafe_code)]"
            };
            assert!(
                source.text.contains(attribute),
                "{} lacks {attribute}",
                source.path
            );
        }
        if source.path.starts_with("driver-core/src") && !source.is_under(&allowed) {
            let word = concat!("uns", "afe ");
            assert_none(
                &places(&source, |line| line.contains(word)),
                "no unsafe code here",
            );
        }
    }
}

/// Modules that are given the time, and do no input or output.
const PURE: &[&str] = &[
    "proto/src/summary",
    "proto/src/document",
    "proto/src/workload",
    "proto/src/measure",
    "proto/src/message",
    "proto/src/histogram",
    "proto/src/transfer",
    "proto/src/merging",
    "driver-core/src/plan",
    "driver-core/src/control",
    "driver-core/src/dispatch",
    "driver-core/src/source",
    "driver-core/src/protocol",
    "driver-core/src/transport",
    "driver-core/src/recording/node_report.rs",
    "orchestrator/src/control.rs",
    "orchestrator/src/control/",
];

#[test]
fn pure_modules_read_no_clock() {
    let clocks = [
        "Instant::now",
        "SystemTime",
        "clock::monotonic_ns()",
        "clock::unix_ns()",
    ];
    let reads = |line: &str| clocks.iter().any(|clock| line.contains(clock));
    let is_pure = |source: &&Source| source.is_under(PURE);
    let stray: Vec<String> = sources()
        .iter()
        .filter(is_pure)
        .flat_map(|source| places(source, reads))
        .collect();
    assert_none(&stray, "time is an argument here");
}

#[test]
fn the_engine_knows_no_wall_clock() {
    let engine = [
        "driver-core/src/core_loop",
        "driver-core/src/dispatch",
        "driver-core/src/ring",
        "driver-core/src/recording/recorder.rs",
    ];
    let reads = |line: &str| line.contains("unix_ns()") || line.contains("SystemTime");
    let is_engine = |source: &&Source| source.is_under(&engine);
    let stray: Vec<String> = sources()
        .iter()
        .filter(is_engine)
        .flat_map(|source| places(source, reads))
        .collect();
    assert_none(&stray, "after arming there is the monotonic clock only");
}

#[test]
fn every_file_says_what_it_is() {
    let silent = |source: &Source| {
        let first = source.text.lines().find(|line| !line.trim().is_empty());
        let says = first.is_some_and(|line| line.starts_with("//!"));
        (!says || source.text.contains("Placeholder")).then(|| source.path.clone())
    };
    let own = |source: &Source| source.path != "bench/tests/tidy/main.rs";
    let stray: Vec<String> = sources()
        .iter()
        .filter(|s| own(s))
        .filter_map(silent)
        .collect();
    assert_none(&stray, "these do not begin with //! and a sentence");
}

#[test]
fn nothing_is_left_for_later() {
    let marks = [
        concat!("to", "do!("),
        concat!("unimple", "mented!("),
        concat!("db", "g!("),
        concat!("#[ig", "nore"),
        concat!("FIX", "ME"),
        concat!("XX", "X "),
    ];
    let is_left = |line: &str| marks.iter().any(|mark| line.contains(mark));
    let stray: Vec<String> = sources()
        .iter()
        .flat_map(|source| all_places(source, is_left))
        .collect();
    assert_none(&stray, "finish it, or take it out");
}

#[test]
fn files_fit_in_a_head() {
    let long = |source: &Source| {
        let lines = source.text.lines().count();
        (lines > FILE_LINES_MAX).then(|| format!("{}: {lines} lines", source.path))
    };
    let stray: Vec<String> = sources().iter().filter_map(long).collect();
    assert_none(&stray, "cut these in two");
}

#[test]
fn files_are_named_after_what_they_hold() {
    let vague = [
        "mod", "utils", "util", "common", "helpers", "helper", "manager", "misc",
    ];
    let is_vague = |source: &Source| {
        let stem = Path::new(&source.path)
            .file_stem()
            .unwrap()
            .to_str()
            .unwrap();
        vague.contains(&stem).then(|| source.path.clone())
    };
    let stray: Vec<String> = sources().iter().filter_map(is_vague).collect();
    assert_none(
        &stray,
        "a name that says what is inside, and api.rs beside api/",
    );
}

#[test]
fn the_top_level_is_as_it_was_fixed() {
    let names = fs::read_dir(root())
        .unwrap()
        .map(|e| e.unwrap().file_name().into_string().unwrap());
    let stray: Vec<String> = names
        .filter(|name| !name.starts_with('.'))
        .filter(|name| !TOP_LEVEL.contains(&name.as_str()) && !IGNORED.contains(&name.as_str()))
        .collect();
    assert_none(&stray, "these do not belong at the top level");
}

#[test]
fn the_files_that_the_readme_links_to_exist() {
    let Ok(text) = fs::read_to_string(root().join("README.md")) else {
        return;
    };
    let links = text
        .split("](")
        .skip(1)
        .filter_map(|rest| rest.split([')', '#', ' ']).next());
    let stray: Vec<String> = links
        .filter(|link| !link.is_empty() && !link.contains("://"))
        .filter(|link| !root().join(link).exists())
        .map(str::to_owned)
        .collect();
    assert_none(&stray, "the README links to what is not there");
}

/// Where code matches, comments left out.
fn places(source: &Source, matches: impl Fn(&str) -> bool) -> Vec<String> {
    let matching = source.code().filter(|(_, line)| matches(line));
    matching
        .map(|(number, line)| format!("{}:{number}: {}", source.path, line.trim()))
        .collect()
}

/// Where anything matches, comments too.
fn all_places(source: &Source, matches: impl Fn(&str) -> bool) -> Vec<String> {
    let lines = source
        .text
        .lines()
        .enumerate()
        .filter(|(_, line)| matches(line));
    lines
        .map(|(index, line)| format!("{}:{}: {}", source.path, index + 1, line.trim()))
        .collect()
}
