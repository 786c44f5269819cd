//! The fold: messages and commands in, actions out. No I/O, no clock.
//!
//! Each event comes with the instant at which it is taken in, by the clocks of [`Now`]. The state
//! changes at once; what the change asks for is returned as [`Action`]s. The control thread makes
//! [`Action::Persist`] durable before it performs any other. Where the store cannot be written it
//! performs the others all the same: running tests go on, new ones are refused.
//!
//! Parts ([`registry`], [`run`], runs, campaigns, queue, list, orphans, mergers, outbox) own their fields and know
//! no rules. Rules (messages, merging, commands, rates, arming, ending, campaigning, outgoing) use the parts, and own no
//! field.

mod arming;
mod campaigning;
mod campaigns;
pub mod clock_offset;
mod commands;
mod ending;
mod interface;
mod labels;
mod list;
mod mergers;
mod merging;
mod messages;
mod now;
mod orphans;
mod outbox;
mod outgoing;
mod pulse;
mod queue;
mod rates;
mod reasons;
pub mod registry;
mod retention;
pub mod run;
mod runs;
mod snapshot;
#[cfg(test)]
mod tests;
mod upkeep;

use std::collections::HashMap;

use proto::bus::BusError;
use proto::log::Level;
use proto::summary::Summary;
use proto::topic::Topic;
use serde_json::{Value, json};

use campaigns::Campaigns;
pub use campaigns::{
    Campaign, CampaignKind, CampaignRun, CampaignState, CapacityGoal, Goal, RunPlan,
};
pub use interface::{
    Action, Asked, Batch, Broker, CampaignRefusal, Change, Command, Event, KeptFile, Line, Loaded,
    Offsets, Refusal, Reply, Restored, Settings, StoredPart, StoredReport, StoredResult,
};
pub use labels::{Labels, LabelsPatch, Note};
use list::List;
pub use list::{Outcome, Selection, SortBy, TestRow};
use mergers::Mergers;
pub use mergers::{
    MergedRange, MergerRow, PartitionRow, RangeError, RangePart, RawReading, UntouchedReport,
};
use now::MessageClock;
pub use now::Now;
use orphans::Orphans;
use outbox::Outbox;
pub use outbox::{MESSAGE_LEN_MAX, Outgoing, PULSE_TOKEN};
use pulse::Pulse;
use queue::Queue;
use registry::Registry;
use run::Run;
use runs::Runs;
pub use runs::{OpenRun, SeenRun};
pub use snapshot::{Counts, NodeRow, RangeCounts, Snapshot, TestDetail};
use upkeep::{Tombstones, Upkeep};

/// Runs that have not ended, at most: each holds its config.
pub const OPEN_RUNS_MAX: usize = 20_000;
/// Bytes of their configs, at most.
const OPEN_BYTES_MAX: usize = 128 << 20;
/// After a restart the broker and the drivers have at least this long to show that they were told
/// of a start, ns.
const RESTART_NS: u64 = 5_000_000_000;

/// Everything that the orchestrator knows.
#[derive(Debug)]
pub struct Control {
    settings: Settings,
    registry: Registry,
    runs: Runs,
    campaigns: Campaigns,
    queue: Queue,
    list: List,
    outbox: Outbox,
    orphans: Orphans,
    mergers: Mergers,
    /// Late reports on runs that are being loaded from the store.
    loading: HashMap<String, Vec<(Event, Now)>>,
    clock: MessageClock,
    pulse: Pulse,
    broker: Broker,
    store: Result<(), String>,
    /// Bytes of the store that hold something, when it was last looked at.
    used_bytes: u64,
    upkeep: Upkeep,
    tombstones: Tombstones,
    counts: Counts,
}

type Actions = Vec<Action>;

impl Control {
    /// The state as it was stored.
    #[must_use]
    pub fn restore(settings: Settings, restored: Restored, now: Now) -> Self {
        let mut control = Self {
            registry: Registry::restore(restored.nodes),
            list: List::restore(restored.rows),
            outbox: Outbox::restore(restored.outbox),
            runs: Runs::default(),
            campaigns: Campaigns::restore(restored.campaigns, now),
            queue: Queue::default(),
            orphans: Orphans::default(),
            mergers: Mergers::restore(restored.counted),
            loading: HashMap::new(),
            clock: MessageClock::restore(restored.clock_ms),
            pulse: Pulse::default(),
            broker: Broker {
                cluster_id: restored.cluster_id,
                ..Broker::default()
            },
            store: Ok(()),
            used_bytes: 0,
            upkeep: Upkeep::default(),
            tombstones: Tombstones::restore(restored.tombstones),
            counts: Counts::default(),
            settings,
        };
        for (run, summary) in restored.open {
            control.restore_open(run, summary, now);
        }
        control.show_queue();
        control
    }

    fn restore_open(&mut self, run: Run, summary: Summary, now: Now) {
        let Ok(mut open) = OpenRun::new(run, summary, &self.settings.default_target) else {
            return;
        };
        open.is_told = !self.outbox.holds(Topic::Trigger, &open.run.test_id);
        if let Some(start_ns) = open.run.start_at_unix_ns {
            let until_ns = start_ns.saturating_sub(now.wall_ns);
            open.start_mono_ns = Some(now.mono_ns + until_ns.max(RESTART_NS));
        }
        if let Some(place) = open.run.queued {
            self.queue.add(&open.run.test_id, Some(place));
        }
        self.runs.insert(open);
    }

