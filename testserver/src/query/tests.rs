//! Tests of the query parser: a table of right and wrong ones, and properties.

use proptest::prelude::*;

use super::*;

fn delays(query: &str) -> Vec<(Duration, u32)> {
    parse(query).unwrap().delay.unwrap().values
}

#[test]
fn values_are_read_with_their_units() {
    assert_eq!(delays("delay=5ms"), [(Duration::from_millis(5), 1)]);
    assert_eq!(delays("delay=0.5s"), [(Duration::from_millis(500), 1)]);
    assert_eq!(delays("delay=250us"), [(Duration::from_micros(250), 1)]);
    assert_eq!(delays("delay=7ns"), [(Duration::from_nanos(7), 1)]);
    let sizes = parse("size=1k,2m:3,17").unwrap().size.unwrap().values;
    assert_eq!(sizes, [(1024, 1), (2 << 20, 3), (17, 1)]);
    assert_eq!(
        parse("status=503").unwrap().status.unwrap().values,
        [(503, 1)]
    );
    assert_eq!(parse("").unwrap(), Plan::default());
}

#[test]
fn capacity_is_read_in_its_parts() {
    let plan = parse("queue=1ms&collapse=100:5:1s&bucket=1000:50&over=delay").unwrap();
    assert_eq!(plan.queue.unwrap().pick(0), Duration::from_millis(1));
    let collapse = plan.collapse.unwrap();
    assert_eq!((collapse.above, collapse.factor), (100, 5));
    assert_eq!(collapse.calm, Duration::from_secs(1));
    let bucket = plan.bucket.unwrap();
    assert_eq!((bucket.rate, bucket.depth), (1000.0, 50));
    assert_eq!(plan.over, Some(Over::Delay));
    let plan = parse("bucket=0.5&over=429").unwrap();
    assert_eq!(plan.bucket.unwrap().depth, 1);
    assert_eq!(plan.over, Some(Over::Status(429)));
}

#[test]
fn percent_encoding_is_decoded() {
    assert_eq!(
        parse("delay=1ms%3A90%2C20ms%3a10"),
        parse("delay=1ms:90,20ms:10")
    );
}

#[test]
fn wrong_queries_are_refused_by_name_value_and_range() {
    for (query, message) in [
        (
            "wait=1",
            "'wait' is no parameter; there are delay, size, status, queue, collapse, bucket and over",
        ),
        ("delay", "'delay' has no value; write it as delay=VALUE"),
        (
            "status=200&status=201",
            "status is given twice; for several values write status=A:1,B:1",
        ),
        (
            "delay=5",
            "delay '5' is not a number with the unit ns, us, ms or s, such as 5ms",
        ),
        (
            "delay=-5ms",
            "delay '-5ms' is not a number with the unit ns, us, ms or s, such as 5ms",
        ),
        (
            "delay=infs",
            "delay 'infs' is not a number with the unit ns, us, ms or s, such as 5ms",
        ),
        ("delay=60.1s", "delay '60.1s' is not within 0 to 60s"),
        ("size=129m", "size '129m' is not within 0 to 128m"),
        ("status=199", "status '199' is not within 200 to 599"),
        ("status=600", "status '600' is not within 200 to 599"),
        ("status=", "status '' is not a status code, such as 503"),
        (
            "size=1:0",
            "the weight '0' of size '1' is not within 1 to 1000000",
        ),
        (
            "size=1:x",
            "the weight 'x' of size '1' is not within 1 to 1000000",
        ),
        ("queue=61s", "queue '61s' is not within 0 to 60s"),
        (
            "queue=1ms&collapse=5:2",
            "collapse '5:2' is not requests:factor:calm, such as 100:5:1s",
        ),
        (
            "queue=1ms&collapse=5:1:1s",
            "collapse '1' is not within 2 to 1000 times",
        ),
        (
            "queue=1ms&collapse=5:2:1",
            "collapse '1' is not a number with the unit ns, us, ms or s, such as 5ms",
        ),
        (
            "collapse=5:2:1s",
            "collapse means nothing without queue; give both, or neither",
        ),
        (
            "bucket=-1",
            "bucket '-1' is not tokens a second, such as 1000, or with what it holds: 1000:50",
        ),
        (
            "bucket=0",
            "bucket '0' is not within 0.001 to 1000000 a second",
        ),
        ("bucket=1:0", "bucket '0' is not within 1 to 1000000 tokens"),
        ("bucket=1&over=199", "over '199' is not within 200 to 599"),
        ("bucket=1&bucket=2", "bucket is given twice; give it once"),
        (
            "over=delay",
            "over means nothing without bucket; give both, or neither",
        ),
        (
            "size=1%",
            "'size=1%' has a '%' that encodes no character; write it as %25",
        ),
        (
            "size=%ff",
            "'size=%ff' has a '%' that encodes no character; write it as %25",
        ),
    ] {
        assert_eq!(parse(query).unwrap_err().to_string(), message);
    }
    let many = vec!["1"; VALUES_MAX + 1].join(",");
    let message = parse(&format!("size={many}")).unwrap_err().to_string();
    assert_eq!(message, "size has 17 values; allowed are 1 to 16");
}

proptest! {
    #[test]
    fn each_value_is_drawn_by_as_many_tickets_as_it_weighs(
        weights in prop::collection::vec(1u32..50, 1..=VALUES_MAX)
    ) {
        let parts: Vec<String> =
            weights.iter().enumerate().map(|(size, weight)| format!("{size}:{weight}")).collect();
        let size = parse(&format!("size={}", parts.join(","))).unwrap().size.unwrap();
        let mut drawn = vec![0; weights.len()];
        (0..size.total()).for_each(|ticket| drawn[size.pick(ticket)] += 1);
        prop_assert_eq!(drawn, weights);
    }

    #[test]
    fn whole_microseconds_are_exact(us in 0u64..=60_000_000) {
        prop_assert_eq!(delays(&format!("delay={us}us"))[0].0, Duration::from_micros(us));
    }

    #[test]
    fn hostile_queries_never_panic(query in "(delay|size|status|queue|bucket|collapse|over|%|[&=:,.0-9a-z%é]){0,40}") {
        if let Ok(plan) = parse(&query) {
            prop_assert!(plan.delay.is_none_or(|delay| delay.pick(delay.total() - 1) <= DELAY_MAX));
            prop_assert!(plan.size.is_none_or(|size| size.pick(0) <= SIZE_MAX));
            prop_assert!(plan.status.is_none_or(|s| (200..600).contains(&s.pick(0))));
        }
    }
}
