//! What each node, or each step, did second by second: counts in bounded memory, and the few lines of
//! a chart that say most of many.

mod steps;

use std::collections::BTreeMap;

use serde::Serialize;

use super::columns::{Columns, Sum, span_for};
use crate::measure::SecondRow;

pub use steps::{StepCourses, StepFold, StepGrid, StepLinesOf};

/// Most of [`Lines::lines`], besides the one of all others.
pub const LINES_MAX: usize = 8;
/// Most points of a line.
pub const LINE_POINTS_MAX: usize = 300;

impl Sum for SecondRow {
    fn sum(&mut self, more: &Self) {
        self.add(more);
    }
}

impl Sum for u64 {
    fn sum(&mut self, more: &Self) {
        *self = self.saturating_add(*more);
    }
}

/// The counts of a node by time.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NodeCourse {
    counts: Columns<SecondRow, LINE_POINTS_MAX>,
}

impl NodeCourse {
    /// Adds the counts of a second.
    pub fn add(&mut self, row: &SecondRow) {
        self.counts.add(row.second, row);
    }
}

/// Which count the lines of nodes are of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LinesOf {
    /// Intended starts.
    Offered,
    /// Actual starts.
    Sent,
    /// Complete answers of any status.
    Completed,
    /// Complete answers that are no error.
    Ok,
    /// Errors of every kind.
    Errors,
}

impl LinesOf {
    /// Each by its name.
    pub const NAMES: [(&'static str, Self); 5] = [
        ("offered", Self::Offered),
        ("sent", Self::Sent),
        ("completed", Self::Completed),
        ("ok", Self::Ok),
        ("errors", Self::Errors),
    ];

    fn of(self, row: &SecondRow) -> &u64 {
        match self {
            Self::Offered => &row.offered,
            Self::Sent => &row.sent,
            Self::Completed => &row.completed,
            Self::Ok => &row.ok,
            Self::Errors => &row.errors,
        }
    }
}

/// The courses of the nodes of a run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NodeCourses {
    by_node: BTreeMap<String, NodeCourse>,
}

impl NodeCourses {
    /// Those of these nodes.
    pub(super) fn of<'a>(nodes: impl Iterator<Item = (&'a String, &'a NodeCourse)>) -> Self {
        let by_node = nodes.map(|(id, course)| (id.clone(), course.clone()));
        Self {
            by_node: by_node.collect(),
        }
    }

    /// Adds the counts of a node's second.
    pub fn add(&mut self, node_id: &str, row: &SecondRow) {
        if !self.by_node.contains_key(node_id) {
            self.by_node
                .insert(node_id.to_owned(), NodeCourse::default());
        }
        if let Some(course) = self.by_node.get_mut(node_id) {
            course.add(row);
        }
    }

    /// A line of each node, of at most `points` points (of 1 to [`LINE_POINTS_MAX`]; what is beyond
    /// is taken for the nearest). Of more than [`LINES_MAX`] nodes those that counted most and least
    /// have one each, and the others are one.
    #[must_use]
    pub fn lines(&self, which: LinesOf, points: usize) -> Lines {
        let courses = || self.by_node.values().map(|course| &course.counts);
        let end_s = courses().map(Columns::end_s).max().unwrap_or(0);
        // Of powers of two the largest is a multiple of each.
        let own_s = courses().map(Columns::span_s).max().unwrap_or(1);
        let axis = Axis::new(own_s, end_s, points);
        let line = |(node_id, course): (&String, &NodeCourse)| {
            let counts = course.counts.joined(axis.span_s, |row| which.of(row));
            let node_id = node_id.clone();
            axis.line(Whose::Node { node_id }, counts.into_iter())
        };
        axis.lines(self.by_node.iter().map(line).collect(), Many::Nodes)
    }
}

/// The points that all lines of an answer have.
#[derive(Debug, Clone, Copy)]
struct Axis {
    span_s: u64,
    end_s: u64,
    len: usize,
}

impl Axis {
    /// At most so many points, of a multiple of `own_s`, up to a second.
    fn new(own_s: u64, end_s: u64, points: usize) -> Self {
        let most = points.clamp(1, LINE_POINTS_MAX);
        let span_s = span_for(own_s, end_s, most);
        let len = usize::try_from(end_s.div_ceil(span_s)).unwrap_or(most);
        Self { span_s, end_s, len }
    }

    /// A line of counts by their places.
    fn line(&self, whose: Whose, by_place: impl Iterator<Item = (u64, u64)>) -> Line {
        let mut counts = vec![0_u64; self.len];
        for (place, count) in by_place {
            if let Some(mine) = usize::try_from(place)
                .ok()
                .and_then(|at| counts.get_mut(at))
            {
                mine.sum(&count);
            }
        }
        Line {
            whose,
            total: total(&counts),
            counts,
        }
    }

    /// The lines, or the extremes of them and all others as one.
    fn lines(&self, mut lines: Vec<Line>, many: fn(u64) -> Many) -> Lines {
        let others = Others::out_of(&mut lines, self.len, many);
        Lines {
            span_s: self.span_s,
            end_s: self.end_s,
            lines,
            others,
        }
    }
}