    /// Takes one event.
    pub fn apply(&mut self, event: Event, now: Now) -> Vec<Action> {
        let mut actions = Vec::new();
        let now = match &event {
            event if event.is_message() => self.clock.of_message(now),
            _ => now,
        };
        self.dispatch(event, now, &mut actions);
        actions
    }

    fn dispatch(&mut self, event: Event, now: Now, actions: &mut Actions) {
        match event {
            Event::Register(message) => self.registered(message, actions),
            Event::Heartbeat(message) => self.heartbeat(message, now, actions),
            Event::Metrics(message, payload) => self.reported(message, payload, now, actions),
            Event::OfMetrics {
                partition,
                next,
                event,
            } => self.metrics_read(partition, next, event, now, actions),
            Event::Merged(range) => self.merged_read(*range, now, actions),
            Event::Partitions(partitions) => self.partitions_found(&partitions),
            Event::MergersHidden(reason) => self.mergers.hidden = reason,
            Event::PartitionEnds { partition, end } => self.partition_ends(partition, end),
            Event::Forgotten { log, partitions } => self.partitions_forgotten(log, &partitions),
            Event::Config(config) => self.config_read(*config, now, actions),
            Event::Trigger(trigger) => self.trigger_read(trigger, now, actions),
            Event::Control(message) => self.control_read(message, now, actions),
            Event::Malformed {
                topic,
                offset,
                count,
                error,
            } => {
                self.counts.malformed += count;
                let fields = json!({"topic": topic.name(), "offset": offset, "count": count,
                    "error": error});
                log(actions, Level::Warn, "message_skipped", fields);
            }
            Event::Command(ticket, command) => self.command(ticket, command, now, actions),
            Event::ClientGone(ticket) => self.client_gone(ticket, actions),
            Event::Delivered(PULSE_TOKEN, outcome) => {
                self.pulse
                    .arrived(outcome.err().filter(BusError::is_for_good));
            }
            Event::Delivered(token, outcome) => self.delivered(token, outcome, now, actions),
            Event::Loaded(loaded) => self.loaded(loaded, actions),
            Event::StoreUsed(bytes, files) => self.store_used(bytes, &files, now, actions),
            Event::Compacted(test_id, outcome) => self.compacted(&test_id, outcome, actions),
            Event::Broker(broker) => self.broker_changed(broker, actions),
            Event::Store(outcome) => {
                if outcome.is_ok() {
                    self.runs.let_go_of_complete();
                }
                self.store = outcome;
            }
            Event::Tick => self.tick(now, actions),
        }
    }

    /// Time passes: what is due is done. It ends every turn of the control thread.
    fn tick(&mut self, now: Now, actions: &mut Actions) {
        if self.clock.was_set(now) {
            self.registry.forget_clocks();
            log(actions, Level::Warn, "clock_set", json!({}));
        }
        if self.broker.is_connected {
            if let Some((control, heartbeat)) = self.pulse.next(&self.settings.node_id, now) {
                actions.push(Action::Publish(pulse::outgoing(&control.node_id, &control)));
                let message = pulse::outgoing(&heartbeat.node_id, &heartbeat);
                actions.push(Action::Publish(message));
                actions.push(Action::Log(Line::Heartbeat(heartbeat)));
            }
            let due = self.outbox.due(now).into_iter();
            actions.extend(due.map(Action::Publish));
        }
        self.counts.orphans_dropped += self.orphans.expire(now);
        self.arm_when_ready(now, actions);
        self.campaigns_on(now, actions);
        self.start_queued(now, actions);
        self.start_what_is_due(now, actions);
        self.fail_what_is_not_delivered(now, actions);
        self.save_late_results(actions);
        self.keep_up(now, actions);
    }

    fn broker_changed(&mut self, broker: Broker, actions: &mut Actions) {
        let other_log = broker.cluster_id.is_some() && broker.cluster_id != self.broker.cluster_id;
        if let (true, Some(cluster_id)) = (other_log, &broker.cluster_id) {
            actions.push(Action::Persist(Change::Cluster(cluster_id.clone())));
            if let Some(old) = &self.broker.cluster_id {
                let fields = json!({"cluster_id": cluster_id, "before": old,
                    "detail": "another log: read from its beginning; stored results stay"});
                log(actions, Level::Warn, "broker_replaced", fields);
                self.outbox.send_again();
            }
        }
        if broker.is_connected != self.broker.is_connected || broker.trouble != self.broker.trouble
        {
            let level = if broker.is_connected && broker.trouble.is_none() {
                Level::Info
            } else {
                Level::Warn
            };
            let fields = json!({"connected": broker.is_connected, "trouble": broker.trouble});
            log(actions, level, "broker", fields);
        }
        let cluster_id = broker.cluster_id.or_else(|| self.broker.cluster_id.take());
        self.broker = Broker {
            cluster_id,
            ..broker
        };
    }
}

/// Adds a line of the log.
fn log(actions: &mut Actions, level: Level, name: &'static str, fields: Value) {
    actions.push(Action::Log(Line::Event(level, name, fields)));
}
