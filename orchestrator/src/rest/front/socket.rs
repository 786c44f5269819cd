//! A client's socket, in clear or in TLS. Either never blocks.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;

use rustls::{ServerConfig, ServerConnection, StreamOwned};

/// The socket.
#[derive(Debug)]
pub(super) enum Socket {
    Clear(TcpStream),
    Tls(Box<StreamOwned<ServerConnection, TcpStream>>),
}

impl Socket {
    pub(super) fn new(stream: TcpStream, tls: Option<&Arc<ServerConfig>>) -> io::Result<Self> {
        stream.set_nonblocking(true)?;
        stream.set_nodelay(true)?;
        let Some(config) = tls else {
            return Ok(Self::Clear(stream));
        };
        let session = ServerConnection::new(Arc::clone(config)).map_err(io::Error::other)?;
        Ok(Self::Tls(Box::new(StreamOwned::new(session, stream))))
    }

    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Clear(stream) => stream.as_fd(),
            Self::Tls(stream) => stream.sock.as_fd(),
        }
    }

    /// Whether TLS has something to send of its own, which the socket did not take yet.
    pub(super) fn wants_write(&self) -> bool {
        match self {
            Self::Clear(_) => false,
            Self::Tls(stream) => stream.conn.wants_write(),
        }
    }

    /// Whether bytes may have been read from the network that [`Read`] has not given out.
    pub(super) fn holds_back(&self) -> bool {
        matches!(self, Self::Tls(_))
    }

    /// Tells the client that nothing more comes.
    pub(super) fn end(&mut self) {
        match self {
            Self::Clear(stream) => drop(stream.shutdown(Shutdown::Write)),
            Self::Tls(stream) => {
                stream.conn.send_close_notify();
                // A client that does not take it is not going to read the answer either.
                let _ = stream.conn.write_tls(&mut stream.sock);
                let _ = stream.sock.shutdown(Shutdown::Write);
            }
        }
    }
}

impl Read for Socket {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Clear(stream) => stream.read(bytes),
            Self::Tls(stream) => stream.read(bytes),
        }
    }
}

impl Write for Socket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Clear(stream) => stream.write(bytes),
            Self::Tls(stream) => stream.write(bytes),
        }
    }

    /// Whether everything is in the system's hands; an error of the kind `WouldBlock` when not.
    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Clear(_) => Ok(()),
            Self::Tls(stream) => {
                while stream.conn.wants_write() {
                    if stream.conn.write_tls(&mut stream.sock)? == 0 {
                        return Err(ErrorKind::WriteZero.into());
                    }
                }
                Ok(())
            }
        }
    }
}
