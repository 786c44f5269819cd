//! A disk that can be filled.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::skip::skip;

/// A file system of its own that is small enough to be filled. Gone when it goes out of scope.
pub(crate) struct SmallDisk {
    folder: PathBuf,
    size_mib: usize,
}

impl SmallDisk {
    /// `None`, and said so, where that is not allowed.
    pub(crate) fn mount(folder: &Path, size_mib: usize) -> Option<Self> {
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={size_mib}m"), "dlts"])
            .arg(folder)
            .output();
        match mounted {
            Ok(output) if output.status.success() => Some(Self {
                folder: folder.to_owned(),
                size_mib,
            }),
            Ok(output) => {
                let why = String::from_utf8_lossy(&output.stderr);
                skip(&format!(
                    "no file system can be mounted here: {}",
                    why.trim()
                ));
                None
            }
            Err(error) => {
                skip(&format!("there is no `mount`: {error}"));
                None
            }
        }
    }

    fn filler(&self) -> PathBuf {
        self.folder.join("filler")
    }

    /// Leaves no room for a single page.
    pub(crate) fn fill(&self) {
        let mut filler = File::create(self.filler()).unwrap();
        let page = [0; 4096];
        let refused = (0..=self.size_mib * 256).find_map(|_| filler.write_all(&page).err());
        assert_eq!(
            refused.map(|error| error.kind()),
            Some(std::io::ErrorKind::StorageFull)
        );
    }

    pub(crate) fn make_room(&self) {
        std::fs::remove_file(self.filler()).unwrap();
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: whose disk it is may still have files open.
        let unmounted = Command::new("umount")
            .arg("--lazy")
            .arg(&self.folder)
            .status();
        if !std::thread::panicking() {
            assert!(unmounted.is_ok_and(|status| status.success()));
        }
    }
}
