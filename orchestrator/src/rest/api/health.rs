//! `GET /healthz`.

use proto::clock;
use serde_json::{Value, json};

use super::{Answer, Worker};
use crate::control::{Now, Snapshot};

impl Worker {
    /// 200 as long as the process works; the states of broker and store are fields, since a broker
    /// that is away is no reason to restart us.
    pub(super) fn health(&mut self) -> Answer {
        let snapshot = self.api.live.snapshot();
        let (broker, store_trouble) = (&snapshot.broker, &snapshot.store_trouble);
        let broker_state = match (&broker.trouble, broker.is_connected) {
            (None, true) => "up",
            (_, false) => "connecting",
            (Some(_), true) => "down",
        };
        let is_well = broker_state == "up" && store_trouble.is_none();
        Answer::json(&json!({
            "status": if is_well { "ok" } else { "degraded" },
            "version": env!("CARGO_PKG_VERSION"),
            "broker": {
                "state": broker_state,
                "bootstrap": self.api.bootstrap,
                "cluster_id": broker.cluster_id,
                "reason": broker.trouble,
            },
            "store": {
                "state": if store_trouble.is_none() { "ok" } else { "failing" },
                "reason": store_trouble,
            },
            "mergers": mergers(&snapshot),
            "active_tests": snapshot.active,
        }))
    }
}

/// Who merges what. The orchestrator reads itself what nobody merges, so that nothing is missing.
fn mergers(snapshot: &Snapshot) -> Value {
    let now = Now::new(clock::unix_ns(), clock::monotonic_ns());
    let reasons: Vec<String> = snapshot.merging_troubles(now).collect();
    let state = match (snapshot.mergers.is_empty(), reasons.is_empty()) {
        (true, _) => "none",
        (false, true) => "ok",
        (false, false) => "degraded",
    };
    json!({
        "state": state,
        "reasons": reasons,
        "mergers": snapshot.mergers,
        "partitions": snapshot.partitions,
    })
}
