//! What must hold of the assets as they stand in the source; behaviour is tested in a browser.

use std::collections::BTreeSet;

use super::*;

/// The frame and the view that a visitor comes to first, as they cross the network to a browser.
const FIRST_VIEW_BYTES_MAX: usize = 30_000;
/// The same with the view that has most.
const VIEW_BYTES_MAX: usize = 62_000;
/// All of it, as it stands in the source.
const SOURCE_BYTES_MAX: usize = 215_000;

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

/// The modules that a module has with it wherever it is loaded, or those that it loads when it needs them.
fn imports(name: &str, way: &str) -> impl Iterator<Item = &'static str> {
    let (_, body) = FILES.iter().find(|(file, _)| *file == name).unwrap();
    let named = body.lines().filter_map(move |line| line.split_once(way));
    named.map(|(_, rest)| rest.split('"').next().unwrap())
}

const WITH: &str = "from \"./";
const LATER: &str = "import(\"./";

#[test]
fn every_module_that_a_module_imports_exists() {
    let mut count = 0;
    for (name, _) in FILES {
        for imported in imports(name, WITH).chain(imports(name, LATER)) {
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

/// What the browser loads to show a view: the page, its style and icon, and modules with theirs.
fn sent_for(view: &'static str) -> usize {
    let mut files = BTreeSet::from(["style.css", "icon.svg", "theme.js"]);
    let mut open = vec!["app.js", view];
    while let Some(name) = open.pop() {
        if files.insert(name) {
            open.extend(imports(name, WITH));
        }
    }
    let loaded = FILES.iter().zip(&*GZIPPED);
    let loaded = loaded.filter(|((name, _), _)| files.contains(name));
    GZIPPED_PAGE.len() + loaded.map(|(_, sent)| sent.len()).sum::<usize>()
}

#[test]
fn the_page_is_light() {
    let bytes: usize = FILES.iter().map(|(_, body)| body.len()).sum::<usize>() + PAGE.len();
    assert!(bytes <= SOURCE_BYTES_MAX, "{bytes} bytes");
    let first = sent_for("overview.js");
    assert!(first <= FIRST_VIEW_BYTES_MAX, "{first} bytes");
    let views: Vec<_> = imports("app.js", LATER).collect();
    assert!(views.len() > 5, "{views:?}");
    for view in views {
        let bytes = sent_for(view);
        assert!(bytes <= VIEW_BYTES_MAX, "{bytes} bytes of {view}");
    }
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
