//! HTTP/1.1 behind the trait that the engine speaks: what it writes, and what it tells of answers.

use super::*;
use crate::protocol::{Fields, Text, Watches};

/// What a connection was told, in order.
#[derive(Debug, Default, PartialEq, Eq)]
struct Told {
    awaited: usize,
    began: usize,
    statuses: Vec<u16>,
    fields: Vec<String>,
    body: Vec<u8>,
    /// What is looked at instead of everything.
    watches: Option<Watches>,
}

impl Sink for Told {
    fn expects(&self) -> bool {
        self.awaited > 0
    }

    fn began(&mut self, _: Key) {
        self.began += 1;
    }

    fn answered(&mut self, answered: Answered) {
        self.awaited -= 1;
        self.statuses.push(answered.status);
    }

    fn watches(&self, _: Key) -> Watches {
        self.watches.unwrap_or(Watches {
            fields: Fields::All,
            body: true,
        })
    }

    fn field(&mut self, _: Key, name: &[u8], value: &[u8]) {
        let text = String::from_utf8_lossy;
        self.fields.push(format!("{}={}", text(name), text(value)));
    }

    fn body(&mut self, _: Key, bytes: &[u8]) {
        assert!(!bytes.is_empty());
        self.body.extend_from_slice(bytes);
    }

    const WATCHES: bool = true;

    fn dropped(&mut self, _: Key, dropped: super::super::Dropped) {
        unreachable!("HTTP/1.1 drops no request by itself: {dropped:?}");
    }
}

fn template(method: &str) -> Template {
    Template {
        method: method.to_owned(),
        is_https: false,
        authority: Text::fixed("shop:80"),
        path: Text::fixed("/items"),
        headers: Vec::new(),
        body: Text::default(),
    }
}

fn written(http: &mut Http1, state: &mut State, request: usize) -> String {
    let mut out = Vec::new();
    let mut fill = |hole: usize, out: &mut Vec<u8>| {
        out.extend_from_slice("x".repeat(hole).as_bytes());
    };
    assert_eq!(http.write(state, request, &mut fill, &mut out), KEY);
    String::from_utf8(out).unwrap()
}

/// Reads these pieces with so many requests in flight.
fn told(methods: &[&str], pieces: &[&str]) -> (Told, Result<After, Malformed>, State) {
    let templates: Vec<_> = methods.iter().map(|method| template(method)).collect();
    let mut http = Http1::new(&templates);
    let mut state = http.open(0, &mut Vec::new());
    let mut told = Told::default();
    for request in 0..methods.len() {
        written(&mut http, &mut state, request);
        told.awaited += 1;
    }
    let mut after = Ok(After::GoesOn);
    for piece in pieces {
        after = http.read(&mut state, piece.as_bytes(), &mut Vec::new(), &mut told);
    }
    (told, after, state)
}

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

#[test]
fn holes_are_filled_and_a_body_with_holes_brings_its_length() {
    let mut post = template("POST");
    post.path = Text::fixed("/items/").then_hole(3);
    post.headers = vec![("X-Token".to_owned(), Text::default().then_hole(1))];
    post.body = Text::fixed("[").then_hole(9).then("]");
    let mut http = Http1::new(&[template("GET"), post]);
    let mut state = http.open(0, &mut Vec::new());
    let get = "GET /items HTTP/1.1\r\nHost: shop:80\r\n\r\n";
    assert_eq!(written(&mut http, &mut state, 0), get);
    assert_eq!(
        written(&mut http, &mut state, 1),
        "POST /items/xxx HTTP/1.1\r\nHost: shop:80\r\nX-Token: x\r\nContent-Length: 11\r\n\r\n\
         [xxxxxxxxx]"
    );
    assert_eq!(http.as_fixed(0), Some(get.as_bytes()));
    assert_eq!(http.as_fixed(1), None);
}

#[test]
fn answers_are_told_in_order_and_the_first_byte_of_a_late_one_once() {
    let statuses = [200, 404];
    let not_found = "HTTP/1.1 404 No\r\nContent-Length: 3\r\n\r\n";
    let (found, after, _) = told(
        &["GET"; 3],
        &[&format!("{OK}HTTP/1."), "1 404 No\r\nContent-Le"],
    );
    assert_eq!((found.began, &found.statuses[..]), (1, &statuses[..1]));
    assert_eq!(after, Ok(After::GoesOn));
    let (found, ..) = told(&["GET"; 2], &[&format!("{OK}{not_found}ab"), "c"]);
    assert_eq!((found.began, &found.statuses[..]), (1, &statuses[..]));
}

#[test]
fn bytes_that_nobody_asked_for_are_told_by_their_place() {
    let (_, after, _) = told(&[], &[OK]);
    assert_eq!(after, Ok(After::Unsolicited(0)));
    let (found, after, _) = told(&["GET"], &[&format!("{OK}{OK}")]);
    assert_eq!(after, Ok(After::Unsolicited(OK.len())));
    assert_eq!(found.statuses, [200]);
}

#[test]
fn an_answer_that_closes_leaves_no_room() {
    let closing = "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
    let (found, after, state) = told(&["GET"; 2], &[closing]);
    assert_eq!(after, Ok(After::Closes));
    assert_eq!((found.awaited, found.statuses), (1, vec![200]));
    let http = Http1::new(&[template("GET")]);
    assert_eq!(http.room(&state), 0);
    assert_eq!(http.room(&State::default()), u32::MAX);
}

