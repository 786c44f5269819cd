//! A token bucket, kept as the instant at which it will be full again (the generic cell rate
//! algorithm, ITU-T I.371, in its virtual scheduling form). Pure: nanoseconds are arguments.

/// What a bucket allows.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limit {
    /// Tokens a second.
    pub rate: f64,
    /// Tokens that it holds at most; it is full at first.
    pub depth: u32,
}

/// The bucket's state, which is the same for any limit.
#[derive(Debug, Default)]
pub struct Bucket {
    /// When it will be full again if nothing is taken. In floating point, since most rates have no
    /// whole gap; exact to a nanosecond for 104 days.
    full_ns: f64,
    refusals: u64,
}

impl Bucket {
    /// Takes a token, ahead of time if it will be there within `wait_max_ns`. Gives the time until
    /// then; `None`, and nothing is taken, for a refusal.
    pub fn take(&mut self, now_ns: u64, limit: Limit, wait_max_ns: u64) -> Option<u64> {
        let now = now_ns as f64;
        let gap_ns = 1e9 / limit.rate;
        let full_ns = self.full_ns.max(now);
        let filling_ns = f64::from(limit.depth - 1) * gap_ns;
        let wait_ns = (full_ns - filling_ns - now).max(0.0).ceil();
        if wait_ns > wait_max_ns as f64 {
            self.refusals += 1;
            return None;
        }
        self.full_ns = full_ns + gap_ns;
        Some(whole(wait_ns))
    }

    /// Requests that got no token.
    #[must_use]
    pub fn refusals(&self) -> u64 {
        self.refusals
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "not negative, and a wait that is not too long"
)]
fn whole(ns: f64) -> u64 {
    ns as u64
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MS: u64 = 1_000_000;

    fn limit(rate: f64, depth: u32) -> Limit {
        Limit { rate, depth }
    }

    #[test]
    fn a_full_bucket_gives_what_it_holds_and_then_its_rate() {
        let mut bucket = Bucket::default();
        let mut take = |now_ns| bucket.take(now_ns, limit(1000.0, 3), 0).is_some();
        assert_eq!(
            [take(0), take(0), take(0), take(0)],
            [true, true, true, false]
        );
        assert_eq!([take(MS), take(MS)], [true, false], "a token a millisecond");
        assert_eq!(
            [take(9 * MS), take(9 * MS), take(9 * MS), take(9 * MS)],
            [true, true, true, false]
        );
        assert_eq!(bucket.refusals(), 3);
    }

    #[test]
    fn who_may_wait_gets_the_tokens_that_come_one_by_one() {
        let mut bucket = Bucket::default();
        let mut take = |wait_max_ns| bucket.take(0, limit(1000.0, 1), wait_max_ns);
        assert_eq!(
            [take(2 * MS), take(2 * MS), take(2 * MS)],
            [Some(0), Some(MS), Some(2 * MS)]
        );
        assert_eq!(take(2 * MS), None, "the next would be 3 ms away");
    }

    proptest! {
        /// In no window are there more than the depth and what the rate gives in it.
        #[test]
        fn no_window_has_more_than_the_limit(
            gaps in prop::collection::vec(0u64..3 * MS, 1..300),
            rate in 1.0f64..2000.0,
            depth in 1u32..20,
        ) {
            let mut bucket = Bucket::default();
            let (mut now_ns, mut taken) = (0, 0u32);
            for gap_ns in gaps {
                now_ns += gap_ns;
                taken += u32::from(bucket.take(now_ns, limit(rate, depth), 0).is_some());
                let most = f64::from(depth) + now_ns as f64 * rate / 1e9;
                prop_assert!(f64::from(taken) <= most + 1e-6, "{} of {} at {}", taken, most, now_ns);
            }
        }
    }
}
