//! A site for the documents in bench/documents: it answers their requests and notes each one that is
//! not what its document says.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use crate::server::Server;

/// The secret that a client of the API has.
pub(crate) const SECRET: &str = "s&c ret";
/// It as a value of a form.
const SECRET_IN_FORM: &str = "s%26c+ret";

/// The site, and what it found wrong.
pub(crate) struct Site {
    pub(crate) server: Server,
    books: Arc<Mutex<Books>>,
}

/// What it remembers.
#[derive(Default)]
struct Books {
    wrong: Vec<String>,
    /// Pages of the mix, by number.
    pages: [u64; 11],
    /// Names, numbers and ids that may come once only.
    once: BTreeSet<String>,
    sessions: u64,
    /// How often each job was asked for.
    jobs: Vec<u32>,
}

/// A request taken apart.
struct Request {
    method: String,
    path: String,
    query: String,
    head: String,
    body: String,
    body_len: usize,
}

impl Site {
    pub(crate) fn start() -> Self {
        let books = Arc::new(Mutex::new(Books::default()));
        let shared = Arc::clone(&books);
        let server = Server::start(move |peer| {
            while let Some(bytes) = peer.request() {
                let request = Request::of(&bytes);
                let answer = shared.lock().unwrap().answer(&request);
                if !peer.send(&answer) {
                    return;
                }
            }
        });
        Self { server, books }
    }

    /// What was wrong so far, which is forgotten.
    pub(crate) fn complaints(&self) -> Vec<String> {
        std::mem::take(&mut self.books.lock().unwrap().wrong)
    }

    /// How often each page of the mix was asked for.
    pub(crate) fn pages(&self) -> Vec<u64> {
        self.books.lock().unwrap().pages[1..].to_vec()
    }
}

impl Request {
    fn of(bytes: &[u8]) -> Self {
        let at = bytes.windows(4).position(|four| four == b"\r\n\r\n");
        let (head, body) = bytes.split_at(at.unwrap() + 4);
        let head = String::from_utf8_lossy(head).into_owned();
        let mut line = head.lines().next().unwrap().split(' ');
        let method = line.next().unwrap().to_owned();
        let target = line.next().unwrap();
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let (path, query) = (path.to_owned(), query.to_owned());
        Self {
            method,
            path,
            query,
            head,
            body: String::from_utf8_lossy(body).into_owned(),
            body_len: body.len(),
        }
    }

    fn header(&self, name: &str) -> &str {
        let fields = self.head.lines().skip(1);
        let mut fields = fields.filter_map(|line| line.split_once(": "));
        let found = fields.find(|(known, _)| known.eq_ignore_ascii_case(name));
        found.map_or("", |(_, value)| value)
    }

    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_default()
    }

    fn form(&self, name: &str) -> &str {
        let mut pairs = self.body.split('&').filter_map(|pair| pair.split_once('='));
        let found = pairs.find(|(known, _)| *known == name);
        found.map_or("", |(_, value)| value)
    }
}

fn answer(status: &str, fields: &str, body: &str) -> Vec<u8> {
    let len = body.len();
    format!("HTTP/1.1 {status}\r\n{fields}Content-Length: {len}\r\n\r\n{body}").into_bytes()
}

fn ok(body: &impl ToString) -> Vec<u8> {
    answer("200 OK", "", &body.to_string())
}

impl Books {
    fn expect(&mut self, request: &Request, what: &str, holds: bool) {
        if !holds && self.wrong.len() < 20 {
            let Request { head, body, .. } = request;
            let body: String = body.chars().take(300).collect();
            self.wrong.push(format!("{what}:\n{head}{body}"));
        }
    }

    fn expect_once(&mut self, request: &Request, what: &str) {
        let is_new = self.once.insert(what.to_owned());
        self.expect(request, &format!("{what} came twice"), is_new);
    }

