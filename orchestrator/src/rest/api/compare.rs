//! `GET /compare`: two stored results, quantile by quantile.

use serde_json::Value;

use super::{Answer, Call, Worker};
use crate::comparison::{self, Side, TOLERANCE};

impl Worker {
    pub(super) fn compare(&mut self, call: &Call) -> Answer {
        self.try_compare(call).unwrap_or_else(|answer| answer)
    }

    fn try_compare(&mut self, call: &Call) -> Result<Answer, Answer> {
        let id = |name: &str| {
            call.param::<String>(name, "a test id")?.ok_or_else(|| {
                let error = format!("{name}: it is missing");
                Answer::error(400, &error, "GET /compare?base=ID&test=ID")
            })
        };
        let (base, test) = (id("base")?, id("test")?);
        let tolerance = call
            .param::<f64>("tolerance", "a share such as 0.05")?
            .unwrap_or(TOLERANCE);
        if !(0.0..=10.0).contains(&tolerance) {
            let error = format!("tolerance: {tolerance} is not within 0 to 10");
            return Err(Answer::error(
                400,
                &error,
                "0.05 takes a change of 5 % for noise",
            ));
        }
        let (one, other) = (self.side(&base)?, self.side(&test)?);
        Ok(Answer::json(&comparison::compare(&one, &other, tolerance)))
    }

    fn side<'a>(&mut self, test_id: &'a str) -> Result<Side<'a>, Answer> {
        let latencies = self.latencies(test_id)?;
        let result: Value = serde_json::from_str(&self.result_without_series(test_id)?)
            .map_err(|_| Answer::busy())?;
        let (sent, ok) = (result["sent"].as_f64(), result["ok"].as_f64());
        let aborted = result["aborted"].as_f64().unwrap_or(0.0);
        let error_rate = sent.zip(ok).filter(|(sent, _)| *sent > 0.0);
        Ok(Side {
            test_id,
            latencies,
            requests_per_second: result["requests_per_second"].as_f64(),
            error_rate: error_rate.map(|(sent, ok)| ((sent - ok - aborted) / sent).max(0.0)),
        })
    }
}
