//! SVG plots of cells. Text is left to whatever shows the file: no font is needed here.

use std::path::{Path, PathBuf};

use plotters::prelude::*;

use crate::results::Cell;

const WIDTH: u32 = 720;
const ROW_HEIGHT: u32 = 34;
const FRAME_HEIGHT: u32 = 110;
const OURS: RGBColor = RGBColor(0x1b, 0x6e, 0xc2);
const THEIRS: RGBColor = RGBColor(0x9a, 0xa5, 0xb1);

/// A plot that could not be drawn.
#[derive(Debug, thiserror::Error)]
#[error("cannot draw {path}: {message}")]
pub struct Error {
    path: PathBuf,
    message: String,
}

/// Horizontal bars of one metric: the median of each cell, with a line from least to greatest.
///
/// # Errors
/// When the file cannot be written.
pub fn bars(
    path: &Path,
    title: &str,
    unit: &str,
    cells: &[&Cell],
    metric: &str,
    scale: f64,
) -> Result<(), Error> {
    let bars: Vec<Bar> = cells
        .iter()
        .filter_map(|cell| Bar::of(cell, metric, scale))
        .collect();
    draw(path, title, unit, &bars).map_err(|error| Error {
        path: path.to_owned(),
        message: error.to_string(),
    })
}

struct Bar {
    label: String,
    median: f64,
    min: f64,
    max: f64,
}

impl Bar {
    fn of(cell: &Cell, metric: &str, scale: f64) -> Option<Self> {
        let summary = cell.metric(metric)?;
        Some(Self {
            label: cell.subject.clone(),
            median: summary.median * scale,
            min: summary.min * scale,
            max: summary.max * scale,
        })
    }
}

fn draw(
    path: &Path,
    title: &str,
    unit: &str,
    bars: &[Bar],
) -> Result<(), Box<dyn std::error::Error>> {
    let rows = u32::try_from(bars.len())?;
    let area = SVGBackend::new(path, (WIDTH, FRAME_HEIGHT + ROW_HEIGHT * rows)).into_drawing_area();
    area.fill(&WHITE)?;
    let longest = bars
        .iter()
        .map(|bar| bar.max)
        .fold(0.0, f64::max)
        .max(f64::MIN_POSITIVE);
    let labels: Vec<&str> = bars.iter().rev().map(|bar| bar.label.as_str()).collect();
    let mut chart = ChartBuilder::on(&area)
        .caption(title, ("sans-serif", 18))
        .margin(12)
        .x_label_area_size(40)
        .y_label_area_size(110)
        .build_cartesian_2d(0.0..longest * 1.15, 0.0..f64::from(rows))?;
    chart
        .configure_mesh()
        .disable_y_mesh()
        .disable_y_axis()
        .x_desc(unit)
        .light_line_style(BLACK.mix(0.06))
        .label_style(("sans-serif", 13))
        .y_labels(0)
        .draw()?;
    for (row, bar) in bars.iter().rev().enumerate() {
        let middle = row as f64 + 0.5;
        let colour = if bar.label == "dlts" { OURS } else { THEIRS };
        let corners = [(0.0, middle - 0.32), (bar.median, middle + 0.32)];
        chart.draw_series([Rectangle::new(corners, colour.filled())])?;
        let range = vec![(bar.min, middle), (bar.max, middle)];
        chart.draw_series([PathElement::new(range, BLACK.stroke_width(2))])?;
        let value = format!("{:.0}", bar.median);
        let at = (bar.max + longest * 0.01, middle + 0.18);
        chart.draw_series([Text::new(value, at, ("sans-serif", 13))])?;
        let (left, y) = chart.backend_coord(&(0.0, middle + 0.18));
        area.draw_text(
            labels[row],
            &("sans-serif", 14).into_text_style(&area),
            (left - 100, y),
        )?;
    }
    area.present()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::tests::cell;

    #[test]
    fn a_plot_names_every_subject_and_value() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("plot.svg");
        let cells = [
            cell("dlts", "rate", &[2000.0, 2100.0, 2200.0]),
            cell("wrk", "rate", &[1000.0]),
        ];
        let cells: Vec<&Cell> = cells.iter().collect();
        bars(&path, "Rate", "k/s", &cells, "rate", 1.0).unwrap();
        let text = std::fs::read_to_string(path).unwrap();
        for expected in ["dlts", "wrk", "2100", "1000", "Rate", "k/s"] {
            assert!(text.contains(expected), "{expected} is missing");
        }
    }

    #[test]
    fn a_folder_that_is_not_there_is_named() {
        let error = bars(Path::new("/no/such/folder/x.svg"), "", "", &[], "rate", 1.0);
        assert!(error.is_err_and(|error| error.to_string().contains("/no/such/folder")));
    }
}
