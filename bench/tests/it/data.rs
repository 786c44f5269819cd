//! Files that documents name, over a cluster: uploaded once, sent to the drivers that lack them, and
//! whole whatever is killed on the way.

use std::fmt::Write as _;
use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Command, Output};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use serde_json::Value;

use crate::cluster::process::binary;
use crate::cluster::{Cluster, Process, RUN, SOON, assert_whole, int, wait_for};

const ROWS: u64 = 1_000_000;
const SESSIONS: u64 = 300_000;

/// A target that knows which rows it has seen: `GET /123`.
struct RowTarget {
    port: u16,
    seen: Arc<Vec<AtomicU64>>,
    twice: Arc<AtomicU64>,
}

impl RowTarget {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let rows = usize::try_from(ROWS).unwrap();
        let seen: Arc<Vec<AtomicU64>> = Arc::new((0..=rows / 64).map(|_| 0.into()).collect());
        let twice = Arc::new(AtomicU64::new(0));
        let (all_seen, all_twice) = (Arc::clone(&seen), Arc::clone(&twice));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (seen, twice) = (Arc::clone(&all_seen), Arc::clone(&all_twice));
                // A driver that is through closes its connections.
                std::thread::spawn(move || drop(answer(stream, &seen, &twice)));
            }
        });
        Self { port, seen, twice }
    }

    fn seen(&self) -> u64 {
        let words = self.seen.iter();
        words
            .map(|word| u64::from(word.load(Ordering::Relaxed).count_ones()))
            .sum()
    }
}

fn answer(mut stream: TcpStream, seen: &[AtomicU64], twice: &AtomicU64) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut input = Vec::new();
    let mut chunk = [0; 4096];
    loop {
        let len = stream.read(&mut chunk)?;
        if len == 0 {
            return Ok(());
        }
        input.extend_from_slice(&chunk[..len]);
        while let Some(end) = input.windows(4).position(|four| four == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&input[..end]).into_owned();
            let row = head
                .split(['/', ' '])
                .nth(2)
                .and_then(|row| row.parse().ok());
            let row: u64 = row.unwrap_or(0);
            let bit = 1 << (row % 64);
            let at = usize::try_from(row / 64).unwrap();
            let before = seen[at].fetch_or(bit, Ordering::Relaxed);
            twice.fetch_add(u64::from(before & bit != 0), Ordering::Relaxed);
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")?;
            input.drain(..end + 4);
        }
    }
}

fn words(output: &Output) -> String {
    let (stdout, stderr) = (&output.stdout, &output.stderr);
    String::from_utf8_lossy(stdout).into_owned() + &String::from_utf8_lossy(stderr)
}

/// What the events of a process with this name say of one of their fields, together.
fn told(process: &Process, event: &str, field: &str) -> Vec<u64> {
    let events = process.events().into_iter();
    let events = events.filter(|line| line["event"] == event);
    events.map(|line| int(&line[field])).collect()
}

fn results(cluster: &Cluster) -> Vec<Value> {
    let tests = cluster.rest.get("/tests").json;
    let rows = tests
        .as_array()
        .or_else(|| tests["tests"].as_array())
        .cloned();
    let id = |row: &Value| row["test_id"].as_str().unwrap().to_owned();
    let ids: Vec<String> = rows.unwrap().iter().map(id).collect();
    ids.iter().map(|id| cluster.await_end(id)).collect()
}

#[test]
fn a_million_rows_go_to_two_drivers_once_and_no_row_is_used_twice() {
    let cluster = Cluster::start(2);
    let target = RowTarget::start();
    let mut rows = "id,name,password\n".to_owned();
    for row in 0..ROWS {
        let _ = writeln!(rows, "{row},user number {row},secret-{row:020}");
    }
    fs::write(cluster.path("users.csv"), rows).unwrap();
    let document = cluster.path("test.yaml");
    let text = format!(
        "target: http://127.0.0.1:{}\ndata: {{users: {{file: users.csv, pick: unique}}}}\n\
         steps: [GET /$users.id]\nload: {{closed: 32, sessions: {SESSIONS}}}\n",
        target.port
    );
    fs::write(&document, text).unwrap();
    let output = cluster.client(&["run", document.to_str().unwrap()]);
    assert!(words(&output).contains("users.csv: "), "{}", words(&output));
    let result = &results(&cluster)[0];
    assert_whole(result, SESSIONS, target.seen());
    assert_eq!(target.twice.load(Ordering::Relaxed), 0);
    assert_eq!(int(&result["data"][0]["left"]), ROWS - SESSIONS, "{result}");
    let nodes = result["nodes"].as_array().unwrap();
    let shares: Vec<u64> = nodes.iter().map(|node| int(&node["sent"])).collect();
    assert_eq!(shares, [SESSIONS / 2; 2]);
    for driver in &cluster.drivers {
        let bytes = told(driver, "files_fetched", "bytes");
        assert_eq!(bytes.len(), 1);
        let took_ms = told(driver, "files_fetched", "ms");
        eprintln!("{} bytes came in {} ms", bytes[0], took_ms[0]);
        assert!(!driver.output().contains("secret-"), "no content in logs");
    }
    assert!(!cluster.orchestrator.output().contains("secret-"));

    // What is there is sent to nobody again.
    let again = cluster.client(&["run", document.to_str().unwrap()]);
    assert!(!words(&again).contains("uploaded in"), "{}", words(&again));
    results(&cluster);
    for driver in &cluster.drivers {
        assert_eq!(told(driver, "files_fetched", "bytes").len(), 1);
    }
    let list = cluster.rest.get("/data").json;
    assert_eq!(list["files"][0]["name"], "users.csv", "{list}");
    assert_eq!(list["files"][0]["tests"], 2, "{list}");
}

