//! `client capacity FILE`: searches the highest rate at which a document's thresholds hold, on all
//! drivers, and follows the search to its end.

use std::path::Path;

use proto::document::{Document, placed};
use proto::summary::{CapacityAnswer, CapacityEnding};
use serde_json::{Value, json};

use super::api::{self, Api, ApiError};
use super::campaign::{Campaign, Followed};
use super::cli::{CapacityOptions, DocumentOptions, RunTerms};
use super::document;
use super::ending::{Ending, Problem};
use super::follow::{Interrupts, OnInterrupt};
use super::print;

/// Searches, prints each step and the answer.
///
/// # Errors
/// [`Problem::Document`] with what the document lacks, [`Problem::Api`] with the orchestrator's own
/// words.
pub fn capacity(api: &Api, options: &CapacityOptions, as_json: bool) -> Result<Ending, Problem> {
    let interrupts = Interrupts::take()?;
    check(&options.file, &options.env)?;
    let sent = document::outgoing(&DocumentOptions {
        file: Some(options.file.clone()),
        env: options.env.clone(),
        terms: RunTerms::default(),
    })?;
    document::upload(api, &sent.uploads, |line| eprintln!("{line}"))?;
    let begun = api.post_text(&path(options), &sent.body())?;
    let Some(test_id) = begun["TestId"].as_str() else {
        return Err(foreign(api, &begun).into());
    };
    if !as_json {
        let base = api.base();
        eprintln!("search {test_id}: {base}/#/capacity/{test_id}");
    }
    to_end(
        api,
        test_id,
        &interrupts,
        OnInterrupt::Stop(test_id),
        as_json,
    )
}

/// Follows a search that was begun elsewhere, and prints its steps and the answer; Ctrl-C leaves it.
///
/// # Errors
/// [`Problem::Api`] with the orchestrator's own words.
pub(super) fn watch(
    api: &Api,
    test_id: &str,
    interrupts: &Interrupts,
    as_json: bool,
) -> Result<Ending, Problem> {
    to_end(api, test_id, interrupts, OnInterrupt::Leave, as_json)
}

fn to_end(
    api: &Api,
    test_id: &str,
    interrupts: &Interrupts,
    on_interrupt: OnInterrupt<'_>,
    as_json: bool,
) -> Result<Ending, Problem> {
    let what = ("capacity", "search");
    let campaign = Campaign::new(api, what, test_id, interrupts, on_interrupt);
    let mut told = 0;
    let ended = campaign.follow(|search| {
        let answer = answer(api, search)?;
        for step in answer.steps.iter().skip(told).filter(|_| !as_json) {
            print(&format!("{}\n", step.in_words()))?;
        }
        told = answer.steps.len();
        Ok(())
    })?;
    match ended {
        Followed::Left => Ok(Ending::Interrupted),
        Followed::Ended { last, is_stopped } => {
            let answer = answer(api, &last)?;
            tell(&last, &answer, as_json)?;
            if is_stopped {
                return Ok(Ending::Interrupted);
            }
            Ok(ending(last["state"].as_str(), &answer))
        }
    }
}

/// Checks here what the orchestrator would refuse without the places in the file.
fn check(file: &Path, env: &[(String, String)]) -> Result<(), Problem> {
    let target = Some(document::ANY_TARGET.to_owned());
    let document = Document::open(file, env, target).map_err(Problem::Document)?;
    let searched = document.searched();
    searched.map_err(|invalid| Problem::Document(placed(file, &invalid)))?;
    Ok(())
}

fn path(options: &CapacityOptions) -> String {
    let bounds = [
        ("from", options.from.map(|rate| rate.to_string())),
        ("to", options.to.map(|rate| rate.to_string())),
        ("precision", options.precision.clone()),
    ];
    let given = bounds.into_iter().filter_map(|(name, value)| {
        let value = value?;
        Some(format!("{name}={}", api::segment(&value)))
    });
    let query: Vec<String> = given.collect();
    if query.is_empty() {
        return "capacity".to_owned();
    }
    format!("capacity?{}", query.join("&"))
}

/// What a search has found, as the orchestrator answers it.
fn answer(api: &Api, search: &Value) -> Result<CapacityAnswer, Problem> {
    let answer = serde_json::from_value(search.clone());
    answer.map_err(|error| foreign(api, &json!(error.to_string())).into())
}

/// Prints what a search that has ended has found.
fn tell(search: &Value, answer: &CapacityAnswer, as_json: bool) -> Result<(), Problem> {
    if as_json {
        return print(&format!("{search}\n"));
    }
    print(&format!("{}\n", answer.in_words()))?;
    if let Some(reason) = search["reason"].as_str() {
        let state = search["state"].as_str().unwrap_or_default();
        print(&format!("{state}: {reason}\n"))?;
    }
    Ok(())
}

/// What a search amounts to. One that did not come to its end is no basis for a threshold.
fn ending(state: Option<&str>, answer: &CapacityAnswer) -> Ending {
    match (state, answer.ending()) {
        (Some("done"), CapacityEnding::Found) => Ending::Ok,
        (Some("done"), CapacityEnding::Breached) => Ending::ThresholdBreached,
        (Some("failed"), _) if answer.steps.is_empty() => Ending::Error,
        _ => Ending::Invalid,
    }
}

fn foreign(api: &Api, answered: &Value) -> ApiError {
    ApiError::Foreign {
        url: api.base().to_owned(),
        reason: format!("it answered {answered}"),
    }
}

#[cfg(test)]
mod tests {
    use proto::summary::{Capacity, CapacityBounds};

    use super::*;

    fn options(from: Option<f64>, precision: Option<&str>) -> CapacityOptions {
        CapacityOptions {
            file: "shop.yaml".into(),
            env: Vec::new(),
            from,
            to: None,
            precision: precision.map(str::to_owned),
        }
    }

    #[test]
    fn the_bounds_go_into_the_query() {
        assert_eq!(path(&options(None, None)), "capacity");
        let both = path(&options(Some(100.0), Some("5%")));
        assert_eq!(both, "capacity?from=100&precision=5%25");
    }

    #[test]
    fn a_search_ends_with_the_code_of_what_it_found() {
        let answer = |at_least, below| CapacityAnswer {
            target: "http://h/".into(),
            thresholds: Vec::new(),
            unit: "requests".into(),
            bounds: CapacityBounds::default(),
            capacity: Capacity { at_least, below },
            wide: false,
            limited_by: None,
            collapsed: false,
            steps: Vec::new(),
        };
        let both = answer(Some(100.0), Some(104.0));
        let wide = CapacityAnswer {
            wide: true,
            ..both.clone()
        };
        for (state, answer, expected) in [
            ("done", &both, Ending::Ok),
            ("done", &wide, Ending::Invalid),
            ("done", &answer(None, Some(1.0)), Ending::ThresholdBreached),
            ("done", &answer(Some(5.0), None), Ending::Invalid),
            ("aborted", &both, Ending::Invalid),
            ("failed", &answer(None, None), Ending::Error),
        ] {
            assert_eq!(ending(Some(state), answer), expected, "{state} {answer:?}");
        }
    }
}
