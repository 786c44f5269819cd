//! Whole imports: what each input becomes, and that no input at all makes a panic or a wrong document.

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;

use super::*;

/// An import of a text.
fn of(kind: Kind, text: impl AsRef<[u8]>, options: &Options) -> Result<Imported, ImportError> {
    import(kind, &mut text.as_ref(), options)
}

fn at_target() -> Options {
    Options {
        target: Some("http://127.0.0.1:8000".to_owned()),
        ..Options::default()
    }
}

/// The document of an import that has one, without its comments, and what was said.
fn made(kind: Kind, text: &str, options: &Options) -> (String, Vec<String>) {
    let imported = of(kind, text, options).unwrap_or_else(|error| panic!("{error}: {text}"));
    let lines = imported.text.lines().filter(|line| !line.starts_with('#'));
    let lines: Vec<&str> = lines.collect();
    let said = imported.notes.said().iter();
    let said = said.map(|note| format!("{}: {note}", note.line)).collect();
    (lines.join("\n") + "\n", said)
}

#[test]
fn curl_lines_become_steps() {
    let text = r#"
# log in
curl -sS 'https://api.example.com/login' \
  -H 'Accept: application/json' -H 'X-Trace;' \
  -H "Authorization: Bearer $TOKEN" \
  -u u:p --data-raw 'user=a&password=s3cr3t' -m 2.5 --compressed
curl -X DELETE -kL 'https://api.example.com/items/7?api_key=k&n=$5' -H 'accept: application/json'
curl https://api.example.com -G -d q=1 --data-urlencode 'r=a b' -H 'Accept: application/json' -w '%{http_code}'
curl -F a=b -F 'c=d;type=text/plain' https://api.example.com/form -H 'Accept: application/json'
$ A=b time curl -F f=@x https://api.example.com/form
curl -T data.bin https://api.example.com/put -H 'Accept: application/json' --weird
wget https://api.example.com/
curl https://other.example.com/
"#;
    let (document, said) = made(Kind::Curl, text, &Options::default());
    let boundary = "------------------------dlts7MA4YWxkTrZu0gW";
    let expected = format!(
        r#"name: standard input
target: https://api.example.com
defaults:
  cookies: false
  headers:
    Accept: application/json
tls:
  insecure: true
steps:
  - POST: /login
    headers:
      X-Trace: ''
      Authorization: Bearer $secret(TOKEN)
      Accept-Encoding: deflate, gzip
      Content-Type: application/x-www-form-urlencoded
    body: user=a&password=$secret(PASSWORD)
    timeout: 2.5s
  - DELETE /items/7?api_key=$secret(API_KEY)&n=$$5
  - GET /?q=1&r=a%20b
  - POST: /form
    headers:
      Content-Type: multipart/form-data; boundary={boundary}
    body: "--{boundary}\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\nb\r\n--{boundary}\r\nContent-Disposition: form-data; name=\"c\"\r\nContent-Type: text/plain\r\n\r\nd\r\n--{boundary}--\r\n"
  - PUT: /put
    file: data.bin
load: {{closed: 1, for: 10s}}
"#
    );
    assert_eq!(document, expected);
    let begins = [
        "7: redirects are not followed",
        "10: left out: -F with a file",
    ];
    for begin in begins {
        assert!(
            said.iter().any(|note| note.starts_with(begin)),
            "{begin}: {said:?}"
        );
    }
    assert!(said.iter().any(|note| note.contains("--weird")), "{said:?}");
    assert!(
        said.iter()
            .any(|note| note.starts_with("12: left out: no command line")),
        "{said:?}"
    );
    assert!(
        said.iter()
            .any(|note| note.starts_with("13: left out: another server")),
        "{said:?}"
    );
}

#[test]
fn bodies_of_curl_hide_what_they_name_so() {
    let url = "http://h/";
    for (command, shown) in [
        (
            "-d '{\"password\": \"p1\"}'",
            r#"'{"password": "$secret(PASSWORD)"}'"#,
        ),
        ("-F password=p1", r"\r\n\r\n$secret(PASSWORD)\r\n"),
        ("-d password=p1", "body: password=$secret(PASSWORD)"),
    ] {
        let imported = of(
            Kind::Curl,
            format!("curl {command} {url}"),
            &Options::default(),
        );
        let imported = imported.unwrap();
        assert!(imported.text.contains(shown), "{}", imported.text);
        assert!(!imported.text.contains("p1"), "{}", imported.text);
    }
    let refused = of(
        Kind::Curl,
        "curl --digest -u a:b http://h/",
        &Options::default(),
    );
    assert!(matches!(refused, Err(ImportError::Nothing { .. })));
    let text = "curl http://h/ -d x -H 'Content-Type: text/csv'";
    let (_, said) = made(Kind::Curl, text, &Options::default());
    assert_eq!(
        said,
        ["1: a body is carried over as it is: look for secrets in it: text/csv"]
    );
}

