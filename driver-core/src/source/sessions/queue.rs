//! Users whose next request is ready, in the order in which that came about.

use std::collections::VecDeque;

use super::super::Source;
use super::Sessions;

/// Those whose requests go to one server.
#[derive(Debug, Default)]
pub(super) struct Queue {
    users: VecDeque<u32>,
    /// Those of them who do not wait for a server that takes no connection.
    impatient: usize,
}

impl Queue {
    #[inline]
    pub(super) fn len(&self) -> usize {
        self.users.len()
    }

    #[inline]
    pub(super) fn put(&mut self, user: u32, is_impatient: bool) {
        self.users.push_back(user);
        self.impatient += usize::from(is_impatient);
    }

    /// Takes out the first. `is_impatient` tells what was said of a user when it was put in.
    #[inline]
    pub(super) fn take(&mut self, is_impatient: impl Fn(u32) -> bool) -> Option<u32> {
        let user = self.users.pop_front()?;
        self.impatient -= usize::from(is_impatient(user));
        Some(user)
    }

    /// The first.
    pub(super) fn first(&self) -> Option<u32> {
        self.users.front().copied()
    }

    /// How many to look through for those who do not wait: none where there are none, so that many
    /// who wait for one server cost nothing while others are served.
    pub(super) fn to_look_through(&self) -> usize {
        if self.impatient == 0 {
            0
        } else {
            self.users.len()
        }
    }
}

impl Sessions {
    /// The next request of a session can be sent.
    pub(super) fn make_ready(&mut self, user: u32) {
        let state = &self.users.all[user as usize];
        self.offered += u64::from(state.is_measured);
        self.ready[self.steps[state.step].server].put(user, !state.waits);
        self.has_news = true;
    }

    /// Takes out whoever has been ready for a server for the longest time.
    #[inline]
    pub(super) fn take_user(&mut self, server: usize) -> Option<u32> {
        let users = &self.users.all;
        self.ready[server].take(|user| !users[user as usize].waits)
    }

    /// A request that was ready is lost, for its server takes no connection; how many that are
    /// which are measured.
    pub(super) fn refuse_one(&mut self, user: u32, now_ns: u64) -> u64 {
        let state = &mut self.users.all[user as usize];
        state.is_under_way = true;
        let is_measured = state.is_measured;
        let job = self.job(user);
        self.lost(job, now_ns);
        u64::from(is_measured)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_leave_in_their_order_and_only_the_impatient_are_looked_for() {
        let is_odd = |user| user % 2 == 1;
        let mut queue = Queue::default();
        [2, 4].into_iter().for_each(|user| queue.put(user, false));
        assert_eq!(queue.to_look_through(), 0);
        queue.put(5, true);
        assert_eq!((queue.to_look_through(), queue.first()), (3, Some(2)));
        let left = std::iter::from_fn(|| queue.take(is_odd));
        assert_eq!(left.collect::<Vec<_>>(), [2, 4, 5]);
        assert_eq!((queue.len(), queue.to_look_through()), (0, 0));
    }
}
