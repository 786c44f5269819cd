//! The options about TLS and the version of HTTP, as `driver run` has them. Authorities travel with
//! the test; the client's certificate and its key are files on each driver.

use std::fs;
use std::path::PathBuf;

use clap::{Args, ValueHint};
use serde_json::{Map, Value};

use super::ending::Problem;

/// What is said about TLS, by the names that curl gave it where it has them.
#[derive(Debug, Clone, Default, Args)]
pub struct TlsOptions {
    /// Which HTTP: auto (what the target chooses), 1.1, 2, or h2c (2 without TLS) [default: auto]
    #[arg(long, value_name = "VERSION")]
    pub http: Option<String>,
    /// Requests after which a connection is replaced by another: 1 makes each one shake hands
    #[arg(long, value_name = "N")]
    pub requests_per_connection: Option<u64>,
    /// A file here with the only authorities to trust, as PEM [default: those of each driver's system]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub cacert: Option<PathBuf>,
    /// Take any certificate, unchecked; the verdict says so
    #[arg(short = 'k', long, conflicts_with = "cacert")]
    pub insecure: bool,
    /// The name that the certificate has to be for, instead of the URL's
    #[arg(long, value_name = "NAME")]
    pub server_name: Option<String>,
    /// A file on each driver with the client's certificate, as PEM
    #[arg(long, value_name = "FILE", requires = "key")]
    pub cert: Option<String>,
    /// A file on each driver with the private key of --cert, as PEM
    #[arg(long, value_name = "FILE", requires = "cert")]
    pub key: Option<String>,
    /// Make every handshake a full one, instead of resuming sessions
    #[arg(long)]
    pub no_resume: bool,
}

impl TlsOptions {
    /// The parameter `tls`: what was given, and nothing else.
    ///
    /// # Errors
    /// [`Problem::Authorities`].
    pub(super) fn parameters(&self) -> Result<Option<Value>, Problem> {
        let named: [(&str, Option<Value>); 6] = [
            ("ca", self.authorities()?.map(Value::from)),
            ("insecure", self.insecure.then_some(Value::Bool(true))),
            ("server_name", self.server_name.clone().map(Value::from)),
            ("resume", self.no_resume.then_some(Value::Bool(false))),
            ("cert", self.cert.clone().map(Value::from)),
            ("key", self.key.clone().map(Value::from)),
        ];
        let given = named
            .into_iter()
            .filter_map(|(name, value)| Some((name.to_owned(), value?)));
        let given: Map<String, Value> = given.collect();
        Ok((!given.is_empty()).then_some(Value::Object(given)))
    }

    fn authorities(&self) -> Result<Option<String>, Problem> {
        let Some(path) = &self.cacert else {
            return Ok(None);
        };
        fs::read_to_string(path)
            .map(Some)
            .map_err(|error| Problem::Authorities {
                path: path.clone(),
                error,
            })
    }
}
