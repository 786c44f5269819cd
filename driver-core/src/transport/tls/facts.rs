//! What a handshake came to, for the report.

use proto::measure::{Certificate, TlsReport};
use rustls::client::UnbufferedClientConnection;
use rustls::pki_types::CertificateDer;
use rustls::{HandshakeKind, ProtocolVersion};
use x509_cert::der::Decode;

/// What was negotiated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// `TLS 1.3` or `TLS 1.2`.
    pub version: String,
    /// The cipher suite, as the standard names it.
    pub cipher: String,
    /// The group of the key exchange; none in a session of TLS 1.2 that was resumed.
    pub group: Option<String>,
    /// The protocol that the target chose by ALPN, if it did.
    pub alpn: Option<String>,
    /// Whether the session is one of a connection before.
    pub resumed: bool,
    /// Whether the target asked for a certificate of the client.
    pub asked: bool,
    /// The target's certificate.
    pub certificate: Option<Certificate>,
}

impl Facts {
    /// What a report says of it; handshakes are counted elsewhere. `insecure`: nobody checked the
    /// certificate.
    #[must_use]
    pub fn report(&self, insecure: bool) -> TlsReport {
        TlsReport {
            version: self.version.clone(),
            cipher: self.cipher.clone(),
            group: self.group.clone(),
            alpn: self.alpn.clone(),
            insecure,
            certificate: self.certificate.clone(),
            ..TlsReport::default()
        }
    }

    /// Of a connection that is established.
    pub(super) fn of(connection: &UnbufferedClientConnection, asked: bool) -> Self {
        let version = match connection.protocol_version() {
            Some(ProtocolVersion::TLSv1_3) => "TLS 1.3".to_owned(),
            Some(ProtocolVersion::TLSv1_2) => "TLS 1.2".to_owned(),
            other => format!("{other:?}"),
        };
        let cipher = connection.negotiated_cipher_suite();
        let group = connection.negotiated_key_exchange_group();
        let alpn = connection.alpn_protocol();
        let chain = connection.peer_certificates();
        Self {
            version,
            cipher: cipher.map_or_else(String::new, |suite| {
                format!("{:?}", suite.suite()).replace("TLS13_", "TLS_")
            }),
            group: group.map(|group| format!("{:?}", group.name())),
            alpn: alpn.map(|name| String::from_utf8_lossy(name).into_owned()),
            resumed: connection.handshake_kind() == Some(HandshakeKind::Resumed),
            asked,
            certificate: chain.and_then(<[_]>::first).and_then(read),
        }
    }
}

/// What people ask of a certificate; `None` where it cannot be read, which only the report cares
/// about.
fn read(certificate: &CertificateDer<'_>) -> Option<Certificate> {
    let parsed = x509_cert::Certificate::from_der(certificate).ok()?;
    let parsed = parsed.tbs_certificate;
    Some(Certificate {
        subject: parsed.subject.to_string(),
        issuer: parsed.issuer.to_string(),
        not_after_unix_s: parsed.validity.not_after.to_unix_duration().as_secs(),
    })
}
