//! The bells of a load's cores: by them other threads, and cores that end, wake a core that sleeps in
//! its ring.

use std::io;

use crate::ring::Wake;

/// A bell for each core.
#[derive(Debug)]
pub struct Bells(Vec<Wake>);

impl Bells {
    /// So many bells, none of them rung.
    ///
    /// # Errors
    /// When no descriptor is left.
    pub fn new(cores: usize) -> io::Result<Self> {
        (0..cores)
            .map(|_| Wake::new())
            .collect::<Result<_, _>>()
            .map(Self)
    }

    /// The bell of a core.
    #[must_use]
    pub fn of(&self, core: usize) -> &Wake {
        &self.0[core]
    }

    /// Wakes every core.
    pub fn ring(&self) {
        for bell in &self.0 {
            bell.ring();
        }
    }
}
