//! The participants of one run: what is known of each, and how many are where.

use std::collections::HashMap;

/// One participant's part in a run. Instants are in the registry's observed time, ms.
#[derive(Debug, Clone, Default)]
pub(in crate::control) struct Part {
    /// Whether it says that it has sent everything.
    is_draining: bool,
    /// Whether its last report is in, or is not awaited any more.
    has_finished: bool,
    /// Since when it says that it does something else.
    pub(in crate::control) absent_since_ms: Option<u64>,
    /// When it last reported, as a driver of another implementation.
    pub(in crate::control) foreign_at_ms: Option<u64>,
}

/// All participants, with counters, so that nothing has to be looked for.
#[derive(Debug, Clone, Default)]
pub(super) struct Parts {
    by_node: HashMap<String, Part>,
    /// Those that have not finished.
    awaited: usize,
    /// Those of them that have sent everything.
    draining: usize,
}

impl Parts {
    /// With these participants, of whom nothing is known.
    pub(super) fn new(participants: &[String]) -> Self {
        let parts = participants.iter().map(|id| (id.clone(), Part::default()));
        let by_node: HashMap<String, Part> = parts.collect();
        Self {
            awaited: by_node.len(),
            draining: 0,
            by_node,
        }
    }

    /// How many have not finished.
    pub(super) fn awaited(&self) -> usize {
        self.awaited
    }

    pub(super) fn get(&self, node_id: &str) -> Option<&Part> {
        self.by_node.get(node_id)
    }

    pub(super) fn get_mut(&mut self, node_id: &str) -> Option<&mut Part> {
        self.by_node.get_mut(node_id)
    }

    /// Its last report is in, or is not awaited any more.
    pub(super) fn finish(&mut self, node_id: &str) {
        let Some(part) = self.by_node.get_mut(node_id) else {
            return;
        };
        if !std::mem::replace(&mut part.has_finished, true) {
            self.awaited -= 1;
            self.draining -= usize::from(part.is_draining);
        }
    }

    /// It has sent everything.
    pub(super) fn drain(&mut self, node_id: &str) {
        let Some(part) = self.by_node.get_mut(node_id) else {
            return;
        };
        if !std::mem::replace(&mut part.is_draining, true) && !part.has_finished {
            self.draining += 1;
        }
    }

    pub(super) fn has_finished(&self, node_id: &str) -> bool {
        self.get(node_id).is_some_and(|part| part.has_finished)
    }

    pub(super) fn have_all_finished(&self) -> bool {
        self.awaited == 0
    }

    /// Whether all that have not finished have sent everything.
    pub(super) fn do_all_drain(&self) -> bool {
        self.draining == self.awaited
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_counters_say_what_a_look_at_all_would() {
        let ids = ["a".to_owned(), "b".to_owned()];
        let mut parts = Parts::new(&ids);
        parts.drain("a");
        parts.drain("a");
        parts.drain("stranger");
        assert!(!parts.do_all_drain() && !parts.have_all_finished());
        parts.finish("a");
        parts.finish("a");
        parts.drain("a");
        assert!(!parts.do_all_drain() && parts.has_finished("a"));
        parts.drain("b");
        assert!(parts.do_all_drain());
        parts.finish("b");
        assert!(parts.have_all_finished() && parts.do_all_drain());
    }
}
