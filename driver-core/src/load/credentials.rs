//! What TLS needs of this machine, read once before a load: authorities, and the client's own
//! certificate with its key.

use std::fs;
use std::sync::Arc;

use proto::workload::{HttpChoice, Tls};
use rustls::pki_types::pem::{Error as PemError, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use thiserror::Error;

use crate::transport::tls::{Identity, InvalidSetup, Offer, Setup, Trust};

/// How text of certificates begins.
const PEM_BEGIN: &str = "-----BEGIN";

/// What is wrong with what TLS needs. Each names the option and the remedy.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum CredentialError {
    /// A file cannot be read.
    #[error("{option}: {name:?} cannot be read on this driver: {reason}")]
    File {
        /// The option that names it.
        option: &'static str,
        /// The file.
        name: String,
        /// Why not.
        reason: String,
    },
    /// It holds nothing of use.
    #[error("{option}: {name} holds no {wanted} ({reason}); give it as PEM")]
    Pem {
        /// The option that names it.
        option: &'static str,
        /// The file, or what was given in its place.
        name: String,
        /// What it should hold.
        wanted: &'static str,
        /// What was found.
        reason: String,
    },
    /// One without the other.
    #[error("{0} is given without {1}: a client certificate needs both (--cert, --key)")]
    Half(&'static str, &'static str),
    /// The name cannot be in a certificate.
    #[error(
        "{name:?} is no name that a certificate can have; give tls.server_name (--server-name)"
    )]
    Name {
        /// The name.
        name: String,
    },
    /// The system has no authorities.
    #[error(
        "this system has no authorities to trust ({reason}): install ca-certificates, or give tls.ca (--cacert)"
    )]
    NoAuthorities {
        /// What was looked for.
        reason: String,
    },
    /// It cannot be compiled.
    #[error(transparent)]
    Invalid(#[from] InvalidSetup),
}

/// Reads and compiles what a test says about TLS, once for all cores. `hosts` are those of the
/// endpoints, by number.
///
/// # Errors
/// [`CredentialError`], which names the option.
pub fn compile(tls: &Tls, http: HttpChoice, hosts: &[&str]) -> Result<Arc<Setup>, CredentialError> {
    let names: Result<Vec<_>, _> = match &tls.server_name {
        Some(name) => vec![server_name(name)].into_iter().collect(),
        None => hosts.iter().map(|host| server_name(host)).collect(),
    };
    let setup = Setup::new(trust(tls)?, identity(tls)?, names?, offer(http), tls.resume)?;
    Ok(Arc::new(setup))
}

/// What is offered by ALPN where this HTTP is asked for.
#[must_use]
pub fn offer(http: HttpChoice) -> Offer {
    match http {
        HttpChoice::Auto => Offer::Either,
        HttpChoice::Two | HttpChoice::ClearTwo => Offer::Http2,
        HttpChoice::One => Offer::Http1,
    }
}

fn server_name(name: &str) -> Result<ServerName<'static>, CredentialError> {
    ServerName::try_from(name.to_owned()).map_err(|_| CredentialError::Name {
        name: name.to_owned(),
    })
}

fn trust(tls: &Tls) -> Result<Trust, CredentialError> {
    if tls.insecure {
        return Ok(Trust::Anyone);
    }
    let Some(ca) = &tls.ca else {
        return system();
    };
    let (bytes, name) = if ca.trim_start().starts_with(PEM_BEGIN) {
        (ca.clone().into_bytes(), "the text".to_owned())
    } else {
        (read("tls.ca", ca)?, format!("{ca:?}"))
    };
    Ok(Trust::These(certificates("tls.ca", &name, &bytes)?))
}

fn system() -> Result<Trust, CredentialError> {
    let found = rustls_native_certs::load_native_certs();
    if found.certs.is_empty() {
        let reasons: Vec<String> = found.errors.iter().map(ToString::to_string).collect();
        let reason = match reasons.as_slice() {
            [] => "no bundle of certificates was found".to_owned(),
            _ => reasons.join("; "),
        };
        return Err(CredentialError::NoAuthorities { reason });
    }
    Ok(Trust::System(found.certs))
}

