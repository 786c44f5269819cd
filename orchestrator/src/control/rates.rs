//! Changes of the rate of a run: ordered by clients, stored with the run, told to the drivers, and
//! adopted from a log that the store does not know.

use proto::log::Level;
use proto::units::NS_PER_S;
use proto::workload::{RATE_CHANGES_MAX, Rate, RateChange};
use serde_json::json;

use super::run::Phase;
use super::{Actions, Control, Now, OpenRun, Refusal, Reply, log};

/// How far ahead a change is, at least, so that every driver has read of it, ns.
const AHEAD_NS: u64 = 2 * NS_PER_S;

impl Control {
    /// Changes the rate of a run from a whole second ahead on.
    pub(super) fn change_rate(
        &mut self,
        test_id: &str,
        rate: Rate,
        by: Option<String>,
        now: Now,
        actions: &mut Actions,
    ) -> Result<Reply, Refusal> {
        let (start_at_unix_ns, at_ns) = self.rate_change_at(test_id, now)?;
        let of_campaign = self.campaigns.of_run(test_id);
        let stays = |why: String, hint: &str| {
            let (test_id, hint) = (test_id.to_owned(), hint.to_owned());
            Refusal::RateStays { test_id, why, hint }
        };
        if let Some(campaign) = of_campaign {
            let kind = campaign.goal.kind();
            let (noun, id, sets) = (kind.noun(), &campaign.test_id, kind.sets_rate());
            let why = format!("it is a run of the {noun} {id}, which {sets}");
            return Err(stays(why, &by_itself(noun, id)));
        }
        self.check_broker(now)?;
        self.store.clone().map_err(Refusal::StoreAway)?;
        let cannot_follow = self.foreign_at_work(test_id);
        let open = self.runs.get_mut(test_id);
        let open = open.ok_or_else(|| Refusal::UnknownTest(test_id.to_owned()))?;
        if open.run.rates.len() >= RATE_CHANGES_MAX {
            let why = format!("it was changed {RATE_CHANGES_MAX} times, and that is the most");
            let hint = "stop it, and start a test whose stages change the rate as often as wanted";
            return Err(stays(why, hint));
        }
        let changeable = open.changeable(at_ns, rate);
        changeable.map_err(|why| {
            let second = at_ns / NS_PER_S;
            let hint = "open stages with a rate and a length change: load: {open: 100/s, for: 5m}";
            stays(
                format!("the change would come at second {second}: {why}"),
                hint,
            )
        })?;
        let change = RateChange { at_ns, rate, by };
        open.run.rates.push(change.clone());
        let (number, of) = (open.run.rates.len(), open.rate_unit());
        self.save_run(test_id, actions);
        self.send_rates(test_id, actions);
        let fields = json!({"test_id": test_id, "change": change});
        log(actions, Level::Info, "test_rate", fields);
        Ok(Reply::RateChanged {
            test_id: test_id.to_owned(),
            change,
            number,
            start_at_unix_ns,
            of,
            cannot_follow,
        })
    }

    /// The common start of a run, and the instant of the next change of its rate, ns after it: a whole
    /// second, and another one than that of the change before.
    fn rate_change_at(&self, test_id: &str, now: Now) -> Result<(u64, u64), Refusal> {
        if let Some(campaign) = self.campaigns.get(test_id) {
            let kind = campaign.goal.kind();
            return Err(Refusal::RateStays {
                test_id: campaign.test_id.clone(),
                why: format!("it is a {}, which {}", kind.noun(), kind.sets_rate()),
                hint: by_itself(kind.noun(), &campaign.test_id),
            });
        }
        let runs = |open: &&OpenRun| {
            let is_sending = matches!(open.run.phase, Phase::Armed | Phase::Running);
            is_sending && !open.run.stop_requested
        };
        let running = self.runs.get(test_id).filter(runs);
        let start = running.and_then(|open| Some((open, open.run.start_at_unix_ns?)));
        let Some((open, start_at_unix_ns)) = start else {
            let row = self.list.get(test_id);
            let row = row.ok_or_else(|| Refusal::UnknownTest(test_id.to_owned()))?;
            return Err(Refusal::NotRunning {
                test_id: test_id.to_owned(),
                state: row.state.name(),
            });
        };
        let ahead_ns = now.wall_ns.saturating_add(AHEAD_NS);
        let soonest_ns = ahead_ns.saturating_sub(start_at_unix_ns).max(1);
        let last = open.run.rates.last();
        let after_last_ns = last.map_or(0, |last| last.at_ns.saturating_add(NS_PER_S));
        let at_ns = soonest_ns.max(after_last_ns).div_ceil(NS_PER_S);
        Ok((start_at_unix_ns, at_ns.saturating_mul(NS_PER_S)))
    }

    /// Changes of the rate that came back: those of a log that our store does not know are adopted.
    pub(super) fn adopt_rates(
        &mut self,
        test_id: &str,
        changes: &[RateChange],
        actions: &mut Actions,
    ) {
        let Some(open) = self.runs.get_mut(test_id) else {
            return;
        };
        // Each order begins with all that were given before it.
        if open.run.phase.has_ended() || changes.len() <= open.run.rates.len() {
            return;
        }
        if changes.len() > RATE_CHANGES_MAX || !are_in_order(changes) {
            log(
                actions,
                Level::Warn,
                "rates_not_adopted",
                json!({"test_id": test_id, "changes": changes.len()}),
            );
            return;
        }
        open.run.rates = changes.to_vec();
        self.save_run(test_id, actions);
    }
}

/// What to do where a search or a set decides on the rate.
fn by_itself(noun: &str, id: &str) -> String {
    format!("run the test by itself; a {noun} that goes on is stopped with POST /stop/{id}")
}

/// Whether each comes after the one before, and none after all time.
fn are_in_order(changes: &[RateChange]) -> bool {
    let instants = changes.iter().map(|change| change.at_ns);
    instants.clone().is_sorted_by(|a, b| a < b)
        && instants.max().is_none_or(|last| last < u64::MAX / 2)
}
