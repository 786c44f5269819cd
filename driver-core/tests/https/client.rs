//! A client of blocking sockets around the transport of the engine.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use driver_core::load::compile;
use driver_core::transport::Transport;
use driver_core::transport::tls::{Setup, State, Tls};
use proto::clock::{Anchor, monotonic_ns};
use proto::workload::HttpChoice;

use crate::certificates::Certificates;

/// What a test says about TLS, with the authority of these certificates.
pub(crate) fn options(certificates: &Certificates) -> proto::workload::Tls {
    proto::workload::Tls {
        ca: Some(certificates.name("ca.pem")),
        ..proto::workload::Tls::default()
    }
}

pub(crate) fn setup(tls: &proto::workload::Tls) -> Arc<Setup> {
    compile(tls, HttpChoice::One, &["localhost"]).unwrap()
}

pub(crate) fn core(setup: &Arc<Setup>) -> Tls {
    Tls::new(setup, Anchor::now())
}

/// One connection.
pub(crate) struct Client<'a> {
    tls: &'a mut Tls,
    state: State,
    stream: TcpStream,
    plain: Vec<u8>,
    pub(crate) ended: bool,
}

impl<'a> Client<'a> {
    /// An established connection.
    pub(crate) fn connect(tls: &'a mut Tls, address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_nodelay(true).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(20)))
            .unwrap();
        let mut hello = Vec::new();
        let state = tls.start(0, monotonic_ns(), &mut hello).unwrap();
        let mut client = Self {
            tls,
            state,
            stream,
            plain: Vec::new(),
            ended: false,
        };
        client.stream.write_all(&hello).unwrap();
        while !client.tls.is_established(&client.state) {
            assert!(client.receive(8192).is_some(), "it ends in the handshake");
        }
        client
    }

    pub(crate) fn send(&mut self, plain: &[u8]) {
        let mut out = Vec::new();
        self.tls.seal(&mut self.state, plain, &mut out).unwrap();
        self.stream.write_all(&out).unwrap();
    }

    /// Reads at most so many bytes; `None` at the end.
    pub(crate) fn receive(&mut self, length: usize) -> Option<()> {
        let mut bytes = vec![0; length];
        let length = self.stream.read(&mut bytes).unwrap();
        let (mut out, plain) = (Vec::new(), &mut self.plain);
        let progress = self
            .tls
            .open(&mut self.state, &mut bytes[..length], &mut out, |part| {
                plain.extend_from_slice(part);
                true
            });
        self.ended |= progress.unwrap().ended;
        self.stream.write_all(&out).unwrap();
        (length > 0 && !self.ended).then_some(())
    }

    /// Reads in pieces of so many bytes until the text ends like this; returns it.
    pub(crate) fn until(&mut self, end: &[u8], piece: usize) -> Vec<u8> {
        while !self.plain.ends_with(end) {
            assert!(self.receive(piece).is_some(), "it ends before its answer");
        }
        std::mem::take(&mut self.plain)
    }

    pub(crate) fn close(mut self) {
        let mut out = Vec::new();
        self.tls.close(&mut self.state, &mut out);
        self.stream.write_all(&out).unwrap();
    }
}
