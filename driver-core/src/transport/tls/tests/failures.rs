//! What breaks the rules, and how it is told.

use std::sync::Arc;

use rustls::pki_types::ServerName;
use rustls::{AlertDescription, ContentType, ServerConfig};

use super::super::records::CONTENT_MAX;
use super::super::{Broken, Identity, Offer, Setup, Tls, Trust};
use super::peer::{
    Authority, Certified, HOST, NOW, RawServer, Server, Speaks, client, connect, server, trusted,
    valid_in,
};
use crate::transport::Transport;

/// How a handshake fails, and what the server makes of it.
fn fail(setup: &Arc<Setup>, config: &Arc<ServerConfig>) -> (String, Option<rustls::Error>) {
    let mut tls = Tls::new(setup, NOW);
    let mut server = Server::new(config);
    let mut out = Vec::new();
    let mut state = tls.start(0, 0, &mut out).unwrap();
    for _ in 0..4 {
        let (mut answer, _) = server.take(&std::mem::take(&mut out));
        if let Err(broken) = tls.open(&mut state, &mut answer, &mut out, |_| true) {
            assert!(!tls.is_established(&state));
            let (_, error) = server.take(&out);
            return (broken.to_string(), error);
        }
    }
    panic!("it did not fail");
}

fn assert_told(told: &str, words: &[&str]) {
    for word in words {
        assert!(told.contains(word), "{word:?} is not in {told:?}");
    }
    assert_eq!(told.lines().count(), 1, "{told}");
}

#[test]
fn a_certificate_that_is_refused_is_told_with_the_remedy() {
    let authority = Authority::new();
    let trust = || Trust::These(vec![authority.der()]);
    let other_name = {
        let mut params = valid_in(2020, 2040);
        params.subject_alt_names = vec![rcgen::SanType::DnsName("www.example".try_into().unwrap())];
        params
    };
    for (certified, trust, words, alert) in [
        (
            authority.sign(&other_name),
            trust(),
            &["for www.example, not for shop.example", "--server-name"][..],
            AlertDescription::BadCertificate,
        ),
        (
            authority.sign(&valid_in(2020, 2025)),
            trust(),
            &["expired at 2025-01-01T00:00:00Z", "--insecure"],
            AlertDescription::CertificateExpired,
        ),
        (
            authority.sign(&valid_in(2030, 2040)),
            trust(),
            &["valid from 2030-01-01T00:00:00Z only", "clock"],
            AlertDescription::CertificateExpired,
        ),
        (
            Authority::named("other").sign(&valid_in(2020, 2040)),
            trust(),
            &["authority that is not trusted here", "--cacert"],
            AlertDescription::UnknownCA,
        ),
        (
            // Of the same name, with another key.
            Authority::new().sign(&valid_in(2020, 2040)),
            trust(),
            &["authority that is not trusted here", "--cacert"],
            AlertDescription::DecryptError,
        ),
        (
            Certified::by_itself(),
            trust(),
            &["signed by itself", "--cacert"],
            AlertDescription::CertificateUnknown,
        ),
    ] {
        let config = server(certified, Speaks::newest());
        let (told, heard) = fail(&client(trust), &config);
        assert_told(&told, words);
        assert_eq!(heard, Some(rustls::Error::AlertReceived(alert)), "{told}");
    }
}

#[test]
fn a_certificate_that_signs_itself_is_trusted_where_it_is_given() {
    let certified = Certified::by_itself();
    let setup = client(Trust::These(certified.chain.clone()));
    let mut tls = Tls::new(&setup, NOW);
    let _ = connect(&mut tls, &server(certified, Speaks::newest()));
}

#[test]
fn a_certificate_that_is_given_has_to_have_the_name_and_the_time_all_the_same() {
    let key = super::peer::key_pair();
    for (params, words) in [
        (valid_in(2020, 2025), "expired at 2025"),
        (valid_in(2030, 2035), "valid from 2030"),
        (
            rcgen::CertificateParams::new(vec!["www.example".to_owned()]).unwrap(),
            "for www.example",
        ),
    ] {
        let certificate = params.self_signed(&key).unwrap();
        let certified = Certified {
            chain: vec![certificate.der().clone()],
            key: key.serialize_der().try_into().unwrap(),
        };
        let setup = client(Trust::These(certified.chain.clone()));
        let (told, _) = fail(&setup, &server(certified, Speaks::newest()));
        assert_told(&told, &[words]);
    }
}

#[test]
fn insecure_takes_any_certificate() {
    for speaks in [Speaks::newest(), Speaks::older()] {
        let expired = Authority::new().sign(&valid_in(2020, 2021));
        let mut tls = Tls::new(&client(Trust::Anyone), NOW);
        let _ = connect(&mut tls, &server(expired, speaks));
    }
}

