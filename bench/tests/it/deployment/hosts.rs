//! What `make install` and `make dist` lay down.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use super::{assert_reads, path, text};
use crate::cluster::process::binary;
use crate::cluster::skip::skip;

const ROLES: [&str; 4] = ["driver", "merger", "orchestrator", "testserver"];

/// Runs one of the scripts with the binaries beside this test.
fn run(script: &str, arguments: &[&str]) {
    let mut command = Command::new(path(".deploy/hosts").join(script));
    let output = command
        .arg(binary("driver").parent().unwrap())
        .args(arguments)
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{script} {arguments:?}: {errors}");
}

/// The values of a key of a unit.
fn values<'a>(unit: &'a str, key: &str) -> Vec<&'a str> {
    let prefix = format!("{key}=");
    unit.lines()
        .filter_map(|line| line.strip_prefix(prefix.as_str()))
        .collect()
}

/// The names that are set, or proposed behind a `#`, in a file of settings.
fn settings(text: &str) -> BTreeSet<&str> {
    let is_name = |name: &&str| {
        name.bytes()
            .all(|byte| byte.is_ascii_uppercase() || byte == b'_')
    };
    text.lines()
        .filter_map(|line| line.trim_start_matches('#').split_once('='))
        .map(|(name, _)| name)
        .filter(is_name)
        .collect()
}

#[test]
fn units_start_what_is_installed_with_settings_that_it_reads() {
    let root = tempfile::tempdir().unwrap();
    let destination = root.path().to_str().unwrap();
    run("install", &["/opt/dlts", destination]);
    for role in ROLES {
        let unit = format!("opt/dlts/lib/systemd/system/dlts-{role}.service");
        let unit = fs::read_to_string(root.path().join(unit)).unwrap();
        assert_eq!(
            values(&unit, "ExecStart"),
            [format!("/opt/dlts/bin/dlts-{role}")]
        );
        let program = root.path().join(format!("opt/dlts/bin/dlts-{role}"));
        assert!(
            Command::new(program)
                .arg("--version")
                .output()
                .unwrap()
                .status
                .success()
        );

        let [file] = values(&unit, "EnvironmentFile")[..] else {
            panic!("one file of settings: {unit}")
        };
        let proposed = fs::read_to_string(root.path().join(&file[1..])).unwrap();
        let environment = values(&unit, "Environment").join("\n");
        let named = settings(&proposed)
            .into_iter()
            .chain(settings(&environment));
        let named: Vec<&str> = named.collect();
        assert!(!named.is_empty(), "{role}");
        assert_reads(role, named);
        // A unit starts with the file as it comes: nothing but comments.
        assert!(
            proposed.lines().all(|line| line.starts_with('#')),
            "{proposed}"
        );
    }
    let client = root.path().join("opt/dlts/bin/dlts-client");
    assert!(client.is_file());
    let front = |arguments: &[&str]| {
        let mut front = Command::new(root.path().join("opt/dlts/bin/dlts"));
        let output = front.args(arguments).output().unwrap();
        let words = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        (output.status.code(), words)
    };
    let of_driver = ["run", "try", "import", "schema", "check"].map(|name| (name, "driver"));
    for (command, of) in of_driver.into_iter().chain([("compare", "client")]) {
        let of = format!("{of} {command}");
        let (code, words) = front(&["help", command]);
        assert_eq!(code, Some(0), "{words}");
        // As it is named there: dlts-driver.
        let usage = words.lines().find(|line| line.starts_with("Usage: "));
        assert!(usage.is_some_and(|usage| usage.contains(&of)), "{words}");
    }
    let (code, words) = front(&["up"]);
    assert_eq!(code, Some(1), "packages have no appliance: {words}");
    assert!(words.contains("packages do without"), "{words}");
}

#[test]
fn an_installation_over_another_keeps_its_settings() {
    let root = tempfile::tempdir().unwrap();
    let destination = root.path().to_str().unwrap();
    run("install", &["/usr", destination]);
    let file = root.path().join("etc/dlts/orchestrator.env");
    let mode = |file: &Path| fs::metadata(file).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&file), 0o600, "the token stands in it");
    fs::write(&file, "DLTS_TOKEN=mine\n").unwrap();
    run("install", &["/usr", destination]);
    assert_eq!(fs::read_to_string(&file).unwrap(), "DLTS_TOKEN=mine\n");
    assert_eq!(mode(&file), 0o600);
}

#[test]
fn a_tarball_of_the_same_binaries_has_the_same_bytes() {
    if Command::new("git").arg("--version").output().is_err() {
        return skip("there is no git, whose commit dates the tarball");
    }
    let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let sums = folders.each_ref().map(|folder| {
        run("dist", &[folder.path().to_str().unwrap(), "0.0.0"]);
        let files = fs::read_dir(folder.path()).unwrap();
        let mut files = files.map(|file| file.unwrap().path());
        let is_sum =
            |path: &std::path::PathBuf| path.extension().is_some_and(|end| end == "sha256");
        fs::read_to_string(files.find(is_sum).unwrap()).unwrap()
    });
    assert_eq!(sums[0], sums[1]);
}

#[test]
fn the_package_installs_what_make_install_does() {
    let manifest = text("orchestrator/Cargo.toml");
    let install = text(".deploy/hosts/install");
    let programs = install.split_once("for program in ").unwrap().1;
    let programs = programs.split_once(';').unwrap().0;
    for program in programs.split(' ') {
        let asset = format!(r#"["target/release/{program}", "usr/bin/dlts-{program}", "755"]"#);
        assert!(manifest.contains(&asset), "{asset}");
    }
    for role in ROLES {
        assert!(
            manifest.contains(&format!(r#"unit-name = "dlts-{role}""#)),
            "{role}"
        );
        assert!(
            manifest.contains(&format!("/etc/dlts/{role}.env")),
            "{role}"
        );
    }
    let changes = text(".deploy/hosts/changelog");
    let version = format!("dlts ({}-1) ", super::VERSION);
    assert!(changes.starts_with(&version), "{changes}");
}
