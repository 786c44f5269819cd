//! Every way in which TLS to a target fails: one line each, with the cause and the remedy.

use rustls::pki_types::{ServerName, UnixTime};
use rustls::{AlertDescription, CertificateError, OtherError, PeerIncompatible};
use thiserror::Error;
use x509_cert::der::DateTime;

/// Bytes that are no TLS are quoted up to this length.
const QUOTED_MAX: usize = 40;

/// What to do where a certificate is refused that cannot be mended.
macro_rules! unchecked {
    () => {
        "tls.insecure (--insecure) loads it unchecked"
    };
}

/// Why a connection cannot go on.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Broken {
    /// The certificate names other hosts.
    #[error(
        "the target's certificate is for {presented}, not for {expected}: load it by a name that the certificate has, or give that as tls.server_name (--server-name)"
    )]
    WrongName {
        /// Whom we wanted.
        expected: String,
        /// Whom it names.
        presented: String,
    },
    /// The certificate's time is over.
    #[error(
        "the target's certificate expired at {at}: renew it, or set this machine's clock; {}",
        unchecked!()
    )]
    Expired {
        /// The end of its validity, UTC.
        at: String,
    },
    /// The certificate's time has not come.
    #[error(
        "the target's certificate is valid from {from} only: set this machine's clock, or renew it; {}",
        unchecked!()
    )]
    NotYetValid {
        /// The begin of its validity, UTC.
        from: String,
    },
    /// The chain ends in none of the roots.
    #[error(
        "the target's certificate is from an authority that is not trusted here: give the authority's certificate as tls.ca (--cacert), or let the target send the certificates between; {}",
        unchecked!()
    )]
    UnknownAuthority,
    /// It has signed itself, and is not trusted by itself.
    #[error(
        "the target's certificate is signed by itself: give that very certificate as tls.ca (--cacert); {}",
        unchecked!()
    )]
    SelfSigned,
    /// It is refused for another reason.
    #[error("the target's certificate is refused ({reason}): replace it; {}", unchecked!())]
    Certificate {
        /// In rustls' words.
        reason: String,
    },
    /// No version in common.
    #[error(
        "the target speaks neither TLS 1.2 nor TLS 1.3, and older versions are not spoken here: enable one of them at the target"
    )]
    Version,
    /// No cipher suite, group or signature in common.
    #[error(
        "the target and the driver have no {what} in common: let the target take ECDHE with AES-GCM or ChaCha20-Poly1305 on X25519, P-256 or P-384"
    )]
    Parameters {
        /// What is missing.
        what: &'static str,
    },
    /// It answers something else than TLS.
    #[error(
        "the target does not speak TLS on this port, it answers {quoted:?}: write http:// for plain HTTP, or give the port of https"
    )]
    NoTls {
        /// How it begins.
        quoted: String,
    },
    /// It asks for a certificate and gets none.
    #[error(
        "the target wants a certificate of the client: give tls.cert and tls.key (--cert, --key), files on each driver"
    )]
    CertificateWanted,
    /// It does not like the client's.
    #[error(
        "the target refuses the client's certificate ({alert}): give one that it trusts as tls.cert and tls.key (--cert, --key)"
    )]
    CertificateRefused {
        /// Its alert.
        alert: String,
    },
    /// It does not know the name in the hello.
    #[error(
        "the target knows no host {name} ({alert}): load it by a name that it serves, or give that as tls.server_name (--server-name)"
    )]
    NoSuchName {
        /// The name that was asked for.
        name: String,
        /// Its alert.
        alert: String,
    },
    /// It takes none of the protocols.
    #[error(
        "the target takes none of the protocols offered by ALPN ({offered}): give another http (--http)"
    )]
    NoProtocol {
        /// Those that were offered.
        offered: &'static str,
    },
    /// It chose another protocol than the load speaks.
    #[error(
        "the target chose {chosen} by ALPN where the load speaks {wanted}: give another http (--http)"
    )]
    OtherProtocol {
        /// What the load speaks.
        wanted: &'static str,
        /// What the target chose.
        chosen: String,
    },
    /// It has ended the connection with an alert.
    #[error("the target ended the connection with the TLS alert {0}: its log says why")]
    Alert(String),
    /// The stream ended before the handshake did.
    #[error(
        "the target closed the connection during the TLS handshake: is this a port of TLS, and does it take this client?"
    )]
    EndedInHandshake,
    /// The stream ended without `close_notify`.
    #[error("the target closed the connection without the end that TLS asks for (close_notify)")]
    Cut,
    /// The target breaks the protocol.
    #[error("the target breaks the TLS protocol ({0}): its TLS, or something between, is broken")]
    Protocol(String),
    /// The driver's side fails.
    #[error("TLS fails on the driver ({0}): a fault of dlts or of this machine")]
    Internal(String),
    /// The key may seal no more.
    #[error("the connection has sent as much as its TLS keys may protect")]
    Exhausted,
    /// It has failed or ended before.
    #[error("the TLS connection is over")]
    Over,
}

