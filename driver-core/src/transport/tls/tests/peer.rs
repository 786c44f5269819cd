//! Servers in memory: rustls' own, and one whose records are made by hand.

use std::io::{Read, Write};
use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair,
    PKCS_ECDSA_P256_SHA256, date_time_ymd,
};
use rustls::kernel::KernelConnection;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::{ServerConnectionData, UnbufferedServerConnection, WebPkiClientVerifier};
use rustls::unbuffered::ConnectionState;
use rustls::version::{TLS12, TLS13};
use rustls::{
    CipherSuite, ContentType, RootCertStore, ServerConfig, ServerConnection,
    SupportedProtocolVersion,
};

use super::super::keys::Key;
use super::super::{Offer, Setup, State, Tls, Trust};
use crate::transport::Transport;
use proto::clock::Anchor;

/// The instant at which all happens: in 2027.
pub(super) const NOW: Anchor = Anchor {
    unix_ns: 1_800_000_000_000_000_000,
    monotonic_ns: 0,
};
/// The name of the target.
pub(super) const HOST: &str = "shop.example";

/// An authority.
pub(super) struct Authority(CertifiedIssuer<'static, KeyPair>);

/// A certificate with its key.
pub(super) struct Certified {
    pub(super) chain: Vec<CertificateDer<'static>>,
    pub(super) key: PrivateKeyDer<'static>,
}

pub(super) fn key_pair() -> KeyPair {
    KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap()
}

pub(super) fn valid_in(first_year: i32, last_year: i32) -> CertificateParams {
    let mut params = CertificateParams::new(vec![HOST.to_owned()]).unwrap();
    params.not_before = date_time_ymd(first_year, 1, 1);
    params.not_after = date_time_ymd(last_year, 1, 1);
    params
}

impl Authority {
    pub(super) fn new() -> Self {
        Self::named("one")
    }

    pub(super) fn named(name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, key_pair()).unwrap())
    }

    pub(super) fn der(&self) -> CertificateDer<'static> {
        self.0.der().clone()
    }

    pub(super) fn sign(&self, params: &CertificateParams) -> Certified {
        let key = key_pair();
        let certificate = params.signed_by(&key, &self.0).unwrap();
        Certified {
            chain: vec![certificate.der().clone()],
            key: PrivateKeyDer::try_from(key.serialize_der()).unwrap(),
        }
    }
}

impl Certified {
    /// One that signs itself as `openssl req -x509` does: marked as an authority.
    pub(super) fn by_itself() -> Self {
        let mut params = valid_in(2020, 2040);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = key_pair();
        let certificate = params.self_signed(&key).unwrap();
        Self {
            chain: vec![certificate.der().clone()],
            key: PrivateKeyDer::try_from(key.serialize_der()).unwrap(),
        }
    }
}

/// What a server speaks.
pub(super) struct Speaks {
    pub(super) version: &'static SupportedProtocolVersion,
    pub(super) suite: Option<CipherSuite>,
    pub(super) alpn: Vec<Vec<u8>>,
    pub(super) client_authority: Option<CertificateDer<'static>>,
}

impl Speaks {
    pub(super) fn version(version: &'static SupportedProtocolVersion) -> Self {
        Self {
            version,
            suite: None,
            alpn: Vec::new(),
            client_authority: None,
        }
    }

    pub(super) fn newest() -> Self {
        Self::version(&TLS13)
    }

    pub(super) fn older() -> Self {
        Self::version(&TLS12)
    }
}

pub(super) fn server(certified: Certified, speaks: Speaks) -> Arc<ServerConfig> {
    let mut provider = rustls::crypto::ring::default_provider();
    if let Some(suite) = speaks.suite {
        provider
            .cipher_suites
            .retain(|known| known.suite() == suite);
    }
    let provider = Arc::new(provider);
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&[speaks.version])
        .unwrap();
    let builder = if let Some(authority) = speaks.client_authority {
        let mut roots = RootCertStore::empty();
        roots.add(authority).unwrap();
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
        builder.with_client_cert_verifier(verifier.build().unwrap())
    } else {
        builder.with_no_client_auth()
    };
    let mut config = builder
        .with_single_cert(certified.chain, certified.key)
        .unwrap();
    config.alpn_protocols = speaks.alpn;
    config.enable_secret_extraction = true;
    config.send_half_rtt_data = true;
    Arc::new(config)
}

/// A server that a client trusts, and the client.
pub(super) fn trusted(speaks: Speaks) -> (Arc<ServerConfig>, Arc<Setup>) {
    let authority = Authority::new();
    let config = server(authority.sign(&valid_in(2020, 2040)), speaks);
    (config, client(Trust::These(vec![authority.der()])))
}

pub(super) fn client(trust: Trust) -> Arc<Setup> {
    let names = vec![ServerName::try_from(HOST).unwrap()];
    Arc::new(Setup::new(trust, None, names, Offer::Http1, true).unwrap())
}

/// rustls' own server, fed by hand.
pub(super) struct Server(pub(super) ServerConnection, Vec<u8>);

impl Server {
    pub(super) fn new(config: &Arc<ServerConfig>) -> Self {
        Self(
            ServerConnection::new(Arc::clone(config)).unwrap(),
            Vec::new(),
        )
    }