#[test]
fn a_long_replay_is_played_exactly_by_two_drivers() {
    const REQUESTS: u64 = 200_000;
    let cluster = Cluster::start(2);
    let mut log = String::new();
    for number in 0..REQUESTS {
        let (second, size) = (number / 10_000, number.wrapping_mul(2_654_435_761) % 4096);
        let _ = writeln!(
            log,
            "1.2.3.4 - - [10/Oct/2025:13:55:{second:02} +0000] \"GET /?size={size} HTTP/1.1\" 200 1"
        );
    }
    fs::write(cluster.path("access.log"), log).unwrap();
    let document = cluster.path("day.yaml");
    let imported = Command::new(binary("driver"))
        .args(["import", "log", "--pace", "log*2.5", "--target"])
        .arg(format!("http://{}/", cluster.rest.target))
        .arg("--output")
        .args([&document, &cluster.path("access.log")])
        .output()
        .unwrap();
    assert!(imported.status.success(), "{}", words(&imported));
    assert!(fs::metadata(cluster.path("day.replay")).unwrap().len() > 64 << 10);
    let output = cluster.client(&["run", document.to_str().unwrap()]);
    let result = &results(&cluster)[0];
    assert_whole(result, REQUESTS, cluster.seen());
    assert_eq!(int(&result["planned"]), REQUESTS, "{}", words(&output));
    let nodes = result["nodes"].as_array().unwrap();
    let shares: Vec<u64> = nodes.iter().map(|node| int(&node["sent"])).collect();
    assert_eq!(shares, [REQUESTS / 2; 2]);
}

/// Rows of a long file, and the bytes of each, about.
const LONG_ROWS: usize = 3_000;
const ROW: usize = 100_000;
const LONG: u64 = 300_000_000;

/// Rows of which most is a column that nobody uses, so that the file is long and its use quick.
fn long_rows(cluster: &Cluster) -> PathBuf {
    let path = cluster.path("rows.csv");
    let mut random = fastrand::Rng::with_seed(7);
    let mut rows = "id,pad\n".to_owned();
    for row in 0..LONG_ROWS {
        let letter = char::from(random.u8(b'a'..=b'z'));
        let _ = writeln!(rows, "{row},{}", String::from(letter).repeat(ROW));
    }
    fs::write(&path, rows).unwrap();
    path
}

/// Uploads such rows, and creates a test of them for two drivers.
fn test_of_long_rows(cluster: &Cluster) -> String {
    let file = long_rows(cluster);
    let put = cluster.rest.put_file("/data/rows.csv", &file);
    assert_eq!(put.status, 200, "{}", put.text);
    let document = "data: {rows: {file: rows.csv, pick: unique}}\ndrivers: {min: 2}\n\
        steps: [\"GET /?size=$rows.id\"]\nload: {closed: 4, sessions: 1000}\n";
    let created = cluster.rest.post_json("/tests", document);
    assert_eq!(created.status, 200, "{}", created.text);
    created.json["TestId"].as_str().unwrap().to_owned()
}

/// Waits until a driver has so many bytes of its file, and not all.
fn await_middle(driver: &Process, bytes: u64) {
    wait_for(RUN, "a file on its way", || {
        let events = driver.events();
        let needs = events.iter().rev().find_map(|line| line.get("needs"))?;
        (int(&needs[0]["from"]) >= bytes).then_some(())
    });
}

/// Triggers a test, as often as it takes for two drivers to be up.
fn trigger(cluster: &Cluster, test_id: &str) {
    wait_for(RUN, "the trigger to be taken", || {
        let answer = cluster.rest.post(&format!("/trigger/{test_id}"));
        (answer.status == 200).then_some(())
    });
}

#[test]
fn a_transfer_goes_on_where_it_was_when_the_orchestrator_is_killed() {
    let mut cluster = Cluster::start(2);
    let test_id = test_of_long_rows(&cluster);
    // Both read the same pieces; who joined later has what it missed still to come.
    cluster
        .drivers
        .iter()
        .for_each(|driver| await_middle(driver, LONG / 3));
    cluster.restart_orchestrator();
    trigger(&cluster, &test_id);
    let result = cluster.await_end(&test_id);
    assert_whole(&result, 1000, cluster.seen());
    assert_eq!(result["nodes"].as_array().unwrap().len(), 2, "{result}");
    let sent: u64 = told(&cluster.orchestrator, "data_sent", "bytes")
        .iter()
        .sum();
    // A busy machine lets a window be sent again.
    assert!(sent > 0 && sent < LONG * 5 / 6, "{sent} bytes again");
}

