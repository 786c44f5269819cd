//! What must hold of the assets as they stand in the source; behaviour is tested in a browser.

use super::*;

/// The whole page, as it crosses the network to a browser.
const BYTES_MAX: usize = 75_000;
/// The same as it stands in the source.
const SOURCE_BYTES_MAX: usize = 210_000;

#[test]
fn every_asset_that_the_page_names_exists() {
    let page = asset("/").unwrap();
    assert!(!page.immutable);
    let text = std::str::from_utf8(page.body).unwrap();
    let paths = text.split('"').filter(|part| part.starts_with(PREFIX));
    let paths: Vec<&str> = paths.collect();
    assert!(paths.len() >= 4, "icon, style and scripts: {paths:?}");
    for path in paths {
        assert!(asset(path).is_some_and(|asset| asset.immutable), "{path}");
    }
    assert!(!text.contains(VERSION_MARK));
}

#[test]
fn every_module_that_a_module_imports_exists() {
    let mut count = 0;
    for (name, body) in FILES {
        let ways = ["from \"./", "import(\"./"];
        let imports = body
            .lines()
            .filter_map(|line| ways.iter().find_map(|way| line.split_once(way)));
        for (_, rest) in imports {
            let imported = rest.split('"').next().unwrap();
            let path = format!("{PREFIX}{}/{imported}", VERSION.as_str());
            assert!(asset(&path).is_some(), "{name} imports {imported}");
            count += 1;
        }
    }
    assert!(count > 20, "{count} imports");
}

#[test]
fn paths_beyond_the_list_are_refused() {
    for path in [
        "",
        "/x",
        "/assets/",
        "/assets/0/app.js",
        "/assets/../app.js",
        "//",
    ] {
        assert_eq!(asset(path), None, "{path}");
    }
    let version = VERSION.as_str();
    assert_eq!(asset(&format!("/assets/{version}/../app.js")), None);
}

#[test]
fn the_page_is_light() {
    let bytes: usize = FILES.iter().map(|(_, body)| body.len()).sum::<usize>() + PAGE.len();
    assert!(bytes <= SOURCE_BYTES_MAX, "{bytes} bytes");
    let sent = GZIPPED.iter().map(Vec::len).sum::<usize>() + GZIPPED_PAGE.len();
    assert!(sent <= BYTES_MAX, "{sent} bytes");
}

#[test]
fn what_is_sent_shorter_is_the_same() {
    use std::io::Read;
    let path = format!("{PREFIX}{}/app.js", VERSION.as_str());
    for asset in [asset("/").unwrap(), asset(&path).unwrap()] {
        let mut body = Vec::new();
        let mut decoder = flate2::read::GzDecoder::new(asset.gzipped);
        decoder.read_to_end(&mut body).unwrap();
        assert!(body == asset.body && asset.gzipped.len() < asset.body.len());
    }
}

/// Whether no tag has an attribute such as `onclick`.
fn has_no_handlers(page: &str) -> bool {
    let tags = page.split('<').filter_map(|tag| tag.split_once('>'));
    let handler = |name: &str| name.starts_with("on") && name.contains('=');
    tags.into_iter()
        .all(|(tag, _)| !tag.split_ascii_whitespace().any(handler))
}

#[test]
fn nothing_is_inline_nothing_is_foreign_and_text_stays_text() {
    assert!(!PAGE.contains("<style") && !PAGE.contains("style=") && has_no_handlers(PAGE));
    assert!(
        PAGE.split("<script")
            .skip(1)
            .all(|tag| tag.contains(" src=\"/assets/"))
    );
    let forbidden = [
        "innerHTML",
        "outerHTML =",
        "insertAdjacentHTML",
        "document.write",
        "eval(",
        "new Function",
        "https://",
        "setAttribute(\"style\"",
    ];
    for (name, body) in FILES {
        for word in forbidden {
            assert!(!body.contains(word), "{name} contains {word}");
        }
    }
}