#[test]
fn what_a_user_gives_curl_is_a_secret() {
    for (command, header, value) in [
        (
            "curl -u 'me:p$w' http://h/",
            "Authorization: Basic $secret(AUTHORIZATION)",
            "bWU6cCR3",
        ),
        (
            "curl http://me:pw@h/",
            "Authorization: Basic $secret(AUTHORIZATION)",
            "bWU6cHc=",
        ),
        (
            "curl -b 'sid=$1' http://h/",
            "Cookie: $secret(COOKIE)",
            "sid=$1",
        ),
        (
            "curl -H 'X-Api-Key: k1' http://h/",
            "X-Api-Key: $secret(API_KEY)",
            "k1",
        ),
        (
            "curl --oauth2-bearer t1 http://h/",
            "Authorization: Bearer $secret(AUTHORIZATION)",
            "t1",
        ),
    ] {
        let imported = of(Kind::Curl, command, &Options::default()).unwrap();
        assert!(imported.text.contains(header), "{}", imported.text);
        assert!(!imported.text.contains(value), "{}", imported.text);
        assert_eq!(imported.secrets.len(), 1);
        assert_eq!(imported.secrets[0].value.as_deref(), Some(value));
    }
}

#[test]
fn an_archive_becomes_a_session_with_its_pauses() {
    let entry = |at: &str, took: u32, request: &str| {
        format!(
            r#"{{"startedDateTime": "{at}", "time": {took}, "request": {request}, "response": {{"content": {{"text": "x"}}}}}}"#
        )
    };
    let get = |url: &str| {
        format!(
            r#"{{"method": "GET", "url": "{url}", "headers": [{{"name": ":path", "value": "/"}}, {{"name": "Accept", "value": "*/*"}}, {{"name": "Host", "value": "h.example"}}]}}"#
        )
    };
    let post = r#"{"method": "POST", "url": "https://h.example/p", "headers": [{"name": "accept", "value": "*/*"}, {"name": "Cookie", "value": "a=b"}],
        "postData": {"mimeType": "application/json", "text": "eyJ0b2tlbiI6ICJ0MSJ9", "encoding": "base64"}}"#;
    let entries = [
        entry(
            "2024-05-01T10:00:00.000+02:00",
            100,
            &get("https://h.example/a#top"),
        ),
        entry(
            "2024-05-01T08:00:00.050Z",
            20,
            &get("https://h.example/a.png"),
        ),
        entry("2024-05-01T08:00:01.640Z", 20, post),
        entry("2024-05-01T07:00:00.000Z", 20, &get("https://h.example/b")),
        entry("x", 20, &get("wss://h.example/c")),
        "{}".to_owned(),
    ];
    let text = format!(
        "{{\"log\": {{\"entries\": [\n{}\n]}}}}",
        entries.join(",\n")
    );
    let (document, said) = made(Kind::Har, &text, &Options::default());
    let steps = "defaults:\n  headers:\n    Accept: '*/*'\nsteps:\n  - GET /a\n  - GET /a.png\n  - think: 1500ms\n  \
        - POST: /p\n    headers:\n      Cookie: $secret(COOKIE)\n      Content-Type: application/json\n    \
        body: '{\"token\": \"$secret(TOKEN)\"}'\n  - GET /b\nload: ";
    assert!(document.contains(steps), "{document}");
    for begin in [
        "2: what stands behind #",
        "2: a pseudo header",
        "6: the clock went back",
        "7: no startedDateTime",
        "7: left out: no URL to load: \"wss://h.example/c\"",
        "8: left out: an entry without",
    ] {
        let is_said = said.iter().any(|note| note.starts_with(begin));
        assert!(is_said, "{begin}: {said:?}");
    }
    let options = Options {
        has_assets: false,
        thinks: false,
        ..Options::default()
    };
    let (document, _) = made(Kind::Har, &text, &options);
    assert!(
        !document.contains("png") && !document.contains("think"),
        "{document}"
    );
}

