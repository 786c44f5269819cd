//! TLS to the target: rustls shakes hands, then TLS 1.3 records are sealed and opened here on the
//! keys that it hands out, without an allocation a request. TLS 1.2 stays with rustls' records.
//!
//! | module | what it holds |
//! |---|---|
//! | [`setup`](Setup) | what all cores share: trust, identity, names, protocols; compiled once a load |
//! | `session` | a connection in rustls' hands: the handshake, and TLS 1.2 to its end |
//! | `records` | a connection in ours: TLS 1.3 after the handshake |
//! | `keys` | one direction's key, and its records' numbers |
//! | `tickets` | sessions to resume, one store a core |
//! | `verifier` | certificates that are trusted by themselves, or not looked at |
//! | [`broken`](Broken) | every way to fail, each with its remedy |
//! | [`facts`](Facts) | what was negotiated |
//!
//! The provider of the cryptography is ring, alone: it seals small records in half the time of
//! aws-lc and starts in 3 ms instead of 50. What it lacks are the post-quantum groups, so that the
//! target's share of a handshake is that of X25519.

use std::mem;
use std::sync::Arc;

use proto::clock::Anchor;
use rustls::client::{Resumption, UnbufferedClientConnection};
use rustls::{ClientConfig, HandshakeKind, ProtocolVersion};

use super::{Handshakes, Progress, Transport};

mod broken;
mod clock;
mod facts;
mod keys;
mod records;
mod session;
mod setup;
mod spare;
mod tickets;
mod verifier;

#[cfg(test)]
mod tests;

pub use broken::Broken;
use broken::Failure;
use clock::Clock;
pub use facts::Facts;
use records::Records;
use session::Session;
pub use setup::{Identity, InvalidSetup, Offer, Setup, Trust};
use spare::Spare;
use tickets::Tickets;

/// TLS for the connections of one core.
#[derive(Debug)]
pub struct Tls {
    setup: Arc<Setup>,
    config: Arc<ClientConfig>,
    clock: Arc<Clock>,
    spare: Spare,
    handshakes: Handshakes,
    facts: Option<Facts>,
    key_max: u64,
}

/// Where one connection is.
pub struct State {
    endpoint: usize,
    stage: Stage,
}

/// Who has the connection. Boxed, since a core has tens of thousands.
enum Stage {
    Session(Box<Session>),
    Records(Box<Records>),
    /// It has failed.
    Over,
}

impl Tls {
    /// For one core. The wall clock, by which certificates are valid and tickets age, is the
    /// anchor's and goes with the instants that [`Transport::start`] is handed.
    #[must_use]
    pub fn new(setup: &Arc<Setup>, anchor: Anchor) -> Self {
        let clock = Arc::new(Clock::new(anchor));
        let mut config = setup.config().clone();
        config.time_provider = Arc::clone(&clock) as _;
        config.resumption = if setup.resumes() {
            Resumption::store(Arc::new(Tickets::default()))
        } else {
            Resumption::disabled()
        };
        Self {
            setup: Arc::clone(setup),
            config: Arc::new(config),
            clock,
            spare: Spare::default(),
            handshakes: Handshakes::default(),
            facts: None,
            key_max: keys::RECORDS_A_KEY,
        }
    }

    /// What the core's last handshake came to.
    #[must_use]
    pub fn facts(&self) -> Option<&Facts> {
        self.facts.as_ref()
    }

    /// Begins a new key after so many records instead of [`keys::RECORDS_A_KEY`].
    #[cfg(test)]
    fn with_records_a_key(mut self, records: u64) -> Self {
        self.key_max = records;
        self
    }

    /// Looks at what was agreed, and takes the connection over where that is possible.
    fn settle(&mut self, session: Box<Session>) -> Result<Stage, Broken> {
        let connection = session.connection();
        self.setup.check_protocol(connection.alpn_protocol())?;
        if connection.handshake_kind() == Some(HandshakeKind::Resumed) {
            self.handshakes.resumed += 1;
        } else {
            self.handshakes.full += 1;
        }
        if self.facts.is_none() {
            self.facts = Some(Facts::of(connection, self.setup.was_asked()));
        }
        if connection.protocol_version() != Some(ProtocolVersion::TLSv1_3) {
            return Ok(Stage::Session(session));
        }
        let records = session.into_records(self.setup.resumes(), self.key_max);
        records.map(|records| Stage::Records(Box::new(records)))
    }