/// A record of an alert in clear.
fn alert(description: AlertDescription) -> Vec<u8> {
    vec![21, 3, 3, 0, 2, 2, u8::from(description)]
}

#[test]
fn what_answers_the_hello_otherwise_is_told_with_the_remedy() {
    for (answer, words) in [
        (
            b"HTTP/1.1 400 Bad Request\r\nServer: x\r\n\r\n".to_vec(),
            &[
                "does not speak TLS",
                "\"HTTP/1.1 400 Bad Request\"",
                "http://",
            ][..],
        ),
        (b"SSH-2.0-x\r\n".to_vec(), &["SSH-2.0-x"]),
        (alert(AlertDescription::ProtocolVersion), &["TLS 1.2"]),
        (
            alert(AlertDescription::HandshakeFailure),
            &["cipher suite in common", "ECDHE"],
        ),
        (
            alert(AlertDescription::UnrecognisedName),
            &["no host shop.example", "--server-name"],
        ),
        (
            alert(AlertDescription::NoApplicationProtocol),
            &["(http/1.1)", "--http"],
        ),
        (
            alert(AlertDescription::InternalError),
            &["internal_error (80)"],
        ),
    ] {
        // Text is quoted as far as it has come, so it has to come at once.
        let cuts = if answer[0] == 21 {
            1..=answer.len()
        } else {
            answer.len()..=answer.len()
        };
        for cut in cuts {
            let mut tls = Tls::new(&client(Trust::Anyone), NOW);
            let mut out = Vec::new();
            let mut state = tls.start(0, 0, &mut out).unwrap();
            let (mut first, mut rest) = (answer[..cut].to_vec(), answer[cut..].to_vec());
            let mut result = tls.open(&mut state, &mut first, &mut out, |_| true);
            if result.is_ok() {
                result = tls.open(&mut state, &mut rest, &mut out, |_| true);
            }
            assert_told(&result.unwrap_err().to_string(), words);
        }
    }
}

#[test]
fn a_server_that_ends_in_mid_handshake_is_told() {
    let (config, setup) = trusted(Speaks::newest());
    let mut tls = Tls::new(&setup, NOW);
    let mut hello = Vec::new();
    let mut state = tls.start(0, 0, &mut hello).unwrap();
    assert_told(
        &tls.end(&state).unwrap_err().to_string(),
        &["during the TLS handshake"],
    );
    let (mut flight, _) = Server::new(&config).take(&hello);
    flight.truncate(flight.len() / 2);
    let mut out = Vec::new();
    let progress = tls
        .open(&mut state, &mut flight, &mut out, |_| true)
        .unwrap();
    assert!(!progress.established && !tls.is_established(&state));
    assert_eq!(tls.end(&state), Err(Broken::EndedInHandshake));
}

#[test]
fn an_end_without_close_notify_is_a_cut() {
    for speaks in [Speaks::newest(), Speaks::older()] {
        let (config, setup) = trusted(speaks);
        let mut tls = Tls::new(&setup, NOW);
        let (mut state, mut server) = connect(&mut tls, &config);
        let mut bytes = server.write(b"a part");
        assert_eq!(tls.end(&state), Err(Broken::Cut));
        bytes.truncate(bytes.len() - 1);
        let open = tls.open(&mut state, &mut bytes, &mut Vec::new(), |_| {
            panic!("a record that is not whole has no content")
        });
        assert!(!open.unwrap().ended);
        assert_eq!(tls.end(&state), Err(Broken::Cut));
    }
}

#[test]
fn the_protocol_has_to_be_the_one_of_the_load() {
    let names = || vec![ServerName::try_from(HOST).unwrap()];
    let setup = |offer| Setup::new(Trust::Anyone, None, names(), offer, true).unwrap();
    let authority = Authority::new();
    let target = |alpn: &[&str]| {
        let alpn = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
        let certified = authority.sign(&valid_in(2020, 2040));
        server(
            certified,
            Speaks {
                alpn,
                ..Speaks::newest()
            },
        )
    };
    let (told, _) = fail(&Arc::new(setup(Offer::Http2)), &target(&[]));
    assert_told(&told, &["chose nothing", "speaks h2"]);
    let (told, _) = fail(&Arc::new(setup(Offer::Http2)), &target(&["http/1.1"]));
    assert_told(&told, &["(h2)", "--http"]);
    for (offer, alpn, chosen) in [
        (Offer::Http1, &[][..], None),
        (Offer::Http1, &["http/1.1", "h2"], Some("http/1.1")),
        (Offer::Http2, &["http/1.1", "h2"], Some("h2")),
        (Offer::Either, &["h2", "http/1.1"], Some("h2")),
        (Offer::Either, &["http/1.1"], Some("http/1.1")),
    ] {
        // A setup with another offer is as good as one that was compiled so.
        let mut tls = Tls::new(&Arc::new(setup(Offer::Http1).offering(offer)), NOW);
        let _ = connect(&mut tls, &target(alpn));
        assert_eq!(tls.facts().unwrap().alpn.as_deref(), chosen);
    }
}

