//! Documents whose steps go to several servers; what each of them saw is the truth.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::rig::own_the_cores;
use crate::server::{OK, Server};

/// A document in a folder of its own.
struct Document {
    _folder: tempfile::TempDir,
    file: PathBuf,
}

impl Document {
    fn new(text: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("test.yaml");
        std::fs::write(&file, text).unwrap();
        Self {
            _folder: folder,
            file,
        }
    }

    fn driver(&self, command: &str) -> Command {
        let mut driver = Command::new(env!("CARGO_BIN_EXE_driver"));
        driver.arg(command).arg(&self.file).stdin(Stdio::null());
        driver
    }

    /// Runs it; its exit code, its result and what was said beside.
    fn run(&self) -> (Option<i32>, Value, String) {
        let output = self.driver("run").arg("--json").output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        let result = serde_json::from_slice(&output.stdout).unwrap_or_default();
        (output.status.code(), result, said)
    }
}

/// Of a step of a result, one of its numbers.
fn step(result: &Value, name: &str, figure: &str) -> u64 {
    let mut steps = result["steps"].as_array().unwrap().iter();
    let found = steps.find(|step| step["name"] == name);
    let found = found.unwrap_or_else(|| panic!("no step {name} in {result}"));
    found[figure].as_u64().unwrap()
}

/// The URL of a server without its path.
fn origin(server: &Server) -> String {
    format!("http://{}", server.address)
}

