//! TLS and the version of HTTP, as the reference's two calls and messages ask for them.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::InvalidParam;
use crate::lenient::{self, Truth};
use crate::workload::{HttpChoice, Target, Tls};

/// Most bytes of certificates that travel in a test: it has to fit a message.
const CA_LEN_MAX: usize = 128 << 10;
/// Most bytes of a name: of a host, or of a file.
const NAME_LEN_MAX: usize = 4096;
/// How text of certificates and keys begins.
const PEM_BEGIN: &str = "-----BEGIN";

/// Optional parameters of TLS. A private key is named, and never travels.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct TlsParams {
    /// The only authorities to trust: PEM text, or the name of a file on each driver.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca: Option<String>,
    /// Whether any certificate is taken; the result says so.
    #[serde(
        skip_serializing_if = "Option::is_none",
        deserialize_with = "lenient::option::<_, Truth, _>"
    )]
    pub insecure: Option<bool>,
    /// The name that the certificate has to be for, instead of the URL's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server_name: Option<String>,
    /// Whether sessions are resumed.
    #[serde(
        skip_serializing_if = "Option::is_none",
        deserialize_with = "lenient::option::<_, Truth, _>"
    )]
    pub resume: Option<bool>,
    /// A file on each driver with the client's certificate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cert: Option<String>,
    /// A file on each driver with its private key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
}

/// Nothing of what should not have been given in text is shown.
impl fmt::Debug for TlsParams {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            ca,
            insecure,
            server_name,
            resume,
            ..
        } = self;
        f.debug_struct("TlsParams")
            .field("ca", &ca.as_ref().map(String::len))
            .field("insecure", insecure)
            .field("server_name", server_name)
            .field("resume", resume)
            .finish_non_exhaustive()
    }
}

impl TlsParams {
    /// Every field's name.
    pub const NAMES: [&'static str; 6] = ["ca", "insecure", "server_name", "resume", "cert", "key"];

    /// Checks the values of a `tls` object for names that there are not.
    pub(super) fn check_names(values: &Map<String, Value>) -> Result<(), InvalidParam> {
        let stray = values
            .keys()
            .find(|name| !Self::NAMES.contains(&name.as_str()));
        stray.map_or(Ok(()), |name| {
            let known = Self::NAMES.join(", tls.");
            Err(InvalidParam::new(
                &format!("tls.{name}"),
                format!("no such parameter; known: tls.{known}"),
            ))
        })
    }

    /// What a target by that URL is spoken to with.
    ///
    /// # Errors
    /// [`InvalidParam`] of the first value that is wrong.
    pub(super) fn checked(given: Option<&Self>, target: &Target) -> Result<Tls, InvalidParam> {
        let Some(given) = given.filter(|given| **given != Self::default()) else {
            return Ok(Tls::default());
        };
        if !target.is_tls {
            let problem =
                format!("given for {target}, which has no TLS; write https://, or drop it");
            return Err(InvalidParam::new("tls", problem));
        }
        given.check_files()?;
        let tls = Tls {
            ca: given.ca.clone(),
            insecure: given.insecure.unwrap_or(false),
            server_name: given.server_name.clone(),
            resume: given.resume.unwrap_or(true),
            cert: given.cert.clone(),
            key: given.key.clone(),
        };
        if tls.insecure && tls.ca.is_some() {
            let problem = "given together with tls.ca, which it makes useless; give one";
            return Err(InvalidParam::new("tls.insecure", problem));
        }
        Ok(tls)
    }

    fn check_files(&self) -> Result<(), InvalidParam> {
        for (name, value) in [("tls.cert", &self.cert), ("tls.key", &self.key)] {
            if value.as_ref().is_some_and(|text| text.contains(PEM_BEGIN)) {
                let problem = "is given as text, and keys do not travel; put it into a file on each driver and give the file's name";
                return Err(InvalidParam::new(name, problem));
            }
        }
        match (&self.cert, &self.key) {
            (Some(_), None) => return Err(InvalidParam::new("tls.cert", "needs tls.key")),
            (None, Some(_)) => return Err(InvalidParam::new("tls.key", "needs tls.cert")),
            _ => {}
        }
        let ca_max = if self
            .ca
            .as_ref()
            .is_some_and(|text| text.contains(PEM_BEGIN))
        {
            CA_LEN_MAX
        } else {
            NAME_LEN_MAX
        };
        for (name, value, max) in [
            ("tls.ca", &self.ca, ca_max),
            ("tls.server_name", &self.server_name, NAME_LEN_MAX),
            ("tls.cert", &self.cert, NAME_LEN_MAX),
            ("tls.key", &self.key, NAME_LEN_MAX),
        ] {
            let length = value.as_ref().map_or(1, String::len);
            if length == 0 || length > max {
                let problem = format!("{length} bytes are not within 1 to {max}");
                return Err(InvalidParam::new(name, problem));
            }
        }
        Ok(())
    }
}

impl From<&Tls> for TlsParams {
    /// What is not the default.
    fn from(tls: &Tls) -> Self {
        Self {
            ca: tls.ca.clone(),
            insecure: tls.insecure.then_some(true),
            server_name: tls.server_name.clone(),
            resume: (!tls.resume).then_some(false),
            cert: tls.cert.clone(),
            key: tls.key.clone(),
        }
    }
}

/// Which HTTP a target by that URL is spoken to with.
///
/// # Errors
/// [`InvalidParam`] where it is none, or needs another URL.
pub(super) fn http(given: Option<&str>, target: &Target) -> Result<HttpChoice, InvalidParam> {
    let wrong = |problem: String| InvalidParam::new("http", problem);
    let choice = match given {
        None => HttpChoice::Auto,
        Some(text) => HttpChoice::from_name(text)
            .ok_or_else(|| wrong(format!("{text:?} is none of auto, 1.1, 2, h2c")))?,
    };
    match choice {
        HttpChoice::Two if !target.is_tls => Err(wrong(
            "2 is agreed on by TLS; write https://, or h2c for HTTP/2 without it".to_owned(),
        )),
        HttpChoice::ClearTwo if target.is_tls => Err(wrong(
            "h2c is HTTP/2 without TLS; write http://, or 2 for HTTP/2 with it".to_owned(),
        )),
        choice => Ok(choice),
    }
}
