//! Requests by how often they came, in bounded memory.

use std::collections::HashMap;

/// Most different requests that are counted at once.
const DISTINCT_MAX: usize = 1 << 18;
/// Most bytes of them.
const BYTES_MAX: usize = 64 << 20;

/// How often each request came.
#[derive(Debug, Default)]
pub(super) struct Tally {
    counts: HashMap<Box<str>, Seen>,
    bytes: usize,
    /// Requests that were forgotten, since they were rare among too many.
    forgotten: u64,
}

/// A request that came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) times: u64,
    /// The line where it came first.
    pub(super) line: u64,
}

/// The most frequent requests, and what is left of the others.
#[derive(Debug)]
pub(super) struct Top {
    /// The most frequent first.
    pub(super) requests: Vec<(Box<str>, Seen)>,
    /// How often others came.
    pub(super) others: u64,
    /// Of those, how often requests that were forgotten: so much may be missing in the counts.
    pub(super) forgotten: u64,
}

impl Tally {
    /// Counts a request.
    pub(super) fn count(&mut self, request: &str, line: u64) {
        if let Some(seen) = self.counts.get_mut(request) {
            seen.times += 1;
            return;
        }
        if self.counts.len() >= DISTINCT_MAX || self.bytes >= BYTES_MAX {
            self.forget();
        }
        self.bytes += request.len();
        self.counts.insert(request.into(), Seen { times: 1, line });
    }

    /// Forgets the rarer half.
    fn forget(&mut self) {
        let mut times: Vec<u64> = self.counts.values().map(|seen| seen.times).collect();
        let half = times.len() / 2;
        let (_, middle, _) = times.select_nth_unstable(half);
        let least = *middle;
        let (bytes, forgotten) = (&mut self.bytes, &mut self.forgotten);
        self.counts.retain(|request, seen| {
            let stays = seen.times > least;
            if !stays {
                *bytes -= request.len();
                *forgotten += seen.times;
            }
            stays
        });
    }

    /// The `most` most frequent; of those that came as often, the ones that came first.
    pub(super) fn top(self, most: usize) -> Top {
        let mut requests: Vec<(Box<str>, Seen)> = self.counts.into_iter().collect();
        requests.sort_unstable_by_key(|(_, seen)| (u64::MAX - seen.times, seen.line));
        let others: u64 = requests.iter().skip(most).map(|(_, seen)| seen.times).sum();
        requests.truncate(most);
        Top {
            requests,
            others: others + self.forgotten,
            forgotten: self.forgotten,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_frequent_come_first_and_the_rest_is_counted() {
        let mut tally = Tally::default();
        for (line, request) in ["b", "a", "c", "a", "c", "a", "d"].iter().enumerate() {
            tally.count(request, line as u64 + 1);
        }
        let top = tally.top(3);
        let requests: Vec<(&str, u64, u64)> = top
            .requests
            .iter()
            .map(|(r, seen)| (&**r, seen.times, seen.line))
            .collect();
        assert_eq!(requests, [("a", 3, 2), ("c", 2, 3), ("b", 1, 1)]);
        assert_eq!((top.others, top.forgotten), (1, 0));
    }

    #[test]
    fn a_frequent_one_among_millions_that_come_once_is_found() {
        let mut tally = Tally::default();
        for number in 0..1_000_000 {
            tally.count(&format!("GET /once/{number}"), number);
            if number % 10 == 0 {
                tally.count("GET /often", number);
            }
        }
        assert!(tally.counts.len() <= DISTINCT_MAX);
        let top = tally.top(1);
        assert_eq!(&*top.requests[0].0, "GET /often");
        assert_eq!(top.requests[0].1.times, 100_000);
        assert_eq!(top.others, 1_000_000);
    }
}
