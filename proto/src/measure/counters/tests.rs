//! Counters that add up.

use super::*;

#[test]
fn the_identities_are_checked_one_by_one() {
    let good = Counters {
        planned: 14,
        sent: 10,
        returned: 2,
        shed: 1,
        refused: 3,
        not_sent: 1,
        unknown: 1,
        ok: 4,
        completed: 5,
        aborted: 1,
        errors: ErrorCounters {
            status: 1,
            read: 2,
            ..ErrorCounters::default()
        },
        ..Counters::default()
    };
    assert_eq!(good.check(), Ok(()));
    let lost = Counters {
        not_sent: 0,
        ..good.clone()
    };
    assert!(matches!(
        lost.check(),
        Err(Imbalance::Planned { planned: 14, .. })
    ));
    let lost = Counters {
        aborted: 0,
        ..good.clone()
    };
    assert!(matches!(
        lost.check(),
        Err(Imbalance::Sent { sent: 10, .. })
    ));
    let lost = Counters {
        completed: 4,
        ..good
    };
    assert!(matches!(
        lost.check(),
        Err(Imbalance::Completed { completed: 4, .. })
    ));
}

#[test]
fn what_was_refused_is_an_error_and_what_was_returned_never_happened() {
    let counters = Counters {
        sent: 110,
        returned: 10,
        refused: 100,
        errors: ErrorCounters {
            stale: 4,
            unanswered: 6,
            ..ErrorCounters::default()
        },
        ..Counters::default()
    };
    assert_eq!(counters.attempted(), 200);
    assert!((counters.error_rate() - 0.55).abs() < 1e-12);
    assert!(Counters::default().error_rate().abs() < 1e-12);
}

#[test]
fn status_codes_are_text_keys_on_the_wire() {
    let counters = Counters {
        status_codes: BTreeMap::from([(200, 7), (503, 1)]),
        ..Counters::default()
    };
    let mut bytes = crate::codec::encode(&counters);
    assert!(String::from_utf8_lossy(&bytes).contains(r#""status_codes":{"200":7,"503":1}"#));
    assert_eq!(
        crate::codec::decode::<Counters>(&mut bytes).unwrap(),
        counters
    );
}
