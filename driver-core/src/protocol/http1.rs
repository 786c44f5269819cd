//! HTTP/1.1 as the engine needs it: a request rendered once into bytes, and an incremental reader
//! of answers that skips bodies without keeping them.

mod body;
mod fuzzing;
mod request;
mod response;

pub use body::Body;
pub use fuzzing::check_reader;
pub use request::render;
pub use response::{Answer, HEAD_LEN_MAX, HEADERS_MAX, HeadMemo, Malformed, Reader, Step};
