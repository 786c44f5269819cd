//! Rows of every format, and how they are divided.

use super::*;

fn set(columns: &[&str], format: RowFormat, pick: Pick) -> DataSet {
    let column = |name: &&str| Column {
        name: (*name).to_owned(),
        is_in_header: *name == "h",
        is_path: false,
    };
    DataSet {
        name: "users".to_owned(),
        rows: RowSource::File {
            name: "users.csv".to_owned(),
            format,
        },
        pick,
        columns: columns.iter().map(column).collect(),
    }
}

fn load(set: &DataSet, text: &[u8], part: Part) -> Result<Table, String> {
    Table::load(set, Some(&mut &*text), part)
}

fn column(table: &Table, column: usize) -> Vec<String> {
    let rows = u32::try_from(table.rows()).unwrap();
    let text = |row| String::from_utf8_lossy(table.value(row, column)).into_owned();
    (0..rows).map(text).collect()
}

#[test]
fn every_format_gives_its_rows() {
    let csv = set(&["b", "a"], RowFormat::Csv, Pick::Next);
    let text = "\u{feff}a,b,c\n1,\"x, \"\"y\"\"\",\r\n2,é,z\n";
    let table = load(&csv, text.as_bytes(), Part::WHOLE).unwrap();
    assert_eq!(column(&table, 0), ["x, \"y\"", "é"]);
    assert_eq!(column(&table, 1), ["1", "2"]);
    let tsv = set(&["b"], RowFormat::Tsv, Pick::Next);
    assert_eq!(
        column(&load(&tsv, b"a\tb\n1\t2\n", Part::WHOLE).unwrap(), 0),
        ["2"]
    );
    let lines = set(&[""], RowFormat::Lines, Pick::Next);
    let table = load(&lines, b"/a\r\n\n/b", Part::WHOLE).unwrap();
    assert_eq!(column(&table, 0), ["/a", "/b"]);
    let json = set(&["a"], RowFormat::JsonLines, Pick::Next);
    let table = load(
        &json,
        b"{\"a\": \"x\"}\n{\"a\": [1, 2], \"b\": 0}",
        Part::WHOLE,
    )
    .unwrap();
    assert_eq!(column(&table, 0), ["x", "[1,2]"]);
}

#[test]
fn wrong_files_are_refused_in_words() {
    let csv = |columns: &[&str]| set(columns, RowFormat::Csv, Pick::Next);
    let json = set(&["a"], RowFormat::JsonLines, Pick::Next);
    let long = format!("a\n{}\n", "x".repeat(VALUE_LEN_MAX + 1));
    for (set, text, words) in [
        (csv(&["a"]), &b""[..], "no column \"a\""),
        (csv(&["a"]), b"a,b\n", "no rows"),
        (
            csv(&["x"]),
            b"a,b\n1,2\n",
            "no column \"x\"; there are a, b",
        ),
        (
            csv(&[""]),
            b"a,b\n1,2\n",
            "which column is meant? there are a, b",
        ),
        (csv(&["a"]), b"a,a\n1,2\n", "two columns"),
        (csv(&["a"]), b"a,b\n1,2\n3\n", "line 3: 1 values"),
        (csv(&["a"]), b"a\n\xff\xfe\n", "line 2: not UTF-8"),
        (
            csv(&["h"]),
            b"h\nok\n\"a\r\nX: 1\"\n",
            "line 3: \"a\\r\\nX: 1\" has characters",
        ),
        (csv(&["a"]), long.as_bytes(), "at most 1048576"),
        (json.clone(), b"{\"a\": 1}\n[]", "line 2: no JSON object"),
        (json, b"{\"b\": 1}", "no column \"a\"; there are b"),
    ] {
        let error = load(&set, text, Part::WHOLE).unwrap_err();
        assert!(error.contains(words), "{error}");
    }
}

#[test]
fn no_unique_row_is_given_twice_and_leftovers_are_counted() {
    let unique = set(&["a"], RowFormat::Csv, Pick::Unique);
    let text = b"a\n0\n1\n2\n3\n4\n5\n6\n";
    let mut random = Rng::with_seed(1);
    let mut seen = Vec::new();
    for index in 0..3 {
        let table = load(&unique, text, Part::new(index, 3).unwrap()).unwrap();
        let given: Vec<u32> = std::iter::from_fn(|| table.pick(&mut random)).collect();
        assert_eq!(
            (given.len() as u64, table.left()),
            (table.part().share(7), 0)
        );
        assert_eq!(table.pick(&mut random), None);
        seen.extend(given);
    }
    seen.sort_unstable();
    assert_eq!(seen, [0, 1, 2, 3, 4, 5, 6]);
    let table = load(&unique, text, Part::new(1, 2).unwrap()).unwrap();
    table.pick(&mut random);
    assert_eq!(table.left(), 2);
}

#[test]
fn rows_one_after_another_are_those_of_one_machine() {
    let next = set(&["a"], RowFormat::Csv, Pick::Next);
    let mut random = Rng::with_seed(1);
    let mut all = [0; 3];
    for index in 0..2 {
        let table = load(&next, b"a\n0\n1\n2\n", Part::new(index, 2).unwrap()).unwrap();
        for _ in 0..15 {
            all[table.pick(&mut random).unwrap() as usize] += 1;
        }
    }
    assert_eq!(all, [10, 10, 10]);
}

#[test]
fn zipf_gives_the_first_most_often() {
    for exponent in [0.5_f64, 1.0, 1.1, 2.0] {
        let zipf = Zipf::new(1000, exponent);
        let mut random = Rng::with_seed(7);
        let mut times = [0_u32; 1001];
        for _ in 0..200_000 {
            times[usize::try_from(zipf.draw(&mut random)).unwrap()] += 1;
        }
        let total: f64 = (1..=1000).map(|k| f64::from(k).powf(-exponent)).sum();
        for (k, at) in [(1, 1), (2, 2), (10, 10)] {
            let expected = 200_000.0 * f64::from(k).powf(-exponent) / total;
            let error = (f64::from(times[at]) - expected).abs();
            assert!(
                error < 6.0 * expected.sqrt() + 1.0,
                "{exponent}, {k}: {error} of {expected}"
            );
        }
    }
    let one = Zipf::new(1, 1.1);
    assert_eq!(one.draw(&mut Rng::with_seed(1)), 1);
}

#[test]
fn a_million_rows_take_little_more_than_their_text() {
    let mut text = b"a,b,unused\n".to_vec();
    for row in 0..1_000_000 {
        text.extend_from_slice(
            format!("user{row:07},{row},xxxxxxxxxxxxxxxxxxxxxxxxxxxx\n").as_bytes(),
        );
    }
    let set = set(&["a"], RowFormat::Csv, Pick::Unique);
    let table = load(&set, &text, Part::WHOLE).unwrap();
    assert_eq!(table.rows(), 1_000_000);
    assert_eq!(table.value(999_999, 0), b"user0999999");
    assert_eq!(table.memory(), 1_000_000 * (11 + 4));
}
