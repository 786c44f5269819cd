//! What each step of a document counted by time, over all nodes.
//!
//! Nodes do not tell what a step counted in a second: they tell what it has come to since the start
//! ([`crate::measure::Progress`]), and at their end all of it. What a report tells beyond all that
//! its node told before counts in the last second that the report covers. So the sum over a step's
//! line is always what its nodes told last: a report that comes twice adds nothing, and what a lost
//! one told is in the next one, or at the end of the run. Only where it is put is then an
//! approximation, as it is where one report covers several seconds, where a document has so many
//! steps that they take turns ([`crate::measure::PROGRESS_PARTS_MAX`]), and where the reports of a
//! node come in another order than it sent them, which a partition does not do.

use rpds::RedBlackTreeMapSync;
use serde::{Deserialize, Serialize};

use super::super::columns::{Columns, Sum};
use super::{Axis, LINE_POINTS_MAX, Line, Lines, Many, Whose};
use crate::document::STEPS_MAX;
use crate::measure::{PartProgress, Report, StepCounts};
use crate::units::NS_PER_S;

/// What is counted of a step: sent, ok, errors.
type Tally = [u64; 3];

/// Most memory that the counts of a run take, in bytes: of as many steps as a document has, over as
/// many columns as there are.
const GRID_BYTES_MAX: usize = STEPS_MAX * LINE_POINTS_MAX * size_of::<Tally>();
const _: () = assert!(GRID_BYTES_MAX < 8 << 20);

/// Which count the lines of steps are of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StepLinesOf {
    /// Requests that were taken to be sent.
    Sent,
    /// Answers that were what was hoped for.
    Ok,
    /// Answers that were bad, and those that never came.
    Errors,
}

impl StepLinesOf {
    /// Each by its name.
    pub const NAMES: [(&'static str, Self); 3] = [
        ("sent", Self::Sent),
        ("ok", Self::Ok),
        ("errors", Self::Errors),
    ];

    fn of(self, [sent, ok, errors]: Tally) -> u64 {
        match self {
            Self::Sent => sent,
            Self::Ok => ok,
            Self::Errors => errors,
        }
    }
}

/// The counts of one column, by step; of the steps after the last nothing is counted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
struct Column(Vec<Tally>);

impl Column {
    fn step(&mut self, at: usize) -> &mut Tally {
        if self.0.len() <= at {
            self.0.resize(at + 1, Tally::default());
        }
        &mut self.0[at]
    }

    fn add(&mut self, step: usize, more: &Tally) {
        let mine = self.step(step).iter_mut();
        mine.zip(more).for_each(|(mine, more)| mine.sum(more));
    }
}

impl Sum for Column {
    fn sum(&mut self, more: &Self) {
        for (step, tally) in more.0.iter().enumerate() {
            self.add(step, tally);
        }
    }
}

/// The counts of the steps of a run by time: at most 7.2 MB, and some hundred KB of twenty steps. A
/// clone costs next to nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "GridWire", try_from = "GridWire")]
pub struct StepGrid {
    columns: Columns<Column, LINE_POINTS_MAX>,
}

impl StepGrid {
    /// Whether nothing was counted.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.columns.end_s() == 0
    }
}

/// A grid as it is stored.
#[derive(Serialize, Deserialize)]
struct GridWire {
    /// Seconds of a column.
    span_s: u64,
    /// By their first second, divided by the span.
    columns: Vec<(u64, Column)>,
}

impl From<StepGrid> for GridWire {
    fn from(grid: StepGrid) -> Self {
        let columns = grid.columns.by_place();
        Self {
            span_s: grid.columns.span_s(),
            columns: columns
                .map(|(place, column)| (place, column.clone()))
                .collect(),
        }
    }
}

impl TryFrom<GridWire> for StepGrid {
    type Error = String;

    fn try_from(wire: GridWire) -> Result<Self, String> {
        let columns = Columns::of(wire.span_s, wire.columns);
        let columns = columns.ok_or_else(|| format!("columns of {} s", wire.span_s))?;
        Ok(Self { columns })
    }
}

/// Reports in, a [`StepGrid`] out. A clone costs next to nothing.
#[derive(Debug, Clone, Default)]
pub struct StepFold {
    /// The most that each node told of each step.
    told: RedBlackTreeMapSync<String, Column>,
    grid: StepGrid,
}