#[test]
fn targets_of_vegeta_are_weighed() {
    let text = "GET http://h/a\nX-A: 1\n\n# two\nGET http://h/a\nX-A: 1\nPOST http://h/b\n@b.json\n\nGET http://h/c\n\nwhat\n";
    let (document, said) = made(Kind::Vegeta, text, &Options::default());
    assert!(
        document.contains(
            "  - weight: 2\n    steps:\n      - GET: /a\n        headers:\n          X-A: 1\n"
        ),
        "{document}"
    );
    assert!(
        document.contains("      - POST: /b\n        file: b.json\n"),
        "{document}"
    );
    assert!(document.contains("      - GET /c\n"), "{document}");
    assert!(
        said.iter()
            .any(|note| note.starts_with("12: left out: no target")),
        "{said:?}"
    );
    let text = "{\"method\": \"PUT\", \"url\": \"http://h/a\", \"body\": \"YWJj\", \"header\": {\"A\": [\"b\", \"c\"]}}\n{\"url\": 5}\n";
    let (document, said) = made(Kind::Vegeta, text, &Options::default());
    assert!(document.contains("- PUT: /a\n        headers:\n          A:\n            - b\n            - c\n        body: abc\n"), "{document}");
    assert_eq!(
        said,
        [
            "1: a body is carried over as it is: look for secrets in it",
            "2: left out: no target in JSON: it has no url"
        ]
    );
}

#[test]
fn urls_are_weighed_by_how_often_they_come() {
    let text = format!(
        "http://h/b\nhttp://h/a?token=1\n\n# no\nhttp://h/a?token=2\nhttp://other/x\nftp://h/\nhttp://h/{}\n",
        "x".repeat(100_000)
    );
    let (document, said) = made(Kind::Urls, &text, &Options::default());
    let flows = "flows:\n  - weight: 2\n    steps:\n      - GET /a?token=$secret(TOKEN)\n  \
        - weight: 1\n    steps:\n      - GET /b\n";
    assert!(document.contains(flows), "{document}");
    assert_eq!(said.len(), 3, "{said:?}");
    assert!(
        said[2].contains("8: left out: the URL is too long: 100001 bytes"),
        "{said:?}"
    );
}

#[test]
fn one_request_that_cannot_be_takes_no_other_with_it() {
    let line = |request: &str| format!("- - - \"{request} HTTP/1.1\"\n");
    // A dollar sign is written twice, which makes a path no longer.
    let long = line(&format!("GET /{}", "$".repeat(5000)));
    let text = line("CONNECT /x").repeat(3) + &line("GET /a") + &long;
    let options = Options {
        unsafe_methods: true,
        ..at_target()
    };
    let imported = of(Kind::Log, text, &options).unwrap();
    let notes = &imported.notes;
    assert_eq!((imported.requests, notes.left_out_in_all()), (2, 3));
}

#[test]
fn bytes_that_are_no_text_are_told() {
    let imported = of(Kind::Curl, b"curl http://h/\n# \xff\n", &Options::default()).unwrap();
    let note = &imported.notes.said()[0];
    assert_eq!((note.line, note.fate), (2, Fate::Changed));
}

/// A log whose lines are of three zones, go back in time, and are no lines.
const LOG: &str = concat!(
    "1.2.3.4 - - [10/Oct/2023:13:55:36 +0000] \"GET /a HTTP/1.1\" 200 1\n",
    "1.2.3.4 - - [10/Oct/2023:15:55:38 +0200] \"GET /a HTTP/1.1\" 404 1\n",
    "1.2.3.4 - - [10/Oct/2023:13:50:00 +0000] \"GET /b?x=$y HTTP/1.1\" 200 1\n",
    "1.2.3.4 - - [10/Oct/2023:13:55:46 +0000] \"POST /c HTTP/1.1\" 200 1\n",
    "\u{0}\u{1}\u{2}\n",
    "1.2.3.4 - - [10/Oct/2023:13:55:46 +0000] \"\\x16\\x03\" 400 1\n",
    "{\"time\": \"2023-10-10T13:50:05Z\", \"request\": \"HEAD /d HTTP/2.0\"}\n",
);

