//! Buffers for what has come of a record, shared by the connections of a core: at any instant few
//! of them wait in mid-record, and those that do not need no memory for it.

/// Buffers that are kept for the next connection that waits.
const KEPT_MAX: usize = 64;

/// Empty buffers.
#[derive(Debug, Default)]
pub(super) struct Spare(Vec<Vec<u8>>);

impl Spare {
    /// A buffer, empty.
    pub(super) fn take(&mut self) -> Vec<u8> {
        self.0.pop().unwrap_or_default()
    }

    /// A buffer that is not needed now, whatever it holds.
    pub(super) fn give(&mut self, mut buffer: Vec<u8>) {
        if self.0.len() < KEPT_MAX && buffer.capacity() > 0 {
            buffer.clear();
            self.0.push(buffer);
        }
    }
}