    /// Takes bytes and says what it answers; its error besides.
    pub(super) fn take(&mut self, mut bytes: &[u8]) -> (Vec<u8>, Option<rustls::Error>) {
        let mut error = None;
        while !bytes.is_empty() && error.is_none() {
            self.0.read_tls(&mut bytes).unwrap();
            error = self.0.process_new_packets().err();
            // WouldBlock says that there is no more.
            let _ = self.0.reader().read_to_end(&mut self.1);
        }
        (self.said(), error)
    }

    pub(super) fn said(&mut self) -> Vec<u8> {
        let mut out = Vec::new();
        while self.0.wants_write() {
            self.0.write_tls(&mut out).unwrap();
        }
        out
    }

    /// What it seals of these bytes.
    pub(super) fn write(&mut self, plain: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        for part in plain.chunks(8192) {
            self.0.writer().write_all(part).unwrap();
            out.extend(self.said());
        }
        out
    }

    /// What it has opened and nobody has read.
    pub(super) fn plain(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.1)
    }
}

/// An established connection of a client with rustls' server, its tickets unread.
pub(super) fn connect(tls: &mut Tls, config: &Arc<ServerConfig>) -> (State, Server) {
    let mut server = Server::new(config);
    let mut out = Vec::new();
    let mut state = tls.start(0, 0, &mut out).unwrap();
    for _ in 0..4 {
        let (mut answer, error) = server.take(&out);
        assert_eq!(error, None);
        out.clear();
        let progress = tls
            .open(&mut state, &mut answer, &mut out, |_| true)
            .unwrap();
        if progress.established {
            let (mut answer, error) = server.take(&out);
            assert_eq!(error, None);
            tls.open(&mut state, &mut answer, &mut out, |_| true)
                .unwrap();
            return (state, server);
        }
    }
    panic!("no handshake in four flights");
}

/// A server of TLS 1.3 whose records are made by hand.
pub(super) struct RawServer {
    pub(super) sealing: Key,
    pub(super) opening: Key,
    pub(super) kernel: KernelConnection<ServerConnectionData>,
}

impl RawServer {
    /// Shakes hands with a client.
    pub(super) fn connect(tls: &mut Tls, config: &Arc<ServerConfig>) -> (State, Self) {
        let mut server = UnbufferedServerConnection::new(Arc::clone(config)).unwrap();
        let mut hello = Vec::new();
        let mut state = tls.start(0, 0, &mut hello).unwrap();
        let mut flight = feed(&mut server, &mut hello);
        let mut finished = Vec::new();
        let progress = tls.open(&mut state, &mut flight, &mut finished, |_| true);
        assert!(progress.unwrap().established);
        let mut tickets = feed(&mut server, &mut finished);
        tls.open(&mut state, &mut tickets, &mut hello, |_| true)
            .unwrap();
        let (secrets, kernel) = server.dangerous_into_kernel_connection().unwrap();
        let raw = Self {
            sealing: Key::new(&secrets.tx.1, secrets.tx.0).unwrap(),
            opening: Key::new(&secrets.rx.1, secrets.rx.0).unwrap(),
            kernel,
        };
        (state, raw)
    }

    /// A record of whatever it is told.
    pub(super) fn record(&mut self, kind: ContentType, content: &[u8], padding: usize) -> Vec<u8> {
        let mut inner = content.to_vec();
        inner.push(u8::from(kind));
        inner.resize(inner.len() + padding, 0);
        let length = u16::try_from(inner.len() + 16).unwrap().to_be_bytes();
        let mut record = vec![23, 3, 3, length[0], length[1]];
        let tag = self.sealing.seal(&record, &mut inner).unwrap();
        record.extend(inner);
        record.extend(tag);
        record
    }

    /// The content and type of each record that the client has sent.
    pub(super) fn read(&mut self, bytes: &[u8]) -> Vec<(ContentType, Vec<u8>)> {
        let (mut rest, mut records) = (bytes, Vec::new());
        while !rest.is_empty() {
            let length = 5 + usize::from(u16::from_be_bytes([rest[3], rest[4]]));
            let (record, others) = rest.split_at(length);
            rest = others;
            let mut body = record[5..].to_vec();
            let plain = self.opening.open(&record[..5], &mut body).unwrap();
            let (kind, content) = plain.split_last().unwrap();
            records.push((ContentType::from(*kind), content.to_vec()));
            if *kind == 22 && content[0] == 24 {
                let (sequence, secrets) = self.kernel.update_rx_secret().unwrap();
                self.opening = Key::new(&secrets, sequence).unwrap();
            }
        }
        records
    }

    /// A key update, after which the next key is used.
    pub(super) fn update(&mut self, asks: u8) -> Vec<u8> {
        let record = self.record(ContentType::Handshake, &[24, 0, 0, 1, asks], 0);
        let (sequence, secrets) = self.kernel.update_tx_secret().unwrap();
        self.sealing = Key::new(&secrets, sequence).unwrap();
        record
    }
}

fn feed(server: &mut UnbufferedServerConnection, bytes: &mut Vec<u8>) -> Vec<u8> {
    let mut out = Vec::new();
    loop {
        let status = server.process_tls_records(bytes);
        let discard = status.discard;
        let waits = match status.state.unwrap() {
            ConnectionState::EncodeTlsData(mut data) => {
                let mut chunk = vec![0; 20_000];
                let written = data.encode(&mut chunk).unwrap();
                out.extend_from_slice(&chunk[..written]);
                false
            }
            ConnectionState::TransmitTlsData(data) => {
                data.done();
                false
            }
            _ => true,
        };
        bytes.drain(..discard);
        if waits {
            return out;
        }
    }
}