#[test]
fn a_driver_that_is_killed_in_mid_transfer_asks_again_when_it_is_back() {
    let mut cluster = Cluster::start(2);
    let test_id = test_of_long_rows(&cluster);
    await_middle(&cluster.drivers[1], 1);
    cluster.drivers[1].kill();
    cluster.drivers.remove(1);
    cluster.add_driver("driver-2");
    trigger(&cluster, &test_id);
    let result = cluster.await_end(&test_id);
    assert_whole(&result, 1000, cluster.seen());
    assert_eq!(result["nodes"].as_array().unwrap().len(), 2, "{result}");
    let folder = fs::read_dir(cluster.path("data/driver")).unwrap();
    let paths = folder.map(|entry| entry.unwrap().path());
    let whole = paths.filter(|path| path.extension().is_none());
    assert_eq!(whole.count(), 1);
}

#[test]
fn an_orchestrator_that_is_killed_in_mid_upload_has_nothing_of_it() {
    let mut cluster = Cluster::start(0);
    let mut upload = announce(&cluster, "/data/half.csv", 1 << 30);
    let piece = vec![b'x'; 1 << 20];
    for _ in 0..16 {
        upload.write_all(&piece).unwrap();
    }
    let folder = cluster.path("data/o.files");
    wait_for(SOON, "some of it to be on the disk", || {
        let entry = fs::read_dir(&folder).unwrap().next()?.unwrap();
        (entry.metadata().unwrap().len() > 1 << 20).then_some(())
    });
    cluster.restart_orchestrator();
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 0);
    assert_eq!(cluster.rest.get("/data").json["bytes"], 0);

    // A client that goes away leaves nothing either.
    let mut upload = announce(&cluster, "/data/half.csv", 1 << 30);
    upload.write_all(&piece).unwrap();
    wait_for(SOON, "it to begin", || {
        (fs::read_dir(&folder).unwrap().count() == 1).then_some(())
    });
    drop(upload);
    wait_for(SOON, "it to be given up", || {
        (fs::read_dir(&folder).unwrap().count() == 0).then_some(())
    });
}

fn announce(cluster: &Cluster, path: &str, bytes: u64) -> TcpStream {
    let address = &cluster.rest.orchestrator;
    let mut stream = TcpStream::connect(address).unwrap();
    let head = format!("PUT {path} HTTP/1.1\r\nHost: {address}\r\nContent-Length: {bytes}\r\n\r\n");
    stream.write_all(head.as_bytes()).unwrap();
    stream
}

#[test]
fn what_cannot_be_taken_is_refused_in_words() {
    let cluster = Cluster::start(0);
    let mut long = announce(&cluster, "/data/long.csv", (1 << 30) + 1);
    let mut answer = String::new();
    long.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
    assert!(answer.contains("at most 1073741824"), "{answer}");

    // Refused by its name alone, long before it has come.
    let began = Instant::now();
    let mut wrong = announce(&cluster, "/data/..%2Fa", 1 << 30);
    let mut answer = [0; 12];
    wrong.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"HTTP/1.1 400");
    assert!(began.elapsed() < SOON);

    let file = cluster.path("a.csv");
    fs::write(&file, "id\n1\n").unwrap();
    let other = format!("/data/a.csv?sha256={}", "0".repeat(64));
    let refused = cluster.rest.put_file(&other, &file);
    assert_eq!(refused.status, 409, "{}", refused.text);
    assert_eq!(cluster.rest.get("/data").json["bytes"], 0);

    let document =
        "data: {a: {file: a.csv}}\nsteps: [GET /$a.id]\nload: {closed: 1, sessions: 1}\n";
    let refused = cluster.rest.post_json("/tests", document);
    assert_eq!(refused.status, 400, "{}", refused.text);
    assert!(refused.text.contains("PUT /data/"), "{}", refused.text);
    let put = cluster.rest.put_file("/data/a.csv", &file);
    assert_eq!(
        (put.status, &put.json["bytes"]),
        (200, &Value::from(5)),
        "{}",
        put.text
    );
    let created = cluster.rest.post_json("/tests", document);
    assert_eq!(created.status, 200, "{}", created.text);
    let named = cluster.rest.call("DELETE", "/data/a.csv");
    assert_eq!(named.status, 409, "{}", named.text);
    let test_id = created.json["TestId"].as_str().unwrap();
    assert_eq!(cluster.rest.post(&format!("/stop/{test_id}")).status, 200);
    assert_eq!(cluster.rest.call("DELETE", "/data/a.csv").status, 200);
    assert_eq!(cluster.rest.call("DELETE", "/data/a.csv").status, 404);
    assert_eq!(
        cluster.rest.get("/data").json["files"],
        serde_json::json!([])
    );
}
