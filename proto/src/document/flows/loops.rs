//! Steps that are gone through again and again.

use super::super::reading::Spot;
use super::Compiler;
use crate::workload::{LOOPS_MAX, Op};

pub(in crate::document) const LOOP_KEYS: [&str; 3] = ["repeat", "steps", "until"];
/// Most rounds of a loop.
const ROUNDS_MAX: u64 = 1_000_000;

impl Compiler<'_, '_> {
    /// How often a request is repeated on its own, where it says so.
    pub(super) fn own_times(&mut self, spot: &Spot<'_>) -> Option<u64> {
        let at = spot.get("repeat")?;
        Some(self.reader.whole(&at, 1..=ROUNDS_MAX).unwrap_or(1))
    }

    /// A loop around steps.
    pub(super) fn repeat(&mut self, spot: &Spot<'_>) {
        let fields = self.reader.fields(spot, &LOOP_KEYS);
        let times = match fields.get("repeat") {
            Some(at) => self.reader.whole(&at, 1..=ROUNDS_MAX).unwrap_or(1),
            None => ROUNDS_MAX,
        };
        let until = fields.get("until");
        if until.is_none() && !fields.has("repeat") {
            self.reader
                .wrong(spot, "a loop needs repeat: 3 or until: json $.done == true");
        }
        let Some(steps) = fields.get("steps") else {
            return self.reader.wrong(spot, "a repeat needs steps: [GET /]");
        };
        let first_step = self.steps.len();
        self.rounds(spot, times, |compiler| {
            compiler.steps(&steps);
            if compiler.steps.len() == first_step && compiler.reader.is_right() {
                let problem = "a repeat needs at least one request";
                compiler.reader.wrong(&steps, problem);
            }
            if let Some(at) = &until {
                compiler.ends_when(at);
            }
        });
    }

    /// Compiles what is within a loop, and the loop around it: it is counted in the session, so that
    /// a million rounds are as long as one, and every round counts for the same steps.
    pub(super) fn rounds(&mut self, spot: &Spot<'_>, times: u64, within: impl FnOnce(&mut Self)) {
        if self.depth == LOOPS_MAX {
            let problem = format!("more than {LOOPS_MAX} loops within each other");
            return self.reader.wrong(spot, problem);
        }
        let depth = self.depth;
        let times = u32::try_from(times).expect("invariant: at most a million");
        self.ops.push(Op::Begin { depth, times });
        let to = self.ops.len();
        let first_step = self.steps.len();
        self.depth += 1;
        within(self);
        self.depth -= 1;
        let has_until = self.steps[first_step..]
            .iter()
            .any(|step| step.until.is_some());
        self.ops.push(Op::Again {
            depth,
            to,
            has_until,
        });
    }

    /// The condition of a loop, which is that of its last request.
    fn ends_when(&mut self, at: &Spot<'_>) {
        let check = self.check(at);
        let last = self.ops.iter().rev().find(|op| !matches!(op, Op::Think(_)));
        let problem = match (last, check) {
            (Some(Op::Send(step)), Some(check)) => {
                let until = &mut self.steps[*step].until;
                let second = until.replace(check).map(|first| first.text);
                second.map(|first| format!("a second until: the last step has until: {first}"))
            }
            (Some(Op::Again { .. }), Some(_)) => Some(
                "until looks at the loop's last request, and that has a repeat of its own: put until \
                 on the step that it is about"
                    .to_owned(),
            ),
            _ => None,
        };
        if let Some(problem) = problem {
            self.reader.wrong(at, problem);
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::document::{Document, Setting};
    use crate::units::NS_PER_S;
    use crate::workload::{Op, Think};

    #[test]
    fn a_step_with_a_repeat_is_a_loop_of_its_own() {
        let text = "target: http://h/\nsteps:\n\
            - {name: ask, GET: /a, repeat: 20, until: status == 200, think: 1s, check: [status < 500]}\n\
            - {repeat: 3, until: status == 404, steps: [GET /b, {GET: /c, repeat: 1000000}, GET /d]}\n";
        let scenario = Document::read(text, Setting::default()).unwrap().scenario;
        let begin = |depth, times| Op::Begin { depth, times };
        let again = |depth, to, has_until| Op::Again {
            depth,
            to,
            has_until,
        };
        assert_eq!(
            scenario.flows[0].ops,
            [
                begin(0, 20),
                Op::Send(0),
                Op::Think(Think::Fixed(NS_PER_S)),
                again(0, 1, true),
                begin(0, 3),
                Op::Send(1),
                begin(1, 1_000_000),
                Op::Send(2),
                again(1, 7, false),
                Op::Send(3),
                again(0, 5, true),
            ]
        );
        assert_eq!(scenario.steps[0].checks.len(), 1);
        assert_eq!(
            scenario.steps[3].until.as_ref().unwrap().text,
            "status == 404"
        );
    }

    #[test]
    fn what_repeats_nothing_or_ends_nothing_is_refused() {
        for (steps, word) in [
            ("[{GET: /, repeat: 0}]", "from 1 to 1000000"),
            ("[{GET: /, repeat: {max: 3}}]", "expected a text, not a map"),
            ("[{GET: /, repaet: 3}]", "did you mean repeat?"),
            ("[{GET: /, repeat: 3, steps: [GET /]}]", "no such key"),
            ("[{GET: /, until: status == 200}]", "until ends a repeat"),
            (
                "[{repeat: 2, steps: [{think: 1s}]}]",
                "at least one request",
            ),
            (
                "[{repeat: 3, until: status == 201, steps: [{GET: /, until: status == 202}]}]",
                "the last step has until: status == 202",
            ),
            (
                "[{repeat: 3, until: status == 201, steps: [{GET: /, repeat: 2}, {think: 1s}]}]",
                "a repeat of its own",
            ),
        ] {
            let text = format!("target: http://h/\nsteps: {steps}\n");
            let refused = Document::read(&text, Setting::default()).unwrap_err();
            assert!(refused.to_string().contains(word), "{steps}: {refused}");
        }
    }
}
