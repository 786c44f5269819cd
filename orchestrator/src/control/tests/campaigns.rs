//! What the tests of campaigns have in common: their runs are awaited, started and played.

use super::*;

impl World {
    pub(super) fn campaign(&mut self, test_id: &str) -> Campaign {
        let snapshot = self.seen();
        snapshot.campaign(test_id).unwrap().as_ref().clone()
    }

    /// Time passes until a campaign has a run; its id.
    pub(super) fn await_run(&mut self, test_id: &str, drivers: &[&str]) -> Option<String> {
        for _ in 0..10 {
            let campaign = self.campaign(test_id);
            if campaign.state != CampaignState::Running {
                return None;
            }
            if let Some(run) = campaign.run {
                return Some(run.test_id);
            }
            self.pulse();
            for driver in drivers {
                self.beat(driver, NodeState::Idle, None);
            }
        }
        panic!("no run: {:?}", self.campaign(test_id));
    }

    /// The drivers get ready for a run, and it starts.
    pub(super) fn start(&mut self, run_id: &str, drivers: &[&str]) {
        self.event(Event::Tick);
        for driver in drivers {
            self.beat(driver, NodeState::Ready, Some(run_id));
        }
        self.event(Event::Tick);
        self.deliver();
        assert_eq!(self.phase(run_id), Phase::Armed, "{}", self.reason(run_id));
    }

    /// They report that every answer took so long.
    pub(super) fn finish(&mut self, run_id: &str, drivers: &[&str], ms: u64) {
        for driver in drivers {
            let mut message = last(driver, run_id, Outcome::Done);
            let mut latencies = Latencies::new();
            for histogram in [&mut latencies.response, &mut latencies.service] {
                (0..20).for_each(|_| histogram.saturating_record(ms * 1_000_000));
            }
            if let Some(report) = &mut message.report {
                report.latencies = SparseLatencies::from(&latencies);
            }
            self.report(message);
        }
    }
}
