//! The floor: the least that a load generator on `io_uring` can cost. One thread pinned to CPU 0, a
//! glommio executor, 64 keep-alive connections, a send and a receive in the ring for each request, a
//! histogram. No schedule, no parser, no timeouts, no errors: whatever the engine does besides has
//! to be measured against this.
//!
//!     cargo run --release --example floor -- 127.0.0.1:8000 10
//!
//! prints requests a second, and requests a CPU-second (user + system) of the whole process.

#![allow(unsafe_code)]

use std::error::Error;
use std::net::TcpStream;
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

use glommio::{LocalExecutorBuilder, Placement};
use hdrhistogram::Histogram;
use io_uring::{IoUring, opcode, squeue, types};
use rustix::time::{ClockId, clock_gettime};

const CONNECTIONS: usize = 64;
const BUFFER_LEN: u32 = 4096;
/// `IORING_RECVSEND_POLL_FIRST`
const POLL_FIRST: u16 = 1;
/// Marks the completions of sends, which come only when they fail.
const SEND: u64 = 1 << 32;

struct Floor {
    ring: IoUring,
    sockets: Vec<TcpStream>,
    request: Vec<u8>,
    buffers: Vec<[u8; BUFFER_LEN as usize]>,
    sent: Vec<Instant>,
    latency: Histogram<u64>,
    batch: Vec<(u64, i32)>,
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let target = args.next().unwrap_or_else(|| "127.0.0.1:8000".to_owned());
    let seconds: u64 = args.next().map_or(Ok(10), |text| text.parse())?;
    assert!(driver_core::affinity::pin(0), "CPU 0 is not ours");
    let executor = LocalExecutorBuilder::new(Placement::Unbound)
        .io_memory(65_536)
        .make()?;
    let done = executor.run(run(&target, Duration::from_secs(seconds)))? as f64;
    let cpu = clock_gettime(ClockId::ProcessCPUTime);
    let cpu_s = cpu.tv_sec as f64 + cpu.tv_nsec as f64 / 1e9;
    println!(
        "{:.0} req/s, {:.1} k/CPU-s",
        done / seconds as f64,
        done / cpu_s / 1e3
    );
    Ok(())
}

async fn run(target: &str, length: Duration) -> Result<u64, Box<dyn Error>> {
    let mut floor = Floor::new(target)?;
    (0..CONNECTIONS).for_each(|connection| floor.exchange(connection));
    let (begin, mut done) = (Instant::now(), 0);
    while begin.elapsed() < length {
        floor.ring.submit_and_wait(1)?;
        done += floor.turn()?;
        glommio::yield_if_needed().await;
    }
    println!("p50 {} us", floor.latency.value_at_quantile(0.5) / 1000);
    Ok(done)
}

impl Floor {
    fn new(target: &str) -> Result<Self, Box<dyn Error>> {
        let mut builder = IoUring::builder();
        builder.setup_single_issuer().setup_defer_taskrun();
        let connect = |_| {
            let socket = TcpStream::connect(target)?;
            socket.set_nodelay(true)?;
            Ok(socket)
        };
        Ok(Self {
            ring: builder.build(256)?,
            sockets: (0..CONNECTIONS)
                .map(connect)
                .collect::<std::io::Result<_>>()?,
            request: format!("GET / HTTP/1.1\r\nHost: {target}\r\n\r\n").into_bytes(),
            buffers: vec![[0; BUFFER_LEN as usize]; CONNECTIONS],
            sent: vec![Instant::now(); CONNECTIONS],
            latency: Histogram::new_with_bounds(1, 3_600_000_000_000, 3)?,
            batch: Vec::with_capacity(2 * CONNECTIONS),
        })
    }

    /// Queues a receive and a send.
    fn exchange(&mut self, connection: usize) {
        let fd = types::Fd(self.sockets[connection].as_raw_fd());
        let buffer = self.buffers[connection].as_mut_ptr();
        let request_len = u32::try_from(self.request.len()).expect("invariant: a short request");
        let receive = opcode::Recv::new(fd, buffer, BUFFER_LEN)
            .ioprio(POLL_FIRST)
            .build();
        let send = opcode::Send::new(fd, self.request.as_ptr(), request_len)
            .flags(libc::MSG_NOSIGNAL | libc::MSG_WAITALL)
            .build()
            .flags(squeue::Flags::SKIP_SUCCESS);
        let token = connection as u64;
        for entry in [receive.user_data(token), send.user_data(token | SEND)] {
            // SAFETY: request and buffers live as long as the ring; the ring has room for two
            // entries of each connection, and each buffer has one receive in flight at a time.
            unsafe { self.ring.submission().push(&entry) }.expect("invariant: room for all");
        }
    }

    /// Works off what completed; returns how many answers came.
    fn turn(&mut self) -> Result<u64, Box<dyn Error>> {
        let now = Instant::now();
        let mut batch = std::mem::take(&mut self.batch);
        batch.extend(
            self.ring
                .completion()
                .map(|entry| (entry.user_data(), entry.result())),
        );
        for (token, result) in &batch {
            if *result <= 0 || token & SEND != 0 {
                return Err(format!("operation {token:#x} ended with {result}").into());
            }
            let connection = usize::try_from(*token)?;
            let ns = now.duration_since(self.sent[connection]).as_nanos();
            self.latency.saturating_record(u64::try_from(ns)?);
            self.sent[connection] = now;
            self.exchange(connection);
        }
        let done = batch.len() as u64;
        batch.clear();
        self.batch = batch;
        Ok(done)
    }
}
