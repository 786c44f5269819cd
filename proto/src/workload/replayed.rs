//! What a replay's file says, put into the scenario that plays it.

use super::{Op, Scenario, StageArrivals};
use crate::replay::{Head, PLAYED_NS_MAX};
use crate::units;

/// The name of the value that is the path of each request of a replay: `GET $replay`.
pub const REPLAY_NAME: &str = "replay";
/// The slot of that value in a scenario that is a replay.
pub const REPLAY_SLOT: usize = 0;

impl Scenario {
    /// The flow that plays each method of a replay, by the numbers of both: the one whose first
    /// request has it.
    ///
    /// # Errors
    /// In words, for a method that no flow begins with.
    pub fn flows_of(&self, head: &Head) -> Result<Vec<usize>, String> {
        let flow = |(method, count): &(String, u64)| {
            let found = (0..self.flows.len()).find(|flow| self.first_method(*flow) == Some(method));
            found.ok_or_else(|| {
                format!(
                    "the replay has {count} × {method}, and no flow begins with it: write one with \
                     steps: [{method} ${REPLAY_NAME}], or import the log again without them"
                )
            })
        };
        head.methods.iter().map(flow).collect()
    }

    /// The method of a flow's first request.
    #[must_use]
    pub fn first_method(&self, flow: usize) -> Option<&str> {
        let mut ops = self.flows[flow].ops.iter();
        ops.find_map(|op| match op {
            Op::Send(step) => Some(self.steps[*step].request.method.as_str()),
            _ => None,
        })
    }

    /// The scenario with what is known from the head of its replay: how many requests it is, and the
    /// secrets in their paths.
    ///
    /// # Errors
    /// In words, when it cannot be played with these flows, or takes longer than a week.
    pub fn replaying(mut self, head: &Head) -> Result<Self, String> {
        self.flows_of(head)?;
        for stage in &self.load.stages {
            let StageArrivals::Replay { pace, .. } = &stage.arrivals else {
                continue;
            };
            let played_ns = pace.played_ns(head.span_ns());
            // With either it is the beginning that is played, whatever the whole would take.
            let is_whole = stage.for_ns.is_none() && stage.sessions.is_none();
            if is_whole && played_ns > PLAYED_NS_MAX {
                return Err(format!(
                    "{} s of the log at pace {pace} take {} s, and a week is the most: take a faster \
                     pace, or give for: 1h or sessions: 1000, the part from its beginning",
                    head.span_ns() / units::NS_PER_S,
                    played_ns / units::NS_PER_S,
                ));
            }
        }
        self.set_replayed(Some(head.requests));
        for name in &head.secrets {
            if !self.secrets.contains(name) {
                self.secrets.push(name.clone());
            }
        }
        Ok(self)
    }

    /// Says how many requests its replay has, where that is known.
    pub(crate) fn set_replayed(&mut self, replayed: Option<u64>) {
        for stage in &mut self.load.stages {
            if let StageArrivals::Replay { requests, .. } = &mut stage.arrivals {
                *requests = replayed;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use crate::document::{Document, Setting};
    use crate::replay::Writer;

    use super::*;

    #[test]
    fn of_a_log_longer_than_a_week_a_part_is_played() {
        let mut writer = Writer::new(Cursor::new(Vec::new())).unwrap();
        for at_ns in [0, 2 * PLAYED_NS_MAX] {
            writer.push(at_ns.cast_signed(), "GET /").unwrap();
        }
        let (_, head) = writer.finish(&[]).unwrap();
        let replaying = |load: &str| {
            let flow = "flows:\n  - steps: [GET $replay]\n";
            let text = format!("target: http://h/\n{flow}load: {{replay: a.replay{load}}}\n");
            let document = Document::read(&text, Setting::default()).unwrap();
            document.scenario.replaying(&head)
        };
        for load in [", for: 1h", ", sessions: 1000", ", pace: log*2"] {
            assert!(replaying(load).is_ok(), "{load}");
        }
        let refused = replaying("").unwrap_err();
        assert!(
            refused.contains("a week is the most") && refused.contains("sessions: 1000"),
            "{refused}"
        );
    }
}
