//! Where in its flow a session is.

use fastrand::Rng;
use proto::workload::{LOOPS_MAX, Op, Think};

/// How far a session has gone through the operations of its flow.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Position {
    /// The next operation.
    at: usize,
    /// Rounds left of the loops that it is within.
    rounds: [u32; LOOPS_MAX],
    /// Whether the condition of the loop's last request held.
    pub(super) holds: bool,
}

impl Position {
    /// The next request, by its step, and how long the user thinks before it, ns; `None` at the end.
    pub(super) fn next(&mut self, ops: &[Op], random: &mut Rng) -> Option<(usize, u64)> {
        let mut think_ns = 0_u64;
        loop {
            let op = *ops.get(self.at)?;
            self.at += 1;
            match op {
                Op::Send(step) => return Some((step, think_ns)),
                Op::Think(think) => think_ns = think_ns.saturating_add(drawn_ns(think, random)),
                Op::Begin { depth, times } => self.rounds[depth] = times,
                Op::Again {
                    depth,
                    to,
                    has_until,
                } => {
                    self.rounds[depth] -= 1;
                    let is_done = has_until && std::mem::take(&mut self.holds);
                    if self.rounds[depth] > 0 && !is_done {
                        self.at = to;
                    }
                }
            }
        }
    }
}

fn drawn_ns(think: Think, random: &mut Rng) -> u64 {
    match think {
        Think::Fixed(ns) => ns,
        Think::Range(from_ns, to_ns) => random.u64(from_ns..=to_ns),
        Think::Exponential(mean_ns) => {
            let gap = -(1.0 - random.f64()).ln();
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // saturates
            let ns = (mean_ns as f64 * gap) as u64;
            ns
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn walk(ops: &[Op], holds_at: usize) -> Vec<(usize, u64)> {
        let mut position = Position::default();
        let mut random = Rng::with_seed(1);
        let mut walked = Vec::new();
        while let Some(next) = position.next(ops, &mut random) {
            walked.push(next);
            position.holds = walked.len() == holds_at;
            assert!(walked.len() < 100);
        }
        walked
    }

    #[test]
    fn loops_within_loops_go_their_rounds() {
        let begin = |depth, times| Op::Begin { depth, times };
        let again = |depth, to| Op::Again {
            depth,
            to,
            has_until: false,
        };
        let ops = [
            begin(0, 2),
            Op::Send(0),
            begin(1, 3),
            Op::Think(Think::Fixed(5)),
            Op::Send(1),
            again(1, 3),
            again(0, 1),
            Op::Send(2),
        ];
        let steps: Vec<usize> = walk(&ops, 0).iter().map(|(step, _)| *step).collect();
        assert_eq!(steps, [0, 1, 1, 1, 0, 1, 1, 1, 2]);
        assert_eq!(walk(&ops, 0)[1], (1, 5));
    }

    #[test]
    fn a_condition_that_holds_ends_its_loop() {
        let ops = [
            Op::Begin {
                depth: 0,
                times: 10,
            },
            Op::Send(0),
            Op::Again {
                depth: 0,
                to: 1,
                has_until: true,
            },
            Op::Send(1),
        ];
        assert_eq!(walk(&ops, 3), [(0, 0), (0, 0), (0, 0), (1, 0)]);
        assert_eq!(walk(&ops, 0).len(), 11);
    }

    #[test]
    fn users_think_as_long_as_they_are_said_to() {
        let mut random = Rng::with_seed(1);
        let mut mean = |think| {
            let draws = (0..20_000).map(|_| drawn_ns(think, &mut random) as f64);
            draws.sum::<f64>() / 20_000.0
        };
        assert!((mean(Think::Fixed(7)) - 7.0).abs() < 1e-9);
        assert!((mean(Think::Range(0, 2000)) - 1000.0).abs() < 20.0);
        assert!((mean(Think::Exponential(1_000_000)) - 1e6).abs() < 3e4);
    }
}