/// A server that wants a certificate of the client.
fn picky(authority: &Authority, speaks: Speaks) -> Arc<ServerConfig> {
    let client_authority = Some(authority.der());
    let speaks = Speaks {
        client_authority,
        ..speaks
    };
    server(authority.sign(&valid_in(2020, 2040)), speaks)
}

/// How a client with this identity fares, and whether it was asked for one.
fn present(config: &Arc<ServerConfig>, identity: Option<Certified>) -> (Result<(), String>, bool) {
    let identity = identity.map(|Certified { chain, key }| Identity { chain, key });
    let names = vec![ServerName::try_from(HOST).unwrap()];
    let setup = Setup::new(Trust::Anyone, identity, names, Offer::Http1, false);
    let setup = Arc::new(setup.unwrap());
    let mut tls = Tls::new(&setup, NOW);
    let mut server = Server::new(config);
    let mut out = Vec::new();
    let mut state = tls.start(0, 0, &mut out).unwrap();
    for _ in 0..4 {
        let (mut answer, _) = server.take(&std::mem::take(&mut out));
        if let Err(broken) = tls.open(&mut state, &mut answer, &mut out, |_| true) {
            return (Err(broken.to_string()), setup.was_asked());
        }
    }
    assert!(tls.is_established(&state) && !server.0.is_handshaking());
    (Ok(()), setup.was_asked())
}

#[test]
fn a_certificate_of_the_client_is_presented_or_its_lack_is_told() {
    let authority = Authority::new();
    for speaks in [Speaks::newest, Speaks::older] {
        let config = picky(&authority, speaks());
        let (told, asked) = present(&config, None);
        assert_told(
            &told.unwrap_err(),
            &["wants a certificate of the client", "--cert"],
        );
        assert!(asked);
        let good = authority.sign(&valid_in(2020, 2040));
        assert_eq!(present(&config, Some(good)), (Ok(()), true));
        let unknown = Authority::new().sign(&valid_in(2020, 2040));
        let (told, _) = present(&config, Some(unknown));
        assert_told(&told.unwrap_err(), &["refuses the client's certificate"]);
    }
}

#[test]
fn a_certificate_without_its_key_is_refused_when_it_is_compiled() {
    let authority = Authority::new();
    let (one, other) = (
        authority.sign(&valid_in(2020, 2040)),
        authority.sign(&valid_in(2020, 2040)),
    );
    let identity = Identity {
        chain: one.chain,
        key: other.key,
    };
    let names = vec![ServerName::try_from(HOST).unwrap()];
    let refused = Setup::new(Trust::Anyone, Some(identity), names, Offer::Http1, true);
    assert_told(&refused.unwrap_err().to_string(), &["tls.cert and tls.key"]);
    let refused = Setup::new(
        Trust::These(Vec::new()),
        None,
        Vec::new(),
        Offer::Http1,
        true,
    );
    assert_told(&refused.unwrap_err().to_string(), &["--cacert"]);
}

/// Feeds an established client what `make` makes; says how it fails and what it tells the peer.
fn refuse(make: impl FnOnce(&mut RawServer) -> Vec<u8>) -> (String, Vec<AlertDescription>) {
    let (config, setup) = trusted(Speaks::newest());
    let mut tls = Tls::new(&setup, NOW);
    let (mut state, mut raw) = RawServer::connect(&mut tls, &config);
    let mut bytes = make(&mut raw);
    let mut out = Vec::new();
    let told = tls
        .open(&mut state, &mut bytes, &mut out, |_| true)
        .unwrap_err();
    let alerts = raw.read(&out).into_iter().map(|(kind, content)| {
        assert_eq!(kind, ContentType::Alert);
        AlertDescription::from(content[1])
    });
    let alerts = alerts.collect();
    assert_eq!(
        tls.open(&mut state, &mut [0], &mut out, |_| true),
        Err(Broken::Over)
    );
    (told.to_string(), alerts)
}

type Make = Box<dyn FnOnce(&mut RawServer) -> Vec<u8>>;