fn identity(tls: &Tls) -> Result<Option<Identity>, CredentialError> {
    let (cert, key) = match (&tls.cert, &tls.key) {
        (None, None) => return Ok(None),
        (Some(cert), Some(key)) => (cert, key),
        (Some(_), None) => return Err(CredentialError::Half("tls.cert", "tls.key")),
        (None, Some(_)) => return Err(CredentialError::Half("tls.key", "tls.cert")),
    };
    let chain = read("tls.cert", cert)?;
    let chain = certificates("tls.cert", &format!("{cert:?}"), &chain)?;
    let parsed = PrivateKeyDer::from_pem_slice(&read("tls.key", key)?);
    let key = parsed.map_err(|error| CredentialError::Pem {
        option: "tls.key",
        name: format!("{key:?}"),
        wanted: "private key that is not encrypted",
        reason: pem_reason(&error),
    })?;
    Ok(Some(Identity { chain, key }))
}

fn read(option: &'static str, name: &str) -> Result<Vec<u8>, CredentialError> {
    fs::read(name).map_err(|error| CredentialError::File {
        option,
        name: name.to_owned(),
        reason: error.to_string(),
    })
}

fn certificates(
    option: &'static str,
    name: &str,
    pem: &[u8],
) -> Result<Vec<CertificateDer<'static>>, CredentialError> {
    let fail = |reason: String| CredentialError::Pem {
        option,
        name: name.to_owned(),
        wanted: "certificate",
        reason,
    };
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let all = all.map_err(|error| fail(pem_reason(&error)))?;
    if all.is_empty() {
        return Err(fail(pem_reason(&PemError::NoItemsFound)));
    }
    Ok(all)
}

fn pem_reason(error: &PemError) -> String {
    match error {
        PemError::NoItemsFound => "there is none".to_owned(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use rcgen::generate_simple_self_signed;

    use super::*;

    fn refused(tls: &Tls) -> String {
        let error = compile(tls, HttpChoice::Auto, &["localhost"]).unwrap_err();
        error.to_string()
    }

    #[test]
    fn what_is_missing_or_wrong_is_told_with_its_option() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
        fs::write(path("empty"), "").unwrap();
        fs::write(path("cut"), "-----BEGIN CERTIFICATE-----\nAAAA\n").unwrap();
        let own = generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        fs::write(path("cert"), own.cert.pem()).unwrap();
        let tls = Tls::default();
        for (tls, words) in [
            (
                Tls {
                    ca: Some(path("none")),
                    ..tls.clone()
                },
                ["tls.ca", "No such file"],
            ),
            (
                Tls {
                    ca: Some(path("empty")),
                    ..tls.clone()
                },
                ["tls.ca", "there is none"],
            ),
            (
                Tls {
                    ca: Some(path("cut")),
                    ..tls.clone()
                },
                ["tls.ca", "PEM"],
            ),
            (
                Tls {
                    cert: Some(path("cert")),
                    ..tls.clone()
                },
                ["tls.cert", "without tls.key"],
            ),
            (
                Tls {
                    key: Some(path("cert")),
                    ..tls.clone()
                },
                ["tls.key", "without tls.cert"],
            ),
            (
                Tls {
                    cert: Some(path("cert")),
                    key: Some(path("cert")),
                    ..tls.clone()
                },
                ["tls.key", "private key"],
            ),
            (
                Tls {
                    server_name: Some("a b".into()),
                    ..tls.clone()
                },
                ["a b", "--server-name"],
            ),
        ] {
            let tls = Tls {
                insecure: tls.ca.is_none(),
                ..tls
            };
            let told = refused(&tls);
            for word in words {
                assert!(told.contains(word), "{word:?} is not in {told:?}");
            }
        }
    }

    #[test]
    fn authorities_may_be_text_or_a_file() {
        let own = generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let (cert, key) = (
            folder.path().join("cert.pem"),
            folder.path().join("key.pem"),
        );
        fs::write(&cert, own.cert.pem()).unwrap();
        fs::write(&key, own.signing_key.serialize_pem()).unwrap();
        let name = |path: &std::path::Path| Some(path.to_str().unwrap().to_owned());
        for ca in [Some(own.cert.pem()), name(&cert)] {
            let tls = Tls {
                ca,
                cert: name(&cert),
                key: name(&key),
                ..Tls::default()
            };
            compile(&tls, HttpChoice::One, &["localhost", "127.0.0.1", "::1"]).unwrap();
        }
    }
}
