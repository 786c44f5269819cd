//! The engine allocates nothing a request: counted by an allocator that looks at the core's thread.
//! What is left is glommio's: some each time that the engine gives way to the executor, ten times a
//! second, however many requests there are.

#![allow(clippy::unwrap_used)] // a test ends where something is not as it should be
#![allow(unsafe_code)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use crossbeam_channel::bounded;
use driver_core::affinity;
use driver_core::load::{Load, Machine};
use driver_core::plan::Plan;
use driver_core::protocol::http2::Http2;
use driver_core::protocol::{Answered, Dropped, Key, Protocol, Sink, Template, Text};
use driver_core::recording::Collector;
use driver_core::source::{Cast, Table};
use proto::clock::monotonic_ns;
use proto::document::{Defaults, Document, Params, Setting};
use proto::workload::{Part, TestType, Workload};

/// At most so many of glommio in two seconds.
const EXECUTOR_ALLOCATIONS: u64 = 100;

/// Counts what the thread [`WATCHED`] allocates while [`COUNTING`].
struct Counter;

static WATCHED: AtomicI32 = AtomicI32::new(0);
static COUNTING: AtomicBool = AtomicBool::new(false);
static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

thread_local! {
    static THREAD: Cell<i32> = const { Cell::new(0) };
}

fn count() {
    if !COUNTING.load(Ordering::Relaxed) {
        return;
    }
    let mut thread = THREAD.get();
    if thread == 0 {
        // SAFETY: gettid has no preconditions.
        thread = unsafe { libc::gettid() };
        THREAD.set(thread);
    }
    if thread == WATCHED.load(Ordering::Relaxed) {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
    }
}