#[test]
fn the_end_completes_an_answer_without_a_length_and_cuts_others() {
    let endings = [
        ("HTTP/1.1 200 OK\r\n\r\nall of it", Ok(()), 1),
        (&OK[..OK.len() - 1], Err(Malformed::Truncated), 0),
        (OK, Ok(()), 1),
    ];
    for (text, end, answers) in endings {
        let (mut found, _, mut state) = told(&["GET"; 2], &[text]);
        let mut http = Http1::new(&[template("GET")]);
        assert_eq!(http.end(&mut state, &mut found), end, "{text:?}");
        assert_eq!(found.statuses.len(), answers, "{text:?}");
    }
}

#[test]
fn a_request_cannot_be_given_up_without_the_connection() {
    let (_, _, mut state) = told(&["GET"], &[]);
    let mut http = Http1::new(&[template("GET")]);
    assert!(!http.cancel(&mut state, KEY, &mut Vec::new()));
}

#[test]
fn answers_to_head_have_no_body_in_a_mix_too() {
    let head = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n";
    let mixed = format!("{OK}{head}{OK}{head}");
    let (found, after, state) = told(&["GET", "HEAD", "GET", "HEAD"], &[&mixed]);
    assert_eq!((found.statuses, after), (vec![200; 4], Ok(After::GoesOn)));
    assert!(state.asked.is_empty());
    let (found, ..) = told(&["HEAD", "HEAD"], &[&head.repeat(2)]);
    assert_eq!(found.statuses, [200; 2]);
}

#[test]
fn bytes_that_are_no_answer_are_named() {
    let (_, after, _) = told(&["GET"], &["SSH-2.0-OpenSSH\r\n"]);
    assert_eq!(after, Err(Malformed::Head(httparse::Error::Version)));
}

#[test]
fn fields_and_bodies_are_told_of_answers_and_not_of_interim_ones() {
    let text = "HTTP/1.1 103 Early\r\nLink: a\r\n\r\n\
        HTTP/1.1 200 OK\r\nSet-Cookie: a=b\r\nX:  c \r\nTransfer-Encoding: chunked\r\n\r\n\
        2\r\nok\r\n1;x\r\n!\r\n0\r\nTrailer: t\r\n\r\n";
    let bytes: Vec<&str> = (0..text.len()).map(|at| &text[at..=at]).collect();
    for pieces in [vec![text], bytes] {
        let (found, ..) = told(&["GET"], &pieces);
        let fields = ["Set-Cookie=a=b", "X=c", "Transfer-Encoding=chunked"];
        assert_eq!(found.fields, fields);
        assert_eq!((found.statuses, &found.body[..]), (vec![200], &b"ok!"[..]));
    }
}

#[test]
fn nothing_is_told_of_an_answer_that_nobody_looks_at() {
    let plain = "HTTP/1.1 200 OK\r\nServer: s\r\nContent-Length: 2\r\n\r\nok";
    let cookie = "HTTP/1.1 200 OK\r\nServer: s\r\nset-cookIE: a=b\r\nContent-Length: 2\r\n\r\nok";
    let text = [plain, cookie].concat();
    for (fields, told) in [
        (Fields::None, &[][..]),
        (
            Fields::Cookies,
            &["Server=s", "set-cookIE=a=b", "Content-Length=2"],
        ),
    ] {
        let bytes: Vec<&str> = (0..text.len()).map(|at| &text[at..=at]).collect();
        for pieces in [vec![&text[..]], bytes] {
            let mut http = Http1::new(&[template("GET")]);
            let mut state = http.open(0, &mut Vec::new());
            let watches = Watches {
                fields,
                body: false,
            };
            let mut found = Told {
                awaited: 2,
                watches: Some(watches),
                ..Told::default()
            };
            for piece in pieces {
                let read = http.read(&mut state, piece.as_bytes(), &mut Vec::new(), &mut found);
                assert_eq!(read, Ok(After::GoesOn));
            }
            assert_eq!(found.fields, told);
            assert!(found.body.is_empty());
            assert_eq!(found.statuses, [200, 200]);
        }
    }
}

#[test]
fn a_request_that_announces_the_end_is_the_last_on_its_connection() {
    let mut last = template("GET");
    last.headers = vec![("connection".to_owned(), Text::fixed("Close"))];
    for mixed in [false, true] {
        let templates = if mixed {
            vec![last.clone(), template("GET")]
        } else {
            vec![last.clone()]
        };
        let mut http = Http1::new(&templates);
        let mut state = http.open(0, &mut Vec::new());
        let mut told = Told::default();
        if mixed {
            written(&mut http, &mut state, 1);
            assert_eq!(http.room(&state), u32::MAX);
            told.awaited += 1;
        }
        written(&mut http, &mut state, 0);
        told.awaited += 1;
        assert_eq!(http.room(&state), 0);
        let answers = OK.repeat(told.awaited);
        let after = http.read(&mut state, answers.as_bytes(), &mut Vec::new(), &mut told);
        assert_eq!((after, told.awaited), (Ok(After::Closes), 0));
        assert_eq!(http.room(&state), 0);
    }
}
