//! The servers that a core loads: each has connections of its own, and is there or away on its own.
//!
//! Most loads have one, whose requests are not slowed down by there being more elsewhere: the first
//! stands apart, and a load of one fixed request knows at compile time that it is meant.

use std::collections::VecDeque;

use proto::workload::{Reuse, Target};

use super::due::Again;
use super::ready::Ready;

/// One server.
pub(super) struct Server<J> {
    /// Host and port, for people.
    pub name: String,
    /// The number of its first address among those of all, and how many it has.
    first_endpoint: usize,
    endpoints: usize,
    /// Its connections that can take a request.
    pub ready: Ready,
    /// Requests of sessions that it returned, to be sent again.
    pub again: VecDeque<Again<J>>,
    /// Its connections of use.
    pub open: u32,
    /// Since when it takes no connection.
    pub away_since_ns: Option<u64>,
    /// Up to when that was counted.
    counted_ns: u64,
    /// Why the last attempt to connect that failed did.
    pub connect_error: Option<String>,
}

impl<J> Server<J> {
    /// Whether it takes no connection: an attempt has failed while none was open, and none has been
    /// opened since.
    #[inline]
    pub(super) fn is_away(&self) -> bool {
        self.away_since_ns.is_some()
    }

    /// An attempt to connect has failed.
    pub(super) fn refuses(&mut self, reason: String, now_ns: u64) {
        self.connect_error = Some(reason);
        if self.open == 0 && self.away_since_ns.is_none() {
            self.away_since_ns = Some(now_ns);
            self.counted_ns = now_ns;
        }
    }

    /// How long it has been away since that was last asked, ns.
    pub(super) fn away_ns(&mut self, now_ns: u64) -> u64 {
        if self.away_since_ns.is_none() {
            return 0;
        }
        let more_ns = now_ns.saturating_sub(self.counted_ns);
        self.counted_ns = self.counted_ns.max(now_ns);
        more_ns
    }
}

/// All servers of a core, by number. The connections of one are numbered after those of another.
pub(super) struct Servers<J> {
    first: Server<J>,
    others: Vec<Server<J>>,
    /// Connections to each.
    connections: u32,
    /// Whose turn it is to be first.
    turn: u32,
}

impl<J> Servers<J> {
    /// Those of `targets`, with so many addresses each, and so many connections to each.
    ///
    /// # Panics
    /// Unless there is a target, and a number of addresses for each.
    pub(super) fn new(
        targets: &[Target],
        endpoints: &[usize],
        connections: usize,
        reuse: Reuse,
    ) -> Self {
        assert_eq!(targets.len(), endpoints.len(), "addresses of each target");
        let mut first_endpoint = 0;
        let server = |(target, endpoints): (&Target, &usize)| {
            let endpoints = (*endpoints).max(1);
            let server = Server {
                name: target.authority.clone(),
                first_endpoint,
                endpoints,
                ready: Ready::new(connections, reuse),
                again: VecDeque::new(),
                open: 0,
                away_since_ns: None,
                counted_ns: 0,
                connect_error: None,
            };
            first_endpoint += endpoints;
            server
        };
        let mut servers = targets.iter().zip(endpoints).map(server);
        Self {
            first: servers.next().expect("invariant: a load has a target"),
            others: servers.collect(),
            connections: u32::try_from(connections).expect("invariant: at most 50000"),
            turn: 0,
        }
    }

    pub(super) fn count(&self) -> u32 {
        u32::try_from(self.others.len() + 1).expect("invariant: fewer than connections")
    }

    #[inline]
    pub(super) fn at(&self, server: u32) -> &Server<J> {
        match server {
            0 => &self.first,
            _ => &self.others[server as usize - 1],
        }
    }

    #[inline]
    pub(super) fn at_mut(&mut self, server: u32) -> &mut Server<J> {
        match server {
            0 => &mut self.first,
            _ => &mut self.others[server as usize - 1],
        }
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &Server<J>> {
        std::iter::once(&self.first).chain(&self.others)
    }

    pub(super) fn all_mut(&mut self) -> impl Iterator<Item = &mut Server<J>> {
        std::iter::once(&mut self.first).chain(&mut self.others)
    }

    /// The server of a slot, and the address that its connections go to, by its number among those
    /// of all servers.
    pub(super) fn place_of(&self, slot: u32) -> (u32, usize) {
        let (number, nth) = (slot / self.connections, slot % self.connections);
        let server = self.at(number);
        let endpoint = server.first_endpoint + nth as usize % server.endpoints;
        (number, endpoint)
    }

    /// The slot that is the `nth` to be opened: one of each server in turn, so that none of them
    /// waits for what another one's network makes of its attempts.
    pub(super) fn nth_to_open(&self, nth: u32) -> u32 {
        let count = self.count();
        nth % count * self.connections + nth / count
    }

    /// All servers, another one first each time: what one call may carry is not always the same
    /// one's.
    pub(super) fn in_turn(&mut self) -> impl Iterator<Item = u32> + use<J> {
        let (count, first) = (self.count(), self.turn);
        self.turn = if first + 1 < count { first + 1 } else { 0 };
        (first..count).chain(0..first)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn servers(endpoints: &[usize]) -> Servers<()> {
        let target = |nth| Target::parse(&format!("http://h{nth}/")).unwrap();
        let targets: Vec<Target> = (0..endpoints.len()).map(target).collect();
        Servers::new(&targets, endpoints, 4, Reuse::First)
    }

    #[test]
    fn each_server_has_slots_and_addresses_of_its_own() {
        let servers = servers(&[1, 2, 1]);
        let of = |slot| servers.place_of(slot);
        assert_eq!([0, 3].map(of), [(0, 0), (0, 0)]);
        assert_eq!([4, 5, 6, 7].map(of), [(1, 1), (1, 2), (1, 1), (1, 2)]);
        assert_eq!([8, 11].map(of), [(2, 3), (2, 3)]);
        assert_eq!(servers.at(1).name, "h1");
    }

    #[test]
    fn all_slots_are_opened_one_of_each_server_in_turn() {
        let servers = servers(&[1, 1, 1]);
        let mut opened: Vec<u32> = (0..12).map(|nth| servers.nth_to_open(nth)).collect();
        assert_eq!(opened[..6], [0, 4, 8, 1, 5, 9]);
        opened.sort_unstable();
        assert!(opened.into_iter().eq(0..12));
    }

    #[test]
    fn every_server_is_first_in_its_turn() {
        let mut servers = servers(&[1, 1, 1]);
        let mut turn = || servers.in_turn().collect::<Vec<_>>();
        let turns = [turn(), turn(), turn(), turn()];
        assert_eq!(turns, [[0, 1, 2], [1, 2, 0], [2, 0, 1], [0, 1, 2]]);
    }

    #[test]
    fn the_time_away_is_counted_once() {
        let mut servers = servers(&[1, 1]);
        let server = servers.at_mut(1);
        assert_eq!(server.away_ns(100), 0);
        server.refuses("refused".to_owned(), 100);
        server.refuses("refused".to_owned(), 120);
        assert_eq!([server.away_ns(150), server.away_ns(150)], [50, 0]);
        assert_eq!((server.away_ns(170), server.away_since_ns), (20, Some(100)));
        assert!(!servers.at(0).is_away());
    }
}
