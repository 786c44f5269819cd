//! The limits that the system sets us.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Clients, readers and the broker take a descriptor each.
pub(super) fn raise_open_file_limit() {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    // Without it the front accepts fewer clients at a time.
    let _ = setrlimit(Resource::Nofile, raised);
}