#[test]
fn a_log_becomes_a_mix_at_its_own_rate() {
    let (document, said) = made(Kind::Log, LOG, &at_target());
    let flows = "target: http://127.0.0.1:8000\ndefaults:\n  cookies: false\nflows:\n  - weight: 2\n    steps:\n      - GET /a\n  \
        - weight: 1\n    steps:\n      - GET /b?x=$$y\n  - weight: 1\n    steps:\n      - HEAD /d\n\
        load: {open: 0.012/s, for: 1m}\n";
    assert!(document.contains(flows), "{document}");
    let kinds: Vec<&str> = said
        .iter()
        .map(|note| note.split(": ").next().unwrap())
        .collect();
    assert_eq!(kinds, ["2", "3", "4", "5", "6", "7"], "{said:?}");
    let unsafe_methods = Options {
        unsafe_methods: true,
        top: 1,
        ..at_target()
    };
    let imported = of(Kind::Log, LOG, &unsafe_methods).unwrap();
    assert_eq!(imported.requests, 1);
    assert_eq!(imported.notes.left_out_in_all(), 2 + 3);
    let refused = of(Kind::Log, LOG, &Options::default()).unwrap_err();
    assert!(matches!(refused, ImportError::Usage(words) if words.contains("--target")));
}

#[test]
fn a_truncated_gzip_is_read_as_far_as_it_goes() {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    let line = |n| {
        format!(
            "h - - [10/Oct/2023:13:55:36 +0000] \"GET /{} HTTP/1.1\" 200 1\n",
            n % 97
        )
    };
    (0..20_000).for_each(|n| encoder.write_all(line(n).as_bytes()).unwrap());
    let whole = encoder.finish().unwrap();
    let all = of(Kind::Log, &whole, &at_target()).unwrap();
    assert_eq!((all.read, all.requests), (20_000, 97));
    let half = of(Kind::Log, &whole[..whole.len() / 2], &at_target()).unwrap();
    assert!((1_000..20_000).contains(&half.read), "{}", half.read);
    let last = half.notes.said().last().unwrap();
    assert!(
        last.words.contains("truncated") && last.line >= half.read,
        "{last:?}"
    );
}

#[test]
fn an_archive_that_ends_early_gives_what_it_has() {
    let text = r#"{"log": {"entries": [{"request": {"method": "GET", "url": "http://h/"}}, {"requ"#;
    let imported = of(Kind::Har, text, &Options::default()).unwrap();
    assert_eq!(imported.requests, 1);
    let words = imported.notes.said().last().unwrap().to_string();
    assert!(words.contains("ends early"), "{words}");
}

#[test]
fn nothing_at_all_is_said_in_words() {
    for kind in [Kind::Curl, Kind::Har, Kind::Vegeta, Kind::Urls, Kind::Log] {
        for text in [
            &b""[..],
            b"\n\n",
            b"\x00\xff\xfe",
            b"\x1f\x8b",
            b"\x1f\x8bnonsense",
            b"{",
            b"nonsense",
        ] {
            let refused = of(kind, text, &at_target()).unwrap_err();
            assert!(
                matches!(refused, ImportError::Nothing { .. }),
                "{kind:?} {text:?}: {refused}"
            );
        }
    }
}

mod hostile;
mod recordings;

#[test]
fn requests_to_servers_that_are_named_keep_their_whole_urls() {
    let urls = "http://a/1\nhttp://b:81/2?token=t1\nhttp://c/3\n";
    let named = ["http://b:81", "http://a"].map(str::to_owned);
    let options = Options {
        servers: named.to_vec(),
        ..Options::default()
    };
    let imported = of(Kind::Urls, urls, &options).unwrap();
    let scenario = Document::read(&imported.text, Setting::default());
    let scenario = scenario.unwrap().scenario;
    let servers = scenario
        .targets
        .iter()
        .map(|target| target.authority.as_str());
    assert_eq!(
        servers.collect::<Vec<_>>(),
        ["b:81", "a"],
        "{}",
        imported.text
    );
    assert!(imported.text.contains("http://a/1"), "{}", imported.text);
    assert!(
        imported.text.contains("/2?token=$secret("),
        "{}",
        imported.text
    );
    assert_eq!(imported.notes.left_out_in_all(), 1);
}
