//! `GET /tests/{id}/heatmap`: where the latencies of a run lie, second by second.

use std::sync::Arc;

use proto::summary::{HEAT_COLUMNS_MAX, HeatGrid, HeatMap, HeatOf};
use serde::Serialize;

use super::query::to_usize;
use super::{Answer, Call, Worker, store_away};

/// The answer.
#[derive(Serialize)]
struct Told<'a> {
    test_id: &'a str,
    histogram: &'a str,
    #[serde(flatten)]
    map: HeatMap,
}

impl Worker {
    pub(super) fn heat_map(&mut self, test_id: &str, call: &Call) -> Answer {
        self.try_heat_map(test_id, call)
            .unwrap_or_else(|answer| answer)
    }

    fn try_heat_map(&mut self, test_id: &str, call: &Call) -> Result<Answer, Answer> {
        let histogram = call.param::<String>("histogram", "a text")?;
        let histogram = histogram.as_deref().unwrap_or("response");
        let which = match histogram {
            "response" => HeatOf::Response,
            "service" => HeatOf::Service,
            other => {
                let error = format!("histogram: {other:?} is neither response nor service");
                return Err(Answer::error(400, &error, "see /openapi.json"));
            }
        };
        let columns = call.count("points")?.map_or(HEAT_COLUMNS_MAX, to_usize);
        if !(1..=HEAT_COLUMNS_MAX).contains(&columns) {
            let error = format!("points: {columns} is not within 1 to {HEAT_COLUMNS_MAX}");
            return Err(Answer::error(400, &error, "the most columns of the map"));
        }
        let map = self.heat(test_id)?.map(which, columns);
        Ok(Answer::json(&Told {
            test_id,
            histogram,
            map,
        }))
    }

    fn heat(&mut self, test_id: &str) -> Result<Arc<HeatGrid>, Answer> {
        if let Some(seen) = self.seen(test_id)? {
            return Ok(self.api.live.heat(&seen));
        }
        let live = Arc::clone(&self.api.live);
        live.heat_of_stored(test_id, || {
            let mut grid = HeatGrid::default();
            self.reader()?
                .each_second(test_id, |second, samples| {
                    grid.add(second, &samples.response, &samples.service);
                })
                .map_err(|error| store_away(&error))?;
            Ok(grid)
        })
    }
}