    fn answer(&mut self, request: &Request) -> Vec<u8> {
        let path: Vec<&str> = request.path.split('/').skip(1).collect();
        match (request.method.as_str(), path.as_slice()) {
            ("GET", ["" | "front" | "page"]) => ok(&"page"),
            ("GET", ["p", number]) => {
                self.pages[number.parse::<usize>().unwrap()] += 1;
                ok(&"page")
            }
            ("GET", ["a", number]) => self.logged(request, number),
            ("GET", ["style.css"]) => self.style(request),
            ("POST", ["hits"]) => self.hit(request),
            ("POST", ["graphql"]) => self.graphql(request),
            (_, ["login" | "logout"] | ["home", _]) => self.form_site(request, &path),
            (_, ["jobs", ..]) => self.job(request, &path),
            (_, ["shop", "v2", rest @ ..]) => self.shop(request, rest),
            ("POST", ["oauth", "token"]) => self.token(request),
            ("GET", ["api", "orders", ..]) => {
                let is_known = request.header("authorization") == "Bearer T";
                self.expect(request, "the token", is_known);
                ok(&json!({"orders": [{"id": 1}]}))
            }
            (_, ["files", number]) => self.file(request, number),
            _ => {
                self.expect(request, "nothing is here", false);
                answer("404 Not Found", "", "")
            }
        }
    }

    fn logged(&mut self, request: &Request, number: &str) -> Vec<u8> {
        let line = request.query.rsplit("n=").next().unwrap_or_default();
        let line: u32 = line.parse().unwrap_or(u32::MAX);
        let agent = format!("Browser/{} (X11; é)", line % 7);
        let holds = request.header("user-agent") == agent
            && number == (line % 17).to_string()
            && !request.query.contains(' ');
        self.expect(request, "a line of the log", holds);
        ok(&"logged")
    }

    fn style(&mut self, request: &Request) -> Vec<u8> {
        let is_instant = request.query.len() > 10 && request.query.starts_with("v=1");
        self.expect(request, "v is an instant", is_instant);
        let head = &request.head;
        let takes_css = head.contains("text/css") && head.contains("*/*;q=0.1");
        self.expect(request, "two kinds are accepted", takes_css);
        ok(&"a{}")
    }

