//! The way of a workload over the wire.

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::codec;
use crate::units;
use crate::workload::Arrival;

const TARGET: &str = "http://127.0.0.1:8000/";

fn of_values(kind: TestType, gap_s: f64, values: Value) -> Workload {
    let Value::Object(values) = values else {
        panic!("not an object")
    };
    let params = Params::from_values(values).unwrap();
    Workload::from_params(kind, gap_s, &params, &Defaults::of_rest(kind, TARGET)).unwrap()
}

#[test]
fn a_config_without_our_fields_takes_the_references_defaults() {
    let mut bytes = br#"{"test_id":"a","test_type":"TSUNAMI","test_message_delay":"5"}"#.to_vec();
    let config: TestConfig = codec::decode(&mut bytes).unwrap();
    let workload = Workload::from_config(&config, TARGET).unwrap();
    assert_eq!(workload.limit.requests, Some(500));
    assert_eq!(
        workload.arrival,
        Arrival::Bursts {
            gap_ns: 5_000_000_000,
            burst: 1
        }
    );
    assert_eq!(workload.target.to_string(), TARGET);
}

#[test]
fn a_config_with_count_zero_and_no_duration_is_refused() {
    let mut bytes =
        br#"{"test_id":"a","test_type":"AVALANCHE","message_count_per_driver":0}"#.to_vec();
    let config: TestConfig = codec::decode(&mut bytes).unwrap();
    assert_eq!(
        Workload::from_config(&config, TARGET).unwrap_err().name,
        "requests"
    );
}

fn any_workload() -> impl Strategy<Value = Workload> {
    let arrival = prop_oneof![
        Just(json!({})),
        (1_u32..1000).prop_map(|burst| json!({"burst": burst})),
        (1_u32..10_000_000).prop_map(|milli| json!({"rate": f64::from(milli) / 1000.0})),
        (1_u32..1000, 1_u32..1000, 1_u32..99)
            .prop_map(|(a, b, s)| { json!({"stages": format!("{a}:{b}@{s}s,{b}@{s}ms")}) }),
    ];
    let body = prop::collection::vec(any::<u8>(), 0..40);
    (
        arrival,
        any::<bool>(),
        1_u64..3_600_000,
        1_u64..50_000,
        body,
    )
        .prop_map(|(mut values, tsunami, gap_ms, connections, body)| {
            let kind = if tsunami {
                TestType::Tsunami
            } else {
                TestType::Avalanche
            };
            if let Value::Object(values) = &mut values {
                values.insert("connections".into(), connections.into());
                values.insert("body_base64".into(), BASE64.encode(body).into());
                values.insert("headers".into(), json!(["A: 1", "B: 2", "A: 3"]));
                values.insert("threshold".into(), "p99<250ms,error_rate<0.1%".into());
                values.insert("deadline_ms".into(), json!(gap_ms));
                values.insert("phase".into(), tsunami.into());
            }
            of_values(kind, units::ns_to_seconds(gap_ms * 1_000_000), values)
        })
}

proptest! {
    #[test]
    fn a_workload_survives_the_wire(workload in any_workload()) {
        let config = workload.to_config("XVlBzgbaiCMRAjWwhTHc");
        let decoded: TestConfig = codec::decode(&mut codec::encode(&config)).unwrap();
        prop_assert_eq!(&decoded, &config);
        prop_assert_eq!(Workload::from_config(&decoded, "http://unused/").unwrap(), workload);
    }
}

#[test]
fn a_tsunami_without_a_delay_is_a_request_after_the_other() {
    let text = r#"{"test_id":"t","test_type":"TSUNAMI","test_message_delay":"0","message_count_per_driver":20}"#;
    let config: TestConfig = codec::decode(&mut text.as_bytes().to_vec()).unwrap();
    let workload = Workload::from_config(&config, TARGET).unwrap();
    assert_eq!(workload.test_type, TestType::Tsunami);
    assert_eq!(workload.arrival, Arrival::ClosedLoop);
    // Written again it is the same; one with a rate has its pace from that.
    let again = workload.to_config("t");
    assert_eq!(Workload::from_config(&again, TARGET).unwrap(), workload);
    let mut paced = config;
    paced.params.rate = Some(crate::workload::RateSpec::Constant("5".parse().unwrap()));
    let workload = Workload::from_config(&paced, TARGET).unwrap();
    assert_eq!(workload.arrival, Arrival::Rate("5".parse().unwrap()));
}
