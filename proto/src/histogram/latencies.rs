//! The histograms of a core, a node or a test: full ones to record into, sparse ones to keep and to
//! send, and their form on the wire.

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

use super::{HistogramError, Sparse, decode_sparse, encode_sparse, new};
use crate::lenient;

/// A histogram that takes its 270 KB with its first sample: for what many a run never has.
#[derive(Debug, Clone, Default)]
pub struct OnDemand(Option<Box<Histogram<u64>>>);

impl OnDemand {
    /// The histogram to record into. The first call allocates: a thread that may not allocate while
    /// it records calls this before.
    pub fn made(&mut self) -> &mut Histogram<u64> {
        self.0.get_or_insert_with(|| Box::new(new()))
    }

    /// The histogram, where there is one.
    #[must_use]
    pub fn get(&self) -> Option<&Histogram<u64>> {
        self.0.as_deref()
    }

    /// Adds another's samples.
    pub fn add(&mut self, other: &Self) {
        if let Some(theirs) = other.get().filter(|theirs| !theirs.is_empty()) {
            add(self.made(), theirs);
        }
    }

    /// Empties it, and keeps its room; costs nothing where nothing was recorded.
    pub fn clear(&mut self) {
        if let Some(histogram) = self.0.as_deref_mut().filter(|it| !it.is_empty()) {
            histogram.clear();
        }
    }
}

impl PartialEq for OnDemand {
    /// One that was never made is as empty as one without samples.
    fn eq(&self, other: &Self) -> bool {
        let samples = |one: &Self| one.get().map(Sparse::from).unwrap_or_default();
        samples(self) == samples(other)
    }
}

fn add(mine: &mut Histogram<u64>, theirs: &Histogram<u64>) {
    mine.add(theirs)
        .expect("invariant: a decoded histogram has no higher bound than ours");
}

/// The histograms that every core, node and test has, in nanoseconds.
#[derive(Debug, Clone, PartialEq)]
pub struct Latencies {
    /// Response time of answers that are no error: end − intended start. The reported latency.
    pub response: Histogram<u64>,
    /// Service time of the same answers: end − actual start.
    pub service: Histogram<u64>,
    /// Release lag of everything sent: actual − intended start.
    pub release_lag: Histogram<u64>,
    /// Response time of what ended in an error.
    pub error: Histogram<u64>,
    /// From the call to connect until the connection was open.
    pub connect: OnDemand,
    /// Handshake of TLS: from the open connection until a request could be sent.
    pub handshake: OnDemand,
    /// From the actual start of a request to the first byte of its answer.
    pub first_byte: OnDemand,
}

impl Default for Latencies {
    fn default() -> Self {
        Self::new()
    }
}

impl Latencies {
    /// Empty histograms; those of connections and of first bytes take no room yet.
    #[must_use]
    pub fn new() -> Self {
        Self {
            response: new(),
            service: new(),
            release_lag: new(),
            error: new(),
            connect: OnDemand::default(),
            handshake: OnDemand::default(),
            first_byte: OnDemand::default(),
        }
    }

    /// Adds another core's, interval's or node's samples.
    ///
    /// # Panics
    /// Never: all histograms of this crate have the same bounds.
    pub fn add(&mut self, other: &Self) {
        add(&mut self.response, &other.response);
        add(&mut self.service, &other.service);
        add(&mut self.release_lag, &other.release_lag);
        add(&mut self.error, &other.error);
        self.connect.add(&other.connect);
        self.handshake.add(&other.handshake);
        self.first_byte.add(&other.first_byte);
    }

    /// Empties them all.
    pub fn clear(&mut self) {
        self.response.clear();
        self.service.clear();
        self.release_lag.clear();
        self.error.clear();
        self.connect.clear();
        self.handshake.clear();
        self.first_byte.clear();
    }
}

/// The sparse form of [`Latencies`].
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SparseLatencies {
    /// Response times.
    pub response: Sparse,
    /// Service times.
    pub service: Sparse,
    /// Release lags.
    pub release_lag: Sparse,
    /// Response times of errors.
    pub error: Sparse,
    /// Times to connect.
    pub connect: Sparse,
    /// Handshakes of TLS.
    pub handshake: Sparse,
    /// Times to the first byte of an answer.
    pub first_byte: Sparse,
}

impl SparseLatencies {
    /// Adds another's samples.
    pub fn add(&mut self, other: &Self) {
        self.response.add(&other.response);
        self.service.add(&other.service);
        self.release_lag.add(&other.release_lag);
        self.error.add(&other.error);
        self.connect.add(&other.connect);
        self.handshake.add(&other.handshake);
        self.first_byte.add(&other.first_byte);
    }

    /// The samples of all of these together.
    #[must_use]
    pub fn sum(all: &[&Self]) -> Self {
        let sum = |of: fn(&Self) -> &Sparse| Sparse::sum(all.iter().map(|one| of(one)));
        Self {
            response: sum(|it| &it.response),
            service: sum(|it| &it.service),
            release_lag: sum(|it| &it.release_lag),
            error: sum(|it| &it.error),
            connect: sum(|it| &it.connect),
            handshake: sum(|it| &it.handshake),
            first_byte: sum(|it| &it.first_byte),
        }
    }
}

