//! The histograms of a core, a node or a test: full ones to record into, sparse ones to keep and to
//! send, and their form on the wire.

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

use super::{HistogramError, Sparse, decode_sparse, encode_sparse, new};
use crate::lenient::{self, Truth};

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
    /// Times to the first byte of an answer: the service times themselves, in the same memory, as
    /// long as every answer came in one piece.
    pub first_byte: Sparse,
}

impl SparseLatencies {
    /// Whether the times to the first byte are known to be the service times.
    pub(crate) fn are_in_one_piece(&self) -> bool {
        self.first_byte.is_same(&self.service)
    }

    /// Lets equal histograms be one, which is then kept, added and sent once.
    #[must_use]
    fn with_equal_ones_shared(mut self) -> Self {
        if self.first_byte == self.service {
            self.first_byte = self.service.clone();
        }
        self
    }

    /// Adds another's samples.
    pub fn add(&mut self, other: &Self) {
        let in_one_piece = self.are_in_one_piece() && other.are_in_one_piece();
        self.response.add(&other.response);
        self.service.add(&other.service);
        self.release_lag.add(&other.release_lag);
        self.error.add(&other.error);
        self.connect.add(&other.connect);
        self.handshake.add(&other.handshake);
        if in_one_piece {
            self.first_byte = self.service.clone();
        } else {
            self.first_byte.add(&other.first_byte);
        }
    }

    /// The samples of all of these together.
    #[must_use]
    pub fn sum(all: &[&Self]) -> Self {
        let sum = |of: fn(&Self) -> &Sparse| Sparse::sum(all.iter().map(|one| of(one)));
        let service = sum(|it| &it.service);
        let in_one_piece = all.iter().all(|one| one.are_in_one_piece());
        Self {
            response: sum(|it| &it.response),
            release_lag: sum(|it| &it.release_lag),
            error: sum(|it| &it.error),
            connect: sum(|it| &it.connect),
            handshake: sum(|it| &it.handshake),
            first_byte: if in_one_piece {
                service.clone()
            } else {
                sum(|it| &it.first_byte)
            },
            service,
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
        .with_equal_ones_shared()
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
    /// Instead of `first_byte_ns`, where it would say what `service_ns` says.
    #[serde(
        skip_serializing_if = "std::ops::Not::not",
        deserialize_with = "lenient::or_default::<_, Truth, _>"
    )]
    pub first_byte_is_service: bool,
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
        let in_one_piece = latencies.are_in_one_piece() && !latencies.service.is_empty();
        Self {
            response_ns: text(&latencies.response),
            service_ns: text(&latencies.service),
            release_lag_ns: text(&latencies.release_lag),
            error_ns: text(&latencies.error),
            connect_ns: text(&latencies.connect),
            handshake_ns: text(&latencies.handshake),
            first_byte_ns: if in_one_piece {
                String::new()
            } else {
                text(&latencies.first_byte)
            },
            first_byte_is_service: in_one_piece,
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
        let service = read(&wire.service_ns)?;
        Ok(Self {
            response: read(&wire.response_ns)?,
            release_lag: read(&wire.release_lag_ns)?,
            error: read(&wire.error_ns)?,
            connect: read(&wire.connect_ns)?,
            handshake: read(&wire.handshake_ns)?,
            // One that came all the same is believed.
            first_byte: if wire.first_byte_is_service && wire.first_byte_ns.is_empty() {
                service.clone()
            } else {
                read(&wire.first_byte_ns)?
            },
            service,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

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

    /// Histograms whose first bytes are the last ones, or not.
    fn of(in_one_piece: bool, services: &[u64]) -> SparseLatencies {
        let mut latencies = Latencies::new();
        for &service in services {
            latencies.response.saturating_record(service + 1_000);
            latencies.service.saturating_record(service);
            let first = if in_one_piece { service } else { service / 2 };
            latencies.first_byte.made().saturating_record(first);
        }
        SparseLatencies::from(&latencies)
    }

    #[test]
    fn equal_histograms_are_kept_and_sent_once() {
        let whole = of(true, &[5_000, 70_000]);
        assert!(whole.are_in_one_piece());
        let wire = LatenciesWire::from(&whole);
        assert!(wire.first_byte_ns.is_empty() && wire.first_byte_is_service);
        let read = SparseLatencies::try_from(&wire).unwrap();
        assert!(read.are_in_one_piece());
        assert_eq!(read, whole);
        let text = serde_json::to_string(&wire).unwrap();
        assert!(text.contains("\"first_byte_is_service\":true"), "{text}");

        let in_pieces = of(false, &[5_000]);
        let wire = LatenciesWire::from(&in_pieces);
        assert!(!wire.first_byte_ns.is_empty() && !wire.first_byte_is_service);
        let text = serde_json::to_string(&wire).unwrap();
        assert!(!text.contains("first_byte_is_service"), "{text}");
        let both = LatenciesWire {
            first_byte_is_service: true,
            ..wire
        };
        let read = SparseLatencies::try_from(&both).unwrap();
        assert_eq!(read, in_pieces, "what came is believed");
    }

    #[test]
    fn of_a_node_without_first_bytes_none_are_made_up() {
        let mut without = of(true, &[5_000]);
        without.first_byte = Sparse::default();
        let wire = LatenciesWire::from(&without);
        assert!(!wire.first_byte_is_service);
        assert_eq!(SparseLatencies::try_from(&wire).unwrap(), without);
    }

    proptest! {
        #[test]
        fn sharing_changes_no_sum(
            parts in prop::collection::vec(
                (any::<bool>(), prop::collection::vec(1_u64..1_000_000, 0..20)), 0..6),
        ) {
            let parts: Vec<_> = parts.iter().map(|(whole, services)| of(*whole, services)).collect();
            let mut added = SparseLatencies::default();
            parts.iter().for_each(|part| added.add(part));
            let first_bytes = Sparse::sum(parts.iter().map(|part| &part.first_byte));
            let services = Sparse::sum(parts.iter().map(|part| &part.service));
            prop_assert_eq!((&added.first_byte, &added.service), (&first_bytes, &services));
            prop_assert_eq!(&SparseLatencies::sum(&parts.iter().collect::<Vec<_>>()), &added);
            prop_assert_eq!(SparseLatencies::try_from(&LatenciesWire::from(&added)).unwrap(), added);
        }
    }
}
