//! A server under load, as it was found before the start.

use std::time::Duration;

use proto::measure::{ServerReport, TlsReport};
use proto::workload::{Target, Workload};
use socket2::SockAddr;

use super::speech::Speech;
use super::{Addresses, PrepareError};
use crate::transport::Handshakes;
use crate::transport::tls::Facts;

/// How long the first handshake may take.
const FIRST_HANDSHAKE_MAX: Duration = Duration::from_secs(10);

/// A server under load: what its name came to, and how it is spoken to.
#[derive(Debug, Clone)]
pub struct Server {
    /// Scheme, host and port, as in the URL.
    pub url: String,
    /// What its name came to.
    pub addresses: Addresses,
    is_http2: bool,
    facts: Option<Facts>,
    /// Whether any certificate is taken.
    is_insecure: bool,
}

impl Server {
    pub(super) fn new(
        target: &Target,
        addresses: Addresses,
        speech: &Speech,
        workload: &Workload,
    ) -> Self {
        let scheme = if target.is_tls { "https" } else { "http" };
        Self {
            url: format!("{scheme}://{}", target.authority),
            addresses,
            is_http2: speech.is_http2,
            facts: speech.facts.clone(),
            is_insecure: workload.tls.insecure,
        }
    }

    /// The version of HTTP that is spoken, as it is reported.
    #[must_use]
    pub fn http(&self) -> &'static str {
        if self.is_http2 { "2" } else { "1.1" }
    }

    /// What the first handshake came to, where it speaks TLS, as it is reported; with the handshakes
    /// of the load, once they are known.
    #[must_use]
    pub fn tls_report(&self, handshakes: Handshakes) -> Option<TlsReport> {
        let facts = self.facts.as_ref()?;
        Some(TlsReport {
            handshakes: handshakes.full + handshakes.resumed,
            resumed: handshakes.resumed,
            ..facts.report(self.is_insecure)
        })
    }

    /// All of it, as it is reported where there are several.
    pub(super) fn report(&self, handshakes: Handshakes) -> ServerReport {
        ServerReport {
            server: self.url.clone(),
            addresses: self.addresses.reported(),
            http: Some(self.http().to_owned()),
            tls: self.tls_report(handshakes),
        }
    }
}

/// How a target of a workload is spoken to; over TLS a first handshake tells.
pub(super) fn speech_of(
    target: &Target,
    workload: &Workload,
    endpoints: &[SockAddr],
) -> Result<Speech, PrepareError> {
    let tls = target.is_tls.then_some(&workload.tls);
    let address = endpoints.iter().find_map(SockAddr::as_socket);
    let within = Duration::from_nanos(workload.timeout_ns).min(FIRST_HANDSHAKE_MAX);
    let speech = Speech::settle(tls, workload.http, &target.host, address, within);
    Ok(speech?)
}
