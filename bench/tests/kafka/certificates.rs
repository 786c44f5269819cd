//! A certification authority for one test, and what it certifies, made with `openssl`.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Where the files of one authority are.
pub(crate) struct Authority {
    folder: PathBuf,
    name: &'static str,
}

impl Authority {
    /// Makes an authority.
    pub(crate) fn new(folder: &Path, name: &'static str) -> Self {
        let authority = Self {
            folder: folder.to_owned(),
            name,
        };
        let (key, pem) = (format!("{name}.key"), format!("{name}.pem"));
        let subject = format!("/CN={name}");
        authority.openssl(&[
            "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-keyout", &key, "-out",
            &pem, "-subj", &subject,
        ]);
        authority
    }

    /// Its own certificate, which clients trust.
    pub(crate) fn certificate(&self) -> PathBuf {
        self.folder.join(format!("{}.pem", self.name))
    }

    /// Certifies a server on the loopback address for so many days, which may be over. Gives the
    /// file with its key and its certificate, as Kafka takes it.
    pub(crate) fn certify(&self, name: &str, days: i32) -> PathBuf {
        let file = |ending: &str| format!("{name}.{ending}");
        let alternative = "subjectAltName=IP:127.0.0.1,DNS:localhost";
        std::fs::write(self.folder.join(file("ext")), alternative).unwrap();
        self.openssl(&[
            "req",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-keyout",
            &file("key"),
            "-out",
            &file("csr"),
            "-subj",
            "/CN=localhost",
        ]);
        let (ca, ca_key) = (format!("{}.pem", self.name), format!("{}.key", self.name));
        self.openssl(&[
            "x509",
            "-req",
            "-in",
            &file("csr"),
            "-CA",
            &ca,
            "-CAkey",
            &ca_key,
            "-CAcreateserial",
            "-out",
            &file("crt"),
            "-days",
            &days.to_string(),
            "-extfile",
            &file("ext"),
        ]);
        let whole = self.folder.join(file("pem"));
        let parts = ["key", "crt"].map(|ending| self.folder.join(file(ending)));
        let texts = parts.map(|part| std::fs::read_to_string(part).unwrap());
        std::fs::write(&whole, texts.concat()).unwrap();
        whole
    }

    fn openssl(&self, arguments: &[&str]) {
        let output = Command::new("openssl")
            .args(arguments)
            .current_dir(&self.folder)
            .output()
            .expect("openssl is installed; `make test-kafka` asks for it");
        let words = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "openssl {arguments:?}: {words}");
    }
}
