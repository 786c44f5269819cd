//! A list of URLs, one a line: each a session of its own, by how often it stands there.

use std::io::{self, BufRead};

use proto::workload::Mix;

use super::Desk;
use super::draft::Step;
use super::lines;
use super::mix::{Tally, Top};
use super::secrets::literal;

pub(super) fn import(desk: &mut Desk<'_>, input: &mut dyn BufRead) -> io::Result<()> {
    let mut tally = Tally::default();
    lines::each(desk, input, |desk, line| take(desk, &mut tally, line))?;
    desk.draft.load = "{closed: 1, for: 10s}".into();
    let remarks = &mut desk.draft.remarks;
    remarks.push(
        "Each request is a session of its own, by weight. load says how many at once.".into(),
    );
    take_top(desk, &tally.top(super::draft::STEPS_MAX));
    Ok(())
}

fn take(desk: &mut Desk<'_>, tally: &mut Tally, line: &lines::Line<'_>) {
    let number = line.number;
    let bytes = line.bytes.trim_ascii();
    if bytes.is_empty() || bytes.starts_with(b"#") {
        return;
    }
    desk.read += 1;
    let text = std::str::from_utf8(bytes)
        .ok()
        .filter(|text| !line.is_cut && !text.contains('\0'));
    let Some(text) = text else {
        return desk.notes.left_out(number, "no line of text", "");
    };
    if let Some(url) = desk.url(number, &literal(text)) {
        let path = desk.secrets.path(number, &url.path);
        tally.count(&format!("GET {path}"), number);
    }
}

/// Takes the most frequent requests as flows by weight, and says what becomes of the others.
pub(super) fn take_top(desk: &mut Desk<'_>, top: &Top) {
    desk.draft.begin_mix();
    desk.notes
        .left_out_more("rarer than those that the document has", top.others);
    if top.forgotten > 0 {
        let remark = format!(
            "There were too many different requests to count all: {} of rare ones were forgotten.",
            top.forgotten
        );
        desk.draft.remarks.push(remark);
    }
    let times: Vec<u64> = top.requests.iter().map(|(_, seen)| seen.times).collect();
    let (weights, is_rounded) = Mix::weights_of(&times);
    if is_rounded {
        desk.draft
            .remarks
            .push("Weights are in proportion, rounded; each is at least 1.".into());
    }
    for ((request, seen), weight) in top.requests.iter().zip(weights) {
        let Some((method, path)) = request.split_once(' ') else {
            continue;
        };
        let step = Step {
            line: seen.line,
            method: method.to_owned(),
            path: path.to_owned(),
            ..Step::default()
        };
        if !desk.draft.take(&mut desk.notes, weight, step) {
            let kind = "the same requests again that the document could not take";
            desk.notes.left_out_more(kind, seen.times - 1);
        }
    }
}
