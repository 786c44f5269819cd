//! The handshake before a load: what it reports, and how it says what is wrong.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use driver_core::load::{compile, first_handshake};
use driver_core::transport::tls::Facts;
use proto::workload::{HttpChoice, Tls};

use crate::certificates::Certificates;
use crate::client::options;
use crate::servers::{has, nginx, openssl};

fn shake(tls: &Tls, http: HttpChoice, address: SocketAddr) -> Result<Facts, String> {
    let setup = compile(tls, http, &["localhost"]).unwrap();
    first_handshake(&setup, 0, address, Duration::from_secs(20)).map_err(|error| error.to_string())
}

fn assert_told(result: Result<Facts, String>, words: &[&str]) {
    let told = result.unwrap_err();
    for word in words {
        assert!(told.contains(word), "{word:?} is not in {told:?}");
    }
    assert_eq!(told.lines().count(), 1, "{told}");
}

#[test]
fn it_reports_what_was_agreed() {
    if !has("nginx") {
        return;
    }
    let certificates = Certificates::new();
    for (http, alpn) in [
        (HttpChoice::Auto, "http/1.1"),
        (HttpChoice::One, "http/1.1"),
    ] {
        let server = nginx(&certificates, "ssl_protocols TLSv1.2 TLSv1.3;");
        let facts = shake(&options(&certificates), http, server.address).unwrap();
        assert_eq!(facts.version, "TLS 1.3");
        assert_eq!(facts.cipher, "TLS_AES_256_GCM_SHA384");
        assert_eq!(facts.alpn.as_deref(), Some(alpn));
        assert_eq!(facts.group.as_deref(), Some("X25519"));
        let certificate = facts.certificate.unwrap();
        assert!(
            certificate.subject.contains("CN=the target"),
            "{}",
            certificate.subject
        );
        server.assert_answered(0);
    }
}

#[test]
fn a_certificate_that_is_not_trusted_or_for_another_name_is_found() {
    if !has("openssl") {
        return;
    }
    let certificates = Certificates::new();
    let server = openssl(&certificates, &[]);
    let stranger = Certificates::new();
    let other = options(&stranger);
    let told = shake(&other, HttpChoice::One, server.address);
    assert_told(told, &["not trusted here", "--cacert"]);
    let other = Tls {
        server_name: Some("www.example".to_owned()),
        ..options(&certificates)
    };
    let told = shake(&other, HttpChoice::One, server.address);
    assert_told(told, &["for localhost, not for www.example"]);
    let insecure = Tls {
        ca: None,
        insecure: true,
        ..other
    };
    shake(&insecure, HttpChoice::One, server.address).unwrap();
}

#[test]
fn versions_and_ciphers_that_are_not_spoken_are_told() {
    if !has("openssl") {
        return;
    }
    let certificates = Certificates::new();
    for (more, words) in [
        (
            &["-tls1_1", "-cipher", "ALL:@SECLEVEL=0"][..],
            "neither TLS 1.2 nor TLS 1.3",
        ),
        (
            &["-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-SHA"],
            "cipher suite in common",
        ),
        (&["-groups", "P-521"], "in common"),
    ] {
        let server = openssl(&certificates, more);
        let told = shake(&options(&certificates), HttpChoice::One, server.address);
        assert_told(told, &[words]);
    }
}

#[test]
fn a_certificate_of_the_client_that_is_wanted_is_told_before_the_start() {
    if !has("openssl") {
        return;
    }
    let certificates = Certificates::new();
    certificates.write_client();
    let ca = certificates.name("ca.pem");
    for version in ["-tls1_3", "-tls1_2"] {
        let picky = [
            version,
            "-Verify",
            "2",
            "-verify_return_error",
            "-CAfile",
            &ca,
        ];
        let server = openssl(&certificates, &picky);
        let without = options(&certificates);
        let told = shake(&without, HttpChoice::One, server.address);
        assert_told(told, &["wants a certificate of the client", "--cert"]);
        let with = Tls {
            cert: Some(certificates.name("client.pem")),
            key: Some(certificates.name("client.key")),
            ..without
        };
        let facts = shake(&with, HttpChoice::One, server.address).unwrap();
        assert!(facts.asked);
        let stranger = Certificates::new();
        stranger.write_client();
        let with = Tls {
            cert: Some(stranger.name("client.pem")),
            key: Some(stranger.name("client.key")),
            ..with
        };
        let told = shake(&with, HttpChoice::One, server.address);
        assert_told(told, &["refuses the client's certificate"]);
    }
}

/// A server that reads something, says this and keeps the connection.
fn says(text: &'static [u8]) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let _ = stream.read(&mut [0; 4096]);
            let _ = stream.write_all(text);
            // Until the client has had enough.
            let _ = stream.read_to_end(&mut Vec::new());
        }
    });
    address
}

#[test]
fn a_port_without_tls_and_a_server_that_stops_are_told() {
    let insecure = Tls {
        insecure: true,
        ..Tls::default()
    };
    let plain = says(b"HTTP/1.1 400 Bad Request\r\n\r\n");
    let told = shake(&insecure, HttpChoice::One, plain);
    assert_told(told, &["does not speak TLS", "http://"]);
    let setup = compile(&insecure, HttpChoice::One, &["localhost"]).unwrap();
    let silent = says(&[22, 3, 3, 0]);
    let told = first_handshake(&setup, 0, silent, Duration::from_millis(200));
    let told = told.map_err(|error| error.to_string());
    assert_told(told, &["does not go on", "200ms"]);
    let told = shake(&insecure, HttpChoice::Two, says(&[21, 3, 3, 0, 2, 2, 120]));
    assert_told(told, &["(h2)", "--http"]);
}
