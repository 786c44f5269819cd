//! What the servers of a load came to, where there are several.

use serde::{Deserialize, Serialize};

use super::{Addresses, TlsReport};

/// One of several servers under load, as a node found it; in its last report.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ServerReport {
    /// Scheme, host and port, as in the URL.
    pub server: String,
    /// Its addresses that connections went to.
    pub addresses: Addresses,
    /// The version of HTTP that it was spoken to in, `1.1` or `2`.
    pub http: Option<String>,
    /// TLS of the connections to it, where it has that.
    pub tls: Option<TlsReport>,
}