/// A record of a kind with this content.
fn of(kind: ContentType, content: &'static [u8]) -> Make {
    Box::new(move |raw| raw.record(kind, content, 0))
}

/// These bytes, unsealed.
fn bare(bytes: &'static [u8]) -> Make {
    Box::new(move |_| bytes.to_vec())
}

fn assert_refused(cases: Vec<(&str, Make, AlertDescription)>) {
    for (words, make, alert) in cases {
        let (told, alerts) = refuse(make);
        assert_told(&told, &[words]);
        assert_eq!(alerts, [alert], "{words}");
    }
}

#[test]
fn records_against_the_rules_are_refused_with_the_right_alert() {
    use AlertDescription as A;
    let app = ContentType::ApplicationData;
    let too_long = vec![1; CONTENT_MAX + 1];
    assert_refused(vec![
        (
            "more than 16 KiB",
            bare(&[23, 3, 3, 0x41, 0x01]),
            A::RecordOverflow,
        ),
        (
            "more than 16 KiB",
            Box::new(move |raw| raw.record(app, &too_long, 0)),
            A::RecordOverflow,
        ),
        (
            "does not decrypt",
            Box::new(move |raw| {
                let mut record = raw.record(app, b"text", 0);
                record[7] ^= 1;
                record
            }),
            A::BadRecordMac,
        ),
        ("does not decrypt", bare(&[23, 3, 3, 0, 0]), A::BadRecordMac),
        (
            "not encrypted",
            bare(&[20, 3, 3, 0, 1, 1]),
            A::UnexpectedMessage,
        ),
        (
            "not encrypted",
            bare(&[21, 3, 3, 0, 2, 1, 0]),
            A::UnexpectedMessage,
        ),
        (
            "without a type",
            of(ContentType::from(0), &[0; 5]),
            A::UnexpectedMessage,
        ),
        (
            "no place here",
            of(ContentType::ChangeCipherSpec, &[1]),
            A::UnexpectedMessage,
        ),
        ("two bytes", of(ContentType::Alert, &[2]), A::DecodeError),
    ]);
}

#[test]
fn messages_against_the_rules_are_refused_with_the_right_alert() {
    use AlertDescription as A;
    let message = |content| of(ContentType::Handshake, content);
    assert_refused(vec![
        ("empty", message(&[]), A::UnexpectedMessage),
        (
            "another in between",
            Box::new(|raw| {
                let mut bytes = raw.record(ContentType::Handshake, &[4, 0, 0, 9], 0);
                bytes.extend(raw.record(ContentType::ApplicationData, b"text", 0));
                bytes
            }),
            A::UnexpectedMessage,
        ),
        (
            "more behind it",
            message(&[24, 0, 0, 1, 0, 4, 0]),
            A::UnexpectedMessage,
        ),
        (
            "nothing known",
            message(&[24, 0, 0, 1, 2]),
            A::IllegalParameter,
        ),
        (
            "renegotiation",
            message(&[0, 0, 0, 0]),
            A::UnexpectedMessage,
        ),
        (
            "after the handshake",
            message(&[13, 0, 0, 0]),
            A::UnexpectedMessage,
        ),
        ("too long", message(&[4, 255, 255, 255]), A::DecodeError),
        ("cannot be read", message(&[4, 0, 0, 1, 0]), A::DecodeError),
    ]);
}

#[test]
fn an_alert_in_mid_answer_is_told_and_not_answered() {
    let (told, alerts) = refuse(|raw| {
        let mut bytes = raw.record(ContentType::ApplicationData, b"HTTP/1.1 200", 0);
        bytes.extend(raw.record(ContentType::Alert, &[2, 80], 0));
        bytes
    });
    assert_told(&told, &["internal_error (80)"]);
    assert!(alerts.is_empty());
    let (told, _) = refuse(|raw| raw.record(ContentType::Alert, &[2, 116], 0));
    assert_told(&told, &["wants a certificate of the client"]);
}

#[test]
fn a_renegotiation_of_tls_1_2_is_not_taken_up() {
    let (config, setup) = trusted(Speaks::older());
    let mut tls = Tls::new(&setup, NOW);
    let (mut state, _) = connect(&mut tls, &config);
    // A hello request in clear: bytes that TLS 1.2 has to take for a record that does not decrypt.
    let mut bytes = vec![22, 3, 3, 0, 4, 0, 0, 0, 0];
    let mut out = Vec::new();
    let told = tls.open(&mut state, &mut bytes, &mut out, |_| true);
    assert_told(&told.unwrap_err().to_string(), &["TLS protocol"]);
}
