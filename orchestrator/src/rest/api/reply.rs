//! The answers to commands, and to ids that nobody knows.

use proto::units;
use serde_json::json;

use super::Answer;
use crate::control::{CampaignKind, CampaignRefusal, MESSAGE_LEN_MAX, Refusal, Reply};

/// The answer to a command, of an orchestrator whose broker is at `bootstrap`.
pub(super) fn answer(reply: Reply, bootstrap: &str) -> Answer {
    match reply {
        Reply::Created { test_id } => Answer::json(&json!({"TestId": test_id})),
        Reply::Triggered {
            test_id,
            state,
            start_at_unix_ns,
            participants,
        } => Answer::json(&json!({
            "test_id": test_id,
            "state": state,
            "start_at_unix_ns": start_at_unix_ns,
            "participants": participants,
        })),
        Reply::Queued {
            test_id,
            state,
            running,
            position,
        } => Answer::json(&json!({
            "test_id": test_id,
            "state": state,
            "queued": true,
            "position": position,
            "running_test_id": running,
        })),
        Reply::Stopped {
            test_id,
            state,
            cannot_be_stopped,
        } => {
            let mut answer = json!({"test_id": test_id, "state": state});
            if !cannot_be_stopped.is_empty() {
                answer["cannot_be_stopped"] = json!(cannot_be_stopped);
            }
            Answer::json(&answer)
        }
        Reply::RateChanged {
            test_id,
            change,
            number,
            start_at_unix_ns,
            of,
            cannot_follow,
        } => {
            let mut answer = json!({
                "test_id": test_id,
                "number": number,
                "rate": change.rate.per_second(),
                "of": of,
                "at_s": units::ns_to_seconds(change.at_ns),
                "at_unix_ns": start_at_unix_ns.saturating_add(change.at_ns),
                "by": change.by,
            });
            if !cannot_follow.is_empty() {
                answer["cannot_follow"] = json!(cannot_follow);
            }
            Answer::json(&answer)
        }
        Reply::Deleted { test_id } => Answer::json(&json!({"test_id": test_id, "deleted": true})),
        Reply::Labeled(row) => Answer::json(&row),
        Reply::SetLabeled(campaign) => Answer::json(&super::repeats::shown(&campaign)),
        Reply::Refused(refusal) => refuse(refusal, bootstrap),
    }
}

fn refuse(refusal: Refusal, bootstrap: &str) -> Answer {
    match refusal {
        Refusal::UnknownTest(test_id) => unknown_test(&test_id),
        Refusal::WrongState { test_id, state } => {
            let error = format!("test {test_id} is {state}");
            let hint = "a test is run once; create another one with POST /avalanche or /tsunami";
            Answer::error_with(
                409,
                &error,
                hint,
                json!({"test_id": test_id, "state": state}),
            )
        }
        Refusal::NotRunning { test_id, state } => {
            let error = format!("test {test_id} is {state}");
            let hint = "only a test that runs has a rate to change";
            let more = json!({"test_id": test_id, "state": state});
            Answer::error_with(409, &error, hint, more)
        }
        Refusal::RateStays { test_id, why, hint } => {
            let error = format!("the rate of test {test_id} cannot be changed: {why}");
            Answer::error_with(409, &error, &hint, json!({"test_id": test_id}))
        }
        Refusal::StillOpen { test_id, state } => {
            let error = format!("test {test_id} is {state}");
            let hint = "stop it with POST /stop, and delete it when it has ended";
            let more = json!({"test_id": test_id, "state": state});
            Answer::error_with(409, &error, hint, more)
        }
        Refusal::Campaign(refusal) => refuse_campaign(refusal),
        Refusal::WrongLabel(why) => {
            let hint = "labels are short texts; PATCH /tests/{id} changes them and takes them away";
            Answer::error(400, &why, hint)
        }
        Refusal::NotStarted(test_id) => {
            let error = format!("at: test {test_id} has not started");
            let hint = "at counts from the start of the run; without it a note is of now";
            Answer::error_with(409, &error, hint, json!({"test_id": test_id}))
        }
        Refusal::NoDriver => {
            let hint = "start one (driver --kafka …) and look at GET /nodes; then trigger again";
            Answer::error(409, "no driver is up", hint)
        }
        Refusal::Incompatible(what) => {
            let error = format!("no driver is up that takes part: {what}");
            Answer::error(409, &error, "look at GET /nodes, and trigger again")
        }
        Refusal::NotReady(what) => {
            let error = format!("no driver became ready within 5 s: {what}");
            Answer::error(409, &error, "look at GET /nodes, and trigger again")
        }
        Refusal::TooFew(what) => {
            let hint = "start more (driver --kafka …), or write drivers: 1; then trigger again";
            Answer::error(409, &what, hint)
        }
        Refusal::CannotPrepare(reason) => {
            let hint = "is the target running, and is its address right? Then create another test";
            Answer::error(409, &reason, hint)
        }
        Refusal::Busy { running } => {
            let error = format!("the drivers are busy with test {running}");
            let hint = "wait for it, stop it with POST /stop, or trigger with ?queue=1";
            Answer::error_with(409, &error, hint, json!({"running_test_id": running}))
        }
        Refusal::GettingReady { test_id } => {
            let error = format!("the drivers get ready for test {test_id}, which was triggered");
            let hint = "wait some seconds, or trigger with ?queue=1";
            Answer::error_with(409, &error, hint, json!({"running_test_id": test_id}))
        }
        Refusal::BrokerAway(reason) => {
            let error = format!("the broker at {bootstrap} does not answer: {reason}");
            let hint = "is it running, and is --kafka right? GET /healthz shows when it is back";
            Answer::error(503, &error, hint).with("Retry-After", "1")
        }
        Refusal::StoreAway(reason) => {
            let error = format!("the store cannot be written: {reason}");
            Answer::error(503, &error, "make room on the orchestrator's disk")
        }
        Refusal::TooMany => {
            let error = "too many tests wait for their trigger";
            Answer::error(503, error, "stop some of them with POST /stop")
        }
        Refusal::TooLong(len) => {
            let error = format!(
                "the test has {len} bytes as a message; the broker takes {MESSAGE_LEN_MAX}"
            );
            let hint = "give it a shorter body";
            Answer::error(413, &error, hint)
        }
    }
}

