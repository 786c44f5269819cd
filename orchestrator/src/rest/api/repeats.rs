//! Sets of runs of one document, which `POST /tests?start=1` begins: `GET /repeats`, and `GET`, `PATCH`
//! and `DELETE /repeats/{id}`.

use proto::document::Document;
use serde_json::{Value, json};

use super::{Answer, Call, Worker, reply};
use crate::control::{Campaign, CampaignKind, Command, Goal, LabelsPatch, Reply};

const KIND: CampaignKind = CampaignKind::Repeat;

impl Worker {
    /// Begins the set that a document asks for.
    pub(super) fn repeated(
        &self,
        document: Document,
        start: bool,
        queue: bool,
    ) -> Result<Answer, Answer> {
        let times = document.repeat;
        if !start {
            let error = format!("repeat: {times} runs come one after the other, and begin at once");
            let hint = "send it to POST /tests?start=1, or take repeat out";
            return Err(Answer::error(400, &error, hint));
        }
        let command = Command::Repeat {
            test_id: proto::id::new_test_id(),
            document: Box::new(document),
            queue,
        };
        match self.api.handle.command(command) {
            Ok(Reply::Created { test_id }) => {
                Ok(Answer::json(&json!({"TestId": test_id, "repeat": times})))
            }
            Ok(other) => Err(reply::answer(other, &self.api.bootstrap)),
            Err(_) => Err(Answer::busy()),
        }
    }

    /// All sets, newest first, without their runs.
    pub(super) fn sets(&self) -> Answer {
        self.campaigns(KIND, "runs", shown)
    }

    /// One set, as far as it has come.
    pub(super) fn set(&self, test_id: &str) -> Answer {
        self.campaign(KIND, test_id, shown)
    }

    pub(super) fn delete_set(&self, test_id: &str) -> Answer {
        self.delete_campaign(KIND, test_id)
    }

    pub(super) fn label_set(&self, test_id: &str, call: &Call) -> Answer {
        let example = r#"such as {"name": "checkout", "tags": {"env": "staging"}}"#;
        let refuse = |error: &str| Answer::error(400, error, &format!("send an object {example}"));
        let values = match call.json_object(example) {
            Ok(values) => values,
            Err(answer) => return answer,
        };
        if values.contains_key("notes") {
            return refuse("notes: they are of one run; write them with PATCH /tests/{id}");
        }
        match serde_json::from_value::<LabelsPatch>(values.into()) {
            Ok(patch) => self.command(Command::LabelSet {
                test_id: test_id.to_owned(),
                patch,
            }),
            Err(error) => refuse(&format!(
                "the body is no change of name, tags and note: {error}"
            )),
        }
    }
}

/// A set for people, if a campaign is one: its runs, and how far their figures are spread.
pub(super) fn shown(campaign: &Campaign) -> Option<Value> {
    let Goal::Repeat(set) = &campaign.goal else {
        return None;
    };
    let mut shown = json!({
        "test_id": campaign.test_id,
        "name": campaign.labels.name,
        "state": campaign.state,
        "reason": campaign.reason,
        "created_unix_ms": campaign.created_unix_ms,
        "ended_unix_ms": campaign.ended_unix_ms,
        "target": campaign.target,
        "participants": campaign.participants,
        "run": campaign.run,
        "standing": set.standing(),
    });
    let set = serde_json::to_value(set);
    let set = set.expect("invariant: answers have string keys and finite numbers");
    if let (Some(fields), Value::Object(set)) = (shown.as_object_mut(), set) {
        fields.extend(set);
    }
    Some(shown)
}
