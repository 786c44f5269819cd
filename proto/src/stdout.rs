//! Standard output of a command, which may be a pipe that its reader closed.

use std::io::{self, Write};

/// Writes an answer whole. A reader that went away (`client list | head`) has read enough: a normal
/// end, and the exit code says the rest.
///
/// # Errors
/// What the system said, for all but a closed pipe.
pub fn write(text: &[u8]) -> io::Result<()> {
    write_to(&mut io::stdout().lock(), text)
}

/// The same to any pipe.
pub(crate) fn write_to(pipe: &mut impl Write, text: &[u8]) -> io::Result<()> {
    match pipe.write_all(text).and_then(|()| pipe.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written,
    }
}
