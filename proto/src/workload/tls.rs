//! How TLS to a target is spoken.

/// What a test says about TLS. File names are those of each driver; a private key never travels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tls {
    /// The only authorities to trust: PEM text, or the name of a file with it; `None` for those of
    /// the driver's system.
    pub ca: Option<String>,
    /// Whether any certificate is taken. Such a result says so.
    pub insecure: bool,
    /// The name that the certificate has to be for, and that is asked for; `None` for the URL's.
    pub server_name: Option<String>,
    /// Whether connections resume the sessions of those before them.
    pub resume: bool,
    /// A file with the client's certificate, and those between it and its authority.
    pub cert: Option<String>,
    /// A file with the private key of `cert`.
    pub key: Option<String>,
}

impl Default for Tls {
    /// The system's authorities, the URL's name, no client certificate, sessions resumed.
    fn default() -> Self {
        Self {
            ca: None,
            insecure: false,
            server_name: None,
            resume: true,
            cert: None,
            key: None,
        }
    }
}
