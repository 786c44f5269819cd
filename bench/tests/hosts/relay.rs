//! A relay of TCP connections that delays what passes, in either direction.

use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::network::Host;

/// Pieces under way in one direction; what comes then waits at its sender.
const PIECES_MAX: usize = 1024;
const LOOK: Duration = Duration::from_millis(10);

/// Ends, with its connections, when it is dropped.
pub(crate) struct Relay {
    stop: Arc<AtomicBool>,
}

impl Relay {
    /// Listens at `from`, on `host` or on this machine, and passes on to `to` what comes, `delay`
    /// later.
    pub(crate) fn start(
        host: Option<&Host>,
        from: SocketAddr,
        to: SocketAddr,
        delay: Duration,
    ) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let (ready, is_ready) = sync_channel(1);
        let (host, stopped) = (host.cloned(), Arc::clone(&stop));
        // The threads of a thread are where it is; so are their sockets.
        thread::spawn(move || {
            if let Some(host) = host {
                enter(&host);
            }
            let listener = TcpListener::bind(from).expect("the address is free");
            listener.set_nonblocking(true).expect("a listener can poll");
            ready.send(()).expect("the test waits");
            accept(&listener, to, delay, &stopped);
        });
        is_ready.recv().expect("the relay listens");
        Self { stop }
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

fn enter(host: &Host) {
    let namespace =
        File::open(format!("/run/netns/{}", host.namespace)).expect("the host is there");
    move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))
        .expect("root may enter a host");
}

fn accept(listener: &TcpListener, to: SocketAddr, delay: Duration, stop: &Arc<AtomicBool>) {
    while !stop.load(Ordering::Relaxed) {
        match listener.accept() {
            Ok((near, _)) => {
                let stop = Arc::clone(stop);
                thread::spawn(move || connect(&near, to, delay, &stop));
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => thread::sleep(LOOK),
            Err(error) => panic!("the relay cannot accept: {error}"),
        }
    }
}

fn connect(near: &TcpStream, to: SocketAddr, delay: Duration, stop: &AtomicBool) {
    near.set_nonblocking(false).expect("a stream can block");
    let far = TcpStream::connect_timeout(&to, Duration::from_secs(10));
    let Ok(far) = far else {
        return;
    };
    for stream in [near, &far] {
        stream.set_nodelay(true).expect("a stream has options");
        // So that the end of the relay is noticed.
        stream
            .set_read_timeout(Some(Duration::from_millis(200)))
            .expect("a stream has options");
    }
    thread::scope(|scope| {
        scope.spawn(|| pass(near, &far, delay, stop));
        pass(&far, near, delay, stop);
    });
}

/// Passes on until either side ends; then both end.
fn pass(from: &TcpStream, to: &TcpStream, delay: Duration, stop: &AtomicBool) {
    let (pieces, due) = sync_channel(PIECES_MAX);
    thread::scope(|scope| {
        scope.spawn(move || write_when_due(to, &due));
        read_and_stamp(from, &pieces, delay, stop);
        drop(pieces);
    });
    for stream in [from, to] {
        let _ = stream.shutdown(Shutdown::Both);
    }
}

fn read_and_stamp(
    mut from: &TcpStream,
    pieces: &SyncSender<(Instant, Vec<u8>)>,
    delay: Duration,
    stop: &AtomicBool,
) {
    let mut buffer = [0; 16 << 10];
    while !stop.load(Ordering::Relaxed) {
        match from.read(&mut buffer) {
            Ok(0) => return,
            Ok(length) => {
                let piece = (Instant::now() + delay, buffer[..length].to_vec());
                if pieces.send(piece).is_err() {
                    return;
                }
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Err(_) => return,
        }
    }
}

fn write_when_due(mut to: &TcpStream, due: &Receiver<(Instant, Vec<u8>)>) {
    while let Ok((at, piece)) = due.recv() {
        thread::sleep(at.saturating_duration_since(Instant::now()));
        if to.write_all(&piece).is_err() {
            // The reader must not wait for a writer that is gone.
            let _ = to.shutdown(Shutdown::Both);
            return;
        }
    }
}
