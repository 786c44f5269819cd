//! Tables of cells, as text for a terminal and as Markdown.

use std::fmt::Write;

use crate::results::Cell;

/// One column: a metric's median, and its spread where that matters.
#[derive(Clone, Copy, Debug)]
pub struct Column {
    /// What stands above it.
    pub title: &'static str,
    /// The metric.
    pub metric: &'static str,
    /// What the median is multiplied by.
    pub scale: f64,
    /// Digits after the point.
    pub digits: usize,
    /// Whether the spread is shown too, in percent.
    pub spread: bool,
}

impl Column {
    /// A column of medians.
    #[must_use]
    pub const fn plain(
        title: &'static str,
        metric: &'static str,
        scale: f64,
        digits: usize,
    ) -> Self {
        Self {
            title,
            metric,
            scale,
            digits,
            spread: false,
        }
    }

    /// A column of medians with their spreads.
    #[must_use]
    pub const fn spread(
        title: &'static str,
        metric: &'static str,
        scale: f64,
        digits: usize,
    ) -> Self {
        Self {
            title,
            metric,
            scale,
            digits,
            spread: true,
        }
    }

    fn text(&self, cell: &Cell) -> String {
        let Some(summary) = cell.metric(self.metric) else {
            return "–".to_owned();
        };
        let mut text = format!("{:.*}", self.digits, summary.median * self.scale);
        if self.spread {
            let _ = write!(text, " ±{:.1}%", summary.spread * 100.0);
        }
        text
    }
}

/// How a table is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// Columns aligned by spaces.
    Text,
    /// A Markdown table.
    Markdown,
}

/// Draws a row for each cell: its parameters, its subject, the columns that any of them fills.
#[must_use]
pub fn draw(cells: &[Cell], parameters: &[&str], columns: &[Column], style: Style) -> String {
    let filled = |column: &&Column| {
        cells
            .iter()
            .any(|cell| cell.metric(column.metric).is_some())
    };
    let columns: Vec<Column> = columns.iter().filter(filled).copied().collect();
    let mut titles: Vec<String> = parameters.iter().map(|&name| name.to_owned()).collect();
    titles.push(String::new());
    titles.extend(columns.iter().map(|column| column.title.to_owned()));
    let mut rows = vec![titles];
    rows.extend(cells.iter().map(|cell| row(cell, parameters, &columns)));
    lay_out(&rows, parameters.len(), style)
}

fn row(cell: &Cell, parameters: &[&str], columns: &[Column]) -> Vec<String> {
    let parameter = |name: &&str| {
        cell.parameters
            .get(*name)
            .map_or_else(String::new, f64::to_string)
    };
    let mut row: Vec<String> = parameters.iter().map(parameter).collect();
    row.push(cell.subject.clone());
    row.extend(columns.iter().map(|column| column.text(cell)));
    row
}

/// Lays rows out, the first as the head; the column `left` is aligned to the left, the others to
/// the right.
#[must_use]
pub fn lay_out(rows: &[Vec<String>], left: usize, style: Style) -> String {
    let columns = rows.first().map_or(0, Vec::len);
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max();
    let widths: Vec<usize> = (0..columns)
        .map(|column| width(column).unwrap_or(0))
        .collect();
    let mut text = String::new();
    for (index, row) in rows.iter().enumerate() {
        let fields: Vec<String> = row
            .iter()
            .zip(&widths)
            .enumerate()
            .map(|(column, (field, &width))| pad(field, width, column == left))
            .collect();
        let _ = match style {
            Style::Text => writeln!(text, "{}", fields.join("  ").trim_end()),
            Style::Markdown => writeln!(text, "| {} |", fields.join(" | ")),
        };
        if index == 0 && style == Style::Markdown {
            let rule = |column| if column == left { ":--" } else { "--:" };
            let rules: Vec<&str> = (0..columns).map(rule).collect();
            let _ = writeln!(text, "|{}|", rules.join("|"));
        }
    }
    text
}

fn pad(field: &str, width: usize, left: bool) -> String {
    if left {
        format!("{field:<width$}")
    } else {
        format!("{field:>width$}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::tests::cell;

    const COLUMNS: &[Column] = &[
        Column::spread("k/s", "rate", 1e-3, 1),
        Column::plain("some", "some", 1.0, 0),
        Column::plain("none", "none", 1.0, 0),
    ];

    #[test]
    fn text_is_aligned() {
        let cells = [
            cell("wrk", "rate", &[99_000.0]),
            cell("h2load", "rate", &[101_000.0]),
            cell("ab", "some", &[5.0]),
        ];
        let text = draw(&cells, &["connections"], COLUMNS, Style::Text);
        let expected = "connections                  k/s  some\n\
                        \x20        64  wrk      99.0 ±0.0%     –\n\
                        \x20        64  h2load  101.0 ±0.0%     –\n\
                        \x20        64  ab                –     5\n";
        assert_eq!(text, expected);
    }

    #[test]
    fn markdown_has_a_rule_below_its_head() {
        let cells = [cell("wrk", "rate", &[1000.0])];
        let text = draw(&cells, &[], COLUMNS, Style::Markdown);
        assert_eq!(text.lines().nth(1), Some("|:--|--:|"));
        assert_eq!(text.lines().nth(2), Some("| wrk | 1.0 ±0.0% |"));
    }
}