/// What the nodes of a run, or its steps, counted by time.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Lines {
    /// Seconds of a point.
    pub span_s: u64,
    /// The second after the last that is counted: the last point may have fewer than the others.
    pub end_s: u64,
    /// The nodes by id, or the steps in the order of the document; of many those that counted most
    /// and least over the whole run.
    pub lines: Vec<Line>,
    /// All others together.
    pub others: Option<Others>,
}

/// Whose line it is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(untagged)]
pub enum Whose {
    /// A node's.
    Node {
        /// Its id.
        node_id: String,
    },
    /// A step's.
    Step {
        /// Its number in the document, from 0.
        step: usize,
        /// Its name.
        name: String,
    },
}

/// What one node or step counted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Line {
    /// Which one.
    #[serde(flatten)]
    pub whose: Whose,
    /// Over all points.
    pub total: u64,
    /// Of each point from the first second on.
    pub counts: Vec<u64>,
}

fn total(counts: &[u64]) -> u64 {
    counts
        .iter()
        .fold(0, |sum, count| sum.saturating_add(*count))
}

/// How many have no line of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Many {
    /// So many nodes.
    Nodes(u64),
    /// So many steps.
    Steps(u64),
}

/// Those that have no line of their own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Others {
    /// How many they are.
    #[serde(flatten)]
    pub many: Many,
    /// What they counted together, of each point.
    pub counts: Vec<u64>,
}

impl Others {
    /// Leaves the extremes in `lines`, and takes the rest.
    fn out_of(lines: &mut Vec<Line>, len: usize, many: fn(u64) -> Many) -> Option<Self> {
        if lines.len() <= LINES_MAX {
            return None;
        }
        lines.sort_by(|one, other| (one.total, &one.whose).cmp(&(other.total, &other.whose)));
        let rest = LINES_MAX / 2..lines.len() - LINES_MAX.div_ceil(2);
        let mut counts = vec![0; len];
        let many = many(rest.len() as u64);
        for line in lines.drain(rest) {
            for (mine, more) in counts.iter_mut().zip(&line.counts) {
                mine.sum(more);
            }
        }
        lines.sort_by(|one, other| one.whose.cmp(&other.whose));
        Some(Self { many, counts })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(second: u64, ok: u64) -> SecondRow {
        SecondRow {
            second,
            ok,
            ..SecondRow::default()
        }
    }

    fn node_id(line: &Line) -> &str {
        let Whose::Node { node_id } = &line.whose else {
            panic!("a node's line: {line:?}");
        };
        node_id
    }

    #[test]
    fn a_few_nodes_have_a_line_each_on_one_axis() {
        let mut courses = NodeCourses::default();
        // One goes on for long enough that its seconds were joined.
        for second in 0..1000 {
            courses.add("b", &row(second, 2));
        }
        for second in 0..10 {
            courses.add("a", &row(second, 7));
        }
        let lines = courses.lines(LinesOf::Ok, 300);
        assert_eq!((lines.span_s, lines.end_s), (4, 1000));
        assert_eq!(lines.others, None);
        let [a, b] = lines.lines.as_slice() else {
            panic!("two lines: {lines:?}");
        };
        assert_eq!((node_id(a), a.total, b.total), ("a", 70, 2000));
        assert_eq!((a.counts.len(), b.counts.len()), (250, 250));
        assert_eq!(
            (a.counts[..4].to_vec(), b.counts[249]),
            (vec![28, 28, 14, 0], 8)
        );
        assert_eq!(courses.lines(LinesOf::Errors, 10).lines[1].total, 0);
        let few = courses.lines(LinesOf::Ok, 10);
        assert_eq!((few.span_s, few.lines[0].counts.len()), (100, 10));
        assert_eq!(
            NodeCourses::default().lines(LinesOf::Ok, 300),
            Lines {
                span_s: 1,
                ..Lines::default()
            }
        );
    }

    #[test]
    fn of_many_nodes_the_extremes_have_a_line_and_nothing_is_left_out() {
        let mut courses = NodeCourses::default();
        for node in 0..20 {
            courses.add(&format!("n{node:02}"), &row(1, node * 10));
        }
        let lines = courses.lines(LinesOf::Ok, 300);
        let ids: Vec<&str> = lines.lines.iter().map(node_id).collect();
        assert_eq!(
            ids,
            ["n00", "n01", "n02", "n03", "n16", "n17", "n18", "n19"]
        );
        let others = lines.others.unwrap();
        assert_eq!(
            (others.many, others.counts[1]),
            (Many::Nodes(12), (4..16).sum::<u64>() * 10)
        );
    }

    #[test]
    fn seconds_that_no_run_has_take_no_room() {
        let mut courses = NodeCourses::default();
        courses.add("a", &row(0, 1));
        courses.add("a", &row(u64::MAX, 2));
        let lines = courses.lines(LinesOf::Ok, 300);
        assert!(lines.lines[0].counts.len() <= 300);
        assert_eq!(lines.lines[0].total, 3);
    }
}
