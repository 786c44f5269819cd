//! `POST /capacity`, which searches the highest rate at which a document's thresholds hold, and
//! `GET` and `DELETE /capacity/{id}`.

use proto::document::Runner;
use proto::summary::CapacityBounds;
use serde_json::{Map, Value, json};

use super::data::with_data;
use super::documents::refusal;
use super::{Answer, Call, Worker};
use crate::control::{Campaign, CampaignKind, Command, Goal};

const KIND: CampaignKind = CampaignKind::Capacity;
/// Parameters of a search beyond its document.
const BOUNDS: [&str; 3] = ["from", "to", "precision"];

impl Worker {
    /// Begins a search by the document in a body: its rate is varied, all else stays.
    pub(super) fn seek(&mut self, call: &Call) -> Answer {
        match self.sought(call) {
            Ok(command) => self.command(command),
            Err(answer) => answer,
        }
    }

    fn sought(&mut self, call: &Call) -> Result<Command, Answer> {
        let document = self.document(call, &BOUNDS)?;
        let document = with_data(document, &self.api.files)?;
        let checked = document.check_runner(Runner::Cluster);
        let searched = checked.and_then(|()| document.searched());
        let searched = searched.map_err(|invalid| refusal(&invalid))?;
        let bounds = bounds(&call.query_values(), searched.rate)?;
        let bounds = bounds.up_to(searched.rate_max());
        Ok(Command::Seek {
            test_id: proto::id::new_test_id(),
            document: Box::new(document),
            bounds,
        })
    }

    /// All searches, newest first, without their steps.
    pub(super) fn searches(&self) -> Answer {
        self.campaigns(KIND, "steps", shown)
    }

    /// One search with what is known so far.
    pub(super) fn search(&self, test_id: &str) -> Answer {
        self.campaign(KIND, test_id, shown)
    }

    pub(super) fn delete_search(&self, test_id: &str) -> Answer {
        self.delete_campaign(KIND, test_id)
    }
}

/// A search for people, if a campaign is one: what was found, and the steps that led there.
fn shown(campaign: &Campaign) -> Option<Value> {
    let Goal::Capacity(search) = &campaign.goal else {
        return None;
    };
    let mut shown = json!({
        "test_id": campaign.test_id,
        "name": campaign.labels.name,
        "state": campaign.state,
        "reason": campaign.reason,
        "created_unix_ms": campaign.created_unix_ms,
        "ended_unix_ms": campaign.ended_unix_ms,
        "bounds": search.bounds,
        "participants": campaign.participants,
        "run": campaign.run,
        "limited_by": null,
    });
    let answer = serde_json::to_value(search.answer(&campaign.target));
    let answer = answer.expect("invariant: answers have string keys and finite numbers");
    if let (Some(fields), Value::Object(answer)) = (shown.as_object_mut(), answer) {
        fields.extend(answer);
    }
    Some(shown)
}

/// What the query says of the bounds; the first rate is the document's where it says nothing.
fn bounds(query: &Map<String, Value>, rate: f64) -> Result<CapacityBounds, Answer> {
    let number = |name: &str, otherwise: f64| {
        let Some(value) = query.get(name) else {
            return Ok(otherwise);
        };
        let text = value.as_str().unwrap_or_default().trim();
        let (text, scale) = match text.strip_suffix('%') {
            Some(share) if name == "precision" => (share, 0.01),
            _ => (text, 1.0),
        };
        let number = text.trim().parse::<f64>().ok().map(|number| number * scale);
        number.ok_or_else(|| {
            let error = format!("{name}: {value} is no number");
            Answer::error(
                400,
                &error,
                "write one, such as from=100, to=5000, precision=5%",
            )
        })
    };
    let most = CapacityBounds::default();
    let bounds = CapacityBounds {
        from: number("from", rate)?,
        to: number("to", most.to)?,
        precision: number("precision", most.precision)?,
        ..most
    };
    let hint = "from and to are rates a second, the first of from to be offered first";
    let checked = bounds.check();
    checked.map_err(|error| Answer::error(400, &error, hint))?;
    Ok(bounds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_are_read_from_the_query() {
        let query = |text: &str| {
            let pairs = text.split('&').filter_map(|pair| pair.split_once('='));
            let values = pairs.map(|(name, value)| (name.to_owned(), Value::from(value)));
            bounds(&values.collect(), 50.0)
        };
        let read = query("from=100&to=5000&precision=10%").unwrap();
        let told = (read.from, read.to, read.precision);
        assert_eq!(told, (100.0, 5000.0, 0.1));
        let otherwise = CapacityBounds {
            from: 50.0,
            ..CapacityBounds::default()
        };
        assert_eq!(query("").unwrap(), otherwise);
        for (text, word) in [
            ("from=x", "no number"),
            ("to=10", "below the first rate"),
            ("precision=0.0001", "precision"),
            ("from=0", "not within"),
        ] {
            let answer = query(text).unwrap_err();
            let body = String::from_utf8(answer.body).unwrap();
            assert_eq!(answer.status, 400);
            assert!(body.contains(word), "{body}");
        }
    }
}