impl StepFold {
    /// Takes in a report of a node, one of an interval or its last. A report that tells nothing of
    /// steps, and one that was taken in before, change nothing.
    pub fn absorb(&mut self, node_id: &str, report: &Report) {
        let mut told = told(report).peekable();
        if told.peek().is_none() {
            return;
        }
        if !self.told.contains_key(node_id) {
            self.told.insert_mut(node_id.to_owned(), Column::default());
        }
        let known = self.told.get_mut(node_id);
        let known = known.expect("invariant: it was put there");
        let mut news = Column::default();
        for (step, tally) in told {
            let more = raise(known.step(step), tally);
            if more != Tally::default() {
                news.add(step, &more);
            }
        }
        if !news.0.is_empty() {
            self.grid.columns.add(last_second(report), &news);
        }
    }

    /// What they come to.
    #[must_use]
    pub fn grid(&self) -> &StepGrid {
        &self.grid
    }
}

/// What a report tells of steps, by their numbers.
fn told(report: &Report) -> impl Iterator<Item = (usize, Tally)> {
    let progress = report.progress.iter().flat_map(|it| &it.steps);
    let progress = progress.filter_map(|row: &PartProgress<6>| {
        let [sent, ok, status, failed, lost, _] = row.counts;
        let bad = status.saturating_add(failed).saturating_add(lost);
        Some((usize::try_from(row.part).ok()?, [sent, ok, bad]))
    });
    let all = report.sessions.iter().flat_map(|it| &it.steps);
    let all = all.map(|step: &StepCounts| [step.sent, step.ok, step.bad()]);
    // No document has more.
    let is_known = |(step, _): &(usize, Tally)| *step < STEPS_MAX;
    progress.chain(all.enumerate()).filter(is_known)
}

/// The last second that a report covers; of a last report that is the end of the run.
fn last_second(report: &Report) -> u64 {
    if report.last {
        report.interval_end_ns.saturating_sub(1) / NS_PER_S
    } else {
        report.second()
    }
}

/// Makes each count at least as large as the other, and says by how much it grew.
fn raise(known: &mut Tally, told: Tally) -> Tally {
    std::array::from_fn(|at| {
        let more = told[at].saturating_sub(known[at]);
        known[at] += more;
        more
    })
}

/// The courses of the steps of a run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StepCourses {
    /// The steps of its document, in their order.
    pub names: Vec<String>,
    /// What they counted.
    pub grid: StepGrid,
}

