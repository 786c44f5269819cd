//! How far the parts of a document have come while a run goes on: counts, and only of those parts
//! that changed. Their histograms come at the end.

use std::fmt;

use serde::de::{IgnoredAny, SeqAccess, Visitor};
use serde::ser::SerializeSeq;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::lenient::Whole;

/// Steps, and flows, that one report tells of at most: some 10 KB of each. The others come with the
/// next reports.
pub const PROGRESS_PARTS_MAX: usize = 256;

/// What of a document changed since it was last told: counts since the start of the run, so that a
/// report which never comes takes nothing away for good.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Progress {
    /// Of steps: sent, ok, status, failed, lost, `without_value`, as in [`super::StepCounts`].
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub steps: Vec<PartProgress<6>>,
    /// Of flows: started, completed, failed, cut, as in [`super::FlowCounts`].
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub flows: Vec<PartProgress<4>>,
}

/// The counts of one step or flow. On the wire a list: its number and the counts; counts that are
/// not there are 0, and more than are known are of a later version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PartProgress<const N: usize> {
    /// Its number in the document, from 0.
    pub part: u32,
    /// Its counts.
    pub counts: [u64; N],
}

impl Progress {
    /// Whether nothing changed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty() && self.flows.is_empty()
    }

    /// Takes in what another report of the same node tells, earlier or later: counts only grow.
    pub fn absorb(&mut self, other: &Self) {
        join(&mut self.steps, &other.steps);
        join(&mut self.flows, &other.flows);
    }
}

fn join<const N: usize>(mine: &mut Vec<PartProgress<N>>, more: &[PartProgress<N>]) {
    mine.extend(more);
    mine.sort_by_key(|row| row.part);
    mine.dedup_by(|other, row| {
        let is_same = other.part == row.part;
        if is_same {
            raise(&mut row.counts, &other.counts);
        }
        is_same
    });
}

/// Makes each count at least as large as the other.
pub(super) fn raise<const N: usize>(mine: &mut [u64; N], more: &[u64; N]) {
    for (mine, more) in mine.iter_mut().zip(more) {
        *mine = (*mine).max(*more);
    }
}

impl<const N: usize> Serialize for PartProgress<N> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut list = serializer.serialize_seq(Some(N + 1))?;
        list.serialize_element(&self.part)?;
        for count in &self.counts {
            list.serialize_element(count)?;
        }
        list.end()
    }
}

impl<'de, const N: usize> Deserialize<'de> for PartProgress<N> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(PartVisitor)
    }
}

struct PartVisitor<const N: usize>;

impl<'de, const N: usize> Visitor<'de> for PartVisitor<N> {
    type Value = PartProgress<N>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a list of the number of a part and its {N} counts")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        let part = list.next_element::<Whole>()?.map_or(0, |Whole(part)| part);
        let mut counts = [0; N];
        for count in &mut counts {
            *count = list
                .next_element::<Whole>()?
                .map_or(0, |Whole(count)| count);
        }
        while list.next_element::<IgnoredAny>()?.is_some() {}
        // A number beyond all documents is one that nobody has.
        let part = u32::try_from(part).unwrap_or(u32::MAX);
        Ok(PartProgress { part, counts })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row<const N: usize>(part: u32, counts: [u64; N]) -> PartProgress<N> {
        PartProgress { part, counts }
    }

    #[test]
    fn a_part_is_a_short_list_and_is_read_liberally() {
        let progress = Progress {
            steps: vec![row(3, [9, 7, 1, 1, 0, 0])],
            flows: Vec::new(),
        };
        let json = serde_json::to_string(&progress).unwrap();
        assert_eq!(json, r#"{"steps":[[3,9,7,1,1,0,0]]}"#);
        let read: Progress = serde_json::from_str(
            r#"{"steps":[["3","9",7,1,1,0,0,"later",[]]],"flows":[[1,2],[99999999999]],"x":1}"#,
        )
        .unwrap();
        assert_eq!(read.steps, progress.steps);
        assert_eq!(read.flows, [row(1, [2, 0, 0, 0]), row(u32::MAX, [0; 4])]);
        assert!(serde_json::from_str::<Progress>(r#"{"steps":[[0,-1]]}"#).is_err());
    }

    #[test]
    fn reports_may_be_joined_in_any_order() {
        let one = Progress {
            steps: vec![row(2, [5, 4, 0, 0, 0, 0]), row(0, [1, 1, 0, 0, 0, 0])],
            flows: vec![row(0, [1, 0, 0, 0])],
        };
        let two = Progress {
            steps: vec![row(2, [9, 4, 3, 0, 0, 0]), row(7, [1; 6])],
            flows: Vec::new(),
        };
        let (mut ab, mut ba) = (one.clone(), two.clone());
        ab.absorb(&two);
        ba.absorb(&one);
        ba.absorb(&two);
        assert_eq!(ab, ba);
        let told: Vec<(u32, u64)> = ab
            .steps
            .iter()
            .map(|row| (row.part, row.counts[0]))
            .collect();
        assert_eq!(told, [(0, 1), (2, 9), (7, 1)]);
    }
}
