//! Micro-benchmarks of what the driver does for each request and for each second.
//!
//!     cargo bench -p bench
//!
//! On a noisy machine compare instruction counts instead: `bench instructions`.

use std::hint::black_box;

use bench::prepared::{Answers, FIELDS, SETTINGS, TABLE_SIZE_0};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use driver_core::plan::Schedule;
use driver_core::protocol::http1::{self, Asked, HeadMemo, Reader};
use driver_core::protocol::http2::Http2;
use driver_core::protocol::{Answered, Dropped, Key, Protocol, Sink, Template};
use driver_core::recording::{Instants, Recorder};
use proto::histogram::{Latencies, Sparse, SparseLatencies, decode_sparse, encode_sparse};
use proto::measure::{
    Counters, LatencyFigures, PROGRESS_PARTS_MAX, PartProgress, Progress, Report,
};
use proto::merging::{LEN_MAX, Merger, Range, Read};
use proto::message::Metrics;
use proto::summary::Summary;
use proto::workload::{Arrival, Request, Target};

const PLAIN: &[u8] = b"HTTP/1.1 200 OK\r\nServer: M\r\nContent-Length: 11\r\n\r\nHello World";
const CHUNKED: &[u8] =
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nb\r\nHello World\r\n0\r\n\r\n";

fn schedule(criterion: &mut Criterion) {
    let bursts = Arrival::Bursts {
        gap_ns: 2_000_000_000,
        burst: 100,
    };
    let bursts = Schedule::new(&bursts).expect("invariant: an open loop");
    let mut index = 0;
    criterion.bench_function("schedule/bursts", |bencher| {
        bencher.iter(|| {
            index += 1;
            bursts.intended_ns(black_box(index))
        });
    });
    let rate = "3000"
        .parse()
        .map(Arrival::Rate)
        .expect("invariant: a rate");
    let rate = Schedule::new(&rate).expect("invariant: an open loop");
    criterion.bench_function("schedule/rate", |bencher| {
        bencher.iter(|| {
            index += 1;
            rate.intended_ns(black_box(index))
        });
    });
}

fn request(criterion: &mut Criterion) {
    let target = Target::parse("http://127.0.0.1:8000/").expect("invariant: a URL");
    let request = Request {
        method: "GET".into(),
        headers: Vec::new(),
        body: Vec::new(),
    };
    criterion.bench_function("request/render", |bencher| {
        bencher.iter(|| http1::render(black_box(&request), &target));
    });
    let rendered = http1::render(&request, &target);
    let mut pipeline = Vec::with_capacity(rendered.len() * 16);
    criterion.bench_function("request/write_16", |bencher| {
        bencher.iter(|| {
            pipeline.clear();
            (0..16).for_each(|_| pipeline.extend_from_slice(black_box(&rendered)));
            pipeline.len()
        });
    });
}

fn answer(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("answer");
    for (name, bytes) in [("plain", PLAIN), ("chunked", CHUNKED)] {
        group.throughput(Throughput::Bytes(bytes.len() as u64));
        let (mut reader, mut memo) = (Reader::default(), HeadMemo::new(Asked::default()));
        group.bench_function(name, |bencher| {
            bencher.iter(|| reader.read(&mut memo, black_box(bytes)));
        });
        group.bench_function(format!("{name}_new_head"), |bencher| {
            bencher.iter(|| {
                let mut memo = HeadMemo::new(Asked::default());
                reader.read(&mut memo, black_box(bytes))
            });
        });
    }
    group.finish();
}

/// Counts answers.
struct Count(u64);

impl Sink for Count {
    fn expects(&self) -> bool {
        true
    }

    fn began(&mut self, _: Key) {}

    fn answered(&mut self, _: Answered) {
        self.0 += 1;
    }

    fn dropped(&mut self, key: Key, dropped: Dropped) {
        panic!("{key}: {dropped:?}");
    }
}

/// Requests on 32 streams in one write, and their answers in one read.
fn http2(criterion: &mut Criterion) {
    let target = Target::parse("http://127.0.0.1:8000/").expect("invariant: a URL");
    let request = Request {
        method: "GET".into(),
        headers: Vec::new(),
        body: Vec::new(),
    };
    let template = Template::fixed(&request, &target, false);
    let mut http = Http2::new(&[template], 32).expect("invariant: fit for HTTP/2");
    let mut out = Vec::new();
    let mut state = http.open(0, &mut out);
    let mut count = Count(0);
    let mut exchange = |answers: &mut Answers, before: &[u8]| {
        http.read(&mut state, before, &mut out, &mut count)
            .expect("invariant: well formed");
        out.clear();
        for place in 0..answers.streams() {
            let stream = http.write(&mut state, 0, &mut |_, _| {}, &mut out);
            answers.address(place, stream);
        }
        let bytes = black_box(answers.first(answers.streams()));
        http.read(&mut state, bytes, &mut out, &mut count)
            .expect("invariant: well formed");
        count.0
    };
    let first = [TABLE_SIZE_0, FIELDS].concat();
    exchange(&mut Answers::new(1, &first), SETTINGS);
    let mut answers = Answers::new(32, FIELDS);
    let mut group = criterion.benchmark_group("http2");
    group.throughput(Throughput::Elements(32));
    group.bench_function("write_and_read_32", |bencher| {
        bencher.iter(|| exchange(&mut answers, b""));
    });
    group.finish();
}

