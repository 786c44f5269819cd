//! Writes a document's files and prints its table: JSON, Markdown, SVG.

use std::fmt::Write;
use std::fs;
use std::path::Path;

use crate::plot;
use crate::results::{self, Cell, Document};
use crate::rig::Error;
use crate::table::{self, Column, Style};

/// How a scenario is shown.
#[derive(Clone, Copy, Debug)]
pub struct View {
    /// The heading.
    pub title: &'static str,
    /// The parameters that tell cells apart.
    pub parameters: &'static [&'static str],
    /// The columns.
    pub columns: &'static [Column],
    /// Metric, unit and scale of the plots, one plot for each combination of parameters.
    pub plots: &'static [(&'static str, &'static str, f64)],
}

/// Prints the table to stdout and writes `<stem>.json`, `<stem>.md` and `<stem>-….svg`.
///
/// # Errors
/// When a file cannot be written.
pub fn publish(document: &Document, view: &View, directory: &Path) -> Result<(), Error> {
    print!("\n{}", text(document, view, Style::Text));
    let json = document.write(directory)?;
    let markdown = json.with_extension("md");
    fs::write(&markdown, text(document, view, Style::Markdown)).map_err(|source| {
        results::Error::File {
            path: markdown.clone(),
            source,
        }
    })?;
    let plots = draw_plots(document, view, directory)?;
    println!("\n{}\n{}", json.display(), markdown.display());
    for plot in plots {
        println!("{plot}");
    }
    Ok(())
}

/// The table with all that belongs beside it.
#[must_use]
pub fn text(document: &Document, view: &View, style: Style) -> String {
    let mut text = String::new();
    let (heading, bullet) = if style == Style::Markdown {
        ("# ", "- ")
    } else {
        ("", "  ")
    };
    let changed = if document.modified {
        " with changes"
    } else {
        ""
    };
    let _ = writeln!(text, "{heading}{}\n", view.title);
    let _ = writeln!(
        text,
        "{}, commit {}{changed}",
        document.date, document.commit
    );
    let _ = writeln!(text, "{}", document.host.line());
    for (name, value) in &document.settings {
        let _ = write!(text, "{name} {value}, ");
    }
    text += "medians, ± quartile distance\n\n";
    text += &table::draw(&document.cells, view.parameters, view.columns, style);
    let missing = document
        .missing
        .iter()
        .map(|m| format!("{}: {}", m.tool, m.install));
    let doubts = document.doubts.iter().cloned();
    let sections = [
        ("Verdict", document.verdict.clone()),
        ("DOUBTS: do not quote what they are about", doubts.collect()),
        ("Not found; to install", missing.collect()),
    ];
    for (title, lines) in sections.into_iter().filter(|(_, lines)| !lines.is_empty()) {
        let _ = writeln!(
            text,
            "\n{title}:{}",
            if style == Style::Markdown { "\n" } else { "" }
        );
        for line in lines {
            let _ = writeln!(text, "{bullet}{line}");
        }
    }
    text
}

fn draw_plots(document: &Document, view: &View, directory: &Path) -> Result<Vec<String>, Error> {
    let mut paths = Vec::new();
    let mut seen: Vec<&Cell> = Vec::new();
    for cell in &document.cells {
        if seen.iter().any(|other| other.parameters == cell.parameters) {
            continue;
        }
        seen.push(cell);
        let group: Vec<&Cell> = document
            .cells
            .iter()
            .filter(|other| other.parameters == cell.parameters)
            .collect();
        let named = cell
            .parameters
            .iter()
            .map(|(name, value)| format!("{name} {value}"));
        let place = named.collect::<Vec<_>>().join(", ");
        for &(metric, unit, scale) in view.plots {
            let stem = document.stem(directory);
            let name = stem.file_name().unwrap_or_default().to_string_lossy();
            let file = format!(
                "{name}-{metric}-{}.svg",
                place.replace(", ", "-").replace(' ', "_")
            );
            let path = directory.join(file);
            plot::bars(
                &path,
                &format!("{}: {place}", view.title),
                unit,
                &group,
                metric,
                scale,
            )?;
            paths.push(path.display().to_string());
        }
    }
    Ok(paths)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::Missing;
    use crate::results::tests::{cell, document};

    const VIEW: View = View {
        title: "Rates",
        parameters: &["connections"],
        columns: &[Column::plain("k/s", "rate", 1e-3, 1)],
        plots: &[("rate", "k/s", 1e-3)],
    };

    #[test]
    fn everything_that_belongs_to_a_number_stands_beside_it() {
        let mut document = document(vec![cell("dlts", "rate", &[1000.0])]);
        document.missing.push(Missing {
            tool: "zrk".into(),
            install: "zig build".into(),
        });
        document.doubts.push("noise".into());
        document.verdict.push("NO VERDICT".into());
        for style in [Style::Text, Style::Markdown] {
            let text = text(&document, &VIEW, style);
            for expected in [
                "commit abc1234",
                "dlts",
                "1.0",
                "DOUBTS",
                "noise",
                "zrk: zig build",
            ] {
                assert!(text.contains(expected), "{expected} is missing in\n{text}");
            }
        }
    }

    #[test]
    fn three_kinds_of_files_are_written() {
        let directory = tempfile::tempdir().unwrap();
        let document = document(vec![cell("dlts", "rate", &[1000.0])]);
        publish(&document, &VIEW, directory.path()).unwrap();
        let mut names: Vec<String> = fs::read_dir(directory.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        let expected = [
            "2026-11-22-abc1234-rate-connections_64-pipeline_1.svg",
            "2026-11-22-abc1234.json",
            "2026-11-22-abc1234.md",
        ];
        assert_eq!(names, expected);
    }
}
