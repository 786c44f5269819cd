//! What an export holds of its result, and what not, in words: after a gap in the reports the
//! seconds have less than the totals, and whoever reads the file alone must see it there.

use proto::summary::{InNoSecond, MissingReports};

use crate::report;

/// What is missing in a result, or in its seconds.
#[derive(Debug, Clone, Default)]
pub(super) struct Covers {
    test: String,
    coverage: report::Coverage,
}

impl Covers {
    pub(super) fn of(result: report::View) -> Self {
        Self {
            test: format!("test {:?}, {}", result.test_id, result.state),
            coverage: result.coverage,
        }
    }

    /// What no second has.
    pub(super) fn in_no_second(&self) -> InNoSecond {
        self.coverage.in_no_second
    }

    /// The comments of a file with so many of the result's samples. `what` names the file's parts
    /// and its samples.
    pub(super) fn comments(&self, what: &str, held: u64, total: u64) -> Vec<String> {
        let covers = format!("[Covers: {}: {what}: {held} of {total}]", self.test);
        let mut comments = vec![covers];
        if held < total {
            let rest = total - held;
            comments.push(format!("[Missing: {rest} samples, which are in no second]"));
        }
        let gaps = self.gaps().into_iter();
        comments.extend(gaps.map(|gap| format!("[Missing: {gap}]")));
        comments
    }

    /// What never came, a sentence each.
    pub(super) fn gaps(&self) -> Vec<String> {
        let lost = self.coverage.unfinished_nodes.iter();
        let foreign = self.coverage.unmerged_nodes.iter();
        // The ids are others' words: as they are quoted here they end no comment and no line.
        self.coverage
            .missing
            .iter()
            .map(of_reports)
            .chain(lost.map(|node| format!("the last report of \"{}\"", node.escape_default())))
            .chain(foreign.map(|node| {
                let node = node.escape_default();
                format!("the samples of \"{node}\", which sends no histograms")
            }))
            .collect()
    }
}

fn of_reports(gap: &MissingReports) -> String {
    let (first, last, node) = (gap.first, gap.last, gap.node_id.escape_default());
    let which = if first == last {
        format!("report {first} of \"{node}\"")
    } else {
        format!("reports {first} to {last} of \"{node}\"")
    };
    if gap.healed {
        which + ", of which only its last report tells: the totals are whole, the seconds are not"
    } else {
        which
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn covers(coverage: &serde_json::Value) -> Covers {
        let result = json!({"test_id": "abc", "state": "partial", "coverage": coverage});
        Covers::of(serde_json::from_value(result).unwrap())
    }

    #[test]
    fn a_whole_result_is_said_to_be_whole() {
        let comments = covers(&json!({})).comments("3 seconds", 400, 400);
        assert_eq!(
            comments,
            ["[Covers: test \"abc\", partial: 3 seconds: 400 of 400]"]
        );
    }

    #[test]
    fn everything_that_never_came_is_named_on_a_line_of_its_own() {
        let covers = covers(&json!({
            "missing": [
                {"node_id": "a\n1,2", "first": 2, "last": 2, "healed": true},
                {"node_id": "b", "first": 1, "last": 3, "healed": false},
            ],
            "unfinished_nodes": ["b"], "unmerged_nodes": ["c"],
        }));
        let comments = covers.comments("3 seconds", 300, 400);
        assert_eq!(
            comments[1],
            "[Missing: 100 samples, which are in no second]"
        );
        assert!(comments[2].starts_with("[Missing: report 2 of \"a\\n1,2\", of which only"));
        assert_eq!(comments[3], "[Missing: reports 1 to 3 of \"b\"]");
        assert_eq!(comments[4], "[Missing: the last report of \"b\"]");
        assert!(comments[5].contains("the samples of \"c\""), "{comments:?}");
        assert!(comments.iter().all(|comment| !comment.contains('\n')));
    }
}
