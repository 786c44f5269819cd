//! What all cores share: trust, identity, names and protocols, compiled once a load.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustls::client::danger::ServerCertVerifier;
use rustls::client::{ResolvesClientCert, WebPkiServerVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::sign::CertifiedKey;
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, RootCertStore, SignatureScheme};
use thiserror::Error;

use super::broken::{Broken, Peer};
use super::verifier::{Anyone, OrItself};

/// Whose certificates are taken.
#[derive(Debug, Clone)]
pub enum Trust {
    /// Those that lead to one of the system's authorities, of which some may be unreadable.
    System(Vec<CertificateDer<'static>>),
    /// Those that lead to one of these authorities, or are one of these themselves.
    These(Vec<CertificateDer<'static>>),
    /// Anyone's.
    Anyone,
}

/// The client's own certificate.
#[derive(Debug)]
pub struct Identity {
    /// It, and those between it and the authority.
    pub chain: Vec<CertificateDer<'static>>,
    /// Its private key.
    pub key: PrivateKeyDer<'static>,
}

/// The protocols that are offered by ALPN.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Offer {
    /// HTTP/1.1, which a target without ALPN speaks too.
    Http1,
    /// HTTP/2, and nothing else.
    Http2,
    /// Both, HTTP/2 first: the target chooses.
    Either,
}

impl Offer {
    fn names(self) -> Vec<Vec<u8>> {
        match self {
            Self::Http1 => vec![b"http/1.1".to_vec()],
            Self::Http2 => vec![b"h2".to_vec()],
            Self::Either => vec![b"h2".to_vec(), b"http/1.1".to_vec()],
        }
    }

    const fn text(self) -> &'static str {
        match self {
            Self::Http1 => "http/1.1",
            Self::Http2 => "h2",
            Self::Either => "h2, http/1.1",
        }
    }
}

/// What cannot be compiled.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum InvalidSetup {
    /// A certificate that is to be trusted cannot be read.
    #[error("tls.ca: certificate {number} cannot be read ({reason}): give certificates as PEM")]
    Authority {
        /// Its place, from 1.
        number: usize,
        /// What is wrong.
        reason: String,
    },
    /// There is nobody to trust.
    #[error(
        "no authority is trusted: install the system's (ca-certificates), or give tls.ca (--cacert)"
    )]
    NoAuthority,
    /// The client's certificate is of no use.
    #[error("tls.cert and tls.key: {0}; give a certificate and its own private key")]
    Identity(String),
}

/// Compiled once, used by all cores.
#[derive(Debug)]
pub struct Setup {
    config: ClientConfig,
    names: Vec<ServerName<'static>>,
    offer: Offer,
    resumes: bool,
    identity: Arc<MaybeIdentity>,
}

impl Setup {
    /// Compiles. `names` are those of the endpoints, by number; at least one.
    ///
    /// # Errors
    /// [`InvalidSetup`], which names the option and the remedy.
    pub fn new(
        trust: Trust,
        identity: Option<Identity>,
        names: Vec<ServerName<'static>>,
        offer: Offer,
        resumes: bool,
    ) -> Result<Self, InvalidSetup> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let identity = Arc::new(MaybeIdentity::new(identity, &provider)?);
        let mut config = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&[&TLS13, &TLS12])
            .expect("invariant: ring has ciphers of both versions")
            .dangerous()
            .with_custom_certificate_verifier(verifier(trust, provider)?)
            .with_client_cert_resolver(Arc::clone(&identity) as _);
        config.alpn_protocols = offer.names();
        config.enable_secret_extraction = true;
        Ok(Self {
            config,
            names,
            offer,
            resumes,
            identity,
        })
    }

    /// The same with another offer: what a probe has found is all that a load offers.
    #[must_use]
    pub fn offering(self, offer: Offer) -> Self {
        let mut config = self.config;
        config.alpn_protocols = offer.names();
        Self {
            config,
            offer,
            ..self
        }
    }

    /// Whether a target has asked for a certificate of the client.
    #[must_use]
    pub fn was_asked(&self) -> bool {
        self.identity.asked.load(Ordering::Relaxed)
    }

    pub(super) fn config(&self) -> &ClientConfig {
        &self.config
    }

    pub(super) fn resumes(&self) -> bool {
        self.resumes
    }

    /// The name of an endpoint; those beyond the last have the last's.
    pub(super) fn name(&self, endpoint: usize) -> &ServerName<'static> {
        let known = self.names.get(endpoint).or(self.names.last());
        known.expect("invariant: a setup has a name")
    }

    pub(super) fn peer(&self, endpoint: usize) -> Peer<'_> {
        Peer {
            name: self.name(endpoint),
            offered: self.offer.text(),
            asked: self.was_asked(),
            has_identity: self.identity.key.is_some(),
        }
    }

    /// Whether the target chose what the load speaks. Silence is HTTP/1.1.
    pub(super) fn check_protocol(&self, chosen: Option<&[u8]>) -> Result<(), Broken> {
        if self.offer != Offer::Http2 || chosen == Some(b"h2") {
            return Ok(());
        }
        let chosen = chosen.map(|name| String::from_utf8_lossy(name).into_owned());
        Err(Broken::OtherProtocol {
            wanted: self.offer.text(),
            chosen: chosen.unwrap_or_else(|| "nothing".to_owned()),
        })
    }
}

fn verifier(
    trust: Trust,
    provider: Arc<CryptoProvider>,
) -> Result<Arc<dyn ServerCertVerifier>, InvalidSetup> {
    let mut roots = RootCertStore::empty();
    let trusted = match trust {
        Trust::Anyone => return Ok(Arc::new(Anyone(provider))),
        Trust::System(system) => {
            roots.add_parsable_certificates(system);
            Vec::new()
        }
        Trust::These(trusted) => {
            add_all(&trusted, &mut roots)?;
            trusted
        }
    };
    let authorities = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider);
    let authorities = authorities.build().map_err(|_| InvalidSetup::NoAuthority)?;
    Ok(Arc::new(OrItself::new(authorities, trusted)))
}

fn add_all(
    trusted: &[CertificateDer<'static>],
    roots: &mut RootCertStore,
) -> Result<(), InvalidSetup> {
    for (index, certificate) in trusted.iter().enumerate() {
        let added = roots.add(certificate.clone());
        added.map_err(|error| InvalidSetup::Authority {
            number: index + 1,
            reason: error.to_string(),
        })?;
    }
    Ok(())
}

/// The client's certificate, if there is one, and whether it was asked for.
#[derive(Debug)]
struct MaybeIdentity {
    key: Option<Arc<CertifiedKey>>,
    asked: AtomicBool,
}

impl MaybeIdentity {
    fn new(identity: Option<Identity>, provider: &CryptoProvider) -> Result<Self, InvalidSetup> {
        let certified = |Identity { chain, key }: Identity| {
            let key = CertifiedKey::from_der(chain, key, provider);
            key.map(Arc::new)
                .map_err(|error| InvalidSetup::Identity(error.to_string()))
        };
        Ok(Self {
            key: identity.map(certified).transpose()?,
            asked: AtomicBool::new(false),
        })
    }
}

impl ResolvesClientCert for MaybeIdentity {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        self.asked.store(true, Ordering::Relaxed);
        self.key.clone()
    }

    fn has_certs(&self) -> bool {
        self.key.is_some()
    }
}
