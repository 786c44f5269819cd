//! `GET /tests/{id}/stream`: server-sent events until the test ends.
//!
//! What comes first is answered here, after all checks. The rest waits in a queue, out of which the
//! front writes it: no thread of the API waits for a test.

use super::{Answer, Call, Worker};
use crate::live::{LISTENERS_MAX, NotJoined, Place, Since, of_ended};
use crate::rest::front::STREAM;

const CONTENT_TYPE: &str = "text/event-stream";
/// The time after which a client that lost its connection comes back, ms.
const RETRY: &str = "retry: 1000\n\n";

impl Worker {
    pub(super) fn stream(&mut self, test_id: &str, call: &Call) -> Answer {
        let answer = self.begin(test_id, call);
        answer.unwrap_or_else(|refusal| refusal)
    }

    fn begin(&mut self, test_id: &str, call: &Call) -> Result<Answer, Answer> {
        let since = since(call)?;
        let is_live = self.seen(test_id)?.is_some();
        if call.method == "HEAD" {
            return Ok(answer(Vec::new()));
        }
        if !is_live {
            return self.ended(test_id, since);
        }
        let joined = match self.api.live.join(test_id, since) {
            Ok(joined) => joined,
            // It left memory at this very moment.
            Err(NotJoined::NotInMemory) => return self.ended(test_id, since),
            Err(NotJoined::TooMany) => return Err(too_many()),
        };
        let answer = answer([RETRY.as_bytes(), &joined.events].concat());
        Ok(match joined.ticket {
            Some(ticket) => answer.with(STREAM, ticket.to_string()),
            None => answer,
        })
    }

    /// All of the stream of a test that the store has.
    fn ended(&mut self, test_id: &str, since: Since) -> Result<Answer, Answer> {
        let detail = self.detail(test_id)?;
        let result = self.result_without_series(test_id)?;
        let rows = self.series(test_id)?;
        Ok(answer(of_ended(&detail, &result, rows, since)))
    }
}

fn answer(events: Vec<u8>) -> Answer {
    // Proxies that collect answers would hold the events back.
    Answer::new(200, CONTENT_TYPE, events).with("X-Accel-Buffering", "no")
}

/// What the client has already, as it says.
fn since(call: &Call) -> Result<Since, Answer> {
    let from = call.count("series_from")?.unwrap_or(0);
    let Some(id) = call.header("Last-Event-ID").filter(|id| !id.is_empty()) else {
        return Ok(Since { from, had: None });
    };
    let place: Result<Place, String> = id.parse();
    let hint = "send the id of the last event of this stream that came, or none";
    let place = place.map_err(|error| Answer::error(400, &error, hint))?;
    Ok(Since::after(place))
}

fn too_many() -> Answer {
    let error = format!("{LISTENERS_MAX} clients listen to streams, more are not served at once");
    let answer = Answer::error(
        503,
        &error,
        "ask GET /metrics/{id} now and then, or come later",
    );
    answer.with("Retry-After", "10")
}
