//! The stamping target: a server that spins on a core of its own and sees the truth.
//!
//! What a generator says about its own pacing is what its own clock told it. This target takes the
//! time of every arrival in a loop that never sleeps, so that gaps and lateness are seen from the
//! other side; and it answers so quickly that a generator is its own limit.
//!
//! ```text
//! $ bench target --listen 127.0.0.1:8005 --core 1 --rate 1000
//! {"event":"listening","listen":"127.0.0.1:8005", …}
//! $ curl 127.0.0.1:8005/report
//! ```
//!
//! | path | answer |
//! |---|---|
//! | `/report` | what was stamped since the last reset: requests, gaps, lateness, bursts, shares of time that it was busy and that it was held up |
//! | `/reset` | forgets all; `?rate=1000` or `?grid_ns=1000000` sets the grid, `?anchor=first\|min`, `?stamps=100000` keeps the instants of so many |
//! | `/stamps` | those instants, in nanoseconds from the first arrival, one a line |
//! | `/metric` | the number of requests |
//! | anything else | `Hello World`, or with `?size=16k` a body of that many bytes, with `?unique` a header that no other answer has; this is what is counted and stamped |
//!
//! The k-th arrival since the reset belongs at `anchor + k·grid`. With `anchor=min` (the default)
//! the anchor is the one that makes the least lateness 0, which is what a perfectly regular sender
//! would get; with `anchor=first` it is the first arrival. *Gap error* is the distance of a gap from
//! the grid, in either direction. Requests that a generator leaves out shift all later ones by a
//! grid step: compare `requests` with what was to be sent.
//!
//! A *burst* is what arrives without a pause of 5 ms; its span, from the first arrival until all of
//! it is answered, is what the target itself needed for it. `/report` has the middle one's.

mod answer;
pub mod grid;
mod request;
mod spin;
mod stamps;

use std::io;
use std::net::SocketAddr;

use grid::Grid;

/// How the stamping target is to run.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// Address to listen on; port 0 takes a free one, the start line says which
    #[arg(
        long,
        value_name = "IP:PORT",
        default_value = "127.0.0.1:8005",
        env = "BENCH_TARGET_LISTEN"
    )]
    pub listen: SocketAddr,

    /// Core to spin on; it should have nothing else to do [default: wherever the system puts it]
    #[arg(long, value_name = "N", env = "BENCH_TARGET_CORE")]
    pub core: Option<usize>,

    /// Requests a second that are expected: arrivals are compared with this grid
    #[arg(long, value_name = "N", conflicts_with = "grid_ns", value_parser = grid::parse_rate)]
    pub rate: Option<Grid>,

    /// The same as a gap in nanoseconds
    #[arg(long, value_name = "NS", value_parser = grid::parse_gap_ns)]
    pub grid_ns: Option<Grid>,
}

/// Why the target cannot run.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The address is taken or not ours.
    #[error("cannot listen on {address}: {source}; choose another address with --listen")]
    Listen {
        /// The address that was asked for.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// The core cannot be had.
    #[error(transparent)]
    Core(#[from] crate::cores::Error),
    /// Signals or readiness notification cannot be had.
    #[error("cannot watch sockets and signals: {0}")]
    Watch(#[from] io::Error),
}

/// Runs the target until SIGTERM or SIGINT.
///
/// # Errors
/// When it cannot listen, or its core cannot be had.
pub fn run(options: &Options) -> Result<(), Error> {
    if let Some(core) = options.core {
        crate::cores::pin(&[core])?;
    }
    let grid = options.rate.or(options.grid_ns);
    let mut server = spin::Server::listen(options.listen, grid)?;
    println!(
        "{}",
        serde_json::json!({
            "event": "listening",
            "listen": server.address(),
            "core": options.core,
            "grid_ns": grid.map(Grid::gap_ns),
            "pid": std::process::id(),
            "version": env!("CARGO_PKG_VERSION"),
        })
    );
    server.serve()?;
    println!(
        "{}",
        serde_json::json!({ "event": "stopped", "requests": server.requests() })
    );
    Ok(())
}
