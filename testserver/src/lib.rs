//! # testserver: the default target of dlts
//!
//! A small HTTP/1.1 server on `may_minihttp` coroutines that answers as it is told and counts every
//! request exactly, so that a load test can be checked from the other side.
//!
//! ```text
//! $ testserver --listen 127.0.0.1:8000 &
//! $ curl 127.0.0.1:8000            Hello World
//! $ curl 127.0.0.1:8000/metric     1
//! ```
//!
//! ## Routes
//!
//! | path | answer |
//! |---|---|
//! | `/` | `Hello World` |
//! | `/?delay=5ms&size=1k&status=503` | that status after that delay with a body of that many bytes |
//! | `/?queue=1ms`, `/?bucket=1000:50` | as told, within a capacity that all connections share |
//! | `/metric` | the number of requests that the server was sent, without `/metric` and `/metrics` |
//! | `/metrics` | Prometheus text: requests, responses by status, body bytes, connections, capacity |
//! | `/ping` | `{"message":"pong"}` |
//! | anything else | 404 with a JSON error; it is counted |
//!
//! Every method gets the same answer, except that `HEAD` gets no body. Request bodies with a
//! `Content-Length` are read to their end and counted in bytes.
//!
//! ## Answers as told
//!
//! `delay`, `size` and `status` each take one value, or a distribution: values with weights,
//! `delay=1ms:90,20ms:10` delays one answer in ten by 20 ms. A value without a weight has weight 1.
//! See [`query`] for units and ranges. An invalid query is answered 400 with a JSON error that names
//! the value and the allowed range.
//!
//! ## A known capacity
//!
//! Whoever searches for the capacity of a server wants one whose capacity is known. `queue=1ms` is a
//! single server with a service time of 1 ms and one queue: 1000 requests a second, and, if they come
//! by chance, the waits of M/D/1. With `collapse=100:5:1s` it breaks under overload: once more than
//! 100 requests are there each takes 5 ms, until nobody was there for a second. `bucket=1000:50` is
//! a limit as gateways have it, with `503` or a delay (`over=`) for the rest. See [`capacity`] for
//! how they are kept, and [`query`] for ranges. Requests that are pipelined on one connection come
//! to the queue one after the other, each when the one before it was served. Who goes away while
//! waiting keeps the place.
//!
//! ## Limits, most of them `may_minihttp` 0.1.11's
//!
//! - A request with more than 16 header fields, or one that does not parse, is not answered: the
//!   connection is closed, answers of the same read that were not yet written are lost, a line goes
//!   to stderr, and nothing is counted.
//! - Every answer carries a `Content-Length` of the bytes that follow. An answer to `HEAD`, and one
//!   with status 204 or 304, therefore says `Content-Length: 0`.
//! - It never closes a connection: `Connection: close` is answered as keep-alive, and so is HTTP/1.0,
//!   with the header that says so. A client that waits for the close waits for ever: `ab` needs `-k`.
//! - No chunked request bodies: the chunks would be parsed as requests. Such a request is refused
//!   (501), and so is one whose `Content-Length` is no number (400); then the connection is closed.
//!   The refusal goes out past `may_minihttp`, since what follows in the same read makes that drop
//!   the answers it has: those to requests pipelined before are lost. Where the kernel does not let
//!   us (see [`sockets`]), the refusal may be lost too, and is not counted as an answer.
//! - No `100 Continue`.
//! - A client that ends its side of the connection right after a request (`printf … | nc -N`) is
//!   taken for gone: if the end is there when the request is read, that is neither answered nor
//!   counted.
//! - Pipelined requests of one read are answered together by one write, after the delay of the last.
//! - While a socket is not writable, answers wait in memory; a connection keeps its largest buffer.
//! - Each open connection owns a coroutine stack of 128 KiB address space in two mappings, so that
//!   about 32000 connections fit the usual `vm.max_map_count` of 65530.
//! - Its listening socket allows `SO_REUSEPORT`. So that a second server does not silently take half
//!   of the connections, the address is probed first and a port in use is refused.
//!
//! `may_minihttp` does not set `TCP_NODELAY`. Linux lets an accepted socket inherit the option from
//! the listening one, so [`server`] sets it there (see [`nodelay`]); the start line says whether it
//! could.
#![forbid(unsafe_code)]

pub mod capacity;
pub mod cli;
pub mod counters;
pub mod nodelay;
pub mod probe;
pub mod prometheus;
pub mod query;
pub mod server;
pub mod service;
pub mod sockets;
