//! What one connection does with its requests.
//!
//! The plain `/` is dealt with first and costs one look at the headers and one add. Whatever else
//! comes in is routed by `Service::answer`.

use std::io::{self, BufRead, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use may_minihttp::{HttpService, HttpServiceFactory, Request, Response};
use serde_json::json;

use crate::capacity::{Capacity, Over};
use crate::counters::{Counters, PLAIN_BODY, Shard};
use crate::prometheus;
use crate::query::{self, Plan, QueryError, Weighted};
use crate::sockets;

const TEXT: &str = "Content-Type: text/plain";
const JSON: &str = "Content-Type: application/json";
const KEEP_ALIVE: &str = "Connection: keep-alive";

/// Makes a [`Service`] for each connection.
#[derive(Debug)]
pub struct Factory {
    /// The counters that all connections add to.
    pub counters: Arc<Counters>,
    /// The capacity that all connections share.
    pub capacity: Arc<Capacity>,
}

/// One connection's view of the server.
#[derive(Debug)]
pub struct Service {
    counters: Arc<Counters>,
    capacity: Arc<Capacity>,
    descriptor: usize,
    random: fastrand::Rng,
    /// The last query, read: a load test sends the same one again and again.
    told: (String, Plan),
}

struct Answer {
    status: u16,
    content_type: &'static str,
    body: Body,
    counted: bool,
}

enum Body {
    Static(&'static str),
    Owned(Vec<u8>),
}

impl HttpServiceFactory for Factory {
    type Service = Service;

    fn new_service(&self, descriptor: usize) -> Service {
        self.counters.shard(descriptor).count_opened();
        Service {
            counters: Arc::clone(&self.counters),
            capacity: Arc::clone(&self.capacity),
            descriptor,
            random: fastrand::Rng::new(),
            told: (String::new(), Plan::default()),
        }
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.shard().count_closed();
    }
}

impl HttpService for Service {
    fn call(&mut self, request: Request, response: &mut Response) -> io::Result<()> {
        if request.version() == 0 {
            // Without it a client of HTTP/1.0, such as `ab -k`, waits for a close that never comes.
            response.header(KEEP_ALIVE);
        }
        if request.path() == "/" && request.method() == "GET" && has_no_body(&request) {
            self.shard().count_plain();
            response.header(TEXT).body(PLAIN_BODY);
            return Ok(());
        }
        let target = request.path().to_owned();
        let is_head = request.method() == "HEAD";
        let answer = if let Some(mut refusal) = unreadable_body(&request) {
            self.shard().count_request();
            if self.send_last(&refusal).is_some() {
                self.shard()
                    .count_response(refusal.status, refusal.body.len());
                return Ok(());
            }
            refusal.counted = false;
            refusal
        } else {
            self.shard().count_body_in(drain(request));
            self.answer(&target)
        };
        self.give(answer, is_head, response);
        Ok(())
    }
}

impl Service {
    fn shard(&self) -> &Shard {
        self.counters.shard(self.descriptor)
    }

    fn answer(&mut self, target: &str) -> Answer {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let reading = matches!(path, "/metric" | "/metrics");
        if !reading {
            self.shard().count_request();
        }
        match path {
            "/" => self.as_told(query).unwrap_or_else(|error| refusal(&error)),
            "/ping" => Answer::json(200, Body::Static(r#"{"message":"pong"}"#)),
            "/metric" => Answer::reading(TEXT, self.counters.requests().to_string()),
            "/metrics" => Answer::reading(
                prometheus::CONTENT_TYPE,
                prometheus::render(&self.counters.totals(), &self.capacity.figures()),
            ),
            _ => Answer::error(404, &format!("no such path: {path}"), PATHS),
        }
    }

    fn as_told(&mut self, query: &str) -> Result<Answer, QueryError> {
        if self.told.0 != query {
            self.told = (query.to_owned(), query::parse(query)?);
        }
        let plan = &self.told.1;
        if let Err(status) = wait_for_turn(plan, &self.capacity, &mut self.random) {
            return Ok(Answer {
                status,
                content_type: TEXT,
                body: Body::Static(REFUSED_BODY),
                counted: true,
            });
        }
        if let Some(delay) = draw(plan.delay.as_ref(), &mut self.random) {
            may::coroutine::sleep(delay);
        }
        let body =
            draw(plan.size.as_ref(), &mut self.random).map_or(Body::Static(PLAIN_BODY), fill);
        let status = draw(plan.status.as_ref(), &mut self.random).unwrap_or(200);
        Ok(Answer {
            status,
            content_type: TEXT,
            body,
            counted: true,
        })
    }

    /// Sends an answer at once and ends our side of the connection. `None` when that fails.
    fn send_last(&self, answer: &Answer) -> Option<()> {
        let descriptor = i32::try_from(self.descriptor).ok()?;
        let mut stream = TcpStream::from(sockets::duplicate(descriptor)?);
        let (status, body) = (answer.status, answer.body.as_bytes());
        let mut text = format!(
            "HTTP/1.1 {status} {}\r\n{}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
            reason(status),
            answer.content_type,
            body.len()
        )
        .into_bytes();
        text.extend_from_slice(body);
        // It does not block; a client that has left no room for so little does not read either.
        stream.write_all(&text).ok()?;
        stream.shutdown(Shutdown::Write).ok()
    }

    fn give(&self, answer: Answer, is_head: bool, response: &mut Response) {
        let bodiless = is_head || matches!(answer.status, 204 | 304);
        let body = if bodiless {
            Body::Static("")
        } else {
            answer.body
        };
        if answer.counted {
            self.shard().count_response(answer.status, body.len());
        }
        response.status_code(answer.status.into(), reason(answer.status));
        response.header(answer.content_type);
        match body {
            Body::Static(text) => response.body(text),
            Body::Owned(bytes) => response.body_vec(bytes),
        }
    }
}

/// Waits for a token and for a turn, as far as the plan asks for them. The error is the status of
/// the refusal.
fn wait_for_turn(plan: &Plan, capacity: &Capacity, random: &mut fastrand::Rng) -> Result<(), u16> {
    if let Some(limit) = plan.bucket {
        let over = plan.over.unwrap_or(Over::Status(OVERLOADED));
        let status = match over {
            Over::Status(status) => status,
            Over::Delay => OVERLOADED,
        };
        sleep(capacity.take_token(limit, over).ok_or(status)?);
    }
    if let Some(service) = draw(plan.queue.as_ref(), random) {
        sleep(
            capacity
                .join_queue(service, plan.collapse)
                .ok_or(OVERLOADED)?,
        );
    }
    Ok(())
}

fn sleep(time: Duration) {
    if !time.is_zero() {
        may::coroutine::sleep(time);
    }
}

/// The status of a refusal that nobody gave another one.
const OVERLOADED: u16 = 503;
const REFUSED_BODY: &str = "Over Capacity";
const PATHS: &str = "there are /, /metric, /metrics and /ping";

impl Answer {
    fn json(status: u16, body: Body) -> Self {
        Self {
            status,
            content_type: JSON,
            body,
            counted: true,
        }
    }

    fn error(status: u16, error: &str, hint: &str) -> Self {
        let body = json!({ "error": error, "hint": hint }).to_string();
        Self::json(status, Body::Owned(body.into_bytes()))
    }

    fn reading(content_type: &'static str, text: String) -> Self {
        Self {
            status: 200,
            content_type,
            body: Body::Owned(text.into_bytes()),
            counted: false,
        }
    }
}

impl Body {
    fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Static(text) => text.as_bytes(),
            Self::Owned(bytes) => bytes,
        }
    }

    fn len(&self) -> usize {
        self.as_bytes().len()
    }
}

fn refusal(error: &QueryError) -> Answer {
    const HINT: &str = "delay and queue 0 to 60s, size 0 to 128m, status 200 to 599; \
                        a distribution is written delay=1ms:90,20ms:10; \
                        queue=1ms&collapse=100:5:1s, bucket=1000:50&over=503";
    Answer::error(400, &error.to_string(), HINT)
}

fn draw<T: Copy>(choice: Option<&Weighted<T>>, random: &mut fastrand::Rng) -> Option<T> {
    choice.map(|choice| choice.pick(random.u32(0..choice.total())))
}

/// Small bodies are slices of one shared filler, so that they cost no allocation.
fn fill(size: usize) -> Body {
    const SHARED: usize = 64 << 10;
    static FILLER: LazyLock<String> = LazyLock::new(|| "x".repeat(SHARED));
    if size <= SHARED {
        Body::Static(&FILLER[..size])
    } else {
        Body::Owned(vec![b'x'; size])
    }
}

fn has_no_body(request: &Request) -> bool {
    !request.headers().iter().any(|header| {
        header.name.eq_ignore_ascii_case("content-length")
            || header.name.eq_ignore_ascii_case("transfer-encoding")
    })
}

/// `may_minihttp` panics over a length that is no number, and knows no chunks: such a request is
/// answered without touching its body. What follows would then be parsed as a request, so the
/// answer is the connection's last.
fn unreadable_body(request: &Request) -> Option<Answer> {
    for header in request.headers() {
        let value = String::from_utf8_lossy(header.value);
        if header.name.eq_ignore_ascii_case("content-length") && value.parse::<usize>().is_err() {
            let error = format!("Content-Length '{value}' is not a number of bytes");
            return Some(Answer::error(400, &error, "send a decimal number"));
        }
        if header.name.eq_ignore_ascii_case("transfer-encoding") {
            let error = format!("Transfer-Encoding '{value}' is not supported");
            return Some(Answer::error(
                501,
                &error,
                "send the body with a Content-Length",
            ));
        }
    }
    None
}

/// Reads the body to its end, or to the end of the connection. Says how many bytes there were.
fn drain(request: Request) -> u64 {
    let mut body = request.body();
    let mut total = 0;
    while let Ok(read) = body.fill_buf().map(<[u8]>::len) {
        if read == 0 {
            break;
        }
        body.consume(read);
        total += read as u64;
    }
    total
}

fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        201 => "Created",
        202 => "Accepted",
        204 => "No Content",
        301 => "Moved Permanently",
        302 => "Found",
        304 => "Not Modified",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        429 => "Too Many Requests",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        _ => "As Told",
    }
}
