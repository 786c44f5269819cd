//! What the kernel says of an operation.

use io_uring::cqueue;

use super::Token;

/// An operation that ended.
#[derive(Debug, Clone, Copy)]
pub struct Completion {
    /// Which one.
    pub token: Token,
    /// Bytes, or a negated error number.
    pub result: i32,
    flags: u32,
}

impl Completion {
    /// The buffer that holds what was received. It has to be [given back](super::Ring::give_back).
    #[must_use]
    pub fn buffer(&self) -> Option<u16> {
        cqueue::buffer_select(self.flags)
    }

    /// Whether the operation goes on: more completions of it follow.
    #[must_use]
    pub fn goes_on(&self) -> bool {
        cqueue::more(self.flags)
    }

    /// Whether the socket had more bytes than were received.
    #[must_use]
    pub fn left_some(&self) -> bool {
        cqueue::sock_nonempty(self.flags)
    }
}

impl From<&cqueue::Entry> for Completion {
    fn from(entry: &cqueue::Entry) -> Self {
        Self {
            token: Token::unpack(entry.user_data()),
            result: entry.result(),
            flags: entry.flags(),
        }
    }
}
