//! TLS 1.3 allocates nothing a request: counted by the allocator while records are sealed and
//! opened, whole and cut, after the first of each kind.

#![allow(clippy::unwrap_used)] // a test ends where something is not as it should be
#![allow(unsafe_code)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::io::Write;
use std::sync::Arc;

use driver_core::transport::Transport;
use driver_core::transport::tls::{Offer, Setup, Tls, Trust};
use proto::clock::Anchor;
use rustls::pki_types::{PrivateKeyDer, ServerName};
use rustls::version::TLS13;
use rustls::{ServerConfig, ServerConnection};

/// Counts what this thread allocates.
struct Counter;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

// SAFETY: every call goes to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counter {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: the block came from `System` with this layout.
        unsafe { System.dealloc(block, layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: the block came from `System` with this layout; the caller vouches for the size.
        unsafe { System.realloc(block, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counter = Counter;

fn server() -> ServerConnection {
    let own = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let key = PrivateKeyDer::try_from(own.signing_key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13])
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![own.cert.der().clone()], key)
        .unwrap();
    ServerConnection::new(Arc::new(config)).unwrap()
}

fn exchange(server: &mut ServerConnection, mut bytes: &[u8]) -> Vec<u8> {
    while !bytes.is_empty() {
        server.read_tls(&mut bytes).unwrap();
        server.process_new_packets().unwrap();
    }
    let mut out = Vec::new();
    while server.wants_write() {
        server.write_tls(&mut out).unwrap();
    }
    out
}

#[test]
fn requests_and_answers_allocate_nothing() {
    let name = ServerName::try_from("localhost").unwrap();
    let setup = Setup::new(Trust::Anyone, None, vec![name], Offer::Http1, true).unwrap();
    let mut tls = Tls::new(&Arc::new(setup), Anchor::now());
    let (mut server, mut out) = (server(), Vec::with_capacity(65_536));
    let mut state = tls.start(0, 0, &mut out).unwrap();
    while server.is_handshaking() {
        let mut answer = exchange(&mut server, &out);
        out.clear();
        tls.open(&mut state, &mut answer, &mut out, |_| true)
            .unwrap();
    }
    let mut tickets = exchange(&mut server, &out);
    tls.open(&mut state, &mut tickets, &mut out, |_| true)
        .unwrap();
    for round in 0..50 {
        server.writer().write_all(&[round; 9000]).unwrap();
        let mut answer = exchange(&mut server, &[]);
        // In one piece every third time, else cut in mid-header or in mid-record.
        let cut = [answer.len(), 3, 700][usize::from(round) % 3];
        let before = ALLOCATIONS.get();
        out.clear();
        tls.seal(&mut state, &[round; 40], &mut out).unwrap();
        let mut length = 0;
        let (first, rest) = answer.split_at_mut(cut);
        for piece in [first, rest] {
            let opened = tls.open(&mut state, piece, &mut out, |plain| {
                length += plain.len();
                true
            });
            opened.unwrap();
        }
        let allocations = ALLOCATIONS.get() - before;
        assert_eq!(length, 9000);
        // The first cut record takes a buffer, which all connections then share.
        assert!(
            round < 6 || allocations == 0,
            "{allocations} in round {round}"
        );
    }
}
