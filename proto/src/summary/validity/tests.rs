//! Each fault is named, and by what it is.

use super::*;

fn judged(health: Health, lag_p99: f64, counters: &Counters) -> Verdict {
    judged_in(false, health, lag_p99, counters)
}

fn judged_in(closed_loop: bool, health: Health, lag_p99: f64, counters: &Counters) -> Verdict {
    let statistics = |p99| Statistics {
        p99: Some(p99),
        ..Statistics::default()
    };
    of_node(&Evidence {
        closed_loop,
        ended: true,
        elapsed_ns: 10_000_000_000,
        counters,
        response: &statistics(5.0),
        release_lag: &statistics(lag_p99),
        health: &health,
        clock: None,
        outcome: Some(Outcome::Done),
        reason: None,
        unchecked: false,
    })
}

fn sent(offered: u64, sent: u64) -> Counters {
    let not_sent = offered - sent;
    Counters {
        planned: offered,
        offered,
        sent,
        not_sent,
        ok: sent,
        completed: sent,
        ..Counters::default()
    }
}

#[test]
fn a_clean_run_is_valid_and_each_fault_is_named() {
    let calm = Health {
        cpu_idle_min: Some(0.4),
        ..Health::default()
    };
    assert_eq!(judged(calm, 0.1, &sent(1000, 1000)), Verdict::default());
    let cases = [
        (
            Health {
                cpu_idle_min: Some(0.01),
                ..calm
            },
            0.1,
            Judgement::Suspect,
            "idle",
        ),
        (
            Health {
                cpu_steal_max: Some(0.1),
                ..calm
            },
            0.1,
            Judgement::Suspect,
            "hypervisor",
        ),
        (
            Health {
                cpu_steal_max: Some(0.5),
                ..calm
            },
            0.1,
            Judgement::Invalid,
            "hypervisor",
        ),
        (
            Health {
                stall_max_ns: 150_000_000,
                ..calm
            },
            0.1,
            Judgement::Suspect,
            "150 ms",
        ),
        (
            Health {
                ports_exhausted: 1,
                ..calm
            },
            0.1,
            Judgement::Invalid,
            "ports",
        ),
        (
            Health {
                descriptors_exhausted: 1,
                ..calm
            },
            0.1,
            Judgement::Invalid,
            "ulimit",
        ),
        (calm, 2.0, Judgement::Suspect, "release lag"),
    ];
    for (health, lag, judgement, word) in cases {
        let verdict = judged(health, lag, &sent(1000, 1000));
        assert_eq!(verdict.verdict, judgement, "{verdict:?}");
        assert!(verdict.reasons[0].contains(word), "{verdict:?}");
    }
}

#[test]
fn a_rate_that_was_not_reached_is_invalid() {
    let verdict = judged(Health::default(), 0.1, &sent(1000, 980));
    assert_eq!(verdict.verdict, Judgement::Invalid);
    assert!(verdict.reasons[0].contains("98.0 %"), "{verdict:?}");
}

#[test]
fn an_accounting_that_does_not_add_up_is_invalid() {
    let counters = Counters {
        ok: 999,
        completed: 999,
        ..sent(1000, 1000)
    };
    assert_eq!(
        judged(Health::default(), 0.1, &counters).verdict,
        Judgement::Invalid
    );
}

#[test]
fn the_drivers_own_time_decides_whose_limit_it_was() {
    let health = |idle, busy| Health {
        cpu_idle_min: Some(idle),
        cpu_busy_max: busy,
        ..Health::default()
    };
    for (idle, busy, word) in [
        (0.01, Some(0.99), "generator was the limit"),
        // Under a lot of small packets the kernel's part is large, and nobody else's.
        (0.01, Some(0.60), "generator was the limit"),
        (0.01, Some(0.02), "something else used a driver core"),
        (0.01, None, "idle for only 1.0 %"),
        // The thread has no more than this, whoever else has the rest of the core's ticks.
        (0.10, Some(0.97), "generator was the limit"),
    ] {
        let verdict = judged(health(idle, busy), 0.1, &sent(1000, 1000));
        assert_eq!(verdict.verdict, Judgement::Suspect, "{idle} {busy:?}");
        assert!(verdict.reasons[0].contains(word), "{verdict:?}");
    }
    let verdict = judged(health(0.5, Some(0.5)), 0.1, &sent(1000, 1000));
    assert_eq!(verdict, Verdict::default());
    let closed = judged_in(true, health(0.0, Some(1.0)), 0.1, &sent(1000, 1000));
    assert!(closed.reasons[0].contains("the throughput is the generator's"));
}

#[test]
fn a_driver_that_its_cgroup_stopped_measured_that() {
    for (throttled_ms, judgement) in [
        (0, Judgement::Valid),
        (50, Judgement::Suspect),
        (3_000, Judgement::Invalid),
    ] {
        let health = Health {
            throttled_ns: throttled_ms * 1_000_000,
            ..Health::default()
        };
        let verdict = judged(health, 0.1, &sent(1000, 1000));
        assert_eq!(verdict.verdict, judgement, "{verdict:?}");
        let is_told = |reason: &String| reason.contains("cpu.max");
        assert_eq!(verdict.reasons.iter().any(is_told), throttled_ms > 0);
    }
}

type Case = (fn(&mut Counters), Judgement, &'static str);

#[test]
fn what_a_target_did_is_told_and_weighs_by_its_share() {
    let with = |change: fn(&mut Counters)| {
        let mut counters = Counters {
            ok: 900,
            completed: 900,
            ..sent(1000, 1000)
        };
        change(&mut counters);
        let rest = 100 - counters.errors.total() - counters.refused;
        counters.ok += rest;
        counters.completed += rest;
        counters.sent -= counters.refused;
        judged(Health::default(), 0.1, &counters)
    };
    let cases: [Case; 6] = [
        (
            |c| c.errors.stale = 1,
            Judgement::Valid,
            "1 requests crossed",
        ),
        (|c| c.errors.stale = 50, Judgement::Suspect, "(stale)"),
        (|c| c.errors.unanswered = 2, Judgement::Valid, "2 pipelined"),
        (
            |c| c.errors.unanswered = 90,
            Judgement::Suspect,
            "pipeline 1",
        ),
        (|c| c.refused = 90, Judgement::Valid, "90 requests fell due"),
        (|c| c.unsolicited = 4, Judgement::Valid, "came 4 times"),
    ];
    for (change, judgement, word) in cases {
        let verdict = with(change);
        assert_eq!(verdict.verdict, judgement, "{verdict:?}");
        assert!(verdict.reasons[0].contains(word), "{verdict:?}");
    }
}

#[test]
fn a_quantile_of_too_few_samples_is_named() {
    for (samples, quantile) in [
        (20, Some("p90")),
        (150, Some("p95")),
        (500, Some("p99")),
        (5_000, Some("p99.9")),
        (99_000, Some("p99.99")),
        (100_000, None),
        (0, None),
    ] {
        let told = few_samples(samples).map(|doubt| doubt.to_string());
        let expected = quantile.map(|quantile| format!("lie beyond {quantile},"));
        match (told, expected) {
            (Some(told), Some(expected)) => assert!(told.contains(&expected), "{told}"),
            (told, expected) => assert_eq!(told, expected, "{samples}"),
        }
    }
}