fn record(criterion: &mut Criterion) {
    let mut recorder = Recorder::new();
    let mut random = fastrand::Rng::with_seed(1);
    criterion.bench_function("record", |bencher| {
        bencher.iter(|| {
            let sent_ns = 1_000;
            let end_ns = sent_ns + random.u64(20_000..2_000_000);
            recorder.sent(0, sent_ns, 1);
            recorder.answered(
                200,
                black_box(Instants {
                    intended_ns: 0,
                    sent_ns,
                    end_ns,
                }),
                1,
            );
        });
    });
}

fn filled() -> Latencies {
    let mut latencies = Latencies::new();
    let mut random = fastrand::Rng::with_seed(1);
    for _ in 0..100_000 {
        // The product of two is small more often than large, as latencies are.
        let service_ns = 10_000 + random.u64(0..2_000) * random.u64(0..2_000);
        latencies.service.saturating_record(service_ns);
        latencies.response.saturating_record(service_ns + 500);
        latencies
            .release_lag
            .saturating_record(random.u64(100..5_000));
    }
    latencies
}

fn message() -> Metrics {
    Metrics {
        node_id: "node".into(),
        test_id: "XVlBzgbaiCMRAjWwhTHc".into(),
        report_id: Some("report".into()),
        metrics: LatencyFigures::default(),
        report: Some(Report {
            interval_end_ns: 1_000_000_000,
            counters: Counters {
                planned: 100_000,
                sent: 100_000,
                ..Counters::default()
            },
            first_send_ns: Some(0),
            latencies: SparseLatencies::from(&filled()),
            ..Report::default()
        }),
    }
}

/// The same of a document, of which as many steps changed as a report tells of at most.
fn message_of_steps() -> Metrics {
    let mut message = message();
    let steps = (0..).take(PROGRESS_PARTS_MAX).map(|part| PartProgress {
        part,
        counts: [1_234_567, 1_234_000, 500, 67, 0, 0],
    });
    if let Some(report) = &mut message.report {
        report.progress = Some(Box::new(Progress {
            steps: steps.collect(),
            flows: Vec::new(),
        }));
    }
    message
}

fn merge(criterion: &mut Criterion) {
    let (filled, mut total) = (filled(), Latencies::new());
    criterion.bench_function("merge/dense", |bencher| {
        bencher.iter(|| total.add(black_box(&filled)));
    });
    let (sparse, mut total) = (SparseLatencies::from(&filled), SparseLatencies::default());
    criterion.bench_function("merge/sparse", |bencher| {
        bencher.iter(|| total.add(black_box(&sparse)));
    });
    let message = message();
    criterion.bench_function("merge/first_report", |bencher| {
        bencher.iter(|| Summary::default().absorb(black_box(&message)));
    });
    let message = message_of_steps();
    criterion.bench_function("merge/first_report_of_steps", |bencher| {
        bencher.iter(|| Summary::default().absorb(black_box(&message)));
    });
}

fn codec(criterion: &mut Criterion) {
    let filled = filled();
    let text = encode_sparse(&Sparse::from(&filled.response));
    criterion.bench_function("codec/histogram_encode", |bencher| {
        bencher.iter(|| encode_sparse(&Sparse::from(black_box(&filled.response))));
    });
    criterion.bench_function("codec/histogram_decode", |bencher| {
        bencher.iter(|| decode_sparse(black_box(&text)));
    });
    let message = message();
    let bytes = proto::codec::encode(&message);
    criterion.bench_function("codec/metrics_encode", |bencher| {
        bencher.iter(|| proto::codec::encode(black_box(&message)));
    });
    criterion.bench_function("codec/metrics_decode", |bencher| {
        bencher.iter(|| proto::codec::decode::<Metrics>(&mut black_box(bytes.clone())));
    });
    let bytes = proto::codec::encode(&message_of_steps());
    criterion.bench_function("codec/metrics_decode_of_steps", |bencher| {
        bencher.iter(|| proto::codec::decode::<Metrics>(&mut black_box(bytes.clone())));
    });
}

/// What a merger does for a report, and for the range of a quarter of a second of a thousand drivers.
fn merger(criterion: &mut Criterion) {
    let bytes = proto::codec::encode(&message());
    criterion.bench_function("merger/read", |bencher| {
        bencher.iter(|| Read::message(0, black_box(bytes.clone())));
    });
    let mut range = Range::starting_at(0);
    for offset in 0..250 {
        range.add(Read::message(offset, bytes.clone()));
    }
    let merger = Merger {
        id: "merger".into(),
        incarnation: 1,
    };
    criterion.bench_function("merger/range_of_250", |bencher| {
        bencher.iter(|| black_box(&range).encoded(&merger, 0, 250, LEN_MAX));
    });
}

criterion_group!(
    hot_paths, schedule, request, answer, http2, record, merge, codec, merger
);
criterion_main!(hot_paths);
