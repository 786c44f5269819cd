//! The wire's JSON: one place that writes it (`serde_json`) and one that reads it (`simd-json`).

use serde::Serialize;
use serde::de::DeserializeOwned;
use thiserror::Error;

/// Longest message that is decoded, in bytes. Kafka's own default limit is 1 MiB; whatever is
/// longer was not written by a node of ours.
pub const MESSAGE_LEN_MAX: usize = 4 << 20;

/// A message that does not decode. It is counted, logged and skipped; it never stops a node.
#[derive(Debug, Error)]
pub enum DecodeError {
    /// Longer than [`MESSAGE_LEN_MAX`].
    #[error("the message has {0} bytes; at most {MESSAGE_LEN_MAX} are read")]
    TooLong(usize),
    /// Not JSON, or JSON of another shape.
    #[error("not a message of this topic: {0}")]
    Malformed(#[from] simd_json::Error),
}

/// The message as one line of JSON.
///
/// # Panics
/// Never for the types of this crate: their maps have string keys and their numbers are finite.
#[must_use]
pub fn encode<T: Serialize>(message: &T) -> Vec<u8> {
    serde_json::to_vec(message).expect("invariant: messages have string keys and finite numbers")
}

/// Reads a message. The bytes are scratch space for the parser and are garbage afterwards.
///
/// # Errors
/// [`DecodeError`] when the bytes are not a message of type `T`.
pub fn decode<T: DeserializeOwned>(bytes: &mut [u8]) -> Result<T, DecodeError> {
    if bytes.len() > MESSAGE_LEN_MAX {
        return Err(DecodeError::TooLong(bytes.len()));
    }
    Ok(simd_json::serde::from_slice(bytes)?)
}
