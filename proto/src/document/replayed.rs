//! A document that replays a log: its flows, and what its file says where the document holds it.

use std::io::Cursor;

use super::Document;
use super::kept::UNMASKED;
use super::reading::{Reader, Spot};
use crate::replay;

impl Document {
    /// Checks the flows of a replay, and takes what its file says where the document holds it. A
    /// document that is only looked at again holds a mask in its place.
    pub(super) fn take_replay(&mut self, reader: &mut Reader, root: &Spot<'_>) {
        let Some(name) = &self.scenario.replay else {
            return;
        };
        if let Some(problem) = self.alike() {
            let at = root.get("flows").unwrap_or_else(|| root.clone());
            reader.wrong(&at, problem);
        }
        if let Some(reference) = self.reference(name) {
            let rows = reference.rows;
            return self.scenario.set_replayed(rows);
        }
        let content = self.content(name);
        let content = content.filter(|content| *content != UNMASKED.as_bytes());
        let (Some(content), true) = (content, reader.is_right()) else {
            return;
        };
        let checked = replay::Reader::new(Cursor::new(content)).and_then(|mut file| {
            file.check()?;
            Ok(file.head().clone())
        });
        let scenario = checked
            .map_err(|error| error.to_string())
            .and_then(|head| self.scenario.clone().replaying(&head))
            .map_err(|error| format!("{name}: {error}"));
        let at = root.get("load").unwrap_or_else(|| root.clone());
        if let Some(scenario) = reader.right(&at, scenario) {
            self.scenario = scenario;
        }
    }

    /// Says of two flows that begin with the same method that one of them never comes.
    fn alike(&self) -> Option<String> {
        let flows = &self.scenario.flows;
        let method = |flow: usize| self.scenario.first_method(flow);
        let pairs = (0..flows.len()).flat_map(|b| (0..b).map(move |a| (a, b)));
        let (a, b) = pairs.into_iter().find(|(a, b)| method(*a) == method(*b))?;
        Some(format!(
            "the flows {:?} and {:?} both begin with {}, and a replay chooses by the method of each \
             request: leave one",
            flows[a].name,
            flows[b].name,
            method(a)?
        ))
    }
}

#[cfg(test)]
mod tests {
    use crate::digest::Sha256;
    use crate::document::{Reference, Runner, Setting};
    use crate::workload::{Pace, Part, StageArrivals};

    use super::*;

    const TEXT: &str = "target: http://h/base\nflows:\n  - steps: [GET $replay]\n\
        \x20 - {name: put, steps: [{POST: $replay, json: {a: $replay}}, GET /after]}\n\
        load: {replay: a.replay, pace: log*2.5}\n";

    fn read(text: &str) -> Result<Document, String> {
        Document::read(text, Setting::default()).map_err(|invalid| invalid.to_string())
    }

    fn file(methods: &[&str]) -> Vec<u8> {
        let mut writer = replay::Writer::new(Cursor::new(Vec::new())).unwrap();
        for (second, method) in (0..).zip(methods) {
            let request = format!("{method} /?token=$secret(TOKEN)");
            writer.push(second * 1_000_000_000, &request).unwrap();
        }
        let (out, _) = writer.finish(&["TOKEN".to_owned()]).unwrap();
        out.into_inner()
    }

    #[test]
    fn a_replay_is_known_once_its_file_is_in_the_document() {
        let document = read(TEXT).unwrap();
        assert_eq!(document.scenario.replay.as_deref(), Some("a.replay"));
        assert_eq!(document.scenario.load.planned(Part::WHOLE), None);
        let refused = document.check_runner(Runner::Cluster).unwrap_err();
        assert!(refused.to_string().starts_with("5:16: file: "), "{refused}");
        let whole = document.with_files(|_| Ok(file(&["GET", "POST", "GET"])));
        let again = read(&whole.unwrap().to_json()).unwrap();
        assert!(again.check_runner(Runner::Cluster).is_ok());
        let StageArrivals::Replay { pace, requests } = again.scenario.load.stages[0].arrivals
        else {
            panic!("{:?}", again.scenario.load);
        };
        assert_eq!((pace, requests), (Pace::parse("log*2.5").unwrap(), Some(3)));
        assert_eq!(again.scenario.load.planned(Part::WHOLE), Some(3));
        assert_eq!(again.scenario.secrets, ["TOKEN"]);
        // Of a file that is elsewhere, what it is known by says how long it is.
        let reference = Reference {
            sha256: Sha256::of(b"x"),
            bytes: 1,
            rows: Some(7),
        };
        let referring = read(TEXT).unwrap().with_files(|_| Ok(reference)).unwrap();
        let kept = Document::kept(&referring.to_masked_json()).unwrap();
        for document in [referring, kept] {
            assert_eq!(document.scenario.load.planned(Part::WHOLE), Some(7));
        }
        // What the store keeps of it has a mask in the file's place.
        let kept = Document::kept(&again.to_masked_json()).unwrap();
        assert_eq!(kept.scenario.load.planned(Part::WHOLE), None);
    }

    #[test]
    fn what_cannot_be_played_is_refused_in_place() {
        let document =
            |load: &str, flows: &str| format!("target: http://h/\nflows: {flows}\nload: {load}\n");
        let flow = "[{steps: [GET $replay]}]";
        for (load, flows, words) in [
            (
                "{pace: log, open: 5/s, for: 1s}",
                flow,
                "pace is how fast a log is replayed",
            ),
            (
                "{replay: a, pace: 2}",
                flow,
                "3:25: load.pace: \"2\" is no pace",
            ),
            ("{replay: ../a}", flow, "3:16: load.replay: "),
            ("{replay: a, warmup: true}", flow, "all of it counts"),
            (
                "[{replay: a}, {open: 5/s, for: 1s}]",
                flow,
                "the whole load",
            ),
            (
                "{replay: a}",
                "[{weight: 2, steps: [GET $replay]}]",
                "take weight out",
            ),
            (
                "{replay: a}",
                "[{name: a, steps: [GET $replay]}, {name: b, steps: [GET /]}]",
                "\"a\" and \"b\" both begin with GET",
            ),
            ("{open: 5/s, for: 1s}", flow, "$replay is not known here"),
        ] {
            let refused = read(&document(load, flows)).unwrap_err();
            assert!(refused.contains(words), "{words}: {refused}");
        }
        let refused = |methods: &[&str], text: &str| {
            let whole = read(text).unwrap().with_files(|_| Ok(file(methods)));
            read(&whole.unwrap().to_json()).unwrap_err()
        };
        let get = document("{replay: a}", flow);
        assert!(refused(&["GET", "PUT", "PUT"], &get).contains("2 × PUT, and no flow begins"));
        let slow = document("{replay: a, pace: log*0.001}", flow);
        let many = vec!["GET"; 700];
        assert!(refused(&many, &slow).contains("a week is the most"));
        let other = read(&get).unwrap().with_files(|_| Ok(b"GET /\n".to_vec()));
        let other = read(&other.unwrap().to_json()).unwrap_err();
        assert!(other.contains("load: a: no replay"), "{other}");
    }
}
