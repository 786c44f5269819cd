//! What TLS to the target came to.

use serde::{Deserialize, Serialize};

use crate::lenient;

/// TLS of a node's connections; in its last report.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct TlsReport {
    /// `TLS 1.3` or `TLS 1.2`.
    pub version: String,
    /// The cipher suite, by its standard's name.
    pub cipher: String,
    /// The group of the key exchange.
    pub group: Option<String>,
    /// What the target chose by ALPN; `None` where it chose nothing.
    pub alpn: Option<String>,
    /// Handshakes that succeeded.
    #[serde(deserialize_with = "lenient::count")]
    pub handshakes: u64,
    /// Those of them that resumed the session of a connection before.
    #[serde(deserialize_with = "lenient::count")]
    pub resumed: u64,
    /// Whether any certificate was taken.
    pub insecure: bool,
    /// The target's certificate, where it can be read.
    pub certificate: Option<Certificate>,
}

/// What people ask of a certificate.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Certificate {
    /// Whose it is, RFC 4514.
    pub subject: String,
    /// Who signed it, RFC 4514.
    pub issuer: String,
    /// The end of its validity, seconds since 1970.
    #[serde(deserialize_with = "lenient::count")]
    pub not_after_unix_s: u64,
}
