//! One hot path, so many times, and nothing else: what `bench instructions` counts under callgrind.
//!
//!     cargo build --release -p bench --example hotpath
//!     target/release/examples/hotpath parse 1000
//!
//! The count of one time is the difference of two runs divided by the difference of their numbers,
//! which takes the start of the process out of it.

mod dispatch;
mod http2;

use std::hint::black_box;

use dispatch::Sent;
use driver_core::protocol::http1::{Asked, HeadMemo, Reader};
use driver_core::recording::{Instants, Recorder};

/// What the test server answers to a plain request.
pub(crate) const ANSWER: &[u8] =
    b"HTTP/1.1 200 Ok\r\nServer: M\r\nDate: Sun, 22 Nov 2026 13:00:00 GMT\r\n\
    Content-Length: 11\r\nContent-Type: text/plain\r\n\r\nHello World";
/// The same a second later.
const ANSWER_LATER: &[u8] =
    b"HTTP/1.1 200 Ok\r\nServer: M\r\nDate: Sun, 22 Nov 2026 13:00:01 GMT\r\n\
    Content-Length: 11\r\nContent-Type: text/plain\r\n\r\nHello World";

fn main() {
    let mut arguments = std::env::args().skip(1);
    let path = arguments.next().unwrap_or_default();
    let times: u64 = arguments
        .next()
        .and_then(|text| text.parse().ok())
        .unwrap_or(0);
    match path.as_str() {
        "parse" => parse(times, &[ANSWER, ANSWER]),
        "parse-new-head" => parse(times, &[ANSWER, ANSWER_LATER]),
        "parse-unique" => {
            let answers: Vec<Vec<u8>> = (0..64).map(unique).collect();
            let answers: Vec<&[u8]> = answers.iter().map(Vec::as_slice).collect();
            parse(times, &answers);
        }
        "http2" => http2::stateless(times),
        "http2-table" => http2::with_table(times),
        "record" => record(times),
        "dispatch-64" => dispatch::run(times, 1),
        "dispatch-64x16" => dispatch::run(times, 16),
        "sessions-page" => dispatch::sessions(times, Sent::Page),
        "sessions-mix" => dispatch::sessions(times, Sent::Mix),
        "sessions-rows" => dispatch::sessions(times, Sent::Rows),
        _ => {
            eprintln!(
                "usage: hotpath parse|parse-new-head|parse-unique|http2|http2-table|record|\
                 dispatch-64|dispatch-64x16|sessions-page|sessions-mix|sessions-rows TIMES"
            );
            std::process::exit(2);
        }
    }
}

/// An answer with an id of its own.
fn unique(number: u64) -> Vec<u8> {
    let id = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let head = format!(
        "HTTP/1.1 200 Ok\r\nServer: M\r\nDate: Sun, 22 Nov 2026 13:00:00 GMT\r\n\
         X-Request-Id: {:08x}-0000-4000-8000-{number:012x}\r\nContent-Length: 11\r\n\
         Content-Type: text/plain\r\n\r\nHello World",
        id >> 32
    );
    head.into_bytes()
}

fn parse(times: u64, answers: &[&[u8]]) {
    let (mut reader, mut memo) = (Reader::default(), HeadMemo::new(Asked::default()));
    let mut answered = 0;
    for (_, answer) in (0..times).zip(answers.iter().cycle()) {
        let step = reader
            .read(&mut memo, black_box(answer))
            .expect("invariant: well formed");
        answered += u64::from(step.answer.is_some());
    }
    assert_eq!(answered, times);
}

fn record(times: u64) {
    let mut recorder = Recorder::new();
    for index in 0..times {
        // Latencies spread over a realistic range, without a random generator in the count.
        let latency_ns = 20_000 + (index * 7_919) % 200_000;
        let instants = Instants {
            intended_ns: index * 1_000,
            sent_ns: index * 1_000 + 500,
            end_ns: index * 1_000 + latency_ns,
        };
        recorder.sent(instants.intended_ns, instants.sent_ns, 1);
        recorder.answered(200, black_box(instants), 1);
    }
    assert_eq!(recorder.counts.ok, times);
}
