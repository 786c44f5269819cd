//! The checks of the command line that the parser cannot make.

use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::Arc;

use proto::workload::Target;
use rustls::ServerConfig;

use super::StartError;
use crate::rest::access::Access;
use crate::rest::tls::server_config;
use crate::start::options::Options;

/// What the REST API shows to clients in TLS, if it speaks that.
pub(super) fn tls(options: &Options) -> Result<Option<Arc<ServerConfig>>, StartError> {
    let files = options.tls_cert.as_ref().zip(options.tls_key.as_ref());
    let config = files.map(|(chain, key)| server_config(chain, key));
    config.transpose().map_err(StartError::Usage)
}

/// Checks what the parser cannot.
pub(super) fn check(options: &Options) -> Result<(SocketAddr, Access), StartError> {
    let usage = |text: String| StartError::Usage(text);
    let mut addresses = options.listen.to_socket_addrs().map_err(|error| {
        usage(format!(
            "--listen {}: {error}; write host:port",
            options.listen
        ))
    })?;
    let no_address = || usage(format!("--listen {}: no such address", options.listen));
    let address = addresses.next().ok_or_else(no_address)?;
    let is_wide = !address.ip().to_canonical().is_loopback();
    if is_wide && options.token.is_none() && !options.insecure {
        return Err(usage(format!(
            "--listen {}: beyond loopback anybody could start load; give --token, or --insecure \
             where the network is trusted",
            options.listen
        )));
    }
    if options
        .token
        .as_ref()
        .is_some_and(|token| token.is_empty() || !token.bytes().all(|byte| byte.is_ascii_graphic()))
    {
        return Err(usage(
            "--token: it is empty, or has spaces or characters beyond ASCII; give one such as `openssl rand -hex 16` makes"
                .into(),
        ));
    }
    let access = Access::new(
        address,
        options.token.clone(),
        options.public_url.clone(),
        options.allow_target.clone(),
    );
    let target =
        Target::parse(&options.target).map_err(|error| usage(format!("--target: {error}")))?;
    if !access.admits(&target) {
        return Err(usage(format!(
            "--target {target} is not on this machine; add --allow-target {}:{}",
            target.host, target.port
        )));
    }
    if options
        .node_id
        .as_ref()
        .is_some_and(|id| !proto::id::is_acceptable(id))
    {
        return Err(usage(
            "--node-id: 1 to 256 bytes without control characters".into(),
        ));
    }
    Ok((address, access))
}
