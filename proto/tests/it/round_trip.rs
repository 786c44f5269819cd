//! Encode then decode is the identity, for every message; and no bytes make the decoder panic.

use std::fmt::Debug;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use proto::codec;
use proto::message::{Heartbeat, Merged, Message, Metrics, Register, TestConfig, Trigger};

use crate::arbitrary;
use crate::examples;

fn assert_identity<M: Message + PartialEq + Debug>(message: &M) -> Result<(), TestCaseError> {
    let mut bytes = codec::encode(message);
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let read: M = codec::decode(&mut bytes)
        .map_err(|error| TestCaseError::fail(format!("{error} in {text}")))?;
    prop_assert_eq!(&read, message, "{}", text);
    Ok(())
}

fn decode_as_each(bytes: &[u8]) {
    let _ = codec::decode::<Register>(&mut bytes.to_vec());
    let _ = codec::decode::<TestConfig>(&mut bytes.to_vec());
    let _ = codec::decode::<Trigger>(&mut bytes.to_vec());
    let _ = codec::decode::<Metrics>(&mut bytes.to_vec());
    let _ = codec::decode::<Heartbeat>(&mut bytes.to_vec());
    let _ = codec::decode::<Merged>(&mut bytes.to_vec());
}

/// A valid message of each kind, as bytes, for mutation.
fn valid_bytes() -> Vec<Vec<u8>> {
    vec![
        codec::encode(&examples::register()),
        codec::encode(&examples::tsunami()),
        codec::encode(&examples::trigger()),
        codec::encode(&examples::last_metrics()),
        codec::encode(&examples::driver_heartbeat()),
        codec::encode(&examples::merged()),
    ]
}

/// JSON of any shape under the names that the messages know.
fn json_with_known_names() -> impl Strategy<Value = Vec<u8>> {
    let names = [
        "node_id",
        "node_IP",
        "test_id",
        "test_type",
        "trigger",
        "metrics",
        "counters",
        "sequence",
        "heartbeat",
        "timestamp",
        "headers",
        "rate",
        "stages",
        "threshold",
        "response_ns",
        "echo",
        "message_count_per_driver",
        "test_message_delay",
        "participants",
        "status_codes",
    ];
    let leaf = prop_oneof![
        Just("null".to_owned()),
        any::<i64>().prop_map(|n| n.to_string()),
        any::<f64>().prop_map(|n| format!("{n:e}")),
        any::<bool>().prop_map(|b| b.to_string()),
        select(vec![
            r#""YES""#,
            r#""AVALANCHE""#,
            r#""5""#,
            r#""""#,
            r#""1:2@3s""#
        ])
        .prop_map(str::to_owned),
    ];
    let value = leaf.prop_recursive(4, 24, 4, move |inner| {
        let member = (select(names.to_vec()), inner.clone());
        prop_oneof![
            vec(inner, 0..4).prop_map(|items| format!("[{}]", items.join(","))),
            vec(member, 0..8).prop_map(|members| {
                let members: Vec<String> = members
                    .iter()
                    .map(|(name, value)| format!("{name:?}:{value}"))
                    .collect();
                format!("{{{}}}", members.join(","))
            }),
        ]
    });
    value.prop_map(String::into_bytes)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn register_survives_the_wire(message in arbitrary::register()) {
        assert_identity(&message)?;
    }

    #[test]
    fn test_config_survives_the_wire(message in arbitrary::test_config()) {
        assert_identity(&message)?;
    }

    #[test]
    fn trigger_survives_the_wire(message in arbitrary::trigger()) {
        assert_identity(&message)?;
    }

    #[test]
    fn metrics_survive_the_wire(message in arbitrary::metrics()) {
        assert_identity(&message)?;
    }

    #[test]
    fn heartbeat_survives_the_wire(message in arbitrary::heartbeat()) {
        assert_identity(&message)?;
    }

    #[test]
    fn whole_delays_are_written_as_integers(seconds in 0..1_000_000_u32) {
        let config = TestConfig { test_message_delay: f64::from(seconds), ..examples::avalanche() };
        let written = String::from_utf8(codec::encode(&config)).unwrap();
        let expected = format!(r#""test_message_delay":{seconds},"#);
        prop_assert!(written.contains(&expected), "{}", written);
    }

    #[test]
    fn any_bytes_are_decoded_or_refused(bytes in vec(any::<u8>(), 0..400)) {
        decode_as_each(&bytes);
    }

    #[test]
    fn any_json_is_decoded_or_refused(bytes in json_with_known_names()) {
        decode_as_each(&bytes);
    }

    #[test]
    fn a_damaged_message_is_decoded_or_refused(
        at in any::<prop::sample::Index>(), to: u8, cut in any::<prop::sample::Index>()
    ) {
        for mut bytes in valid_bytes() {
            let place = at.index(bytes.len());
            bytes[place] = to;
            decode_as_each(&bytes);
            bytes.truncate(cut.index(bytes.len()));
            decode_as_each(&bytes);
        }
    }
}

#[test]
fn deep_nesting_is_refused_and_not_followed() {
    for depth in [100, 10_000, 1_000_000] {
        decode_as_each(&b"[".repeat(depth));
        decode_as_each(&br#"{"a":"#.repeat(depth));
        let mut known = br#"{"node_id":"n","heartbeat":"YES","x":"#.to_vec();
        known.extend(b"[".repeat(depth));
        known.extend(b"]".repeat(depth));
        known.push(b'}');
        decode_as_each(&known);
    }
}

#[test]
fn a_message_beyond_the_limit_is_refused_by_its_length() {
    let mut long = vec![b' '; codec::MESSAGE_LEN_MAX + 1];
    let error = codec::decode::<Register>(&mut long).unwrap_err();
    assert!(error.to_string().contains("4194304"), "{error}");
}
