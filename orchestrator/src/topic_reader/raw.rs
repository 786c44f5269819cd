//! How far the partitions of `metrics` are read themselves: where mergers read them, only what their
//! ranges lack.

use std::collections::BTreeMap;

use crate::control::RawReading;

/// What a partition is read for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Course {
    /// The next offset, if anything is known.
    next: Option<i64>,
    /// The offset that is not read any more; `None` to read on.
    until: Option<i64>,
    /// The number of its log.
    log: u64,
}

impl Course {
    fn is_read(&self) -> bool {
        self.until
            .is_none_or(|until| self.next.is_none_or(|next| next < until))
    }
}

/// What becomes of a message that was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    /// It is passed on.
    Yes,
    /// It is not wanted.
    No,
    /// It is not wanted, and there is none before this offset.
    NoneBefore(i64),
}

/// What is to change in what is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// Nothing.
    Stay,
    /// Read from this offset on; `None` from the beginning.
    From(Option<i64>),
    /// Read no more.
    Leave,
}

/// All partitions of `metrics`, by number.
#[derive(Debug, Default)]
pub struct RawReadings {
    courses: BTreeMap<i32, Course>,
    /// How often what was known of them was forgotten.
    log: u64,
}

impl RawReadings {
    /// Where reading goes on in a partition, if it does.
    pub fn start(&mut self, partition: i32, known: Option<i64>) -> Turn {
        let course = self.courses.entry(partition).or_default();
        course.next = course.next.max(known);
        if course.is_read() {
            Turn::From(course.next)
        } else {
            Turn::Leave
        }
    }

    /// Whether a partition is read at the moment, by ourselves.
    pub fn is_read(&self, partition: i32) -> bool {
        self.courses.get(&partition).is_some_and(Course::is_read)
    }

    /// Whether nothing is asked for but to look whether the log of a partition is still as long as what
    /// was counted of it.
    #[must_use]
    pub fn is_look(&self, asked: RawReading) -> bool {
        let course = self.courses.get(&asked.partition);
        course.is_some_and(|course| course.log == asked.log)
            && asked.until.is_some_and(|until| until <= asked.from)
    }

    /// Whether no merger is relied on for a partition.
    #[must_use]
    pub fn is_alone(&self, partition: i32) -> bool {
        let course = self.courses.get(&partition);
        course.is_some_and(|course| course.until.is_none())
    }

    /// What is known of these partitions is of another log; the number of the new one.
    pub fn forget(&mut self, partitions: &[i32]) -> u64 {
        self.log += 1;
        for partition in partitions {
            let course = Course {
                log: self.log,
                ..Course::default()
            };
            self.courses.insert(*partition, course);
        }
        self.log
    }

    /// Takes what the state asks for. What it counted up to, and what is on its way to it, is not
    /// read again.
    pub fn obey(&mut self, asked: RawReading) -> Turn {
        let Some(course) = self.courses.get_mut(&asked.partition) else {
            return Turn::Stay;
        };
        if asked.log != course.log {
            return Turn::Stay;
        }
        let before = *course;
        let counted = (asked.from > 0).then_some(asked.from);
        course.next = course.next.max(counted);
        course.until = asked.until;
        match (before.is_read(), course.is_read()) {
            (true, false) => Turn::Leave,
            (false, true) => Turn::From(course.next),
            (true, true) if course.next != before.next => Turn::From(course.next),
            _ => Turn::Stay,
        }
    }

    /// Takes a message, or several up to before `after`; and whether it was the last to be read.
    pub fn take(&mut self, partition: i32, offset: i64, after: i64) -> (Taken, Turn) {
        let Some(course) = self.courses.get_mut(&partition) else {
            return (Taken::No, Turn::Stay);
        };
        if !course.is_read() || course.next.is_some_and(|next| offset < next) {
            return (Taken::No, Turn::Stay);
        }
        let taken = if let Some(until) = course.until.filter(|until| offset >= *until) {
            course.next = Some(until);
            Taken::NoneBefore(until)
        } else {
            course.next = Some(after);
            Taken::Yes
        };
        let turn = if course.is_read() {
            Turn::Stay
        } else {
            Turn::Leave
        };
        (taken, turn)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(from: i64, until: Option<i64>) -> RawReading {
        RawReading {
            partition: 3,
            log: 0,
            from,
            until,
        }
    }

    #[test]
    fn a_partition_is_read_up_to_what_was_asked_for_and_goes_on_from_there() {
        let mut raw = RawReadings::default();
        assert_eq!(raw.start(3, Some(7)), Turn::From(Some(7)));
        assert_eq!(raw.take(3, 7, 8), (Taken::Yes, Turn::Stay));
        assert_eq!(raw.obey(ask(7, Some(7))), Turn::Leave, "8 is on its way");
        assert_eq!(raw.take(3, 8, 9), (Taken::No, Turn::Stay), "fetched before");
        assert_eq!(raw.obey(ask(8, Some(10))), Turn::From(Some(8)));
        assert_eq!(raw.take(3, 7, 8), (Taken::No, Turn::Stay), "again");
        assert_eq!(raw.take(3, 8, 9), (Taken::Yes, Turn::Stay));
        assert_eq!(raw.take(3, 9, 10), (Taken::Yes, Turn::Leave));
        assert_eq!(raw.start(3, None), Turn::Leave);
        assert_eq!(
            raw.obey(ask(50, None)),
            Turn::From(Some(50)),
            "from what was counted"
        );
        assert_eq!(raw.obey(ask(60, None)), Turn::From(Some(60)));
        assert!(raw.is_alone(3) && !raw.is_alone(4));
        assert_eq!(raw.obey(ask(60, Some(70))), Turn::Stay);
    }

    #[test]
    fn where_the_log_has_nothing_before_the_end_of_what_was_asked_for_that_is_said() {
        let mut raw = RawReadings::default();
        assert_eq!(raw.start(3, None), Turn::From(None));
        assert_eq!(raw.obey(ask(0, Some(20))), Turn::Stay);
        assert_eq!(raw.take(3, 30, 31), (Taken::NoneBefore(20), Turn::Leave));
        assert!(!raw.is_read(3));
    }

    #[test]
    fn what_was_asked_of_a_log_that_is_gone_is_not_done() {
        let mut raw = RawReadings::default();
        raw.start(3, Some(900));
        assert!(raw.is_look(ask(900, Some(900))) && !raw.is_look(ask(900, Some(901))));
        assert_eq!(raw.forget(&[3]), 1);
        assert!(!raw.is_look(ask(900, Some(900))));
        assert_eq!(raw.obey(ask(900, Some(900))), Turn::Stay);
        assert_eq!(raw.start(3, None), Turn::From(None));
        assert_eq!(raw.start(5, Some(7)), Turn::From(Some(7)));
        let of_another = RawReading {
            partition: 5,
            ..ask(9, Some(9))
        };
        assert_eq!(raw.obey(of_another), Turn::Leave, "its log is the same");
        assert_eq!(
            raw.obey(RawReading {
                log: 1,
                ..ask(0, Some(5))
            }),
            Turn::Stay
        );
        assert_eq!(
            raw.obey(RawReading {
                partition: 4,
                ..ask(0, None)
            }),
            Turn::Stay
        );
    }
}