/// Why an established connection cannot go on, before it is told in words.
#[derive(Debug)]
pub(super) enum Failure {
    /// The peer breaks the protocol, which it is told by this alert.
    Protocol(AlertDescription, &'static str),
    /// The peer has sent this alert.
    Alert(AlertDescription),
    /// rustls refuses what has come.
    Library(rustls::Error),
    /// It is in words.
    Told(Broken),
}

/// What a failure's words depend on.
#[derive(Debug, Clone, Copy)]
pub(super) struct Peer<'a> {
    /// The name that was asked for.
    pub(super) name: &'a ServerName<'static>,
    /// The protocols that were offered.
    pub(super) offered: &'static str,
    /// Whether a target of the load has asked for a certificate.
    pub(super) asked: bool,
    /// Whether there is one for it.
    pub(super) has_identity: bool,
}

impl Broken {
    /// From what failed in a handshake, and what had come and was not used.
    pub(super) fn in_handshake(error: rustls::Error, peer: &Peer<'_>, got: &[u8]) -> Self {
        if got.first().is_some_and(|byte| !(20..=24).contains(byte)) {
            let start = &got[..got.len().min(QUOTED_MAX)];
            let text = String::from_utf8_lossy(start);
            let quoted = text.lines().next().unwrap_or_default().to_owned();
            return Self::NoTls { quoted };
        }
        Self::of_library(error, peer)
    }

    /// From what failed on an established connection.
    pub(super) fn after(failure: Failure, peer: &Peer<'_>) -> Self {
        match failure {
            Failure::Protocol(_, what) => Self::Protocol(what.to_owned()),
            Failure::Alert(alert) => Self::of_alert(alert, peer),
            Failure::Library(error) => Self::of_library(error, peer),
            Failure::Told(broken) => broken,
        }
    }

    fn of_library(error: rustls::Error, peer: &Peer<'_>) -> Self {
        use rustls::Error;
        match error {
            Error::InvalidCertificate(error) => Self::of_certificate(error, peer),
            Error::AlertReceived(alert) => Self::of_alert(alert, peer),
            Error::PeerIncompatible(incompatible) => Self::of_incompatible(&incompatible),
            Error::NoApplicationProtocol => Self::NoProtocol {
                offered: peer.offered,
            },
            Error::General(_)
            | Error::EncryptError
            | Error::FailedToGetCurrentTime
            | Error::FailedToGetRandomBytes
            | Error::HandshakeNotComplete
            | Error::Other(_) => Self::Internal(error.to_string()),
            error => Self::Protocol(error.to_string()),
        }
    }

    fn of_certificate(error: CertificateError, peer: &Peer<'_>) -> Self {
        match error {
            CertificateError::NotValidForNameContext { presented, .. } => Self::WrongName {
                expected: peer.name.to_str().into_owned(),
                presented: names(&presented),
            },
            CertificateError::NotValidForName => Self::WrongName {
                expected: peer.name.to_str().into_owned(),
                presented: "others".to_owned(),
            },
            CertificateError::ExpiredContext { not_after, .. } => {
                Self::Expired { at: utc(not_after) }
            }
            CertificateError::NotValidYetContext { not_before, .. } => Self::NotYetValid {
                from: utc(not_before),
            },
            // A bad signature: an authority of that name is known, with another key.
            CertificateError::UnknownIssuer | CertificateError::BadSignature => {
                Self::UnknownAuthority
            }
            CertificateError::Other(other) if is_authority(&other) => Self::SelfSigned,
            error => Self::Certificate {
                reason: error.to_string(),
            },
        }
    }

