//! How a command ends: the exit codes that scripts rely on.

use std::io;
use std::path::PathBuf;

use proto::bus::BusError;
use proto::summary::Judgement;
use thiserror::Error;

use super::api::ApiError;
use crate::report::View;

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

    /// What a result amounts to. An incomplete one is no basis for a threshold.
    #[must_use]
    pub fn of(result: &View) -> Self {
        let thresholds_hold = result.thresholds.iter().all(|threshold| threshold.pass);
        if result.state == "failed" {
            Self::Error
        } else if result.state == "aborted" && result.aborted_by.is_some() {
            Self::ThresholdBreached
        } else if !result.is_whole() || result.verdict.verdict == Judgement::Invalid {
            Self::Invalid
        } else if !thresholds_hold {
            Self::ThresholdBreached
        } else {
            Self::Ok
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
            | Self::Authorities { .. } => Ending::Usage,
            Self::Incomparable(_) => Ending::Invalid,
            _ => Ending::Error,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn results_end_with_the_code_of_their_worst() {
        let whole = json!({"holds": true});
        for (result, ending) in [
            (json!({"state": "done", "accounting": whole}), Ending::Ok),
            (
                json!({"state": "failed", "accounting": whole}),
                Ending::Error,
            ),
            (
                json!({"state": "partial", "accounting": whole}),
                Ending::Invalid,
            ),
            (
                json!({"state": "aborted", "accounting": whole}),
                Ending::Invalid,
            ),
            (
                json!({"state": "done", "accounting": {"holds": false}}),
                Ending::Invalid,
            ),
            (
                json!({"state": "done", "accounting": whole,
                       "verdict": {"verdict": "invalid", "reasons": []}}),
                Ending::Invalid,
            ),
            (
                json!({"state": "done", "accounting": whole,
                       "verdict": {"verdict": "suspect", "reasons": []}}),
                Ending::Ok,
            ),
            (
                json!({"state": "done", "accounting": whole,
                       "thresholds": [{"threshold": "p99<1ms", "observed": 2.0, "pass": false}]}),
                Ending::ThresholdBreached,
            ),
        ] {
            let view: View = serde_json::from_value(result.clone()).unwrap();
            assert_eq!(Ending::of(&view), ending, "{result}");
        }
    }
}
