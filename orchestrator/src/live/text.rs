//! A result as JSON that is given whole or with some of its nodes.

use std::ops::Range;

use proto::summary::TestResult;
use serde::Deserialize;
use serde::de::Error;
use serde_json::value::RawValue;

use crate::control::run::Phase;

/// A result's JSON with an empty series, cut where its nodes are: of thousands of drivers they are
/// megabytes, and who asks once a second wants few of them.
#[derive(Debug, PartialEq, Eq)]
pub struct ResultText {
    /// All before the first node.
    head: String,
    /// The nodes, with a comma between two.
    nodes: String,
    /// Where each of them is.
    places: Vec<Range<usize>>,
    /// All after the last node, up to the series, which is the last field.
    tail: String,
}

/// What is read of a result's text.
#[derive(Deserialize)]
struct Cut<'a> {
    #[serde(borrow)]
    nodes: &'a RawValue,
}

impl ResultText {
    /// Of a result that has no series.
    #[must_use]
    pub fn of(result: &mut TestResult) -> Self {
        let nodes = std::mem::take(&mut result.nodes);
        let mut text = Self::read(&to_json(result)).expect("invariant: results have nodes");
        for node in &nodes {
            text.push(&to_json(node));
        }
        result.nodes = nodes;
        text
    }

    /// Of a result's JSON that has no series.
    ///
    /// # Errors
    /// What of the text is no result.
    pub fn read(result: &str) -> Result<Self, serde_json::Error> {
        let list = serde_json::from_str::<Cut>(result)?.nodes.get();
        let nodes: Vec<&RawValue> = serde_json::from_str(list)?;
        // The list is a part of the text, so that it is where it lies.
        let from = list.as_ptr() as usize - result.as_ptr() as usize;
        let tail = &result[from + list.len()..];
        let no_series = || serde_json::Error::custom("a result that ends with a series");
        let mut text = Self {
            head: format!("{}[", &result[..from]),
            nodes: String::with_capacity(list.len()),
            places: Vec::with_capacity(nodes.len()),
            tail: format!("]{}", tail.strip_suffix("[]}").ok_or_else(no_series)?),
        };
        nodes.iter().for_each(|node| text.push(node.get()));
        Ok(text)
    }

    fn push(&mut self, node: &str) {
        if !self.nodes.is_empty() {
            self.nodes.push(',');
        }
        let from = self.nodes.len();
        self.nodes.push_str(node);
        self.places.push(from..self.nodes.len());
    }

    /// The result with the nodes of this range, as far as there are any, and this series.
    #[must_use]
    pub fn with(&self, nodes: Range<usize>, series: &str) -> String {
        self.after(&self.head, nodes, series)
    }

    /// The same of a run that has come from one phase into another.
    pub(super) fn with_step(
        &self,
        (from, to): (Phase, Phase),
        nodes: Range<usize>,
        series: &str,
    ) -> String {
        // In texts quotes are escaped, so that this is the field.
        let field = |phase: Phase| format!("\"state\":\"{}\"", phase.name());
        self.after(
            &self.head.replacen(&field(from), &field(to), 1),
            nodes,
            series,
        )
    }

    fn after(&self, head: &str, nodes: Range<usize>, series: &str) -> String {
        let all = self.places.len();
        let of_page = &self.places[nodes.start.min(all)..nodes.end.min(all)];
        let page = match of_page {
            [] => "",
            [first, .., last] => &self.nodes[first.start..last.end],
            [only] => &self.nodes[only.clone()],
        };
        [head, page, &self.tail, series, "}"].concat()
    }
}

pub(super) fn to_json<T: serde::Serialize + ?Sized>(value: &T) -> String {
    serde_json::to_string(value)
        .expect("invariant: results and details have string keys and finite numbers")
}

#[cfg(test)]
mod tests {
    use super::*;

    const RESULT: &str = r#"{"reason":"\"nodes\":[9]","nodes":[{"node_id":"a"},{"node_id":"b]"},{"node_id":"c"}],"series":[]}"#;

    #[test]
    fn some_of_the_nodes_leave_the_rest_of_a_result_alone() {
        let text = ResultText::read(RESULT).unwrap();
        let with = |from, to| text.with(from..to, "[]");
        assert_eq!(text.places.len(), 3);
        assert_eq!(with(0, usize::MAX), RESULT);
        assert_eq!(
            with(1, 2),
            r#"{"reason":"\"nodes\":[9]","nodes":[{"node_id":"b]"}],"series":[]}"#
        );
        let none = r#"{"reason":"\"nodes\":[9]","nodes":[],"series":[]}"#;
        assert_eq!(with(0, 0), none);
        assert_eq!(with(3, 8), none);
        assert_eq!(with(7, 8), none);
        assert_eq!(text.with(0..0, "[1]"), none.replace("[]}", "[1]}"));
        assert!(ResultText::read("{}").is_err());
        assert!(ResultText::read(&RESULT.replace("[]}", "[1]}")).is_err());
    }
}
