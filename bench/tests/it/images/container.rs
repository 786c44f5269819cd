//! Images by `buildah`, and containers of them by `runc`.

use std::fs;
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::cluster::process::{Process, Signal, binary};

const VERSION: &str = "0.0.0";
/// Locked memory that a driver asks for: within what this machine may have allowed us.
const MEMLOCK_BYTES: u64 = 1 << 20;

fn deployed(name: &str) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    root.join(".deploy/images").join(name)
}

/// The profile that ships with the images.
pub(super) fn seccomp() -> Value {
    serde_json::from_slice(&fs::read(deployed("seccomp.json")).unwrap()).unwrap()
}

/// What a command said, which has to have succeeded.
fn said(command: &mut Command) -> String {
    let output: Output = command.output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {errors}");
    String::from_utf8(output.stdout).unwrap()
}

/// The images, in a store of their own that is gone with them.
pub(super) struct Images {
    folder: TempDir,
}

/// An image, laid out.
pub(super) struct Image {
    pub(super) root: PathBuf,
    pub(super) config: Value,
}

impl Images {
    /// Builds all of them.
    ///
    /// # Errors
    /// What is missing on this machine.
    pub(super) fn build() -> Result<Self, String> {
        for program in ["buildah", "runc"] {
            if Command::new(program).arg("--version").output().is_err() {
                return Err(format!("there is no {program}; apt install {program}"));
            }
        }
        if !rustix::process::geteuid().is_root() {
            return Err("containers without user namespaces are root's".to_owned());
        }
        let images = Self {
            folder: tempfile::tempdir().unwrap(),
        };
        let mut build = Command::new(deployed("build"));
        build
            .arg(binary("driver").parent().unwrap())
            .arg(images.path("stage"))
            .arg(VERSION);
        said(build.args(images.store()).env("IMAGE_BUILDER", "buildah"));
        Ok(images)
    }

    pub(super) fn folder(&self) -> &Path {
        self.folder.path()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn store(&self) -> Vec<String> {
        let option = |name: &str, folder: &str| format!("--{name}={}", self.path(folder).display());
        vec![
            option("root", "store"),
            option("runroot", "run"),
            "--storage-driver=vfs".to_owned(),
        ]
    }

    fn buildah(&self, arguments: &[&str]) -> String {
        let mut command = Command::new("buildah");
        said(command.args(self.store()).args(arguments))
            .trim()
            .to_owned()
    }

    /// Lays an image out, each time anew.
    pub(super) fn image(&self, name: &str) -> Image {
        let tag = format!("dlts/{name}:v{VERSION}");
        let container = self.buildah(&["from", "--pull-never", &tag]);
        let root = PathBuf::from(self.buildah(&["mount", &container]));
        let facts = self.buildah(&["inspect", "--type", "image", &tag]);
        let facts: Value = serde_json::from_str(&facts).unwrap();
        Image {
            root,
            config: facts["Docker"]["config"].clone(),
        }
    }

    /// Starts a container of an image, with settings beside those of the image.
    pub(super) fn start(&self, image: &str, id: &str, settings: &[(&str, &str)]) -> Container {
        let image = self.image(image);
        let bundle = self.path(&format!("bundle-{id}"));
        fs::create_dir(&bundle).unwrap();
        let spec = specification(&image, &bundle, settings);
        fs::write(bundle.join("config.json"), spec.to_string()).unwrap();
        // Ids are known to the whole machine, by their control groups.
        let id = format!("dlts-{}-{id}", std::process::id());
        let state = self.path("runc");
        let mut run = Command::new("runc");
        run.arg("--root")
            .arg(&state)
            .arg("run")
            .arg("--bundle")
            .arg(&bundle)
            .arg(&id);
        let process = Process::spawn(self.folder.path(), &id, &mut run);
        Container {
            process,
            id,
            state,
            health: image.config["Healthcheck"]["Test"].clone(),
        }
    }
}

/// What an engine would make of an image, but for a network and control groups of its own.
fn specification(image: &Image, bundle: &Path, settings: &[(&str, &str)]) -> Value {
    let config = &image.config;
    let (user, group) = config["User"].as_str().unwrap().split_once(':').unwrap();
    let [user, group] = [user, group].map(|id| id.parse::<u32>().unwrap());
    let mut environment = config["Env"].as_array().unwrap().clone();
    environment.extend(
        settings
            .iter()
            .map(|(name, value)| json!(format!("{name}={value}"))),
    );
    let mut mounts = vec![
        json!({"destination": "/proc", "type": "proc", "source": "proc"}),
        json!({"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "mode=755"]}),
    ];
    let folder = config["WorkingDir"]
        .as_str()
        .filter(|folder| !folder.is_empty());
    if let Some(folder) = folder.filter(|folder| *folder != "/") {
        let volume = bundle.join("volume");
        fs::create_dir(&volume).unwrap();
        chown(&volume, Some(user), Some(group)).unwrap();
        mounts.push(json!({"destination": folder, "type": "bind", "source": volume, "options": ["bind", "rw"]}));
    }
    let limit = json!({"type": "RLIMIT_MEMLOCK", "hard": MEMLOCK_BYTES, "soft": MEMLOCK_BYTES});
    let namespaces: Vec<Value> = ["pid", "mount", "ipc", "uts"]
        .iter()
        .map(|kind| json!({"type": kind}))
        .collect();
    json!({
        "ociVersion": "1.0.2",
        "process": {
            "terminal": false,
            "user": {"uid": user, "gid": group},
            "args": config["Entrypoint"],
            "env": environment,
            "cwd": folder.unwrap_or("/"),
            "noNewPrivileges": true,
            "rlimits": [limit],
        },
        "root": {"path": image.root, "readonly": true},
        "mounts": mounts,
        "linux": {"namespaces": namespaces, "seccomp": seccomp()},
    })
}

/// A container that runs; killed and forgotten when it goes out of scope.
pub(super) struct Container {
    /// `runc`, which ends with the container and as it did.
    pub(super) process: Process,
    id: String,
    state: PathBuf,
    health: Value,
}

impl Container {
    fn runc(&self) -> Command {
        let mut command = Command::new("runc");
        command.arg("--root").arg(&self.state);
        command
    }

    /// Does what an engine does for the image's health check.
    pub(super) fn assert_healthy(&self, settings: &[(&str, &str)]) {
        let mut check = self.runc();
        check.arg("exec");
        for (name, value) in settings {
            check.arg("--env").arg(format!("{name}={value}"));
        }
        check.arg(&self.id);
        check.args(
            self.health.as_array().unwrap()[1..]
                .iter()
                .map(|part| part.as_str().unwrap()),
        );
        said(&mut check);
    }

    /// Sends a signal to its first process.
    pub(super) fn signal(&self, signal: Signal) {
        said(
            self.runc()
                .arg("kill")
                .arg(&self.id)
                .arg(signal.as_raw().to_string()),
        );
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        // One that has ended is gone already.
        let _ = self
            .runc()
            .arg("delete")
            .arg("--force")
            .arg(&self.id)
            .output();
    }
}
