//! The requests of a scenario as protocols take them.

use proto::workload::{Escape, Hole, Piece, RequestTemplate, Scenario, Target, Template as Pieces};

use crate::protocol::{Template, Text};

/// The requests of all steps of a scenario, each at the number of its step.
#[must_use]
pub fn templates(scenario: &Scenario) -> Vec<Template> {
    let template = |step: &proto::workload::Step| {
        template(&step.request, &scenario.targets[step.request.target])
    };
    scenario.steps.iter().map(template).collect()
}

fn template(request: &RequestTemplate, target: &Target) -> Template {
    let headers = request.headers.iter().map(|field| {
        let value = text(&field.value);
        let value = if field.is_optional {
            value.optional()
        } else {
            value
        };
        (field.name.clone(), value)
    });
    Template {
        method: request.method.clone(),
        is_https: target.is_tls,
        authority: Text::fixed(target.authority.as_str()),
        path: text(&request.path),
        headers: headers.collect(),
        body: text(&request.body),
    }
}

fn text(pieces: &Pieces) -> Text {
    let add = |text: Text, piece: &Piece| match piece {
        Piece::Fixed(bytes) => text.then(bytes),
        Piece::Hole(hole) => text.then_hole(*hole),
        // Files were put in before.
        Piece::File(_) => text,
    };
    pieces.pieces.iter().fold(Text::default(), add)
}

/// About the bytes of the longest request: what is fixed in it, and a few for each hole.
pub(super) fn longest(scenario: &Scenario) -> usize {
    let fixed = |text: &Pieces| {
        let lens = text.pieces.iter().map(|piece| match piece {
            Piece::Fixed(bytes) => bytes.len(),
            _ => 0,
        });
        lens.sum::<usize>()
    };
    let hole = |hole: &Hole| match hole.escape {
        Escape::Json | Escape::Nothing => 64,
        _ => 32,
    };
    let len = |step: &proto::workload::Step| {
        let request = &step.request;
        let names = request.headers.iter().map(|field| field.name.len() + 4);
        let holes: usize = request.holes.iter().map(hole).sum();
        request.texts().map(fixed).sum::<usize>() + names.sum::<usize>() + holes + 64
    };
    scenario.steps.iter().map(len).max().unwrap_or(0)
}
