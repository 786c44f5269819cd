//! TLS to some servers and none to others, in one load: which is known by the address. Each server
//! has a TLS of its own: its name, its protocols, its sessions to resume.

use std::sync::Arc;

use super::plain::Plain;
use super::tls::{self, Broken, Tls};
use super::{Handshakes, Progress, Transport};

/// Either of both.
#[derive(Debug)]
pub struct Either {
    /// The server of each endpoint.
    servers: Arc<[usize]>,
    /// TLS to each server, where it has that.
    tls: Vec<Option<Tls>>,
}

/// Where one connection is.
pub enum State {
    /// In the clear.
    Plain,
    /// With TLS to the server of this number.
    Tls(usize, tls::State),
}

/// What the server of a connection with TLS has.
const HAS_TLS: &str = "invariant: only a server with TLS has such connections";

impl Either {
    /// To servers with these, of which `servers` tells the number by endpoint.
    #[must_use]
    pub fn new(servers: Arc<[usize]>, tls: Vec<Option<Tls>>) -> Self {
        Self { servers, tls }
    }
}

impl Transport for Either {
    type State = State;
    type Broken = Broken;
    const IS_PLAIN: bool = false;

    fn start(&mut self, endpoint: usize, now_ns: u64, out: &mut Vec<u8>) -> Result<State, Broken> {
        let server = self.servers[endpoint];
        match &mut self.tls[server] {
            None => Ok(State::Plain),
            // Of its names it has one.
            Some(tls) => Ok(State::Tls(server, tls.start(0, now_ns, out)?)),
        }
    }

    #[inline]
    fn is_plain(&self, state: &State) -> bool {
        matches!(state, State::Plain)
    }

    #[inline]
    fn is_established(&self, state: &State) -> bool {
        match state {
            State::Plain => true,
            State::Tls(server, state) => {
                let tls = self.tls[*server].as_ref();
                tls.expect(HAS_TLS).is_established(state)
            }
        }
    }

    #[inline]
    fn seal(&mut self, state: &mut State, plain: &[u8], out: &mut Vec<u8>) -> Result<(), Broken> {
        match state {
            State::Plain => {
                let Ok(()) = Plain.seal(&mut (), plain, out);
                Ok(())
            }
            State::Tls(server, state) => {
                let tls = self.tls[*server].as_mut();
                tls.expect(HAS_TLS).seal(state, plain, out)
            }
        }
    }

    #[inline]
    fn open(
        &mut self,
        state: &mut State,
        bytes: &mut [u8],
        out: &mut Vec<u8>,
        each: impl FnMut(&[u8]) -> bool,
    ) -> Result<Progress, Broken> {
        match state {
            State::Plain => {
                let Ok(progress) = Plain.open(&mut (), bytes, out, each);
                Ok(progress)
            }
            State::Tls(server, state) => {
                let tls = self.tls[*server].as_mut();
                tls.expect(HAS_TLS).open(state, bytes, out, each)
            }
        }
    }

    fn end(&self, state: &State) -> Result<(), Broken> {
        match state {
            State::Plain => Ok(()),
            State::Tls(server, state) => {
                let tls = self.tls[*server].as_ref();
                tls.expect(HAS_TLS).end(state)
            }
        }
    }

    fn close(&mut self, state: &mut State, out: &mut Vec<u8>) {
        if let State::Tls(server, state) = state {
            let tls = self.tls[*server].as_mut();
            tls.expect(HAS_TLS).close(state, out);
        }
    }

    fn handshakes(&self, server: usize) -> Handshakes {
        let tls = self.tls[server].as_ref();
        tls.map_or_else(Handshakes::default, |tls| tls.handshakes(0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_in_the_clear_stay_what_they_are() {
        let mut either = Either::new([0, 0].into(), vec![None]);
        let (mut out, mut opened) = (Vec::new(), Vec::new());
        let mut state = either.start(1, 0, &mut out).unwrap();
        assert!(either.is_plain(&state) && either.is_established(&state) && out.is_empty());
        either.seal(&mut state, b"GET", &mut out).unwrap();
        let each = |bytes: &[u8]| {
            opened.extend_from_slice(bytes);
            true
        };
        let progress = either.open(&mut state, &mut [1, 2], &mut Vec::new(), each);
        assert_eq!(progress.unwrap(), Progress::default());
        assert_eq!((&out[..], &opened[..]), (&b"GET"[..], &[1, 2][..]));
        assert!(either.end(&state).is_ok());
        assert_eq!(either.handshakes(0), Handshakes::default());
    }
}
