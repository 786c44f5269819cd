//! The orchestrator's disk fills up in the middle of a run.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::cluster::{Cluster, SOON, wait_for};

/// Room for the store of a few runs, MiB.
const SIZE_MIB: usize = 4;

/// A file system of its own that is small enough to be filled. Gone when it goes out of scope.
struct SmallDisk {
    folder: PathBuf,
}

impl SmallDisk {
    /// `None`, and said so, where that is not allowed.
    fn mount(folder: &Path) -> Option<Self> {
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={SIZE_MIB}m"), "dlts"])
            .arg(folder)
            .output();
        match mounted {
            Ok(output) if output.status.success() => Some(Self {
                folder: folder.to_owned(),
            }),
            Ok(output) => {
                let why = String::from_utf8_lossy(&output.stderr);
                eprintln!("skipped, no file system can be mounted here: {why}");
                None
            }
            Err(error) => {
                eprintln!("skipped, there is no `mount`: {error}");
                None
            }
        }
    }

    fn filler(&self) -> PathBuf {
        self.folder.join("filler")
    }

    /// Leaves no room for a single page.
    fn fill(&self) {
        let mut filler = File::create(self.filler()).unwrap();
        let page = [0; 4096];
        let refused = (0..=SIZE_MIB * 256).find_map(|_| filler.write_all(&page).err());
        assert_eq!(
            refused.map(|error| error.kind()),
            Some(std::io::ErrorKind::StorageFull)
        );
    }

    fn make_room(&self) {
        std::fs::remove_file(self.filler()).unwrap();
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: the orchestrator may still have its files open.
        let unmounted = Command::new("umount")
            .arg("--lazy")
            .arg(&self.folder)
            .status();
        if !std::thread::panicking() {
            assert!(unmounted.is_ok_and(|status| status.success()));
        }
    }
}

#[test]
fn a_full_disk_stops_nothing_and_is_got_over() {
    let mut cluster = Cluster::without_drivers();
    let Some(disk) = SmallDisk::mount(&cluster.path("data")) else {
        return;
    };
    cluster.restart_orchestrator();
    let mut cluster = cluster.with(2);
    let store = |cluster: &Cluster| cluster.rest.get("/healthz").json["store"].clone();

    let test_id = cluster.run("/avalanche?rate=300&requests=1500");
    cluster.await_load(&test_id);
    disk.fill();
    let trouble = wait_for(SOON, "the store to fail", || {
        let store = store(&cluster);
        (store["state"] == "failing").then_some(store)
    });
    let reason = trouble["reason"].as_str().unwrap();
    assert!(reason.contains("full"), "{reason}");
    let refused = cluster.rest.post("/avalanche");
    assert_eq!(refused.status, 503, "{}", refused.text);
    assert!(refused.text.contains("make room"), "{}", refused.text);

    let result = cluster.await_end(&test_id);
    assert_eq!(result["state"], "done", "{}", result["verdict"]);
    assert_eq!(result["ok"], 3000);
    assert_eq!(cluster.seen(), 3000);
    for path in ["", "/export?format=hgrm", "/export?format=csv"] {
        let answer = cluster.rest.get(&format!("/tests/{test_id}{path}"));
        assert_eq!(answer.status, 200, "{path}: {}", answer.text);
    }
    assert_eq!(store(&cluster)["state"], "failing");

    disk.make_room();
    wait_for(SOON, "the store to recover", || {
        (store(&cluster)["state"] == "ok").then_some(())
    });
    assert_eq!(cluster.metrics(&test_id), result);
    cluster.restart_orchestrator();
    assert_eq!(cluster.metrics(&test_id), result, "it is on the disk");
    cluster.await_broker();
    let next = cluster.run("/avalanche?requests=100&connections=4");
    assert_eq!(cluster.await_end(&next)["ok"], 200);
    drop(cluster);
    drop(disk);
}
