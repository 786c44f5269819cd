//! Identifiers: random letters, made where the thing is made, unique without asking anybody.

use std::iter::repeat_with;

/// Letters in a generated test id; 52^20 of them make a collision a matter of astronomy.
pub const TEST_ID_LEN: usize = 20;
/// Longest identifier that is taken from outside (test, node and report ids), in bytes.
pub const ID_LEN_MAX: usize = 256;

const _: () = assert!(TEST_ID_LEN <= ID_LEN_MAX);

/// A new test id: 20 letters.
#[must_use]
pub fn new_test_id() -> String {
    letters(TEST_ID_LEN)
}

/// A new node id: `driver-` and 8 letters.
#[must_use]
pub fn new_node_id() -> String {
    format!("driver-{}", letters(8))
}

/// A new merger id: `merger-`, the host, and 4 letters.
#[must_use]
pub fn new_merger_id(hostname: &str) -> String {
    format!("merger-{hostname}-{}", letters(4))
}

/// A new report id: 16 letters, unique over all nodes and tests.
#[must_use]
pub fn new_report_id() -> String {
    letters(16)
}

/// A new incarnation: the number by which a process is told from another one with its id. Every
/// JSON reader can hold it.
#[must_use]
pub fn new_incarnation() -> u64 {
    fastrand::u64(1..1 << 53)
}

fn letters(count: usize) -> String {
    repeat_with(fastrand::alphabetic).take(count).collect()
}

/// Whether an identifier from outside can be kept, logged and shown: neither empty nor too long,
/// and without control characters. Nothing else is asked, since other implementations name
/// their nodes as they like.
#[must_use]
pub fn is_acceptable(id: &str) -> bool {
    !id.is_empty() && id.len() <= ID_LEN_MAX && !id.chars().any(char::is_control)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generated_ids_have_their_length_and_only_letters() {
        let id = new_test_id();
        assert_eq!(id.len(), TEST_ID_LEN);
        assert!(id.bytes().all(|byte| byte.is_ascii_alphabetic()), "{id}");
        assert!(new_node_id().starts_with("driver-"));
        assert_ne!(new_report_id(), new_report_id());
    }

    #[test]
    fn identifiers_from_outside_are_bounded() {
        assert!(is_acceptable("node 7/ü"));
        assert!(!is_acceptable(""));
        assert!(!is_acceptable("a\nb"));
        assert!(!is_acceptable(&"x".repeat(ID_LEN_MAX + 1)));
    }
}
