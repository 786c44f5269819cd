//! A certificate for servers on this machine, made anew each time by OpenSSL's program.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::Error;

const REMEDY: &str = "apt-get install -y openssl";

/// Where a certificate and its key are.
#[derive(Clone, Debug)]
pub(super) struct Certificate {
    pub(super) certificate: PathBuf,
    pub(super) key: PathBuf,
}

/// Makes one for 127.0.0.1, signed by itself, with a key on P-256 as most servers have them.
pub(super) fn make(folder: &Path) -> Result<Certificate, Error> {
    let program = crate::tools::locate("openssl").ok_or_else(|| Error::Missing {
        program: "openssl".into(),
        remedy: REMEDY.into(),
    })?;
    let made = Certificate {
        certificate: folder.join("target.crt"),
        key: folder.join("target.key"),
    };
    let output = Command::new(program)
        .args(["req", "-x509", "-newkey", "ec", "-nodes", "-days", "30"])
        .args(["-pkeyopt", "ec_paramgen_curve:P-256"])
        .args([
            "-subj",
            "/CN=dlts bench",
            "-addext",
            "subjectAltName=IP:127.0.0.1",
        ])
        .arg("-keyout")
        .arg(&made.key)
        .arg("-out")
        .arg(&made.certificate)
        .output()
        .map_err(|error| failed(error.to_string()))?;
    if output.status.success() {
        Ok(made)
    } else {
        Err(failed(
            String::from_utf8_lossy(&output.stderr).trim().to_owned(),
        ))
    }
}

fn failed(message: String) -> Error {
    Error::Start {
        program: "openssl".into(),
        message,
    }
}
