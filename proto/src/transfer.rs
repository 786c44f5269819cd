//! Files on their way to drivers: the pieces that they travel in, who is sent which of them, and
//! what of a file is there. Pure: no file, no topic, and time is an argument.
//!
//! A driver that lacks a file says so in its heartbeats, by the SHA-256 of its content, and with it
//! how many bytes it has from the beginning: that is the acknowledgement. The [`Sender`] sends the
//! next [`Chunk`]s of one file at a time, at most [`WINDOW`] bytes beyond what every asker has, and
//! begins again there when nothing is acknowledged any more. So nothing needs to be remembered: a
//! sender that was killed knows from the next heartbeats where to go on, and a driver that was killed
//! asks from the beginning. The [`Assembly`] takes chunks in any order and as often as they come;
//! whether all together are the file is for its SHA-256 to say.

mod assembly;
mod chunk;
mod sender;

pub use assembly::Assembly;
pub use chunk::Chunk;
pub use sender::{ASKED_NS_MAX, Piece, RESEND_NS, Sender};

/// Longest file, in bytes.
pub const FILE_LEN_MAX: u64 = 1 << 30;

/// Bytes of a file in one chunk; the last has what is left. With what stands before it a message
/// has less than 512 KiB.
pub const PIECE_LEN: u64 = 480 << 10;

/// Bytes under way at most: the embedded broker keeps 5 MiB of a topic.
pub const WINDOW: u64 = 4 << 20;

const _: () = assert!(PIECE_LEN + 64 <= 512 << 10 && 2 * PIECE_LEN < WINDOW);

#[cfg(test)]
mod tests;
