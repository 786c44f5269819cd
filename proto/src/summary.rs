//! What the numbers mean: pure merge, statistics, accounting, thresholds and verdict, used by the
//! orchestrator for a cluster and by the driver for a run on its own. No I/O, no clock.
//!
//! The fold is [`Summary`]: it takes the nodes' reports in any order, any number of times, and
//! gives a [`TestResult`] at any moment. Two rules carry everything:
//!
//! - Counts and histograms add; percentiles never do. Whatever is shown is computed from the
//!   merged histogram at the moment of asking.
//! - A report covers a range of a node's sequence numbers. A range that is already covered is a
//!   duplicate and changes nothing; a range that never came is a gap and is named.

mod aborting;
mod brief;
mod capacity;
mod columns;
mod fold;
mod heatmap;
mod intervals;
mod lines;
mod plausibility;
mod ranges;
mod rates;
mod repeats;
mod result;
mod series;
mod statistics;
mod steadiness;
mod thresholds;
mod validity;
pub mod words;

pub use aborting::Aborting;
pub use brief::{Brief, Standing};
pub use capacity::{
    CAPACITY_RATES_MAX, CAPACITY_REST, CAPACITY_RUN, CAPACITY_TIME_MAX, CAPACITY_WARMUP, Capacity,
    CapacityAnswer, CapacityBounds, CapacityCourse, CapacityEnding, CapacityLimit, CapacitySearch,
    CapacityStep, Judged, Next, Wanted,
};
pub use fold::{Absorbed, Figures, NodeSummary, Nodes, Summary, Totals};
pub use heatmap::{HEAT_BANDS_MAX, HEAT_COLUMNS_MAX, HeatColumn, HeatGrid, HeatMap, HeatOf};
pub use intervals::{Intervals, QuantileInterval};
pub use lines::{
    LINE_POINTS_MAX, LINES_MAX, Line, Lines, LinesOf, Many, NodeCourse, NodeCourses, Others,
    StepCourses, StepFold, StepGrid, StepLinesOf, Whose,
};
pub use plausibility::{LinkUse, LittlesLaw};
pub use rates::{LateNode, RateRow};
pub use repeats::{REST_NS, Repeat, Repeats, RepeatsWithResults, RunFigures, Spread};
pub use result::{
    Accounting, Bytes, ConnectionFigures, Context, Coverage, CurvePoint, InNoSecond,
    MissingReports, NodeResult, Plan, Tally, TestResult, curve,
};
pub use result::{CheckRow, DataRow, FlowRow, SessionRows, StepRow};
pub use series::{SeriesRow, downsample};
pub use statistics::Statistics;
pub use thresholds::ThresholdResult;
pub use validity::{Judgement, Verdict};
