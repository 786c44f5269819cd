//! TLS of the REST API itself.

use std::path::Path;
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// What the front shows to clients: the chain and the key in these PEM files.
///
/// # Errors
/// In words, when a file cannot be read, holds nothing of the kind, or the two do not fit.
pub fn server_config(chain: &Path, key: &Path) -> Result<Arc<ServerConfig>, String> {
    let at = |option: &str, path: &Path, error: &dyn std::fmt::Display| {
        format!("{option} {}: {error}; give a PEM file", path.display())
    };
    let certificates = CertificateDer::pem_file_iter(chain)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| at("--tls-cert", chain, &error))?;
    if certificates.is_empty() {
        return Err(at("--tls-cert", chain, &"it holds no certificate"));
    }
    let private =
        PrivateKeyDer::from_pem_file(key).map_err(|error| at("--tls-key", key, &error))?;
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .and_then(|builder| {
            let builder = builder.with_no_client_auth();
            builder.with_single_cert(certificates, private)
        })
        .map_err(|error| format!("--tls-cert and --tls-key: {error}"))?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}
