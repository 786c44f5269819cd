//! Stores of earlier versions are brought to this one.

use super::*;

#[test]
fn a_store_of_567036d_is_brought_to_this_version_with_its_tests() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(&old_store(&folder)).unwrap();
    assert!(
        store.is_shrinkable,
        "it was rewritten so that it can shrink"
    );
    let restored = store.load().unwrap().restored;
    let states: Vec<_> = restored
        .rows
        .iter()
        .map(|row| {
            (
                row.state.name(),
                row.queued,
                row.is_complete,
                row.is_compact,
            )
        })
        .collect();
    let expected = [
        ("done", false, true, false),
        ("running", false, false, false),
        ("created", true, false, false),
        ("created", false, false, false),
    ];
    assert_eq!(states, expected);
    assert_eq!(restored.open.len(), 3);
    let reader = store.reader().unwrap();
    assert!(reader.result(FINISHED).unwrap().is_some());
    assert_eq!(interval_log(&reader, FINISHED).len(), 3);
}

/// A search with a run that counted and one that it waits for.
fn search_on_its_way() -> Campaign {
    let step = CapacityStep {
        rate: 141.4,
        judged: Judged::Holds,
        again: false,
        runs: 1,
        tests: vec!["old-1".into()],
        clear: true,
        limited_by: None,
        ok_per_second: Some(141.37),
        status_codes: [(200, 5)].into(),
        errors: ErrorCounters::default(),
        response: Statistics::default(),
        service: Statistics::default(),
        release_lag: Statistics::default(),
        thresholds: Vec::new(),
        verdict: Verdict::default(),
    };
    let mut campaign = campaign("old");
    campaign.labels.name = Some("shop".into());
    campaign.next_run = 3;
    campaign.run = Some(CampaignRun {
        test_id: "old-2".into(),
        plan: RunPlan::Rate(Wanted {
            rate: 565.6,
            attempt: 1,
            again: false,
        }),
    });
    if let Goal::Capacity(search) = &mut campaign.goal {
        search.runs.push(step);
    }
    campaign
}

#[test]
fn a_search_of_version_3_goes_on_as_a_campaign() {
    let folder = tempfile::tempdir().unwrap();
    drop(Store::open(&file(&folder)).unwrap());
    let expected = [campaign("nameless"), search_on_its_way()];
    let old = Connection::open(file(&folder)).unwrap();
    let sql = "DROP TABLE campaigns; DROP TABLE merged_parts; DROP TABLE step_seconds;
        PRAGMA user_version = 3;
        CREATE TABLE searches (test_id TEXT PRIMARY KEY, search TEXT NOT NULL) WITHOUT ROWID;";
    old.execute_batch(sql).unwrap();
    for campaign in &expected {
        // As that version wrote it.
        let mut text = serde_json::to_value(campaign).unwrap();
        let fields = text.as_object_mut().unwrap();
        let goal = fields.remove("goal").unwrap();
        fields.extend(goal["capacity"].as_object().unwrap().clone());
        let labels = fields.remove("labels").unwrap();
        fields.insert("name".into(), labels["name"].clone());
        let values = (&campaign.test_id, text.to_string());
        old.execute("INSERT INTO searches VALUES (?1, ?2)", values)
            .unwrap();
    }
    drop(old);
    let restored = Store::open(&file(&folder))
        .unwrap()
        .load()
        .unwrap()
        .restored;
    assert_eq!(restored.campaigns, expected);
}
