//! `GET /healthz`.

use serde_json::json;

use super::{Answer, Worker};

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
            "active_tests": snapshot.active,
        }))
    }
}