/// What has to do with campaigns.
fn refuse_campaign(refusal: CampaignRefusal) -> Answer {
    match refusal {
        CampaignRefusal::Unknown { campaign_id, kind } => {
            let error = format!("there is no {} {campaign_id:?}", kind.noun());
            Answer::error(404, &error, &format!("GET /{} lists them", kind.path()))
        }
        CampaignRefusal::Over {
            campaign_id,
            kind,
            state,
        } => {
            let error = format!("the {} {campaign_id} has ended: it is {state}", kind.noun());
            let hint = format!(
                "GET /{}/{campaign_id} says what came of it; {} begins another one",
                kind.path(),
                kind.begun_by()
            );
            let more = json!({"test_id": campaign_id, "state": state});
            Answer::error_with(409, &error, &hint, more)
        }
        CampaignRefusal::Open { campaign_id, kind } => {
            let error = format!("the {} {campaign_id} goes on", kind.noun());
            let hint = format!("stop it with POST /stop/{campaign_id}, and delete it then");
            let more = json!({"test_id": campaign_id, "state": "running"});
            Answer::error_with(409, &error, &hint, more)
        }
        CampaignRefusal::NoTest { campaign_id, kind } => no_test(&campaign_id, kind),
        CampaignRefusal::Run {
            test_id,
            state,
            campaign_id,
            kind,
        } => {
            let noun = kind.noun();
            let error = format!("test {test_id} is {state}, and a run of the {noun} {campaign_id}");
            let hint = format!(
                "POST /stop/{campaign_id} stops the {noun} and this run; delete it when it has ended"
            );
            let more = json!({"test_id": test_id, "state": state});
            Answer::error_with(409, &error, &hint, more)
        }
        CampaignRefusal::TooMany => {
            let error = "too many searches for a capacity and sets of runs go on";
            let hint = "GET /capacity and /repeats list them; stop one with POST /stop and its id";
            Answer::error(503, error, hint)
        }
    }
}

/// 404 for what is a campaign where a test is meant.
pub(super) fn no_test(campaign_id: &str, kind: CampaignKind) -> Answer {
    let (noun, path) = (kind.noun(), kind.path());
    let error = format!("{campaign_id} is a {noun}, and no test");
    let hint = format!(
        "GET and DELETE /{path}/{campaign_id} are about it, and POST /stop/{campaign_id} stops it; its \
         runs, {campaign_id}-1 and so on, are tests"
    );
    Answer::error(404, &error, &hint)
}

/// 404 for a test.
pub(super) fn unknown_test(test_id: &str) -> Answer {
    let error = format!("there is no test {test_id:?}");
    Answer::error(404, &error, "GET /tests lists them")
}