    /// A handshake goes on with these bytes. What the last of them begins beyond it is carried over.
    fn shake(
        &mut self,
        state: &mut State,
        bytes: &mut [u8],
        out: &mut Vec<u8>,
        each: &mut impl FnMut(&[u8]) -> bool,
    ) -> Result<Progress, Broken> {
        let Stage::Session(mut session) = mem::replace(&mut state.stage, Stage::Over) else {
            return Err(Broken::Over);
        };
        let mut got = session.take(bytes, &mut self.spare);
        // In TLS 1.2 a target may speak first, in the record behind its Finished.
        let shaken = session.shake(&mut got, out, each);
        let peer = self.setup.peer(state.endpoint);
        let done = shaken.map_err(|error| Broken::in_handshake(error, &peer, &got))?;
        let Some(used) = done else {
            session.keep(got, &mut self.spare);
            state.stage = Stage::Session(session);
            return Ok(Progress::default());
        };
        state.stage = self.settle(session)?;
        let rest = self.open_established(state, &mut got[used..], out, each);
        self.spare.give(got);
        let ended = rest?.ended;
        Ok(Progress {
            established: true,
            ended,
        })
    }

    fn open_established(
        &mut self,
        state: &mut State,
        bytes: &mut [u8],
        out: &mut Vec<u8>,
        each: &mut impl FnMut(&[u8]) -> bool,
    ) -> Result<Progress, Broken> {
        let ended = match &mut state.stage {
            Stage::Records(records) => records.open(bytes, out, &mut self.spare, each),
            Stage::Session(session) => session.open(bytes, out, &mut self.spare, each),
            Stage::Over => Err(Failure::Told(Broken::Over)),
        };
        let told = |failure| Broken::after(failure, &self.setup.peer(state.endpoint));
        let ended = ended.map_err(told);
        if ended.is_err() {
            state.stage = Stage::Over;
        }
        Ok(Progress {
            established: false,
            ended: ended?,
        })
    }
}

impl Transport for Tls {
    type State = State;
    type Broken = Broken;
    const IS_PLAIN: bool = false;

    fn start(&mut self, endpoint: usize, now_ns: u64, out: &mut Vec<u8>) -> Result<State, Broken> {
        self.clock.set(now_ns);
        let name = self.setup.name(endpoint).clone();
        let connection = UnbufferedClientConnection::new(Arc::clone(&self.config), name);
        let connection = connection.map_err(|error| Broken::Internal(error.to_string()))?;
        let mut session = Session::new(connection);
        let hello = session.shake(&mut Vec::new(), out, &mut |_| true);
        hello.map_err(|error| Broken::Internal(error.to_string()))?;
        Ok(State {
            endpoint,
            stage: Stage::Session(Box::new(session)),
        })
    }

    #[inline]
    fn is_established(&self, state: &State) -> bool {
        match &state.stage {
            Stage::Records(_) => true,
            Stage::Session(session) => session.is_established(),
            Stage::Over => false,
        }
    }

    #[inline]
    fn seal(&mut self, state: &mut State, plain: &[u8], out: &mut Vec<u8>) -> Result<(), Broken> {
        match &mut state.stage {
            Stage::Records(records) => records.seal(plain, out),
            Stage::Session(session) => session.seal(plain, out),
            Stage::Over => Err(Broken::Over),
        }
    }

    #[inline]
    fn open(
        &mut self,
        state: &mut State,
        bytes: &mut [u8],
        out: &mut Vec<u8>,
        mut each: impl FnMut(&[u8]) -> bool,
    ) -> Result<Progress, Broken> {
        if self.is_established(state) {
            self.open_established(state, bytes, out, &mut each)
        } else {
            self.shake(state, bytes, out, &mut each)
        }
    }

    fn end(&self, state: &State) -> Result<(), Broken> {
        match &state.stage {
            Stage::Records(records) => records.end(),
            Stage::Session(session) => session.end(),
            Stage::Over => Ok(()),
        }
    }

    fn close(&mut self, state: &mut State, out: &mut Vec<u8>) {
        match &mut state.stage {
            Stage::Records(records) => records.close(out),
            Stage::Session(session) => session.close(out),
            Stage::Over => {}
        }
    }

    fn handshakes(&self, _: usize) -> Handshakes {
        self.handshakes
    }
}
