//! What people write: a test as one document, checked once, every error with its place.

mod place;
mod text;

pub use place::{InvalidDocument, Place, Problem};
pub use text::{DOCUMENT_LEN_MAX, Key, Node, Scalar, Value};