// SAFETY: every call goes to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counter {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: the block came from `System` with this layout.
        unsafe { System.dealloc(block, layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        // SAFETY: the block came from `System` with this layout; the caller vouches for the size.
        unsafe { System.realloc(block, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counter = Counter;

/// One test counts at a time.
static ONE: Mutex<()> = Mutex::new(());

#[test]
fn requests_allocate_nothing() {
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    for params in [
        Params::default(),
        Params {
            pipeline: Some(16),
            ..Params::default()
        },
        Params {
            rate: Some("5000".parse().unwrap()),
            ..Params::default()
        },
    ] {
        let (allocations, requests) = measure(params);
        assert!(requests > 5_000, "{requests} requests");
        println!("{allocations} allocations in 2 s, of 3.5 s with {requests} requests");
        assert!(
            allocations <= EXECUTOR_ALLOCATIONS,
            "{allocations} in {requests} requests"
        );
    }
}

#[test]
fn sessions_of_fixed_pages_and_of_rows_allocate_nothing() {
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let pages = "flows:\n- {name: a, weight: 2, steps: [GET /a]}\n- {name: b, steps: [GET /b]}";
    let rows = "data: {users: {inline: [{id: 1, name: a}, {id: 22, name: bb}], pick: next}}\n\
                steps: [{GET: /users/$users.id, headers: {X-User: $users.name}}]";
    for steps in [pages, rows] {
        let address = serve();
        let text = format!(
            "target: http://{address}\ndefaults: {{cookies: false, connections: 8}}\n{steps}\n\
             load: {{closed: 8, for: 3500ms}}\n"
        );
        let document = Document::read(&text, Setting::default()).unwrap();
        let scenario = document.scenario.clone();
        let tables = scenario.data.iter();
        let tables = tables.map(|set| Table::load(set, None, Part::WHOLE).unwrap());
        let cast = Cast::new(scenario.clone(), tables.collect(), Part::WHOLE);
        let plan = Plan::of_sessions(document.workload(None), cast);
        let (allocations, requests) = measure_plan(&plan);
        assert!(requests > 5_000, "{requests} requests");
        println!("{allocations} allocations in 2 s, of 3.5 s with {requests} requests");
        assert!(
            allocations <= EXECUTOR_ALLOCATIONS,
            "{allocations} in {requests} requests of {text}"
        );
    }
}

/// Allocations of the core's thread from second 1.2 to second 3.2 of a load, with two changes of the
/// recorder within, and the requests of the whole.
fn measure(params: Params) -> (u64, u64) {
    let address = serve();
    let params = Params {
        connections: Some(8),
        duration_s: Some(3.5),
        ..params
    };
    let defaults = Defaults::of_rest(TestType::Avalanche, &format!("http://{address}/"));
    let workload = Workload::from_params(TestType::Avalanche, 0.0, &params, &defaults).unwrap();
    measure_plan(&Plan::new(workload))
}

/// The same of a plan of 3.5 s.
fn measure_plan(plan: &Plan) -> (u64, u64) {
    let (give, intervals) = bounded(8);
    let cpus = &affinity::allowed()[..1];
    let load = Load::prepare(plan, &Machine::new(cpus), &give).unwrap();
    WATCHED.store(thread_id("load-0"), Ordering::SeqCst);
    load.start(monotonic_ns());
    let watch = thread::spawn(|| {
        thread::sleep(Duration::from_millis(1_200));
        ALLOCATIONS.store(0, Ordering::SeqCst);
        COUNTING.store(true, Ordering::SeqCst);
        thread::sleep(Duration::from_secs(2));
        COUNTING.store(false, Ordering::SeqCst);
        ALLOCATIONS.load(Ordering::SeqCst)
    });
    let mut collector = Collector::new(1);
    while !collector.is_complete() {
        let _ = collector.absorb(&intervals.recv_timeout(Duration::from_secs(30)).unwrap());
    }
    let requests = collector.counters().completed;
    assert_eq!(collector.counters().check(), Ok(()));
    let _ = load.join();
    (watch.join().unwrap(), requests)
}

/// The id of a thread of this process by its name.
fn thread_id(name: &str) -> i32 {
    let tasks = std::fs::read_dir("/proc/self/task")
        .unwrap()
        .map(|task| task.unwrap().path());
    let named = |task: &std::path::PathBuf| {
        std::fs::read_to_string(task.join("comm")).is_ok_and(|comm| comm.trim() == name)
    };
    let task = tasks.into_iter().find(named).unwrap();
    task.file_name().unwrap().to_str().unwrap().parse().unwrap()
}

/// A server that answers whatever comes, once for each head.
fn serve() -> std::net::SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            thread::spawn(move || {
                let (mut bytes, mut answers) = (vec![0; 65_536], Vec::new());
                while let Ok(length @ 1..) = stream.read(&mut bytes) {
                    let heads = bytes[..length]
                        .windows(4)
                        .filter(|four| four == b"\r\n\r\n");
                    answers.clear();
                    for _ in heads {
                        answers
                            .extend_from_slice(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
                    }
                    if stream.write_all(&answers).is_err() {
                        return;
                    }
                }
            });
        }
    });
    address
}

/// Counts answers.
struct Answers(u64);

impl Sink for Answers {
    fn expects(&self) -> bool {
        true
    }

    fn began(&mut self, _: Key) {}

    // As if any of them could be a bad one.
    fn keeps(&self, _: Key, _: u16) -> bool {
        true
    }

    fn answered(&mut self, answered: Answered) {
        assert!(answered.bytes.starts_with(b"HTTP/2 200\r\n"));
        self.0 += 1;
    }

    fn dropped(&mut self, key: Key, dropped: Dropped) {
        panic!("{key}: {dropped:?}");
    }
}

#[test]
fn streams_of_http2_allocate_nothing() {
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let get = Template {
        method: "GET".to_owned(),
        is_https: true,
        authority: Text::fixed("localhost"),
        path: Text::fixed("/").then_hole(0),
        headers: Vec::new(),
        body: Text::default(),
    };
    let post = Template {
        body: Text::fixed("id=").then_hole(1),
        ..get.clone()
    };
    let mut http = Http2::new(&[get, post], 32).unwrap();
    let (mut out, mut answers) = (Vec::new(), Answers(0));
    let mut state = http.open(0, &mut out);
    // SETTINGS with large windows, and one for the connection.
    let greeting = b"\0\0\x06\x04\0\0\0\0\0\0\x04\x7f\xff\xff\xff\
        \0\0\x04\x08\0\0\0\0\0\x7f\xff\0\0";
    http.read(&mut state, greeting, &mut out, &mut answers)
        .unwrap();
    let mut bytes = Vec::new();
    // The table is made, then it is used; fields that differ each time take the place of others.
    let mut round = |number: u8| {
        out.clear();
        bytes.clear();
        for request in 0..32 {
            let mut fill = |_: usize, out: &mut Vec<u8>| out.extend_from_slice(b"value");
            let key = http.write(&mut state, request % 2, &mut fill, &mut out);
            let fields = [0x88, 0x40, 1, b'x', 3, number, number, number, 0xbe];
            bytes.extend([0, 0, 9, 1, 4]);
            bytes.extend(key.to_be_bytes());
            bytes.extend(fields);
            bytes.extend([0, 0, 2, 0, 1]);
            bytes.extend(key.to_be_bytes());
            bytes.extend(b"ok");
        }
        for piece in bytes.chunks(1000) {
            http.read(&mut state, piece, &mut out, &mut answers)
                .unwrap();
        }
    };
    (0..10).for_each(&mut round);
    WATCHED.store(
        rustix::thread::gettid().as_raw_nonzero().get(),
        Ordering::SeqCst,
    );
    let before = ALLOCATIONS.load(Ordering::SeqCst);
    COUNTING.store(true, Ordering::SeqCst);
    (10..100).for_each(&mut round);
    COUNTING.store(false, Ordering::SeqCst);
    assert_eq!(ALLOCATIONS.load(Ordering::SeqCst), before);
    assert_eq!(answers.0, 3200);
}
