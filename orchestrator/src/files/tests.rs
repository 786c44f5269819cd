//! Files that come, are found and go.

use std::os::unix::fs::PermissionsExt;

use super::*;

struct Rig {
    folder: tempfile::TempDir,
    files: Files,
}

impl Rig {
    fn new(bytes_max: u64) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let files = Files::open(&folder.path().join("o.sqlite"), bytes_max).unwrap();
        Self { folder, files }
    }

    fn put(&self, name: &str, content: &[u8]) -> Result<Stored, UploadError> {
        let upload = Upload {
            name,
            bytes: content.len() as u64,
            sha256: None,
        };
        self.files.receive(&upload, &mut &content[..])
    }

    fn entries(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.folder.path().join("o.files")).unwrap();
        entries.map(|entry| entry.unwrap().path()).collect()
    }
}

#[test]
fn a_file_is_found_by_its_content_and_by_its_name() {
    let rig = Rig::new(0);
    let first = rig.put("data/users.csv", b"id\n1\n").unwrap();
    assert_eq!(first.sha256, Sha256::of(b"id\n1\n"));
    assert_eq!((first.name.as_str(), first.bytes), ("data/users.csv", 5));
    assert_eq!(rig.files.find(&first.sha256), Some(first.clone()));
    assert_eq!(
        rig.files.named("data/users.csv").unwrap(),
        Some(first.clone())
    );
    assert_eq!(rig.files.named("users.csv").unwrap(), None);
    let again = rig.put("users.csv", b"id\n1\n").unwrap();
    assert_eq!(again.name, "users.csv");
    assert_eq!(rig.files.list().unwrap(), [again]);
    let read = Sha256::of_reader(rig.files.read(&first.sha256).unwrap());
    assert_eq!(read.unwrap(), (first.sha256, 5));
    for path in rig.entries() {
        let mode = fs::metadata(path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
    rig.files.remove(&first.sha256).unwrap();
    rig.files.remove(&first.sha256).unwrap();
    assert!(rig.files.list().unwrap().is_empty() && rig.entries().is_empty());
}

#[test]
fn the_newest_of_a_name_counts() {
    let rig = Rig::new(0);
    let old = rig.put("a", b"old").unwrap();
    let path = rig.files.path(&old.sha256);
    for path in [path.with_extension(NAME), path] {
        let file = File::open(path).unwrap();
        file.set_modified(UNIX_EPOCH + Duration::from_secs(1))
            .unwrap();
    }
    let new = rig.put("a", b"new").unwrap();
    assert_eq!(rig.files.named("a").unwrap(), Some(new.clone()));
    let shas: Vec<Sha256> = rig.files.list().unwrap().iter().map(|f| f.sha256).collect();
    assert_eq!(shas, [old.sha256, new.sha256]);
    rig.files.touch(&old.sha256);
    assert!(rig.files.find(&old.sha256).unwrap().used_unix_ms > 1000);
    let newest = rig.files.named("a").unwrap().unwrap();
    assert_eq!(newest.sha256, new.sha256, "a use is no upload");
}

#[test]
fn what_is_not_taken_leaves_nothing() {
    let rig = Rig::new(10);
    let upload = |bytes, sha256| Upload {
        name: "a",
        bytes,
        sha256,
    };
    let receive = |upload: &Upload<'_>, mut body: &[u8]| rig.files.receive(upload, &mut body);
    let cut = receive(&upload(5, None), b"abc").unwrap_err();
    assert_eq!(cut.to_string(), "3 of 5 bytes came");
    let said = Some(Sha256::of(b"abd"));
    let other = receive(&upload(3, said), b"abc").unwrap_err();
    assert!(matches!(other, UploadError::Other(_)), "{other}");
    let long = receive(&upload(FILE_LEN_MAX + 1, None), b"").unwrap_err();
    assert!(long.to_string().contains("at most 1073741824"), "{long}");
    let full = receive(&upload(11, None), b"01234567890").unwrap_err();
    assert!(full.to_string().contains("all may have 10"), "{full}");
    assert!(rig.entries().is_empty());
    let same = Some(Sha256::of(b"0123456789"));
    for _ in 0..2 {
        assert!(receive(&upload(10, same), b"0123456789").is_ok());
    }
}

#[test]
fn what_was_on_its_way_when_the_process_was_killed_is_gone_at_the_next_start() {
    let rig = Rig::new(0);
    let kept = rig.put("a", b"a").unwrap();
    fs::write(rig.folder.path().join("o.files/x.part"), b"half").unwrap();
    let again = Files::open(&rig.folder.path().join("o.sqlite"), 0).unwrap();
    assert_eq!(again.list().unwrap(), [kept]);
    assert_eq!(rig.entries().len(), 2);
}
