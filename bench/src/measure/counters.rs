//! What the processor counts of a program and of all its children: instructions and cycles.
//!
//! The counters are opened by the parent before it starts the program and are inherited by it; the
//! parent, which only waits, adds some ten thousand instructions. Virtual machines often have no
//! such counters, and containers often may not use them: then there are none, and a reason.

use perf_event::events::Hardware;
use perf_event::{Builder, Counter};
use serde::{Deserialize, Serialize};

/// What was counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Counted {
    /// Instructions in user mode.
    pub user_instructions: u64,
    /// Instructions in user mode and in the kernel; `None` where the kernel's may not be counted.
    pub instructions: Option<u64>,
    /// Cycles, likewise.
    pub cycles: Option<u64>,
}

/// Counters that run.
#[derive(Debug)]
pub struct Counters {
    user_instructions: Counter,
    instructions: Option<Counter>,
    cycles: Option<Counter>,
}

impl Counters {
    /// Starts to count this thread, and whatever it starts from now on.
    ///
    /// # Errors
    /// When this machine does not count; the text says why, and what can be done.
    pub fn start() -> Result<Self, String> {
        let user_instructions = open(Hardware::INSTRUCTIONS, false).map_err(|error| {
            format!("not counted: {error}; needs a (virtual) PMU and perf_event_paranoid of 2")
        })?;
        Ok(Self {
            user_instructions,
            instructions: open(Hardware::INSTRUCTIONS, true).ok(),
            cycles: open(Hardware::CPU_CYCLES, true).ok(),
        })
    }

    /// What was counted of everything that has ended by now.
    ///
    /// # Errors
    /// When a counter cannot be read.
    pub fn read(mut self) -> std::io::Result<Counted> {
        let read = |counter: Option<Counter>| counter.map(|mut one| one.read()).transpose();
        Ok(Counted {
            user_instructions: self.user_instructions.read()?,
            instructions: read(self.instructions)?,
            cycles: read(self.cycles)?,
        })
    }
}

fn open(event: Hardware, with_kernel: bool) -> std::io::Result<Counter> {
    Builder::new(event)
        .inherit(true)
        .exclude_kernel(!with_kernel)
        .enabled(true)
        .build()
}
