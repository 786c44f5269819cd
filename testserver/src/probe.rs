//! Asks a server that runs whether it answers: the health check of an image without a shell.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// A server that needs longer for a number does not work.
const ANSWER_MAX: Duration = Duration::from_secs(3);
/// Not counted by the server, as `/` would be.
const REQUEST: &[u8] = b"GET /metric HTTP/1.1\r\nHost: probe\r\n\r\n";
const GOOD: &[u8] = b"HTTP/1.1 200 ";

/// Asks the server at `address` for its count.
///
/// # Errors
/// What kept it from answering with 200 within 3 s.
pub fn probe(address: SocketAddr) -> io::Result<()> {
    let mut connection = TcpStream::connect_timeout(&address, ANSWER_MAX)?;
    connection.set_read_timeout(Some(ANSWER_MAX))?;
    connection.set_write_timeout(Some(ANSWER_MAX))?;
    connection.write_all(REQUEST)?;
    let mut begin = [0; GOOD.len()];
    connection.read_exact(&mut begin)?;
    if begin == GOOD {
        return Ok(());
    }
    Err(io::Error::other(format!(
        "answered {:?} instead of 200",
        String::from_utf8_lossy(&begin)
    )))
}
