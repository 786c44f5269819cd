//! Clients: what they may do, the listener that bounds them, and the REST API behind it.
//!
//! | module | what it owns |
//! |---|---|
//! | [`access`] | who may call what, and which targets may be loaded |
//! | [`front`] | the public listener: bounds what clients can do to us |
//! | [`api`] | the calls, on `tiny_http` behind the front |

pub mod access;
pub mod api;
pub mod front;
pub mod tls;
