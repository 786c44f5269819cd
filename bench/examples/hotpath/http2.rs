//! Requests and answers of HTTP/2, 32 streams at a time: all requests in one write, all answers in one
//! read. What is counted includes the two ids that are written into each prepared answer.

use std::hint::black_box;

use bench::prepared::{Answers, ENTRIES, FIELDS, REFERENCES, SETTINGS, TABLE_SIZE_0};
use driver_core::protocol::http2::Http2;
use driver_core::protocol::{Answered, Dropped, Key, Protocol, Sink, Template, Text};

const STREAMS: usize = 32;
struct Count(u64);

impl Sink for Count {
    fn expects(&self) -> bool {
        true
    }

    fn began(&mut self, _: Key) {}

    fn answered(&mut self, answered: Answered) {
        self.0 += u64::from(answered.status == 200);
    }

    fn dropped(&mut self, key: Key, dropped: Dropped) {
        panic!("{key}: {dropped:?}");
    }
}

/// So many requests and answers of a peer that keeps no table.
pub(crate) fn stateless(times: u64) {
    exchange(times, &[TABLE_SIZE_0, FIELDS].concat(), FIELDS);
}

/// So many of one that refers to its table all the time.
pub(crate) fn with_table(times: u64) {
    exchange(times, ENTRIES, REFERENCES);
}

fn exchange(times: u64, first: &[u8], fields: &[u8]) {
    let mut http = Http2::new(&[get()], 32).expect("invariant: fit for HTTP/2");
    let mut out = Vec::with_capacity(16 * 1024);
    let mut state = http.open(0, &mut out);
    let mut count = Count(0);
    let settings = http.read(&mut state, SETTINGS, &mut out, &mut count);
    settings.expect("invariant: well formed");
    let mut answers = Answers::new(1, first);
    let mut left = times;
    while left > 0 {
        out.clear();
        let streams = answers
            .streams()
            .min(usize::try_from(left).unwrap_or(STREAMS));
        for place in 0..streams {
            let key = http.write(&mut state, 0, &mut |_, _| {}, &mut out);
            answers.address(place, key);
        }
        black_box(&out);
        let bytes = black_box(answers.first(streams));
        let after = http.read(&mut state, bytes, &mut out, &mut count);
        after.expect("invariant: well formed");
        left -= streams as u64;
        if answers.streams() == 1 {
            answers = Answers::new(STREAMS, fields);
        }
    }
    assert_eq!(count.0, times);
}

fn get() -> Template {
    Template {
        method: "GET".to_owned(),
        is_https: false,
        authority: Text::fixed("127.0.0.1:8000"),
        path: Text::fixed("/"),
        headers: Vec::new(),
        body: Text::default(),
    }
}
