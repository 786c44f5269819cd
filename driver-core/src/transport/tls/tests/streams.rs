//! Bytes in, bytes out, on connections that last.

use proptest::prelude::*;
use rustls::{CipherSuite, ContentType};

use super::super::records::CONTENT_MAX;
use super::super::{State, Tls};
use super::peer::{NOW, RawServer, Server, Speaks, connect, trusted};
use crate::transport::{Handshakes, Progress, Transport};

/// Opens bytes in pieces of these lengths, again and again; says what they are.
fn open_in(
    tls: &mut Tls,
    state: &mut State,
    bytes: &[u8],
    pieces: &[usize],
    out: &mut Vec<u8>,
) -> (Vec<u8>, bool) {
    let (mut plain, mut ended, mut rest) = (Vec::new(), false, bytes);
    for length in pieces.iter().cycle() {
        let (piece, others) = rest.split_at((*length).min(rest.len()));
        let progress = tls.open(state, &mut piece.to_vec(), out, |part| {
            plain.extend_from_slice(part);
            true
        });
        ended |= progress.unwrap().ended;
        rest = others;
        if rest.is_empty() {
            break;
        }
    }
    (plain, ended)
}

fn open(tls: &mut Tls, state: &mut State, bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let (plain, _) = open_in(tls, state, bytes, &[bytes.len().max(1)], &mut out);
    assert!(out.is_empty());
    plain
}

fn seal(tls: &mut Tls, state: &mut State, plain: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    tls.seal(state, plain, &mut out).unwrap();
    out
}

