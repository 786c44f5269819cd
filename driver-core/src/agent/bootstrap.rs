//! Finding the broker: named on the command line, or asked of the orchestrator.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use proto::bus::BusSettings;
use proto::log;
use serde::Deserialize;
use serde_json::json;

use super::{AgentError, AgentOptions};

/// Between two attempts to reach the orchestrator.
const RETRY: Duration = Duration::from_millis(500);
/// Attempts between two lines about an orchestrator that does not answer.
const RETRIES_A_LINE: u32 = 10;
const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);

/// The settings of the bus; `None` when the driver was told to end while it waited.
pub(super) fn settings(
    options: &AgentOptions,
    node_id: &str,
    stop: &AtomicBool,
) -> Result<Option<BusSettings>, AgentError> {
    let brokers = match (&options.kafka, &options.orchestrator) {
        (Some(brokers), _) => Some(brokers.clone()),
        (None, Some(orchestrator)) => ask(orchestrator, stop),
        (None, None) => return Err(AgentError::NoBroker),
    };
    let Some(brokers) = brokers else {
        return Ok(None);
    };
    let settings = BusSettings::new(&brokers, node_id, &options.properties.kafka_properties)?;
    Ok(Some(settings.with_metrics_partitions(
        options.partitions.metrics_partitions,
    )))
}

/// Asks until the orchestrator answers.
fn ask(orchestrator: &str, stop: &AtomicBool) -> Option<String> {
    let mut attempts = 0;
    while !stop.load(Ordering::Relaxed) {
        match ask_once(orchestrator) {
            Ok(brokers) => return Some(brokers),
            Err(reason) if attempts % RETRIES_A_LINE == 0 => {
                let hint = "start the orchestrator, or give --kafka host:port";
                log::warn(
                    "waiting_for_orchestrator",
                    json!({"orchestrator": orchestrator, "reason": reason, "hint": hint}),
                );
            }
            Err(_) => {}
        }
        attempts += 1;
        std::thread::sleep(RETRY);
    }
    None
}

#[derive(Deserialize)]
struct Healthz {
    broker: Broker,
}

#[derive(Deserialize)]
struct Broker {
    bootstrap: String,
}

fn ask_once(orchestrator: &str) -> Result<String, String> {
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .timeout_global(Some(ANSWER_TIMEOUT))
        .http_status_as_error(false)
        .build()
        .into();
    let url = format!("http://{orchestrator}/healthz");
    let mut answer = agent.get(&url).call().map_err(|error| error.to_string())?;
    let text = answer
        .body_mut()
        .read_to_string()
        .map_err(|error| error.to_string())?;
    let mut bytes = text.into_bytes();
    let healthz: Healthz =
        proto::codec::decode(&mut bytes).map_err(|error| format!("{url}: {error}"))?;
    Ok(healthz.broker.bootstrap)
}
