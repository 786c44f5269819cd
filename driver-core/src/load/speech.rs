//! How a target is spoken to, settled once before a load: with or without TLS, and in which HTTP.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use proto::workload::{HttpChoice, Tls};
use thiserror::Error;

use super::credentials::{CredentialError, compile};
use super::first_handshake::{FirstHandshakeError, first_handshake};
use crate::transport::tls::{Facts, Offer, Setup};

/// The name of HTTP/2 in ALPN.
const ALPN_HTTP2: &str = "h2";

/// How a target is spoken to.
#[derive(Debug, Clone, Default)]
pub(super) struct Speech {
    /// TLS, compiled; `None` for none.
    pub(super) tls: Option<Arc<Setup>>,
    pub(super) is_http2: bool,
    /// What the first handshake came to.
    pub(super) facts: Option<Facts>,
}

/// Why it cannot be settled.
#[derive(Debug, Error)]
pub enum SpeechError {
    /// What TLS needs of this machine is not there.
    #[error(transparent)]
    Credentials(#[from] CredentialError),
    /// The first handshake fails.
    #[error("no TLS connection to {target}: {source}")]
    Handshake {
        /// Host and port.
        target: String,
        /// Why.
        source: FirstHandshakeError,
    },
    /// TLS needs an address of the network.
    #[error("https needs a host and a port; a Unix socket is spoken to in the clear")]
    NoNetwork,
    /// HTTP/2 in the clear and HTTP/2 by TLS are two things.
    #[error("http: h2c is HTTP/2 without TLS, and the target is https; ask for http: 2 or auto")]
    ClearOverTls,
}

impl Speech {
    /// Settles it: over TLS by one handshake within `within`, which also finds what is wrong with
    /// certificates before the start; in the clear by what was asked for, since nothing can be asked
    /// there: `auto` is HTTP/1.1.
    ///
    /// # Errors
    /// [`SpeechError`], one line that names the cause and the remedy.
    pub(super) fn settle(
        tls: Option<&Tls>,
        http: HttpChoice,
        host: &str,
        address: Option<SocketAddr>,
        within: Duration,
    ) -> Result<Self, SpeechError> {
        let Some(tls) = tls else {
            return Ok(Self {
                is_http2: matches!(http, HttpChoice::Two | HttpChoice::ClearTwo),
                ..Self::default()
            });
        };
        if http == HttpChoice::ClearTwo {
            return Err(SpeechError::ClearOverTls);
        }
        let setup = compile(tls, http, &[host])?;
        let address = address.ok_or(SpeechError::NoNetwork)?;
        let facts = first_handshake(&setup, 0, address, within);
        let facts = facts.map_err(|source| SpeechError::Handshake {
            target: format!("{host} port {}", address.port()),
            source,
        })?;
        let is_http2 = facts.alpn.as_deref() == Some(ALPN_HTTP2);
        let offer = if is_http2 { Offer::Http2 } else { Offer::Http1 };
        let setup = Arc::into_inner(setup);
        let setup = setup.expect("invariant: the first handshake has let go of it");
        let tls = setup.offering(offer);
        Ok(Self {
            tls: Some(Arc::new(tls)),
            is_http2,
            facts: Some(facts),
        })
    }
}
