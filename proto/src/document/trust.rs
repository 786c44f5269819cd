//! How a document trusts its target's certificate, and which certificate its drivers show.

use super::reading::{Fields, Reader, Spot};
use super::requests::number;
use super::sets::file_name;
use crate::workload::Trust;

pub(super) const TLS_KEYS: [&str; 6] = ["ca", "insecure", "server_name", "resume", "cert", "key"];

/// Reads `tls`; the authorities' file joins those of the document.
pub(super) fn read(reader: &mut Reader, spot: &Spot<'_>, files: &mut Vec<String>) -> Trust {
    let fields = reader.fields(spot, &TLS_KEYS);
    let mut trust = Trust::default();
    if let Some(at) = fields.get("ca") {
        let name = reader.parsed(&at, |text| file_name(text).map(str::to_owned));
        trust.authorities = name.map(|name| number(files, name));
    }
    if let Some(at) = fields.get("insecure") {
        trust.is_insecure = reader.truth(&at).unwrap_or(false);
    }
    trust.server_name = fields.get("server_name").and_then(|at| reader.text(&at));
    trust.is_full = fields
        .get("resume")
        .is_some_and(|at| reader.truth(&at) == Some(false));
    trust.identity = identity(reader, &fields);
    trust
}

/// The client's certificate and its key, by the names of their files on each driver.
fn identity(reader: &mut Reader, fields: &Fields<'_>) -> Option<(String, String)> {
    let mut file = |name: &str| {
        let at = fields.get(name)?;
        let text = reader.text(&at)?;
        if text.is_empty() || text.contains("-----BEGIN") {
            let problem = "no name of a file; certificate and key are files on each driver, since \
                keys do not travel";
            reader.wrong(&at, problem);
        }
        Some((at, text))
    };
    match (file("cert"), file("key")) {
        (Some((_, cert)), Some((_, key))) => Some((cert, key)),
        (Some((at, _)), None) => {
            reader.wrong(
                &at,
                "a certificate needs its key: write key: us.key beside it",
            );
            None
        }
        (None, Some((at, _))) => {
            reader.wrong(
                &at,
                "a key needs its certificate: write cert: us.pem beside it",
            );
            None
        }
        (None, None) => None,
    }
}
