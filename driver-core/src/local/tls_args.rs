//! The options of `driver run` about TLS and the version of HTTP.

use clap::{Args, ValueHint};
use proto::document::TlsParams;

/// What is said about TLS, by the names that curl gave it where it has them.
#[derive(Debug, Clone, Default, Args)]
pub struct TlsArgs {
    /// Which HTTP: auto (what the target chooses), 1.1, 2, or h2c (2 without TLS) [default: auto]
    #[arg(long, value_name = "VERSION")]
    pub http: Option<String>,
    /// Requests after which a connection is replaced by another: 1 makes each one shake hands
    #[arg(long, value_name = "N")]
    pub requests_per_connection: Option<u64>,
    /// A file with the only authorities to trust, as PEM [default: the system's]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub cacert: Option<String>,
    /// Take any certificate, unchecked; the verdict says so
    #[arg(short = 'k', long, conflicts_with = "cacert")]
    pub insecure: bool,
    /// The name that the certificate has to be for, instead of the URL's
    #[arg(long, value_name = "NAME")]
    pub server_name: Option<String>,
    /// A file with the client's certificate, as PEM
    #[arg(long, value_name = "FILE", requires = "key", value_hint = ValueHint::FilePath)]
    pub cert: Option<String>,
    /// A file with the private key of --cert, as PEM
    #[arg(long, value_name = "FILE", requires = "cert", value_hint = ValueHint::FilePath)]
    pub key: Option<String>,
    /// Make every handshake a full one, instead of resuming sessions
    #[arg(long)]
    pub no_resume: bool,
}

impl TlsArgs {
    /// Each by its name, and whether it was given.
    pub(super) fn given(&self) -> [(&'static str, bool); 8] {
        [
            ("--http", self.http.is_some()),
            (
                "--requests-per-connection",
                self.requests_per_connection.is_some(),
            ),
            ("--cacert", self.cacert.is_some()),
            ("--insecure", self.insecure),
            ("--server-name", self.server_name.is_some()),
            ("--cert", self.cert.is_some()),
            ("--key", self.key.is_some()),
            ("--no-resume", self.no_resume),
        ]
    }

    /// As parameters of a test, of what was given.
    pub(super) fn params(&self) -> TlsParams {
        TlsParams {
            ca: self.cacert.clone(),
            insecure: self.insecure.then_some(true),
            server_name: self.server_name.clone(),
            resume: self.no_resume.then_some(false),
            cert: self.cert.clone(),
            key: self.key.clone(),
        }
    }
}
