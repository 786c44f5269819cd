//! What a driver holds after many loads is what it held after a few: descriptors, threads, memory.

#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used)] // a test ends where something is not as it should be

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::bounded;
use driver_core::affinity;
use driver_core::load::{Load, Machine};
use driver_core::plan::Plan;
use driver_core::recording::Collector;
use proto::clock::monotonic_ns;
use proto::document::{Defaults, Params};
use proto::workload::{TestType, Workload};

/// Over the first loads the allocator's arenas of the cores' threads find their size: 1 MB between the
/// 10th and the 100th, then nothing.
const FEW: usize = 100;
const MANY: usize = 1000;
/// Most that memory may grow, KB: half a KB a load.
const GROWTH_KB: usize = 450;

#[test]
fn many_loads_leave_no_more_behind_than_a_few() {
    let address = serve();
    let allowed = affinity::allowed();
    let machine = Machine::new(&allowed[..allowed.len().min(2)]);
    for _ in 0..FEW {
        run(&machine, address);
    }
    let before = Held::settled();
    for _ in FEW..MANY {
        run(&machine, address);
    }
    let after = Held::settled();
    let counts = |held: &Held| (held.descriptors, held.threads);
    assert_eq!(counts(&after), counts(&before), "descriptors and threads");
    let grown_kb = after.memory_kb.saturating_sub(before.memory_kb);
    assert!(grown_kb < GROWTH_KB, "{before:?}, then {after:?}");
}

#[derive(Debug)]
struct Held {
    descriptors: usize,
    threads: usize,
    memory_kb: usize,
}

impl Held {
    /// When nothing changes any more: what a load let go of, the server's threads among it, ends on
    /// its own.
    fn settled() -> Self {
        let deadline = Instant::now() + Duration::from_secs(20);
        let mut held = Self::now();
        loop {
            thread::sleep(Duration::from_millis(200));
            let earlier = std::mem::replace(&mut held, Self::now());
            if (held.descriptors, held.threads) == (earlier.descriptors, earlier.threads) {
                return held;
            }
            assert!(Instant::now() < deadline, "{earlier:?}, then {held:?}");
        }
    }

    fn now() -> Self {
        let entries = |folder: &str| std::fs::read_dir(folder).unwrap().count();
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let memory = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let number = memory.unwrap().split_ascii_whitespace().next().unwrap();
        Self {
            descriptors: entries("/proc/self/fd"),
            threads: entries("/proc/self/task"),
            memory_kb: number.parse().unwrap(),
        }
    }
}

/// One load of a few requests, from its preparation to its end.
fn run(machine: &Machine, address: SocketAddr) {
    let params = Params {
        connections: Some(4),
        requests: Some(20),
        ..Params::default()
    };
    let defaults = Defaults::of_rest(TestType::Avalanche, &format!("http://{address}/"));
    let workload = Workload::from_params(TestType::Avalanche, 0.0, &params, &defaults).unwrap();
    let (give, intervals) = bounded(8);
    let load = Load::prepare(&Plan::new(workload), machine, &give).unwrap();
    drop(give);
    load.start(monotonic_ns());
    let mut collector = Collector::new(load.cores());
    while let Ok(interval) = intervals.recv() {
        let _ = collector.absorb(&interval);
    }
    assert_eq!(load.join().failed, None);
    assert_eq!(collector.counters().ok, 20);
}

/// A server that answers whatever comes.
fn serve() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            thread::spawn(move || {
                while stream.read(&mut [0; 4096]).is_ok_and(|length| length > 0) {
                    let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
                    if stream.write_all(answer).is_err() {
                        return;
                    }
                }
            });
        }
    });
    address
}
