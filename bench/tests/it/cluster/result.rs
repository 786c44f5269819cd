//! What the result of a test must say.

use serde_json::Value;

/// States in which a test stays.
const ENDED: [&str; 4] = ["done", "partial", "aborted", "failed"];

/// A count of a result.
pub(crate) fn int(value: &Value) -> u64 {
    value
        .as_u64()
        .unwrap_or_else(|| panic!("{value} is no count"))
}

/// The result, once the test has ended.
pub(crate) fn if_ended(result: Value) -> Option<Value> {
    ENDED.contains(&result["state"].as_str()?).then_some(result)
}

/// All figures are there, whatever became of the nodes meanwhile.
pub(crate) fn assert_complete(result: &Value, requests: u64, server_saw: u64) {
    assert_eq!(int(&result["ok"]), requests, "{}", result["coverage"]);
    assert_eq!(server_saw, requests, "the target's own count is the truth");
    assert_eq!(result["accounting"]["holds"], true, "{result}");
}

/// What must be in order whatever happened to the control plane.
pub(crate) fn assert_whole(result: &Value, requests: u64, server_saw: u64) {
    assert_eq!(result["state"], "done", "{}", result["verdict"]);
    assert_complete(result, requests, server_saw);
    let missing = &result["coverage"]["reports_missing"];
    assert_eq!(missing, 0, "{}", result["coverage"]);
    let series = result["series"].as_array().unwrap();
    let sent: u64 = series.iter().map(|row| int(&row["sent"])).sum();
    assert_eq!(sent, requests, "no second was lost");
}