    fn hit(&mut self, request: &Request) -> Vec<u8> {
        let is_kept = request.body.contains(r#"["page",1.50,true,null]"#);
        self.expect(request, "numbers stay as they are written", is_kept);
        self.expect_once(request, &format!("hit {}", request.json()["who"]));
        ok(&"counted")
    }

    fn graphql(&mut self, request: &Request) -> Vec<u8> {
        let query = request.json();
        let kind = request.header("content-type");
        self.expect(request, "JSON", kind == "application/json");
        if query["operationName"] == "Order" {
            let text = query["query"].as_str().unwrap_or_default();
            self.expect(
                request,
                "$ stays",
                text.starts_with("query Order($id: ID!)"),
            );
            let id = query["variables"]["id"].as_str().unwrap_or_default();
            self.expect(request, "an id", ["1", "2", "3"].contains(&id));
            return ok(&json!({"data": {"order": {"id": id, "items": []}}}));
        }
        let n = query["variables"]["n"].as_u64().unwrap_or_default();
        self.expect(request, "n", (1..=9).contains(&n));
        ok(&json!({"data": {"note": n}}))
    }

    fn form_site(&mut self, request: &Request, path: &[&str]) -> Vec<u8> {
        let sid = request.header("cookie").strip_prefix("sid=");
        let sid = sid.unwrap_or_default().to_owned();
        match (request.method.as_str(), path) {
            ("GET", ["login"]) => {
                self.sessions += 1;
                let sid = self.sessions;
                let cookie = format!("Set-Cookie: sid={sid}; Path=/; HttpOnly\r\n");
                let form = format!(r#"<input name="csrf" value="c{sid}">"#);
                answer("200 OK", &cookie, &form)
            }
            ("POST", ["login"]) => {
                let is_its = request.form("csrf") == format!("c{sid}");
                self.expect(request, "the hidden field of the session", is_its);
                let is_user = request.form("user").starts_with("user")
                    && request.form("password").starts_with("p%2C");
                self.expect(request, "a row of the users", is_user);
                let home = format!("Location: /home/{sid}\r\n");
                answer("303 See Other", &home, "")
            }
            ("GET", ["home", of]) => {
                self.expect(request, "the cookie", *of == sid && !sid.is_empty());
                ok(&"<p>Welcome</p>")
            }
            _ => {
                self.expect(request, "the cookie", !sid.is_empty());
                answer("204 No Content", "", "")
            }
        }
    }

    fn job(&mut self, request: &Request, path: &[&str]) -> Vec<u8> {
        if request.method == "POST" {
            self.expect(request, "a size", request.json() == json!({"size": 3}));
            self.jobs.push(0);
            let id = self.jobs.len() - 1;
            return answer("202 Accepted", "", &json!({"id": id}).to_string());
        }
        let Some(asked) = path[1].parse().ok().and_then(|id: usize| self.jobs.get(id)) else {
            self.expect(request, "a job that was started", false);
            return answer("404 Not Found", "", "");
        };
        let asked = *asked;
        if path.len() == 3 {
            self.expect(request, "the job is done", asked == 3);
            return ok(&"result");
        }
        self.expect(request, "asked after it was done", asked < 3);
        self.jobs[path[1].parse::<usize>().unwrap()] += 1;
        let state = if asked == 2 { "done" } else { "running" };
        ok(&json!({"state": state}))
    }

    fn shop(&mut self, request: &Request, path: &[&str]) -> Vec<u8> {
        let accepts = request.header("accept") == "application/json";
        self.expect(request, "the default header", accepts);
        let skus = ["a1", "b2", "c3", "d4"];
        let bearer = request.header("authorization").to_owned();
        let user = bearer.strip_prefix("Bearer t-").unwrap_or_default();
        match (request.method.as_str(), path) {
            ("GET", ["items"]) => {
                let sku = request.query.strip_prefix("q=").unwrap_or_default();
                self.expect(request, "a sku", skus.contains(&sku));
                ok(&"[]")
            }
            ("GET", ["items", sku]) => {
                self.expect(request, "a sku", skus.contains(sku));
                ok(&"{}")
            }
            ("POST", ["login"]) => {
                let account = request.json();
                let user = account["user"].as_str().unwrap_or_default().to_owned();
                let password = account["password"].as_str().unwrap_or_default();
                let is_row = user.starts_with("user") && password.starts_with("p,");
                self.expect(request, "a row of the users", is_row);
                self.expect_once(request, &format!("buyer {user}"));
                let fields = format!("X-CSRF: x-{user}\r\n");
                let body = json!({"token": format!("t-{user}"), "user": user});
                answer("200 OK", &fields, &body.to_string())
            }
            ("POST", ["cart"]) => {
                let cart = request.json();
                let holds = request.header("x-csrf") == format!("x-{user}")
                    && skus.contains(&cart["sku"].as_str().unwrap_or_default())
                    && (1..=5).contains(&cart["n"].as_i64().unwrap_or_default());
                self.expect(request, "a cart of the session", holds);
                self.expect_once(request, &format!("cart {}", cart["id"]));
                ok(&json!({"items": 1}))
            }
            _ => {
                let holds = request.form("card") == "4242+4242" && request.form("name") == user;
                self.expect(request, "an order of the session", holds);
                answer("201 Created", "", "")
            }
        }
    }

    fn token(&mut self, request: &Request) -> Vec<u8> {
        let holds = request.form("grant_type") == "client_credentials"
            && request.form("client_secret") == SECRET_IN_FORM
            && request.header("x-client") == "dlts";
        self.expect(request, "the client and its secret", holds);
        ok(&json!({"access_token": "T", "expires_in": 60}))
    }

    fn file(&mut self, request: &Request, number: &str) -> Vec<u8> {
        let (place, tag) = (format!("/files/{number}"), format!("\"e{number}\""));
        if request.method == "PUT" {
            self.expect(request, "the whole file", request.body_len == 20_000);
            self.expect_once(request, &format!("file {number}"));
            let id = request.header("x-request-id").to_owned();
            self.expect(request, "a UUID", id.len() == 36);
            self.expect_once(request, &format!("request {id}"));
            let fields = format!("Location: {place}\r\nETag: {tag}\r\n");
            return answer("201 Created", &fields, "");
        }
        self.expect(request, "the tag", request.header("if-match") == tag);
        let kind = "Content-Type: application/octet-stream\r\n";
        answer("200 OK", kind, "bytes")
    }
}