impl From<&OnDemand> for Sparse {
    fn from(histogram: &OnDemand) -> Self {
        histogram.get().map(Self::from).unwrap_or_default()
    }
}

impl From<&Latencies> for SparseLatencies {
    fn from(latencies: &Latencies) -> Self {
        Self {
            response: Sparse::from(&latencies.response),
            service: Sparse::from(&latencies.service),
            release_lag: Sparse::from(&latencies.release_lag),
            error: Sparse::from(&latencies.error),
            connect: Sparse::from(&latencies.connect),
            handshake: Sparse::from(&latencies.handshake),
            first_byte: Sparse::from(&latencies.first_byte),
        }
    }
}

impl From<&Sparse> for OnDemand {
    fn from(samples: &Sparse) -> Self {
        Self((!samples.is_empty()).then(|| Box::new(samples.to_histogram())))
    }
}

impl From<&SparseLatencies> for Latencies {
    fn from(samples: &SparseLatencies) -> Self {
        Self {
            response: samples.response.to_histogram(),
            service: samples.service.to_histogram(),
            release_lag: samples.release_lag.to_histogram(),
            error: samples.error.to_histogram(),
            connect: OnDemand::from(&samples.connect),
            handshake: OnDemand::from(&samples.handshake),
            first_byte: OnDemand::from(&samples.first_byte),
        }
    }
}

/// The wire form of [`Latencies`]; an absent field is an empty histogram.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct LatenciesWire {
    /// Response times.
    #[serde(
        skip_serializing_if = "String::is_empty",
        deserialize_with = "lenient::null_is_default"
    )]
    pub response_ns: String,
    /// Service times.
    #[serde(
        skip_serializing_if = "String::is_empty",
        deserialize_with = "lenient::null_is_default"
    )]
    pub service_ns: String,
    /// Release lags.
    #[serde(
        skip_serializing_if = "String::is_empty",
        deserialize_with = "lenient::null_is_default"
    )]
    pub release_lag_ns: String,
    /// Response times of errors.
    #[serde(
        skip_serializing_if = "String::is_empty",
        deserialize_with = "lenient::null_is_default"
    )]
    pub error_ns: String,
    /// Times to connect.
    #[serde(
        skip_serializing_if = "String::is_empty",
        deserialize_with = "lenient::null_is_default"
    )]
    pub connect_ns: String,
    /// Handshakes of TLS.
    #[serde(
        skip_serializing_if = "String::is_empty",
        deserialize_with = "lenient::null_is_default"
    )]
    pub handshake_ns: String,
    /// Times to the first byte of an answer.
    #[serde(
        skip_serializing_if = "String::is_empty",
        deserialize_with = "lenient::null_is_default"
    )]
    pub first_byte_ns: String,
}

impl From<&SparseLatencies> for LatenciesWire {
    fn from(latencies: &SparseLatencies) -> Self {
        let text = |samples: &Sparse| {
            if samples.is_empty() {
                String::new()
            } else {
                encode_sparse(samples)
            }
        };
        Self {
            response_ns: text(&latencies.response),
            service_ns: text(&latencies.service),
            release_lag_ns: text(&latencies.release_lag),
            error_ns: text(&latencies.error),
            connect_ns: text(&latencies.connect),
            handshake_ns: text(&latencies.handshake),
            first_byte_ns: text(&latencies.first_byte),
        }
    }
}

impl TryFrom<&LatenciesWire> for SparseLatencies {
    type Error = HistogramError;

    fn try_from(wire: &LatenciesWire) -> Result<Self, HistogramError> {
        let read = |text: &str| {
            if text.is_empty() {
                Ok(Sparse::default())
            } else {
                decode_sparse(text)
            }
        };
        Ok(Self {
            response: read(&wire.response_ns)?,
            service: read(&wire.service_ns)?,
            release_lag: read(&wire.release_lag_ns)?,
            error: read(&wire.error_ns)?,
            connect: read(&wire.connect_ns)?,
            handshake: read(&wire.handshake_ns)?,
            first_byte: read(&wire.first_byte_ns)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_never_happened_takes_no_room_and_merges_all_the_same() {
        let (mut one, mut other) = (Latencies::new(), Latencies::new());
        other.connect.made().saturating_record(5_000);
        one.add(&other);
        assert_eq!(one.connect, other.connect);
        assert!(one.handshake.get().is_none() && one.first_byte.get().is_none());
        let sparse = SparseLatencies::from(&one);
        let wire = LatenciesWire::from(&sparse);
        assert!(wire.handshake_ns.is_empty() && !wire.connect_ns.is_empty());
        assert_eq!(SparseLatencies::try_from(&wire).unwrap(), sparse);
        assert_eq!(SparseLatencies::from(&Latencies::from(&sparse)), sparse);
        assert!(Latencies::from(&sparse).handshake.get().is_none());
        one.clear();
        assert_eq!(one, Latencies::new(), "an emptied one is an empty one");
    }
}
