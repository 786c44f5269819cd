//! A result as people read it in a terminal: for the client, and for whoever asks REST for text.

mod table;
mod view;

pub use table::{ms, table};
pub use view::{Coverage, NodeView, Tally, View};
