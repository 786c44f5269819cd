//! Findings as `JUnit` XML: a suite a run, a case a finding, in the shape that GitLab and the
//! readers of GitHub's marketplace take.

use std::collections::BTreeMap;
use std::time::Duration;

use quick_junit::{NonSuccessKind, Report, SerializeError, TestCase, TestCaseStatus, TestSuite};

use super::{Finding, Findings, Group, Outcome};

impl Findings {
    /// As an XML document.
    ///
    /// # Errors
    /// What the writer says; of texts in memory it has nothing to say.
    pub fn to_junit(&self) -> Result<String, SerializeError> {
        let mut report = Report::new(plain(&format!("dlts: {}", self.title)));
        report.add_test_suites(self.groups.iter().map(|group| self.suite(group)));
        report.to_string()
    }

    fn suite(&self, group: &Group) -> TestSuite {
        let mut suite = TestSuite::new(plain(&format!("{}: {}", self.title, group.name)));
        suite.set_time(Duration::try_from_secs_f64(group.time_s).unwrap_or_default());
        // Readers take cases of one class and name for one.
        let mut told = BTreeMap::new();
        for finding in &group.findings {
            let times = told
                .entry((finding.kind.name(), name(finding)))
                .or_insert(0);
            *times += 1;
            suite.add_test_case(case(&group.name, finding, *times));
        }
        if !self.notes.is_empty() {
            suite.set_system_out(plain(&self.notes.join("\n")));
        }
        suite
    }
}

fn name(finding: &Finding) -> String {
    if finding.place.starts_with("step ") {
        format!("{} ({})", finding.asked, finding.place)
    } else {
        finding.asked.clone()
    }
}

fn case(group: &str, finding: &Finding, times: u32) -> TestCase {
    let mut status = match finding.outcome {
        Outcome::Pass => TestCaseStatus::success(),
        Outcome::Fail => TestCaseStatus::non_success(NonSuccessKind::Failure),
        Outcome::Error => TestCaseStatus::non_success(NonSuccessKind::Error),
        Outcome::Noted => TestCaseStatus::skipped(),
    };
    if finding.outcome != Outcome::Pass {
        status.set_type(finding.kind.name());
        status.set_message(plain(&finding.seen));
        if finding.outcome != Outcome::Noted {
            status.set_description(plain(&description(finding)));
        }
    }
    let mut name = name(finding);
    if times > 1 {
        name = format!("{name} #{times}");
    }
    let mut case = TestCase::new(plain(&name), status);
    case.set_classname(format!(
        "dlts.{}.{}",
        group.replace(' ', "-"),
        finding.kind.name()
    ));
    if finding.outcome == Outcome::Pass && !finding.seen.is_empty() {
        case.set_system_out(plain(&finding.seen));
    }
    case
}

/// A text without the characters that XML has not and the writer does not know of; it takes out the
/// others of them, the controls, itself.
fn plain(text: &str) -> String {
    text.replace(['\u{fffe}', '\u{ffff}'], "")
}

/// What was asked, what was seen, and where.
fn description(finding: &Finding) -> String {
    let lines = [
        ("asked", &finding.asked),
        ("seen", &finding.seen),
        ("at", &finding.place),
    ];
    let lines = lines.into_iter().filter(|(_, text)| !text.is_empty());
    let lines: Vec<String> = lines
        .map(|(name, text)| format!("{name}: {text}"))
        .collect();
    lines.join("\n")
}