impl StepCourses {
    /// A line of each step, of at most `points` points, as [`super::NodeCourses::lines`] has them.
    /// None before anything was counted.
    #[must_use]
    pub fn lines(&self, which: StepLinesOf, points: usize) -> Lines {
        let columns = &self.grid.columns;
        let axis = Axis::new(columns.span_s(), columns.end_s(), points);
        if self.grid.is_empty() {
            return axis.lines(Vec::new(), Many::Steps);
        }
        let joined = columns.joined(axis.span_s, |column| column);
        let line = |(step, name): (usize, &String)| -> Line {
            let counts = joined.iter().map(|(place, column)| {
                let tally = column.0.get(step).copied().unwrap_or_default();
                (*place, which.of(tally))
            });
            let name = name.clone();
            axis.line(Whose::Step { step, name }, counts)
        };
        let lines = self.names.iter().enumerate().map(line);
        axis.lines(lines.collect(), Many::Steps)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::{Progress, SecondRow, SessionCounts};

    /// What a node had sent of each step at the end of a second; nothing of a step that is `None`.
    fn interval(second: u64, sent: &[Option<u64>]) -> Report {
        let row = |(part, sent): (u32, &Option<u64>)| {
            let counts = [(*sent)?, 0, 0, 0, 0, 0];
            Some(PartProgress { part, counts })
        };
        Report {
            seconds: vec![SecondRow {
                second,
                ..SecondRow::default()
            }],
            progress: Some(Box::new(Progress {
                steps: (0..).zip(sent).filter_map(row).collect(),
                flows: Vec::new(),
            })),
            ..Report::default()
        }
    }

    fn last(end_ns: u64, steps: &[StepCounts]) -> Report {
        Report {
            last: true,
            interval_end_ns: end_ns,
            sessions: Some(Box::new(SessionCounts {
                steps: steps.to_vec(),
                ..SessionCounts::default()
            })),
            ..Report::default()
        }
    }

    fn courses(fold: &StepFold, steps: usize) -> StepCourses {
        StepCourses {
            names: (0..steps).map(|step| format!("s{step}")).collect(),
            grid: fold.grid().clone(),
        }
    }

    fn counts(fold: &StepFold, which: StepLinesOf) -> Vec<Vec<u64>> {
        let lines = courses(fold, 2).lines(which, 300);
        lines.lines.into_iter().map(|line| line.counts).collect()
    }

    #[test]
    fn what_a_lost_report_told_counts_with_the_next_and_what_no_report_told_at_the_end() {
        let mut fold = StepFold::default();
        fold.absorb("a", &interval(0, &[Some(5), None]));
        fold.absorb("b", &interval(0, &[Some(1), Some(1)]));
        fold.absorb("a", &Report::default());
        // Second 1 is lost, and came twice in another's log.
        fold.absorb("a", &interval(2, &[Some(9), Some(4)]));
        fold.absorb("a", &interval(2, &[Some(9), Some(4)]));
        assert_eq!(counts(&fold, StepLinesOf::Sent), [[6, 0, 4], [1, 0, 4]]);
        let step = StepCounts {
            sent: 9,
            ok: 4,
            status: 2,
            failed: 2,
            lost: 1,
            ..StepCounts::default()
        };
        fold.absorb("a", &last(3_500_000_000, &[step.clone(), step]));
        assert_eq!(
            counts(&fold, StepLinesOf::Sent),
            [[6, 0, 4, 0], [1, 0, 4, 5]]
        );
        assert_eq!(counts(&fold, StepLinesOf::Ok), [[0, 0, 0, 4]; 2]);
        assert_eq!(counts(&fold, StepLinesOf::Errors), [[0, 0, 0, 5]; 2]);
        // What comes late tells nothing that is not known.
        fold.absorb("a", &interval(1, &[Some(7), None]));
        assert_eq!(
            counts(&fold, StepLinesOf::Sent),
            [[6, 0, 4, 0], [1, 0, 4, 5]]
        );
    }

    #[test]
    fn of_many_steps_the_extremes_have_a_line_and_none_has_one_before_anything_counted() {
        let mut fold = StepFold::default();
        let none = courses(&fold, 20).lines(StepLinesOf::Sent, 300);
        assert_eq!((none.span_s, none.lines.len(), none.others), (1, 0, None));
        // The last of them has nothing.
        let sent: Vec<_> = (0..19).map(|step| Some(10 * (19 - step))).collect();
        fold.absorb("a", &interval(1, &sent));
        let lines = courses(&fold, 20).lines(StepLinesOf::Sent, 300);
        let steps = lines.lines.iter().map(|line| match &line.whose {
            Whose::Step { step, name } => (*step, name.as_str()),
            Whose::Node { .. } => panic!("{line:?}"),
        });
        let steps: Vec<_> = steps.collect();
        assert_eq!(steps[..4], [(0, "s0"), (1, "s1"), (2, "s2"), (3, "s3")]);
        assert_eq!(
            steps[4..],
            [(16, "s16"), (17, "s17"), (18, "s18"), (19, "s19")]
        );
        let others = lines.others.unwrap();
        let expected: u64 = (4..16).map(|step| 10 * (19 - step)).sum();
        assert_eq!(
            (others.many, others.counts),
            (Many::Steps(12), vec![0, expected])
        );
        let line = serde_json::to_string(&lines.lines[0]).unwrap();
        assert_eq!(
            line,
            r#"{"step":0,"name":"s0","total":190,"counts":[0,190]}"#
        );
    }

    #[test]
    fn a_number_that_no_document_has_takes_no_room() {
        let mut fold = StepFold::default();
        let mut report = interval(0, &[Some(1)]);
        report.progress.as_mut().unwrap().steps[0].part = u32::MAX;
        fold.absorb("a", &report);
        assert!(fold.grid().is_empty());
    }

    #[test]
    fn a_grid_is_read_as_it_was_stored() {
        let mut fold = StepFold::default();
        for second in 0..1000 {
            fold.absorb(
                "a",
                &interval(second, &[Some(2 * second), None, Some(second / 900)]),
            );
        }
        let grid = fold.grid();
        let json = serde_json::to_string(grid).unwrap();
        assert_eq!(serde_json::from_str::<StepGrid>(&json).unwrap(), *grid);
        let wrong = json.replace(r#""span_s":4"#, r#""span_s":0"#);
        assert!(wrong != json && serde_json::from_str::<StepGrid>(&wrong).is_err());
    }
}