    /// By what the peer's alert means, RFC 8446, 6.2, and by what it was asked for.
    fn of_alert(alert: AlertDescription, peer: &Peer<'_>) -> Self {
        use AlertDescription as A;
        let told = alert_name(alert);
        let is_of_certificate = matches!(
            alert,
            A::BadCertificate
                | A::UnsupportedCertificate
                | A::CertificateRevoked
                | A::CertificateExpired
                | A::CertificateUnknown
                | A::UnknownCA
                | A::AccessDenied
        );
        match alert {
            A::CertificateRequired if !peer.has_identity => Self::CertificateWanted,
            A::HandshakeFailure | A::NoCertificate if peer.asked && !peer.has_identity => {
                Self::CertificateWanted
            }
            _ if is_of_certificate && peer.asked && !peer.has_identity => Self::CertificateWanted,
            A::CertificateRequired | A::DecryptError if peer.has_identity => {
                Self::CertificateRefused { alert: told }
            }
            _ if is_of_certificate && peer.has_identity => Self::CertificateRefused { alert: told },
            A::ProtocolVersion => Self::Version,
            A::HandshakeFailure | A::InsufficientSecurity => Self::Parameters {
                what: "cipher suite",
            },
            A::UnrecognisedName => Self::NoSuchName {
                name: peer.name.to_str().into_owned(),
                alert: told,
            },
            A::NoApplicationProtocol => Self::NoProtocol {
                offered: peer.offered,
            },
            _ => Self::Alert(told),
        }
    }

    fn of_incompatible(incompatible: &PeerIncompatible) -> Self {
        use PeerIncompatible as P;
        match incompatible {
            P::ServerDoesNotSupportTls12Or13
            | P::ServerTlsVersionIsDisabledByOurConfig
            | P::Tls12NotOffered
            | P::Tls12NotOfferedOrEnabled
            | P::SupportedVersionsExtensionRequired => Self::Version,
            P::NoCipherSuitesInCommon => Self::Parameters {
                what: "cipher suite",
            },
            P::NoKxGroupsInCommon | P::NoEcPointFormatsInCommon => Self::Parameters {
                what: "key exchange group",
            },
            P::NoSignatureSchemesInCommon | P::NoCertificateRequestSignatureSchemesInCommon => {
                Self::Parameters {
                    what: "signature scheme",
                }
            }
            other => Self::Protocol(format!("{other:?}")),
        }
    }
}

/// Whether a certificate is refused since it is one of an authority, as those that sign themselves
/// mostly are. webpki's error is known by its name, for rustls hands it out as any error.
fn is_authority(error: &OtherError) -> bool {
    format!("{:?}", error.0) == "CaUsedAsEndEntity"
}

/// Names of a certificate as webpki shows them, without its wrapping.
fn names(presented: &[String]) -> String {
    if presented.is_empty() {
        return "no host at all".to_owned();
    }
    let bare = |name: &String| {
        let inner = name.split_once('(').map_or(name.as_str(), |(_, rest)| rest);
        inner.trim_end_matches(')').trim_matches('"').to_owned()
    };
    let all: Vec<String> = presented.iter().map(bare).collect();
    all.join(", ")
}

/// An instant as people write it.
fn utc(time: UnixTime) -> String {
    let since_1970 = std::time::Duration::from_secs(time.as_secs());
    DateTime::from_unix_duration(since_1970)
        .map_or_else(|_| format!("{} s", time.as_secs()), |time| time.to_string())
}

/// An alert as RFC 8446 writes it, with its number.
fn alert_name(alert: AlertDescription) -> String {
    let number = u8::from(alert);
    let Some(name) = alert.as_str() else {
        return number.to_string();
    };
    let letters: Vec<char> = name.chars().collect();
    let mut snake = String::with_capacity(name.len() + 4);
    for (at, letter) in letters.iter().enumerate() {
        let after_small = at > 0 && letters[at - 1].is_lowercase();
        let before_small = at > 0 && letters.get(at + 1).is_some_and(|next| next.is_lowercase());
        if letter.is_uppercase() && (after_small || before_small) {
            snake.push('_');
        }
        snake.push(letter.to_ascii_lowercase());
    }
    format!("{snake} ({number})")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn alerts_have_the_names_of_the_standard() {
        for (alert, name) in [
            (AlertDescription::HandshakeFailure, "handshake_failure (40)"),
            (AlertDescription::UnknownCA, "unknown_ca (48)"),
            (
                AlertDescription::UnknownPSKIdentity,
                "unknown_psk_identity (115)",
            ),
            (AlertDescription::CloseNotify, "close_notify (0)"),
            (AlertDescription::from(99), "99"),
        ] {
            assert_eq!(alert_name(alert), name);
        }
    }

    #[test]
    fn names_of_a_certificate_are_shown_bare() {
        let presented = [
            "DnsName(\"a.example\")".to_owned(),
            "*.b.example".to_owned(),
        ];
        assert_eq!(names(&presented), "a.example, *.b.example");
        assert_eq!(names(&[]), "no host at all");
    }
}