/// A server that answers as `answer` says, and keeps what it finds wrong.
fn watching(
    wrong: &Arc<Mutex<Vec<String>>>,
    answer: impl Fn(&str) -> (bool, &'static str) + Send + Sync + 'static,
) -> Server {
    let wrong = Arc::clone(wrong);
    Server::start(move |peer| {
        while let Some(bytes) = peer.request() {
            let request = String::from_utf8_lossy(&bytes);
            let (holds, answer) = answer(&request);
            if !holds {
                wrong.lock().unwrap().push(request.into_owned());
            }
            if !peer.send(answer.as_bytes()) {
                return;
            }
        }
    })
}

const TOKEN: &str =
    "HTTP/1.1 200 OK\r\nSet-Cookie: sid=1\r\nContent-Length: 13\r\n\r\n{\"token\":\"T\"}";
const ORDERS: &str = "HTTP/1.1 200 OK\r\nSet-Cookie: shop=2\r\nContent-Length: 2\r\n\r\n[]";

/// A login at one server whose token is used at another.
fn login_and_shop() -> (Server, Server, Document, Arc<Mutex<Vec<String>>>) {
    let wrong = Arc::new(Mutex::new(Vec::new()));
    let shop = watching(&wrong, |request| {
        let has_token = request.contains("Authorization: Bearer T\r\n");
        let first = request.starts_with("GET /base/orders ");
        let cookie = if first { "" } else { "Cookie: shop=2\r\n" };
        let has_cookie = request.contains(cookie) && !request.contains("sid");
        (has_token && has_cookie, ORDERS)
    });
    let login = watching(&wrong, |request| {
        let is_login = request.starts_with("POST /login ") && !request.contains("Cookie");
        let has_cookie = request.contains("Cookie: sid=1\r\n") && !request.contains("shop");
        let is_me = request.starts_with("GET /me?x=1 ") && has_cookie;
        (is_login || is_me, TOKEN)
    });
    let (at_shop, at_login) = (origin(&shop), origin(&login));
    let document = Document::new(&format!(
        "target: {at_shop}/base\ndefaults: {{connections: 3}}\nsteps:\n\
         - {{name: login, POST: {at_login}/login, body: x, extract: {{token: json $.token}}}}\n\
         - {{name: orders, GET: /orders, headers: {{Authorization: Bearer $token}}}}\n\
         - {{name: me, GET: '{at_login}/me?x=1'}}\n\
         - {{name: again, GET: '{at_shop}/again', headers: {{Authorization: Bearer $token}}}}\n\
         load: {{closed: 4, sessions: 50}}\n"
    ));
    (shop, login, document, wrong)
}

#[test]
fn a_session_takes_a_token_from_one_server_to_another_and_no_cookie() {
    let _cores = own_the_cores();
    let (shop, login, document, wrong) = login_and_shop();
    let (code, result, said) = document.run();
    assert_eq!(*wrong.lock().unwrap(), Vec::<String>::new());
    assert_eq!(code, Some(0), "{said}");
    for name in ["login", "orders", "me", "again"] {
        assert_eq!(step(&result, name, "ok"), 50, "{result}");
    }
    assert_eq!(
        (result["planned"].as_u64(), result["ok"].as_u64()),
        (Some(200), Some(200))
    );
    assert_eq!(result["accounting"]["holds"], true, "{result}");
    assert_eq!((shop.requests(), login.requests()), (100, 100));
    assert_eq!((shop.connections(), login.connections()), (3, 3));
    let servers = result["nodes"][0]["servers"].as_array().unwrap();
    let named = servers
        .iter()
        .map(|server| server["server"].as_str().unwrap());
    assert_eq!(named.collect::<Vec<_>>(), [origin(&shop), origin(&login)]);
    assert_eq!(servers[1]["http"], "1.1");
    assert_eq!(servers[1]["addresses"][0], login.address.to_string());
    let addresses = result["nodes"][0]["addresses"].as_array().unwrap();
    assert_eq!(addresses.len(), 2, "{result}");
}

#[test]
fn a_session_over_several_servers_is_spoken_aloud() {
    let (shop, login, document, wrong) = login_and_shop();
    let output = document.driver("try").output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert_eq!(*wrong.lock().unwrap(), Vec::<String>::new());
    assert_eq!((shop.requests(), login.requests()), (2, 2));
    assert_eq!((shop.connections(), login.connections()), (1, 1), "{said}");
    for server in [&shop, &login] {
        let connected = format!("* connected to {}", server.address);
        assert_eq!(said.matches(&connected).count(), 1, "{said}");
    }
}

#[test]
fn a_server_that_refuses_connections_at_the_start_is_named_and_nobody_gets_load() {
    let _cores = own_the_cores();
    let there = Server::answering(OK);
    let gone = Server::answering(OK).address;
    let document = Document::new(&format!(
        "target: {}\nsteps: [GET /, GET http://{gone}/x]\nload: {{closed: 1, for: 1s}}\n",
        there.url()
    ));
    let (code, _, said) = document.run();
    assert_eq!(code, Some(1), "{said}");
    let named = format!("no connection to 127.0.0.1 port {}", gone.port());
    assert!(said.contains(&named), "{said}");
    assert_eq!(there.requests(), 0);
}

/// Runs a document of a flow to each of two servers, of which one goes away once it has had `after`
/// requests.
fn run_while_one_leaves(load: &str, after: u64) -> (Value, Server, String) {
    let stays = Server::answering(OK);
    let is_leaving = Arc::new(AtomicBool::new(false));
    let told = Arc::clone(&is_leaving);
    let leaves = Server::start(move |peer| {
        while peer.request().is_some() {
            if told.load(Ordering::SeqCst) || !peer.send(OK) {
                return;
            }
        }
    });
    let address = leaves.address;
    let document = Document::new(&format!(
        "target: {}\ndefaults: {{timeout: 2s, connections: 4}}\nflows:\n\
         - {{name: a, steps: [{{name: stays, GET: /}}, {{think: 5ms}}]}}\n\
         - {{name: b, steps: [{{name: leaves, GET: 'http://{address}/'}}, {{think: 5ms}}]}}\n\
         load: {load}\n",
        stays.url()
    ));
    let driver = document
        .driver("run")
        .arg("--json")
        .stdout(Stdio::piped())
        .spawn();
    let driver = driver.unwrap();
    let begin = Instant::now();
    while leaves.requests() < after {
        assert!(begin.elapsed() < Duration::from_secs(20), "no load came");
        std::thread::sleep(Duration::from_millis(1));
    }
    is_leaving.store(true, Ordering::SeqCst);
    drop(leaves);
    let output = driver.wait_with_output().unwrap();
    let result: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(result["accounting"]["holds"], true, "{result}");
    let of = |name: &str| result[name].as_u64().unwrap();
    let ended = of("ok") + errors(&result) + of("aborted");
    assert_eq!(of("sent"), ended, "{result}");
    let unsent = of("shed") + of("refused") + of("not_sent");
    assert_eq!(of("planned"), of("sent") + unsent, "{result}");
    for flow in result["flows"].as_array().unwrap() {
        let of = |name: &str| flow[name].as_u64().unwrap();
        let ended = of("completed") + of("failed") + of("cut");
        assert_eq!(of("started"), ended, "{flow}");
    }
    (result, stays, address.to_string())
}

#[test]
fn steps_to_others_go_on_while_one_server_is_away_in_an_open_loop() {
    let _cores = own_the_cores();
    let load = "{open: 400/s, for: 3s}";
    let (result, stays, gone) = run_while_one_leaves(load, 100);
    // What falls due while the core is held up at the very end is of no run any more.
    let planned = result["planned"].as_u64().unwrap();
    assert!((1100..=1200).contains(&planned), "{result}");
    let good = step(&result, "stays", "ok");
    assert_eq!(good, stays.requests(), "{result}");
    assert!(good.abs_diff(planned / 2) <= 20, "{result}");
    let refused = result["refused"].as_u64().unwrap();
    assert!((300..=500).contains(&refused), "{result}");
    let left = step(&result, "leaves", "ok") + refused + errors(&result);
    assert_eq!(
        good + left + result["not_sent"].as_u64().unwrap(),
        planned,
        "{result}"
    );
    let reasons = result["reasons"].to_string();
    assert!(
        reasons.contains(&format!("{gone}: Connection refused")),
        "{reasons}"
    );
}

fn errors(result: &Value) -> u64 {
    let errors = result["errors"].as_object().unwrap();
    errors.values().map(|count| count.as_u64().unwrap()).sum()
}

#[test]
fn a_closed_session_waits_for_a_server_that_is_away_and_then_goes_on_with_others() {
    let _cores = own_the_cores();
    // So many that after the wait one of them goes to the other server, however they are mixed.
    let load = "{closed: 24, for: 8s}";
    let (result, stays, _) = run_while_one_leaves(load, 100);
    assert_eq!(result["state"], "done", "{result}");
    assert_eq!(step(&result, "stays", "ok"), stays.requests());
    // All wait in the end, are refused after 5 s, and go on until they wait again.
    let refused = result["refused"].as_u64().unwrap();
    assert!((1..=48).contains(&refused), "{result}");
    let seconds = result["series"].as_array().unwrap();
    let late = seconds
        .iter()
        .filter(|row| row["second"].as_u64() >= Some(4));
    let late: u64 = late.map(|row| row["completed"].as_u64().unwrap()).sum();
    assert!(late > 0, "{result}");
}
