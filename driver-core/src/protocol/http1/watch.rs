//! Hands the fields and bodies of answers on to a sink that looks at them.

use super::head::each_field;
use super::{Extract, KEY};
use crate::protocol::Sink;

/// A sink that watches.
pub(super) struct Watch<'a, S>(pub(super) &'a mut S);

impl<S: Sink> Extract for Watch<'_, S> {
    fn head(&mut self, head: &[u8]) {
        each_field(head, |name, value| self.0.field(KEY, name, value));
    }

    fn body(&mut self, piece: &[u8]) {
        if !piece.is_empty() {
            self.0.body(KEY, piece);
        }
    }
}
