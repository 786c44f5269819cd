//! What the node decides: its state machine over messages and over what its load tells, and its
//! reports on their way to the broker. Pure: time is an argument, and what is to be done is returned.

mod early;
mod interface;
mod node;
mod outbox;

pub use early::EARLY_NS_MAX;
pub use interface::{Action, Event, Place, Start, Unrun};
pub use node::{CONFIGS_MAX, LATE_NS_MAX, Node, READY_NS_MAX};
pub use outbox::{HANDED_MAX, Outbox, ROWS_MAX, WAITING_MAX};
