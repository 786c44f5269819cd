//! How a command ends: the exit codes that scripts rely on.

use std::io;
use std::path::PathBuf;

use proto::bus::BusError;
use proto::ci::OutputError;
use proto::summary::Standing;
use thiserror::Error;

use super::api::ApiError;

/// How it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// As it should.
    Ok,
    /// Something failed.
    Error,
    /// The command line, or a parameter of the test, is wrong.
    Usage,
    /// A threshold does not hold, or a gate found a result worse.
    ThresholdBreached,
    /// The result is incomplete, or says nothing about the target or whether it became worse.
    Invalid,
    /// By Ctrl-C.
    Interrupted,
}

impl Ending {
    /// The exit code.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::Ok => 0,
            Self::Error => 1,
            Self::Usage => 2,
            Self::ThresholdBreached => 3,
            Self::Invalid => 4,
            Self::Interrupted => 130,
        }
    }
}

impl From<Standing> for Ending {
    fn from(standing: Standing) -> Self {
        match standing {
            Standing::Good => Self::Ok,
            Standing::Failed => Self::Error,
            Standing::Breached | Standing::Aborted => Self::ThresholdBreached,
            Standing::Incomplete | Standing::Invalid => Self::Invalid,
            Standing::Interrupted => Self::Interrupted,
        }
    }
}

/// Why a command could not be done.
#[derive(Debug, Error)]
pub enum Problem {
    /// The orchestrator.
    #[error(transparent)]
    Api(#[from] ApiError),
    /// Runs that the orchestrator does not hold against each other.
    #[error(transparent)]
    Incomparable(ApiError),
    /// The broker.
    #[error(transparent)]
    Bus(#[from] BusError),
    /// The orchestrator does not say where the broker is.
    #[error("the orchestrator at {0} does not say where its broker is; give --kafka host:port")]
    NoBroker(String),
    /// A body file that cannot be used.
    #[error("body-file: {path} cannot be read: {error}")]
    Body {
        /// The file.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// A file of authorities that cannot be used.
    #[error("cacert: {path} cannot be read: {error}")]
    Authorities {
        /// The file.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// Options that do not go together, in words.
    #[error("{0}")]
    Usage(String),
    /// A document that is none, in its own words.
    #[error("{0}")]
    Document(String),
    /// An output file.
    #[error("cannot write {path}: {error}")]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// A file for CI.
    #[error(transparent)]
    Report(#[from] OutputError),
    /// Standard output.
    #[error("cannot write to standard output: {0}")]
    Output(io::Error),
    /// Signals.
    #[error("cannot take signals: {0}")]
    Signals(io::Error),
}

impl Problem {
    /// The exit code's meaning: a parameter that the orchestrator refuses is a usage error too.
    #[must_use]
    pub fn ending(&self) -> Ending {
        match self {
            Self::Api(ApiError::Refused {
                status: 400 | 403, ..
            })
            | Self::Body { .. }
            | Self::Document(_)
            | Self::Usage(_)
            | Self::Report(OutputError::Usage(_))
            | Self::Authorities { .. } => Ending::Usage,
            Self::Incomparable(_) => Ending::Invalid,
            _ => Ending::Error,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_ends_with_the_exit_code_that_it_stands_for() {
        for standing in [
            Standing::Good,
            Standing::Breached,
            Standing::Aborted,
            Standing::Incomplete,
            Standing::Invalid,
            Standing::Failed,
            Standing::Interrupted,
        ] {
            assert_eq!(Ending::from(standing).code(), standing.exit_code());
        }
    }
}
