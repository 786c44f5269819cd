//! Logs as they came, in a file beside the document.

use super::*;

/// The options of a replay in a folder.
fn replaying(folder: &tempfile::TempDir, pace: &str) -> Options {
    Options {
        recording: Some(Recording {
            file: folder.path().join("day.replay"),
            pace: Pace::parse(pace).unwrap(),
            spreads: false,
        }),
        has_folder: true,
        ..at_target()
    }
}

#[test]
fn a_log_is_recorded_as_it_came() {
    let folder = tempfile::tempdir().unwrap();
    let log = LOG.to_owned()
        + "h - - \"GET /timeless HTTP/1.1\" 200 1\n\
        {\"ts\": 1696946136.000125, \"method\": \"GET\", \"uri\": \"/c?token=abc&x=1\"}\n";
    let imported = of(Kind::Log, &log, &replaying(&folder, "log*2.5")).unwrap();
    let document = &imported.text;
    assert!(
        document.ends_with(
            "defaults:\n  cookies: false\nflows:\n  - name: GET\n    steps:\n      - GET $replay\n  \
            - name: HEAD\n    steps:\n      - HEAD $replay\nload: {replay: day.replay, pace: log*2.5}\n"
        ),
        "{document}"
    );
    for words in [
        "when it came. A log has no bodies",
        "of 135 s at pace log*2.5",
    ] {
        assert!(document.contains(words), "{document}");
    }
    assert!(!document.contains("whole seconds"), "{document}");
    let replay = (imported.replay.as_deref(), imported.requests);
    assert_eq!(replay, (Some("day.replay"), 5));
    assert_eq!(imported.notes.left_out_in_all(), 4);
    let timeless = imported.notes.said().iter().find(|note| note.line == 8);
    let words = timeless.unwrap().to_string();
    assert!(
        words.contains("left out: no time that is understood"),
        "{words}"
    );
    // In the order of their times, in whichever zone they are written.
    let file = std::fs::File::open(folder.path().join("day.replay")).unwrap();
    let mut reader = proto::replay::Reader::new(file).unwrap();
    let mut block = proto::replay::Block::default();
    assert!(reader.next(&mut block).unwrap());
    let entries = (0..5).map(|number| {
        let entry = block.entry(number).unwrap();
        let path = std::str::from_utf8(entry.path).unwrap();
        let method = &reader.head().methods[entry.method].0;
        (entry.at_ns / 1000, format!("{method} {path}"))
    });
    let expected = [
        (0, "GET /b?x=$$y"),
        (5_000_000, "HEAD /d"),
        (336_000_000, "GET /a"),
        (336_000_125, "GET /c?token=$secret(TOKEN)&x=1"),
        (338_000_000, "GET /a"),
    ];
    assert_eq!(
        entries.collect::<Vec<_>>(),
        expected.map(|(us, request)| (us, request.to_owned()))
    );
    assert_eq!(reader.head().secrets, ["TOKEN"]);
    assert_eq!(imported.secrets[0].name, "TOKEN");
}

#[test]
fn a_log_of_whole_seconds_or_of_years_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let line = |year, second, path| {
        format!("h - - [10/Oct/{year}:13:55:{second:02} +0000] \"GET {path} HTTP/1.1\" 200 1\n")
    };
    let log = line(2023, 36, "/a") + &line(2023, 37, "/b");
    let imported = of(Kind::Log, &log, &replaying(&folder, "log")).unwrap();
    assert!(
        imported.text.contains("times are whole seconds"),
        "{}",
        imported.text
    );
    let mut spread = replaying(&folder, "log");
    spread.recording.as_mut().unwrap().spreads = true;
    let imported = of(Kind::Log, line(2023, 36, "/a") + &log, &spread).unwrap();
    assert!(
        imported.text.contains("spread evenly over it"),
        "{}",
        imported.text
    );
    assert!(
        imported.text.contains("an open loop of 1 s"),
        "{}",
        imported.text
    );
    let log = line(1970, 36, "/a") + &log;
    let refused = of(Kind::Log, &log, &replaying(&folder, "log")).unwrap_err();
    let refused = refused.to_string();
    assert!(
        refused.contains("1970-10-10 13:55:36 UTC (line 1) to 2023-10-10 13:55:37 UTC (line 3)"),
        "{refused}"
    );
    let none = of(Kind::Log, "nothing\n", &replaying(&folder, "log")).unwrap_err();
    assert!(matches!(none, ImportError::Nothing { .. }), "{none}");
    let nowhere = Options {
        recording: Some(Recording {
            file: folder.path().join("no/day.replay"),
            pace: Pace::default(),
            spreads: false,
        }),
        ..at_target()
    };
    let refused = of(Kind::Log, line(2023, 1, "/"), &nowhere).unwrap_err();
    assert!(
        refused.to_string().contains("day.replay cannot be written"),
        "{refused}"
    );
}

#[test]
fn the_longest_paths_have_room_however_they_are_written() {
    let folder = tempfile::tempdir().unwrap();
    let line =
        |path: &str| format!("h - - [10/Oct/2023:13:55:36 +0000] \"GET {path} HTTP/1.1\" 200 1\n");
    let dollars = format!("/{}", "$".repeat(8191));
    let secrets = format!("/?{}", "key=x&".repeat(1365));
    let log = line(&dollars) + &line(&secrets) + &line(&"/x".repeat(4097));
    let imported = of(Kind::Log, &log, &replaying(&folder, "log")).unwrap();
    assert_eq!(
        (imported.requests, imported.notes.left_out_in_all()),
        (2, 1)
    );
}