fn speaks(choice: u8) -> Speaks {
    let suite = match choice {
        0 => CipherSuite::TLS13_AES_128_GCM_SHA256,
        1 => CipherSuite::TLS13_AES_256_GCM_SHA384,
        2 => CipherSuite::TLS13_CHACHA20_POLY1305_SHA256,
        3 => CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
        _ => CipherSuite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
    };
    let version = if choice < 3 {
        Speaks::newest()
    } else {
        Speaks::older()
    };
    Speaks {
        suite: Some(suite),
        ..version
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn any_split_of_the_bytes_gives_the_same_plain_text(
        choice in 0_u8..5,
        pieces in prop::collection::vec(1_usize..600, 1..20),
        texts in prop::collection::vec((0_usize..40_000, any::<u8>()), 1..6),
    ) {
        let (config, setup) = trusted(speaks(choice));
        let mut tls = Tls::new(&setup, NOW);
        let mut server = Server::new(&config);
        let mut out = Vec::new();
        let mut state = tls.start(0, 0, &mut out).unwrap();
        while server.0.is_handshaking() {
            let (answer, _) = server.take(&std::mem::take(&mut out));
            open_in(&mut tls, &mut state, &answer, &pieces, &mut out);
        }
        prop_assert!(tls.is_established(&state));
        let (tickets, _) = server.take(&out);
        let mut bytes = tickets;
        let mut expected = Vec::new();
        for (length, byte) in texts {
            let text = vec![byte; length];
            bytes.extend(server.write(&text));
            let sealed = seal(&mut tls, &mut state, &text);
            server.take(&sealed);
            prop_assert_eq!(&server.plain(), &text);
            expected.extend(text);
        }
        out.clear();
        let (plain, ended) = open_in(&mut tls, &mut state, &bytes, &pieces, &mut out);
        prop_assert_eq!(plain, expected);
        prop_assert!(!ended);
        prop_assert!(out.is_empty());
    }
}

#[test]
fn the_first_request_goes_with_the_end_of_the_handshake() {
    for speaks in [Speaks::newest(), Speaks::older()] {
        let (config, setup) = trusted(speaks);
        let mut tls = Tls::new(&setup, NOW);
        let (mut state, mut server) = connect(&mut tls, &config);
        let sealed = seal(&mut tls, &mut state, b"GET / HTTP/1.1\r\n\r\n");
        server.take(&sealed);
        assert_eq!(server.plain(), b"GET / HTTP/1.1\r\n\r\n");
        let facts = tls.facts().unwrap();
        assert!(!facts.resumed);
        assert_eq!(facts.group.as_deref(), Some("X25519"));
        assert_eq!(
            facts.certificate.as_ref().unwrap().not_after_unix_s,
            2_208_988_800
        );
        assert!(facts.cipher.starts_with("TLS_"), "{}", facts.cipher);
    }
}

#[test]
fn what_comes_behind_the_handshake_in_the_same_bytes_is_opened() {
    let (config, setup) = trusted(Speaks::newest());
    let mut tls = Tls::new(&setup, NOW);
    let mut server = Server::new(&config);
    let mut hello = Vec::new();
    let mut state = tls.start(0, 0, &mut hello).unwrap();
    let (mut flight, _) = server.take(&hello);
    // A server may speak before the client's end of the handshake has come.
    flight.extend(server.write(b"early"));
    let (mut plain, mut out) = (Vec::new(), Vec::new());
    let progress = tls.open(&mut state, &mut flight, &mut out, |part| {
        plain.extend_from_slice(part);
        true
    });
    assert!(progress.unwrap().established);
    assert_eq!(plain, b"early");
}

#[test]
fn sessions_are_resumed_by_as_many_connections_as_there_are_tickets() {
    let (config, setup) = trusted(Speaks::newest());
    let mut tls = Tls::new(&setup, NOW);
    for _ in 0..20 {
        let _ = connect(&mut tls, &config);
    }
    let Handshakes { full, resumed } = tls.handshakes(0);
    assert_eq!((full, resumed), (1, 19));
}

#[test]
fn a_session_of_tls_1_2_is_resumed() {
    let (config, setup) = trusted(Speaks::older());
    let mut tls = Tls::new(&setup, NOW);
    for _ in 0..3 {
        let (mut state, mut server) = connect(&mut tls, &config);
        let sealed = seal(&mut tls, &mut state, b"ping");
        server.take(&sealed);
        assert_eq!(server.plain(), b"ping");
        let answer = server.write(b"pong");
        assert_eq!(open(&mut tls, &mut state, &answer), b"pong");
    }
    let Handshakes { full, resumed } = tls.handshakes(0);
    assert_eq!((full, resumed), (1, 2));
}

#[test]
fn a_new_key_is_begun_before_the_old_one_is_worn() {
    let (config, setup) = trusted(Speaks::newest());
    let mut tls = Tls::new(&setup, NOW).with_records_a_key(3);
    let (mut state, mut server) = connect(&mut tls, &config);
    for number in 0..20_u8 {
        let sealed = seal(&mut tls, &mut state, &[number]);
        let (_, error) = server.take(&sealed);
        assert_eq!(error, None);
        assert_eq!(server.plain(), [number]);
    }
}

#[test]
fn a_new_key_of_the_target_is_followed() {
    let (config, setup) = trusted(Speaks::newest());
    let mut tls = Tls::new(&setup, NOW);
    let (mut state, mut server) = connect(&mut tls, &config);
    for number in 0..5_u8 {
        server.0.refresh_traffic_keys().unwrap();
        let bytes = server.write(&[number]);
        let mut out = Vec::new();
        let (plain, _) = open_in(&mut tls, &mut state, &bytes, &[7], &mut out);
        assert_eq!(plain, [number]);
        let (_, error) = server.take(&out);
        assert_eq!(error, None);
    }
}

#[test]
fn a_key_that_is_asked_for_comes_once_and_before_the_next_data() {
    let (config, setup) = trusted(Speaks::newest());
    let mut tls = Tls::new(&setup, NOW);
    let (mut state, mut raw) = RawServer::connect(&mut tls, &config);
    let mut bytes = raw.update(1);
    bytes.extend(raw.update(1));
    bytes.extend(raw.record(ContentType::ApplicationData, b"after", 0));
    let mut out = Vec::new();
    let (plain, _) = open_in(&mut tls, &mut state, &bytes, &[bytes.len()], &mut out);
    assert_eq!(plain, b"after");
    tls.seal(&mut state, b"next", &mut out).unwrap();
    let update = (ContentType::Handshake, vec![24, 0, 0, 1, 0]);
    let next = (ContentType::ApplicationData, b"next".to_vec());
    assert_eq!(raw.read(&out), [update, next]);
}

#[test]
fn padding_empty_records_and_several_records_in_one_read_are_taken() {
    let (config, setup) = trusted(Speaks::newest());
    let mut tls = Tls::new(&setup, NOW);
    let (mut state, mut raw) = RawServer::connect(&mut tls, &config);
    let mut bytes = raw.record(ContentType::ApplicationData, b"", 0);
    bytes.extend(raw.record(ContentType::ApplicationData, b"one ", 100));
    bytes.extend(raw.record(ContentType::ApplicationData, b"", 30));
    bytes.extend(raw.record(ContentType::ApplicationData, b"two\0", 1));
    bytes.extend(raw.record(ContentType::ApplicationData, &[7; CONTENT_MAX], 0));
    let plain = open(&mut tls, &mut state, &bytes);
    assert_eq!(plain[..8], *b"one two\0");
    assert_eq!(plain.len(), 8 + CONTENT_MAX);
}

#[test]
fn a_ticket_in_pieces_is_kept_and_one_that_nobody_wants_is_dropped() {
    let (config, setup) = trusted(Speaks::newest());
    let mut tls = Tls::new(&setup, NOW);
    let (mut state, mut raw) = RawServer::connect(&mut tls, &config);
    // lifetime, age_add, nonce, ticket, no extensions
    let body = [&[0, 0, 1, 0, 0, 0, 0, 1, 1, 9, 0, 3][..], b"abc", &[0, 0]].concat();
    let message = [&[4, 0, 0, u8::try_from(body.len()).unwrap()][..], &body].concat();
    let mut bytes = raw.record(ContentType::Handshake, &message[..2], 0);
    bytes.extend(raw.record(ContentType::Handshake, &message[2..9], 0));
    let rest = [&message[9..], &message].concat();
    bytes.extend(raw.record(ContentType::Handshake, &rest, 0));
    bytes.extend(raw.record(ContentType::ApplicationData, b"then", 0));
    assert_eq!(open(&mut tls, &mut state, &bytes), b"then");
}

#[test]
fn reading_stops_where_nobody_wants_more() {
    let (config, setup) = trusted(Speaks::newest());
    let mut tls = Tls::new(&setup, NOW);
    let (mut state, mut raw) = RawServer::connect(&mut tls, &config);
    let mut bytes = raw.record(ContentType::ApplicationData, b"one", 0);
    bytes.extend(raw.record(ContentType::ApplicationData, b"two", 0));
    let mut parts = 0;
    let stopped = tls.open(&mut state, &mut bytes, &mut Vec::new(), |_| {
        parts += 1;
        false
    });
    assert_eq!((stopped.unwrap(), parts), (Progress::default(), 1));
}

#[test]
fn the_end_is_told_and_what_comes_after_it_is_nothing() {
    for speaks in [Speaks::newest(), Speaks::older()] {
        let (config, setup) = trusted(speaks);
        let mut tls = Tls::new(&setup, NOW);
        let (mut state, mut server) = connect(&mut tls, &config);
        let mut bytes = server.write(b"last");
        server.0.send_close_notify();
        bytes.extend(server.said());
        let mut out = Vec::new();
        let (plain, ended) = open_in(&mut tls, &mut state, &bytes, &[bytes.len()], &mut out);
        assert_eq!((plain.as_slice(), ended), (&b"last"[..], true));
        assert!(tls.end(&state).is_ok());
        tls.close(&mut state, &mut out);
        server.take(&out);
        assert!(server.0.process_new_packets().unwrap().peer_has_closed());
    }
}
