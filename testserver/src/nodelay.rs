//! `TCP_NODELAY` for a server that does not offer it.
//!
//! `may_minihttp` binds its listening socket itself and hands out neither that nor the accepted
//! ones. With Nagle's algorithm on, the second of two answers waits for the client's delayed
//! acknowledgement of the first, 40 ms, when a client pipelines without filling its pipeline. Linux
//! lets accepted sockets inherit the option from the listening socket; and `pidfd_getfd` on ourselves
//! duplicates that socket's descriptor without `unsafe`.

use std::fs;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;

use rustix::net::sockopt;
use rustix::process::{PidfdFlags, PidfdGetfdFlags, getpid, pidfd_getfd, pidfd_open};

/// Sets `TCP_NODELAY` on this process's socket that listens on `address`. Says whether it could:
/// kernels before 5.6 and some container policies do not let it.
#[must_use]
pub fn set_on_listener(address: SocketAddr) -> bool {
    let Some(descriptors) = own_descriptors() else {
        return false;
    };
    let Ok(own) = pidfd_open(getpid(), PidfdFlags::empty()) else {
        return false;
    };
    descriptors
        .iter()
        .filter_map(|&descriptor| pidfd_getfd(&own, descriptor, PidfdGetfdFlags::empty()).ok())
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
    use std::net::{TcpListener, TcpStream};

    #[test]
    fn accepted_sockets_inherit_the_option() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        if !set_on_listener(address) {
            return; // This kernel or container does not allow it, and the start line says so.
        }
        let _client = TcpStream::connect(address).unwrap();
        assert!(listener.accept().unwrap().0.nodelay().unwrap());
    }

    #[test]
    fn a_socket_that_is_not_ours_is_not_found() {
        assert!(!set_on_listener("127.0.0.1:1".parse().unwrap()));
    }
}
