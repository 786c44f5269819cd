//! What is secret in a test reaches the drivers and the store, and nobody else.

use super::*;

const SECRETS: [&str; 3] = ["header-secret", "cookie-secret", "query-secret"];

fn create(world: &mut World, test_id: &str) {
    let header = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let params = Params {
        requests: Some(20),
        target: Some("http://127.0.0.1:8000/?token=query-secret".into()),
        headers: Some(vec![
            header("Authorization", "Bearer header-secret"),
            header("Cookie", "id=cookie-secret"),
            header("X-Api-Key", "$secret(KEY)"),
        ]),
        ..Params::default()
    };
    let defaults = Defaults::of_rest(TestType::Avalanche, "http://127.0.0.1:8000/");
    let workload = Workload::from_params(TestType::Avalanche, 0.0, &params, &defaults).unwrap();
    world.command(Command::Create {
        test_id: test_id.to_owned(),
        workload: Box::new(workload),
        queue: false,
    });
}

/// Whether a text holds all secrets, or none.
fn holds_secrets(text: &str) -> bool {
    let held = SECRETS.iter().filter(|secret| text.contains(**secret));
    match held.count() {
        0 => false,
        all => {
            assert_eq!(all, SECRETS.len(), "{text}");
            true
        }
    }
}

#[test]
fn secrets_go_to_drivers_and_are_masked_wherever_they_are_shown() {
    let mut world = World::with(&["a"]);
    create(&mut world, "t");
    let told = world.published.last().unwrap().payload.clone();
    assert!(holds_secrets(&String::from_utf8(told).unwrap()));
    let shown = |world: &mut World| {
        let detail = serde_json::to_string(&world.seen().detail("t").unwrap()).unwrap();
        let lines = format!("{:?}", world.lines);
        [detail, lines].concat()
    };
    let text = shown(&mut world);
    assert!(!holds_secrets(&text), "{text}");
    assert!(
        text.contains("********") && text.contains("$secret(KEY)"),
        "{text}"
    );
    assert!(!holds_secrets(&world.state.list.get("t").unwrap().target));
}

#[test]
fn the_store_keeps_secrets_until_the_test_has_ended_and_then_their_masks() {
    let mut world = World::with(&["a"]);
    create(&mut world, "t");
    world.restart();
    let stored = |world: &World| serde_json::to_string(&world.runs["t"].0).unwrap();
    assert!(holds_secrets(&stored(&world)), "a restart needs them");
    world.beat("a", NodeState::Ready, Some("t"));
    world.trigger("t");
    world.report(interval("a", "t", 0));
    world.seconds(12, &[]);
    assert_eq!(world.phase("t"), Phase::Partial);
    assert!(!holds_secrets(&stored(&world)));
    let (run, _) = world.runs["t"].clone();
    assert!(
        OpenRun::new(run, Summary::default(), "").is_ok(),
        "late reports still count"
    );
}
