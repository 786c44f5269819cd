//! What was measured, on its way from a core to the node's report and to the logs of the core.

mod core_interval;
mod core_log;
mod handover;
mod node_report;
mod recorder;

pub use core_interval::{CoreHealth, CoreInterval};
pub use core_log::CoreLog;
pub(crate) use handover::Handover;
pub use node_report::Collector;
pub use recorder::{Counts, Instants, Loss, Recorder};
