//! The pictures of a run, as SVG text and as PNG files.
//!
//! What a picture shows is decided in the files below this one, as [`Chart`]s without a pixel in
//! them; `canvas` paints them. A picture without data is left out, and the report says why.

mod axis;
mod canvas;
mod charts;
mod frames;
mod interactive;
pub(super) mod overlay;
mod shares;
mod timeline;

use std::path::Path;

use plotters::prelude::{BitMapBackend, DrawingBackend, IntoDrawingArea, SVGBackend};

use serde_json::Value;

use super::ReportError;
use super::folder::TrialNote;
use super::frames::udp_of;
use super::sheet::draft_of;
use crate::measure::TrialRecord;
use crate::scenario::Plan;
use crate::scenario::plan::SuitePlan;
use crate::verdict::answer::Answer;
use canvas::{Chart, Painter};

/// All that a picture can be made of.
pub(super) struct Material<'a> {
    /// The question.
    pub(super) plan: &'a Plan,
    /// What was measured.
    pub(super) trials: &'a [TrialRecord],
    /// What became of the trials.
    pub(super) notes: &'a [TrialNote],
    /// The answer.
    pub(super) answer: &'a Answer,
}

impl Material<'_> {
    fn passed(&self, trial: u32) -> Option<bool> {
        self.notes.iter().find(|note| note.trial == trial)?.passed
    }
}

/// One picture, or why there is none.
pub(super) struct Picture {
    /// Its file name without extension.
    pub(super) stem: &'static str,
    /// What it shows, one sentence.
    pub(super) caption: String,
    /// The picture, or why it was left out.
    pub(super) drawn: Result<Drawn, String>,
}

/// A painted picture.
pub(super) struct Drawn {
    chart: Chart,
    /// The picture as SVG text.
    pub(super) svg: String,
    /// Its data for the script of a page; `None` where the drawing says it all.
    pub(super) live: Option<Value>,
}

impl Drawn {
    /// What stands above the picture.
    pub(super) fn title(&self) -> &str {
        &self.chart.title
    }
}

/// The pictures of a run, in the order of the report.
pub(super) fn pictures(material: &Material<'_>) -> Vec<Picture> {
    let is_frames = udp_of(material.plan).is_some();
    let mut charts = frames::of_suite(material);
    // Delays at loads of different sizes are no curve.
    let has_curve = charts.is_empty() || !matches!(&material.plan.suite, Some(SuitePlan::Rfc2544 { .. }));
    charts.extend([
        ("rate", timeline::rate(material)),
        ("latency", timeline::latency(material)),
        ("cpu", timeline::cpu(material)),
    ]);
    charts.extend((!is_frames).then(|| ("connections", timeline::connections(material))));
    charts.extend(has_curve.then(|| ("latency_load", charts::latency_against_load(material))));
    charts.extend([("latency_curve", charts::latency_curve(material)), ("servers", shares::servers(material))]);
    let picture = |(stem, chart): (&'static str, Result<Chart, Omitted>)| match chart {
        Ok(chart) => Picture { stem, caption: chart.caption.clone(), drawn: draw_svg(stem, chart) },
        Err(Omitted { what, why }) => Picture { stem, caption: what, drawn: Err(why) },
    };
    charts.into_iter().map(picture).collect()
}

/// A picture that was left out.
struct Omitted {
    /// What it would have shown.
    what: String,
    /// Why it does not.
    why: String,
}

impl Omitted {
    fn new(what: &str, why: &str) -> Self {
        Self { what: what.to_owned(), why: why.to_owned() }
    }
}

/// Writes a picture as PNG.
///
/// # Errors
/// [`ReportError`] with the file's name.
pub(super) fn write_png(drawn: &Drawn, path: &Path) -> Result<(), ReportError> {
    let draft = draft_of(path);
    let painted = paint(BitMapBackend::new(&draft, drawn.chart.size()), &drawn.chart);
    if let Err(reason) = painted {
        // The encoder hides the kernel's reason; a plain write of about that size shows it.
        let probe = std::fs::write(&draft, vec![0; 1 << 18]);
        let _ = std::fs::remove_file(&draft);
        return Err(match probe {
            Err(source) => ReportError::write(path, source),
            Ok(()) => ReportError::format("a picture", path, reason),
        });
    }
    std::fs::rename(&draft, path).map_err(|source| ReportError::write(path, source))
}

fn draw_svg(stem: &str, chart: Chart) -> Result<Drawn, String> {
    let mut svg = String::new();
    paint(SVGBackend::with_string(&mut svg, chart.size()), &chart)?;
    Ok(Drawn { live: interactive::data(stem, &chart), chart, svg })
}

fn paint<B: DrawingBackend>(backend: B, chart: &Chart) -> Result<(), String> {
    canvas::register_font()?;
    let area = backend.into_drawing_area();
    Painter::new(&area, chart).paint().map_err(|error| error.to_string())?;
    area.present().map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests;
