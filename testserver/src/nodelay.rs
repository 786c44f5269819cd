//! `TCP_NODELAY` for a server that does not offer it.
//!
//! `may_minihttp` binds its listening socket itself and hands out neither that nor the accepted
//! ones. With Nagle's algorithm on, the second of two answers waits for the client's delayed
//! acknowledgement of the first, 40 ms, when a client pipelines without filling its pipeline. Linux
//! lets accepted sockets inherit the option from the listening socket, which is found among this
//! process's own (see [`sockets`]).

use std::fs;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;

use rustix::net::sockopt;

use crate::sockets;

/// Sets `TCP_NODELAY` on this process's socket that listens on `address`. Says whether it could:
/// kernels before 5.6 and some container policies do not let it.
#[must_use]
pub fn set_on_listener(address: SocketAddr) -> bool {
    let Some(descriptors) = own_descriptors() else {
        return false;
    };
    descriptors
        .into_iter()
        .filter_map(sockets::duplicate)
        .find(|socket| listens_on(socket, address))
        .is_some_and(|socket| sockopt::set_tcp_nodelay(&socket, true).is_ok())
}

fn own_descriptors() -> Option<Vec<i32>> {
    let entries = fs::read_dir("/proc/self/fd").ok()?;
    Some(
        entries
            .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
            .collect(),
    )
}

fn listens_on(socket: &OwnedFd, address: SocketAddr) -> bool {
    sockopt::socket_acceptconn(socket) == Ok(true)
        && rustix::net::getsockname(socket).is_ok_and(|name| name == address.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::net::{TcpListener, TcpStream};

    #[test]
    fn accepted_sockets_inherit_the_option() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        if !set_on_listener(address) {
            // Written past the capture of the test harness: a skipped test must show.
            let _ = writeln!(
                std::io::stderr(),
                "skipped: this kernel or container does not let us duplicate a socket"
            );
            return;
        }
        let _client = TcpStream::connect(address).unwrap();
        assert!(listener.accept().unwrap().0.nodelay().unwrap());
    }

    #[test]
    fn a_socket_that_is_not_ours_is_not_found() {
        assert!(!set_on_listener("127.0.0.1:1".parse().unwrap()));
    }
}
