//! Findings as Markdown that GitHub and GitLab render: the verdict first, then figures, then what was
//! asked and what was seen.

use std::fmt::Write;

use super::{Findings, Group, Outcome, Table};

impl Findings {
    /// As Markdown.
    #[must_use]
    pub fn to_markdown(&self) -> String {
        let mut out = format!("## {}: {}\n", text(&self.verdict), text(&self.title));
        for note in &self.notes {
            let _ = write!(out, "\n{}\n", text(note));
        }
        for table in &self.tables {
            write_table(&mut out, table);
        }
        let several = self.groups.len() > 1;
        for group in &self.groups {
            if several {
                let _ = write!(out, "\n### {}\n", text(&group.name));
            }
            write_table(&mut out, &findings(group));
        }
        out
    }
}

fn findings(group: &Group) -> Table {
    let row = |finding: &super::Finding| {
        let word = match finding.outcome {
            Outcome::Pass => "pass",
            Outcome::Fail => "**FAIL**",
            Outcome::Error => "**ERROR**",
            Outcome::Noted => "noted",
        };
        vec![
            word.to_owned(),
            finding.kind.name().to_owned(),
            text(&finding.asked),
            text(&finding.seen),
            text(&finding.place),
        ]
    };
    Table {
        head: ["", "", "asked", "seen", "where"]
            .map(str::to_owned)
            .to_vec(),
        rows: group.findings.iter().map(row).collect(),
    }
}

/// Cells that are figures stand to the right: all but the first where the first row has numbers.
fn write_table(out: &mut String, table: &Table) {
    if table.rows.is_empty() {
        return;
    }
    let is_number = |cell: &String| cell.starts_with(|c: char| c.is_ascii_digit() || c == '-');
    let first = &table.rows[0];
    let are_figures = first.iter().skip(1).all(is_number);
    let rule = (0..table.head.len()).map(|at| if at > 0 && are_figures { "--:" } else { "---" });
    let rule: Vec<String> = rule.map(str::to_owned).collect();
    out.push('\n');
    for cells in [&table.head, &rule].into_iter().chain(&table.rows) {
        // Writing to a String cannot fail.
        let _ = writeln!(out, "| {} |", cells.join(" | "));
    }
}

/// A text as it stands: nothing in it is markup, and it is on one line.
fn text(plain: &str) -> String {
    let mut out = String::with_capacity(plain.len());
    for c in plain.chars() {
        match c {
            '\n' | '\r' | '\t' => out.push(' '),
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '|' | '\\' | '`' | '*' | '_' | '[' | ']' | '#' | '~' | '!' | '$' | '@' => {
                out.push('\\');
                out.push(c);
            }
            c if c.is_control() => {}
            c => out.push(c),
        }
    }
    out
}
