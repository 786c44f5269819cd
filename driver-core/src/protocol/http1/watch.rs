//! Hands the fields and bodies of answers on to a sink that looks at them.

use super::head::{each_field, sets_cookie};
use super::{Extract, KEY};
use crate::protocol::{Fields, Sink};

/// A sink that watches.
pub(super) struct Watch<'a, S>(pub(super) &'a mut S);

impl<S: Sink> Extract for Watch<'_, S> {
    #[inline]
    fn head(&mut self, head: &[u8]) {
        let is_looked_at = match self.0.watches(KEY).fields {
            Fields::None => false,
            Fields::Cookies => sets_cookie(head),
            Fields::All => true,
        };
        if is_looked_at {
            each_field(head, |name, value| self.0.field(KEY, name, value));
        }
    }

    #[inline]
    fn body(&mut self, piece: &[u8]) {
        if !piece.is_empty() && self.0.watches(KEY).body {
            self.0.body(KEY, piece);
        }
    }
}
