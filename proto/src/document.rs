//! What people write, checked once: the parameters of the reference's two calls, and a test as one
//! document, every error with its place. It knows no message and no topic.

mod check;
mod params;
mod place;
mod text;

pub use check::{BODY_LEN_MAX, CONNECTIONS_MAX, Defaults, HEADERS_MAX, PIPELINE_MAX, REQUESTS_MAX};
pub use params::{InvalidParam, Params};
pub use place::{InvalidDocument, Place, Problem};
pub use text::{DOCUMENT_LEN_MAX, Key, Node, Scalar, Value};
