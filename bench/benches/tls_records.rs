//! Micro-benchmarks of the record layer of TLS 1.3 that each request and answer goes through: 40
//! bytes are about a request, 158 about a small answer of nginx.
//!
//!     cargo bench -p bench --bench tls_records

use std::hint::black_box;
use std::io::Write;
use std::sync::Arc;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use driver_core::transport::Transport;
use driver_core::transport::tls::{Offer, Setup, State, Tls, Trust};
use proto::clock::Anchor;
use rustls::pki_types::{PrivateKeyDer, ServerName};
use rustls::version::TLS13;
use rustls::{CipherSuite, ServerConfig, ServerConnection};

const REQUEST: [u8; 40] = [b'r'; 40];
const ANSWER: [u8; 158] = [b'a'; 158];
const SUITES: [(&str, CipherSuite); 3] = [
    ("aes_128", CipherSuite::TLS13_AES_128_GCM_SHA256),
    ("aes_256", CipherSuite::TLS13_AES_256_GCM_SHA384),
    ("chacha20", CipherSuite::TLS13_CHACHA20_POLY1305_SHA256),
];

/// An established connection with a server in memory.
struct Pair {
    tls: Tls,
    state: State,
    server: ServerConnection,
}

impl Pair {
    fn new(suite: CipherSuite) -> Self {
        let name = ServerName::try_from("localhost").expect("invariant: a name");
        let setup = Setup::new(Trust::Anyone, None, vec![name], Offer::Http1, true);
        let setup = Arc::new(setup.expect("invariant: nothing in it can be wrong"));
        let mut tls = Tls::new(&setup, Anchor::now());
        let mut server = ServerConnection::new(server_config(suite)).expect("invariant: a config");
        let mut out = Vec::new();
        let started = tls.start(0, 0, &mut out);
        let mut state = started.expect("invariant: a hello can be made");
        while server.is_handshaking() {
            let mut answer = exchange(&mut server, &std::mem::take(&mut out));
            let opened = tls.open(&mut state, &mut answer, &mut out, |_| true);
            opened.expect("invariant: the two understand each other");
        }
        Self { tls, state, server }
    }

    /// A record of an answer; every one has to be opened, in order.
    fn answer(&mut self) -> Vec<u8> {
        let written = self.server.writer().write_all(&ANSWER);
        written.expect("invariant: memory takes it");
        exchange(&mut self.server, &[])
    }
}

fn server_config(suite: CipherSuite) -> Arc<ServerConfig> {
    let own = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]);
    let own = own.expect("invariant: a certificate can be made");
    let key = PrivateKeyDer::try_from(own.signing_key.serialize_der());
    let key = key.expect("invariant: a key that was just made");
    let mut provider = rustls::crypto::ring::default_provider();
    provider
        .cipher_suites
        .retain(|known| known.suite() == suite);
    let config = ServerConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(&[&TLS13])
        .expect("invariant: the suite is one of TLS 1.3")
        .with_no_client_auth()
        .with_single_cert(vec![own.cert.der().clone()], key);
    Arc::new(config.expect("invariant: the key is the certificate's"))
}

/// Feeds the server and takes what it says.
fn exchange(server: &mut ServerConnection, mut bytes: &[u8]) -> Vec<u8> {
    while !bytes.is_empty() {
        let read = server.read_tls(&mut bytes);
        read.expect("invariant: memory can be read");
        let processed = server.process_new_packets();
        processed.expect("invariant: the two understand each other");
    }
    let mut out = Vec::new();
    while server.wants_write() {
        let written = server.write_tls(&mut out);
        written.expect("invariant: memory takes it");
    }
    out
}

fn seal(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("tls/seal_40");
    group.throughput(Throughput::Bytes(REQUEST.len() as u64));
    for (name, suite) in SUITES {
        let mut pair = Pair::new(suite);
        let mut out = Vec::with_capacity(4096);
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                out.clear();
                let sealed = pair
                    .tls
                    .seal(&mut pair.state, black_box(&REQUEST), &mut out);
                sealed.is_ok()
            });
        });
    }
    group.finish();
}

fn open(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("tls/open_158");
    group.throughput(Throughput::Bytes(ANSWER.len() as u64));
    for (name, suite) in SUITES {
        let pair = std::cell::RefCell::new(Pair::new(suite));
        let mut out = Vec::new();
        group.bench_function(name, |bencher| {
            bencher.iter_batched_ref(
                || pair.borrow_mut().answer(),
                |record| {
                    let Pair { tls, state, .. } = &mut *pair.borrow_mut();
                    let mut length = 0;
                    let opened = tls.open(state, record, &mut out, |plain| {
                        length += plain.len();
                        true
                    });
                    assert!(opened.is_ok() && length == ANSWER.len());
                },
                BatchSize::SmallInput,
            );
        });
    }
    group.finish();
}

criterion_group!(tls_records, seal, open);
criterion_main!(tls_records);
