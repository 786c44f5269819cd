//! The users that walk through flows: a slab of them, with what belongs to each side by side.

use super::super::jar::Jar;
use super::super::judge::{Seen, Slots};
use super::super::program::Position;
use super::NO_ROW;

/// All users, each by its number, with what belongs to each side by side.
#[derive(Debug, Default)]
pub(super) struct Users {
    pub(super) all: Vec<User>,
    pub(super) free: Vec<u32>,
    pub(super) active: usize,
    pub(super) sets: usize,
    pub(super) slots: usize,
    /// Rows, data set after data set, user after user.
    pub(super) rows: Vec<u32>,
    /// Extracted values, likewise.
    pub(super) values: Vec<Vec<u8>>,
}

#[derive(Debug, Default)]
pub(super) struct User {
    pub(super) generation: u32,
    pub(super) flow: usize,
    pub(super) step: usize,
    pub(super) stage: usize,
    pub(super) position: Position,
    /// When the request is intended.
    pub(super) due_ns: u64,
    pub(super) started_ns: u64,
    pub(super) is_measured: bool,
    /// Whether its requests wait for a server that takes no connection.
    pub(super) waits: bool,
    pub(super) is_under_way: bool,
    /// Which slots have a value.
    pub(super) set: u64,
    pub(super) sequence: u64,
    pub(super) jar: Jar,
    pub(super) seen: Option<Seen>,
}

impl User {
    /// What is kept of the answer that comes, in memory of earlier ones if there is some to spare.
    pub(super) fn seen_or(&mut self, spare: &mut Vec<Seen>) -> &mut Seen {
        self.seen
            .get_or_insert_with(|| spare.pop().unwrap_or_default())
    }
}

/// The slots of one user.
pub(super) struct UserSlots<'u> {
    pub(super) set: &'u mut u64,
    pub(super) values: &'u mut [Vec<u8>],
}

impl Slots for UserSlots<'_> {
    fn set(&mut self, slot: usize, value: &[u8]) {
        self.values[slot].clear();
        self.values[slot].extend_from_slice(value);
        *self.set |= 1 << slot;
    }

    fn unset(&mut self, slot: usize) {
        *self.set &= !(1 << slot);
    }
}

impl Users {
    pub(super) fn take(&mut self) -> u32 {
        self.active += 1;
        if let Some(user) = self.free.pop() {
            return user;
        }
        self.all.push(User::default());
        self.rows.resize(self.all.len() * self.sets, NO_ROW);
        self.values.resize(self.all.len() * self.slots, Vec::new());
        u32::try_from(self.all.len() - 1).expect("invariant: at most a million")
    }

    pub(super) fn give_back(&mut self, user: u32) {
        self.active -= 1;
        let state = &mut self.all[user as usize];
        state.generation = state.generation.wrapping_add(1);
        self.free.push(user);
    }

    pub(super) fn row(&self, user: u32, set: usize) -> u32 {
        self.rows[user as usize * self.sets + set]
    }

    pub(super) fn slots(&mut self, user: u32) -> UserSlots<'_> {
        let first = user as usize * self.slots;
        UserSlots {
            set: &mut self.all[user as usize].set,
            values: &mut self.values[first..first + self.slots],
        }
    }
}
