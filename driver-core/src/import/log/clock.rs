//! The times of a log's lines: how fast its requests came, and whether its clock can be believed.

use std::collections::HashMap;

/// How far a line may be before one above it, ms: servers write a line at the end of an answer, some
/// with the time of its beginning.
const BACK_MS_MAX: i64 = 1000;
/// Most seconds whose requests are counted one by one: eleven days.
const SECONDS_MAX: usize = 1_000_000;

/// What is odd about a line's time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Odd {
    /// It has none.
    NoTime,
    /// It is so much before the latest above it, ms.
    Back(i64),
    /// It is in another zone than the line above: their distances from UTC, s.
    Zone(i32, i32),
}

/// What is known of the times so far.
#[derive(Debug, Default)]
pub(super) struct Clock {
    first_ms: Option<i64>,
    latest_ms: Option<i64>,
    zone_s: Option<i32>,
    seconds: HashMap<i64, u64>,
    /// The second of the line above, and its requests that are not yet among `seconds`.
    now: (i64, u64),
    busiest: u64,
}

impl Clock {
    /// Takes the time of a line: ms since 1970, and its zone's distance from UTC, s.
    pub(super) fn take(&mut self, time: Option<(i64, i32)>) -> Result<(), Odd> {
        let (ms, zone_s) = time.ok_or(Odd::NoTime)?;
        let before = self
            .latest_ms
            .replace(self.latest_ms.map_or(ms, |latest| latest.max(ms)));
        self.first_ms = Some(self.first_ms.map_or(ms, |first| first.min(ms)));
        let zone_before = self.zone_s.replace(zone_s);
        self.count(ms.div_euclid(1000));
        match (zone_before, before) {
            (Some(zone), _) if zone != zone_s => Err(Odd::Zone(zone, zone_s)),
            (_, Some(latest)) if latest - ms > BACK_MS_MAX => Err(Odd::Back(latest - ms)),
            _ => Ok(()),
        }
    }

    fn count(&mut self, second: i64) {
        if self.now.0 != second {
            self.settle();
            self.now = (second, 0);
        }
        self.now.1 += 1;
    }

    fn settle(&mut self) {
        let (second, requests) = self.now;
        if self.seconds.len() < SECONDS_MAX || self.seconds.contains_key(&second) {
            let sum = self.seconds.entry(second).or_default();
            *sum += requests;
            self.busiest = self.busiest.max(*sum);
        }
    }

    /// From the first to the last, s; at least one.
    fn span_s(&self) -> Option<f64> {
        let span_ms = self.latest_ms? - self.first_ms?;
        Some((span_ms as f64 / 1000.0).max(1.0))
    }

    /// Requests a second, as a document writes them.
    pub(super) fn rate(&self, requests: u64) -> Option<String> {
        let rate = requests as f64 / self.span_s()?;
        let rate = rate.clamp(0.001, 10_000_000.0);
        Some(if rate >= 100.0 {
            format!("{rate:.0}")
        } else {
            // Three digits, of which none is a zero too many.
            let text = format!("{rate:.3}");
            text.trim_end_matches('0').trim_end_matches('.').to_owned()
        })
    }

    /// How the log's requests came.
    pub(super) fn remark(&self, requests: u64) -> Option<String> {
        let span_s = self.span_s()?;
        let rate = self.rate(requests)?;
        let busiest = self.busiest.max(self.now.1);
        Some(format!(
            "The log: {requests} requests in {span_s:.0} s, {rate} a second, {busiest} in its busiest one."
        ))
    }
}

/// A distance from UTC as logs write it.
pub(super) fn zone(seconds: i32) -> String {
    let sign = if seconds < 0 { '-' } else { '+' };
    let minutes = seconds.abs() / 60;
    format!("{sign}{:02}{:02}", minutes / 60, minutes % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_those_of_the_log() {
        let mut clock = Clock::default();
        for ms in [0, 0, 100, 2000, 10_000] {
            assert_eq!(clock.take(Some((ms, 0))), Ok(()));
        }
        assert_eq!(clock.rate(5).unwrap(), "0.5");
        let words = clock.remark(5).unwrap();
        assert!(
            words.contains("5 requests in 10 s") && words.contains("3 in its"),
            "{words}"
        );
        assert_eq!(Clock::default().rate(5), None);
    }

    #[test]
    fn odd_clocks_are_told() {
        let mut clock = Clock::default();
        assert_eq!(clock.take(None), Err(Odd::NoTime));
        assert_eq!(clock.take(Some((10_000, 3600))), Ok(()));
        assert_eq!(clock.take(Some((9_500, 3600))), Ok(()));
        assert_eq!(clock.take(Some((8_000, 3600))), Err(Odd::Back(2000)));
        assert_eq!(
            clock.take(Some((10_000, -1800))),
            Err(Odd::Zone(3600, -1800))
        );
        assert_eq!((zone(3600), zone(-1800)), ("+0100".into(), "-0030".into()));
        assert_eq!(clock.span_s(), Some(2.0));
    }
}
