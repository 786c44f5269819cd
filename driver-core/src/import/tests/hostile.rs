//! No input at all makes a panic or a wrong document.

use proptest::prelude::*;

use super::*;

/// Of any kind.
fn kinds() -> impl Strategy<Value = Kind> {
    prop_oneof![
        Just(Kind::Curl),
        Just(Kind::Har),
        Just(Kind::Vegeta),
        Just(Kind::Urls),
        Just(Kind::Log)
    ]
}

/// Words out of which inputs are made that are nearly right.
fn nearly() -> impl Strategy<Value = String> {
    let words = vec![
        "curl ",
        "-H ",
        "-d",
        "-u ",
        "-F ",
        "--json ",
        "-X ",
        "-G ",
        "'",
        "\"",
        "\\",
        "\n",
        "$",
        "$'",
        "${A}",
        "$A",
        "http://h/",
        "https://h:1/",
        "GET ",
        "POST ",
        "/a?",
        "token=",
        "&",
        "{\"log\":{\"entries\":[",
        "]}}",
        "{\"request\":{\"method\":\"GET\",\"url\":\"http://h/",
        "\"}}",
        ",",
        "Cookie: ",
        "a=b",
        ":",
        " ",
        "#",
        "\0",
        "h - - [10/Oct/2023:13:55:36 +0000] \"GET /",
        " HTTP/1.1\" 200 1\n",
        "[",
        "]",
        "{",
        "}",
        "é",
        "\u{2028}",
        "%",
        "@",
        "{\"url\":\"http://h/",
        "\"}\n",
        "- ",
        ": ",
        "$secret(X)",
        "$$",
        "<",
        "|",
        ";",
        "\t",
        "x\r\n",
    ];
    prop::collection::vec(prop::sample::select(words), 0..40).prop_map(|words| words.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    // A document that cannot be read again is an error of its own, and must never come.
    #[test]
    fn any_bytes_give_words_or_a_document(kind in kinds(), bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let outcome = of(kind, &bytes, &at_target());
        prop_assert!(!matches!(outcome, Err(ImportError::Unreadable(_))), "{outcome:?}");
    }

    #[test]
    fn what_is_nearly_right_gives_words_or_a_document(kind in kinds(), text in nearly()) {
        let outcome = of(kind, &text, &Options::default());
        prop_assert!(!matches!(outcome, Err(ImportError::Unreadable(_))), "{outcome:?}");
    }

    #[test]
    fn archives_of_any_texts_give_words_or_a_document(
        texts in prop::collection::vec(any::<String>(), 6),
        kind in prop::sample::select(vec!["application/json", "a/b", "application/x-www-form-urlencoded"]),
        name in prop::sample::select(vec!["Cookie", "Authorization", "referer", "X-A", "x-a", ":path"]),
    ) {
        let [path, host, header, value, body, method] = &texts[..] else {
            return Ok(());
        };
        let entry = |method: &str, url: String| serde_json::json!({"request": {
            "method": method, "url": url,
            "headers": [{"name": name, "value": value}, {"name": header, "value": value}],
            "postData": {"mimeType": kind, "text": body, "params": [{"name": header, "value": value}]},
        }});
        let entries = [
            entry("POST", format!("http://h/{path}")),
            entry(method, format!("https://{host}/?{path}&token={value}")),
        ];
        let har = serde_json::json!({"log": {"entries": entries}}).to_string();
        let outcome = of(Kind::Har, har, &Options::default());
        prop_assert!(outcome.is_ok(), "{outcome:?}");
    }

    #[test]
    fn every_header_and_path_survives(
        path in "[ -~é]{0,40}", value in "[ -~é]{1,40}", body in "[ -~é\n]{1,40}",
    ) {
        let quote = |text: &str| text.replace('\'', "'\\''");
        let text = format!(
            "curl -g 'http://h/{}' -H 'X-A: {}' --data-raw 'b{}' -H 'Content-Type: text/plain'",
            quote(&path), quote(&value), quote(&body)
        );
        let imported = of(Kind::Curl, &text, &Options::default()).unwrap();
        let document = Document::read(&imported.text, Setting::default()).unwrap();
        let request = &document.scenario.steps[0].request;
        let sent: Vec<String> = request
            .texts()
            .map(|text| String::from_utf8_lossy(&text.filled(|_, _| ())).into_owned())
            .collect();
        let has = |name: &str| path.contains(name);
        if !has("#") && !has("=") {
            let mut url = Vec::new();
            proto::workload::Escape::Url.write(format!("/{path}").as_bytes(), &mut url);
            prop_assert_eq!(&sent[0].as_bytes(), &&url[..]);
        }
        if !value.trim().is_empty() {
            prop_assert!(sent.contains(&value.trim().to_owned()), "{:?} in {:?}", value, sent);
        }
        prop_assert_eq!(sent.last().unwrap(), &format!("b{body}"));
    }
}
