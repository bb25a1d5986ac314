//! Paints charts: layout, text and colours, on any backend of plotters.
//!
//! All lengths are in points of a picture 800 points wide and are painted at twice that size, so that
//! lines are smooth in PNG and positions exact in SVG. The pages' style sheet knows the colours of
//! the SVG by their values; see `assets/page.css`.

use std::sync::OnceLock;

use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::axis::Axis;

/// Width of a picture in points.
const WIDTH: i32 = 800;
/// Height of a chart that asks for no other.
const HEIGHT: i32 = 420;
/// Pixels per point.
const SCALE: i32 = 2;
/// The space around the plot in points; the right one keeps the last tick label from being cut.
const LEFT: i32 = 76;
const RIGHT: i32 = 30;
const BOTTOM: i32 = 50;

/// Colours that people with any colour vision can tell apart (Okabe and Ito), and neutral ones.
pub(super) const BLUE: RGBColor = RGBColor(0x00, 0x72, 0xB2);
pub(super) const VERMILION: RGBColor = RGBColor(0xD5, 0x5E, 0x00);
pub(super) const GREEN: RGBColor = RGBColor(0x00, 0x9E, 0x73);
pub(super) const ORANGE: RGBColor = RGBColor(0xE6, 0x9F, 0x00);
pub(super) const PURPLE: RGBColor = RGBColor(0xCC, 0x79, 0xA7);
pub(super) const SKY: RGBColor = RGBColor(0x56, 0xB4, 0xE9);
pub(super) const GREY: RGBColor = RGBColor(0x8A, 0x94, 0x9E);
pub(super) const INK: RGBColor = RGBColor(0x22, 0x22, 0x22);
/// The names that the pages' style sheet has for them.
pub(super) const NAMED: [(RGBColor, &str); 8] = [
    (BLUE, "blue"),
    (VERMILION, "vermilion"),
    (GREEN, "green"),
    (ORANGE, "orange"),
    (PURPLE, "purple"),
    (SKY, "sky"),
    (GREY, "grey"),
    (INK, "ink"),
];
const MUTED: RGBColor = RGBColor(0x5F, 0x6B, 0x76);
const GRID: RGBColor = RGBColor(0xDD, 0xE2, 0xE7);
const BAND: RGBColor = RGBColor(0xE6, 0xEE, 0xF5);
const PAPER: RGBColor = RGBColor(0xFF, 0xFF, 0xFF);

/// A picture without a pixel in it.
pub(super) struct Chart {
    /// Stands above the picture.
    pub(super) title: String,
    /// What it shows, one sentence for the report and for those who cannot see it.
    pub(super) caption: String,
    /// Height in points.
    pub(super) height: i32,
    /// To the right.
    pub(super) x: Axis,
    /// Upwards.
    pub(super) y: Axis,
    /// Shaded ranges of x, and what they are.
    pub(super) bands: Vec<(f64, f64)>,
    /// What the bands are, for the legend; empty without any.
    pub(super) band_name: &'static str,
    /// Short texts above the plot: from x to x, the texts to choose from, longest first.
    pub(super) heads: Vec<Head>,
    /// Vertical lines with a text.
    pub(super) marks: Vec<Mark>,
    /// What ranges of x are, for who points at them; in order, they do not overlap.
    pub(super) regions: Vec<Region>,
    /// What is shown.
    pub(super) series: Vec<Series>,
}

/// What a range of x is, part by part.
pub(super) struct Region {
    /// Where it begins.
    pub(super) from: f64,
    /// Where each part ends, and its name.
    pub(super) parts: Vec<(f64, &'static str)>,
    /// What the whole is.
    pub(super) text: String,
}

/// A short text above a range of x.
pub(super) struct Head {
    /// The range.
    pub(super) range: (f64, f64),
    /// The same in ever fewer words; the first that fits is shown.
    pub(super) texts: [String; 2],
    /// Its colour.
    pub(super) colour: RGBColor,
}

/// A vertical line with a text.
pub(super) struct Mark {
    /// Where it stands.
    pub(super) x: f64,
    /// What it is.
    pub(super) text: String,
    /// Its colour.
    pub(super) colour: RGBColor,
}

/// One series.
pub(super) struct Series {
    /// Its name in the legend.
    pub(super) name: String,
    /// Its colour.
    pub(super) colour: RGBColor,
    /// How it looks.
    pub(super) form: Form,
}

/// How a series looks.
pub(super) enum Form {
    /// Lines, each on its own, all so many points wide.
    Lines(Vec<Vec<(f64, f64)>>, i32),
    /// Lines of steps, each on its own: from x to x at y.
    Steps(Vec<Vec<(f64, f64, f64)>>),
    /// Points joined by a thin line.
    Points(Vec<Dot>),
    /// Bars from the left to x, around y, so many positions of y thick, with a text at the end.
    Bars { ends: Vec<(f64, f64, String)>, thickness: f64 },
}

/// A trial as a point.
pub(super) struct Dot {
    /// Number of the trial.
    pub(super) trial: u32,
    /// Where it stands.
    pub(super) x: f64,
    /// Where it stands.
    pub(super) y: f64,
    /// A trial that did not pass becomes a cross.
    pub(super) passed: bool,
}

impl Chart {
    /// A chart with nothing but its lines, dots or bars.
    pub(super) fn new(
        title: impl Into<String>,
        caption: impl Into<String>,
        x: Axis,
        y: Axis,
        series: Vec<Series>,
    ) -> Self {
        Self {
            title: title.into(),
            caption: caption.into(),
            height: HEIGHT,
            x,
            y,
            bands: Vec::new(),
            band_name: "",
            heads: Vec::new(),
            marks: Vec::new(),
            regions: Vec::new(),
            series,
        }
    }

    /// Size of the picture in pixels.
    pub(super) fn size(&self) -> (u32, u32) {
        ((WIDTH * SCALE) as u32, (self.height * SCALE) as u32)
    }
}

/// Gives plotters the font it measures and paints with, once.
pub(super) fn register_font() -> Result<(), String> {
    static DONE: OnceLock<bool> = OnceLock::new();
    let bytes = include_bytes!("../../../assets/DejaVuSans.ttf");
    let done = DONE.get_or_init(|| plotters::style::register_font("sans-serif", FontStyle::Normal, bytes).is_ok());
    done.then_some(()).ok_or_else(|| "the embedded font cannot be read".to_owned())
}

/// Paints one chart on one area.
pub(super) struct Painter<'a, B: DrawingBackend> {
    area: &'a DrawingArea<B, Shift>,
    chart: &'a Chart,
    /// Top of the plot in points.
    top: i32,
}

/// Height of a row of labels above the plot in points.
const ROW: i32 = 18;

type Painted<B> = Result<(), DrawingAreaErrorKind<<B as DrawingBackend>::ErrorType>>;

impl<'a, B: DrawingBackend> Painter<'a, B> {
    pub(super) fn new(area: &'a DrawingArea<B, Shift>, chart: &'a Chart) -> Self {
        let above = chart.marks.len() as i32 + i32::from(!chart.heads.is_empty());
        Self { area, chart, top: 76 + above * ROW }
    }

    pub(super) fn paint(&self) -> Painted<B> {
        self.area.fill(&PAPER)?;
        for &(from, to) in &self.chart.bands {
            let corners = [(self.x(from), self.y(self.chart.y.to)), (self.x(to), self.y(self.chart.y.from))];
            self.area.draw(&Rectangle::new(corners, BAND.filled()))?;
        }
        self.paint_axes()?;
        self.text((16, 8), &self.chart.title, 17, INK, HPos::Left)?;
        self.paint_legend()?;
        for head in &self.chart.heads {
            self.paint_head(head)?;
        }
        // The heads have the row right above the plot.
        let first = usize::from(!self.chart.heads.is_empty());
        for (row, mark) in self.chart.marks.iter().enumerate() {
            self.paint_mark(mark, (row + first) as i32)?;
        }
        for series in &self.chart.series {
            self.paint_series(series)?;
        }
        Ok(())
    }

    fn paint_axes(&self) -> Painted<B> {
        let (x_axis, y_axis) = (&self.chart.x, &self.chart.y);
        let bottom = self.chart.height - BOTTOM;
        for (at, label) in &y_axis.ticks {
            let y = self.y(*at);
            self.line(&[(LEFT * SCALE, y), ((WIDTH - RIGHT) * SCALE, y)], GRID, 1)?;
            self.text_px((LEFT * SCALE - 8 * SCALE, y), label, 13, MUTED, Pos::new(HPos::Right, VPos::Center))?;
        }
        for (at, label) in &x_axis.ticks {
            let x = self.x(*at);
            self.line(&[(x, bottom * SCALE), (x, (bottom + 5) * SCALE)], MUTED, 1)?;
            self.text_px((x, (bottom + 8) * SCALE), label, 13, MUTED, Pos::new(HPos::Center, VPos::Top))?;
        }
        let ends = [
            (LEFT * SCALE, self.top * SCALE),
            (LEFT * SCALE, bottom * SCALE),
            ((WIDTH - RIGHT) * SCALE, bottom * SCALE),
        ];
        self.line(&ends, MUTED, 1)?;
        self.text((16, 53), &y_axis.label, 13, MUTED, HPos::Left)?;
        let middle = (LEFT + WIDTH - RIGHT) / 2;
        self.text((middle, self.chart.height - 22), &x_axis.label, 13, MUTED, HPos::Center)
    }

    fn paint_legend(&self) -> Painted<B> {
        let mut left = 16;
        for series in &self.chart.series {
            let corners = [(left * SCALE, 33 * SCALE), ((left + 16) * SCALE, 38 * SCALE)];
            self.area.draw(&Rectangle::new(corners, series.colour.filled()))?;
            left = self.legend_text(left, &series.name)?;
        }
        if !self.chart.bands.is_empty() {
            let corners = [(left * SCALE, 29 * SCALE), ((left + 16) * SCALE, 42 * SCALE)];
            self.area.draw(&Rectangle::new(corners, BAND.filled()))?;
            self.legend_text(left, self.chart.band_name)?;
        }
        Ok(())
    }

    /// Writes a name right of its sample and says where the next sample may begin.
    fn legend_text(&self, left: i32, name: &str) -> Result<i32, DrawingAreaErrorKind<B::ErrorType>> {
        self.text((left + 21, 31), name, 13, INK, HPos::Left)?;
        Ok(left + 21 + self.width(name, 13)? + 18)
    }

    fn paint_head(&self, head: &Head) -> Painted<B> {
        let (from, to) = (self.x(head.range.0) / SCALE, self.x(head.range.1) / SCALE);
        for text in &head.texts {
            if self.width(text, 12)? <= to - from {
                return self.text(((from + to) / 2, self.top - 20), text, 12, head.colour, HPos::Center);
            }
        }
        Ok(())
    }

    fn paint_mark(&self, mark: &Mark, row: i32) -> Painted<B> {
        let x = self.x(mark.x);
        let bottom = self.chart.height - BOTTOM;
        for dash in (self.top..bottom).step_by(9) {
            self.line(&[(x, dash * SCALE), (x, (dash + 5).min(bottom) * SCALE)], mark.colour, 2)?;
        }
        // Beside its line, on the side with more room; each mark in a row of its own.
        let (side, at) = if x > WIDTH * SCALE / 2 { (HPos::Right, -5) } else { (HPos::Left, 5) };
        self.text((x / SCALE + at, self.top - (row + 1) * ROW), &mark.text, 12, mark.colour, side)
    }

    fn paint_series(&self, series: &Series) -> Painted<B> {
        match &series.form {
            Form::Lines(lines, width) => {
                for line in lines {
                    let points: Vec<_> = line.iter().map(|&(x, y)| (self.x(x), self.y(y))).collect();
                    self.line(&points, series.colour, *width)?;
                }
                Ok(())
            }
            Form::Steps(lines) => {
                for line in lines {
                    let ends = line.iter().flat_map(|&(from, to, y)| [(from, y), (to, y)]);
                    self.line(&ends.map(|(x, y)| (self.x(x), self.y(y))).collect::<Vec<_>>(), series.colour, 2)?;
                }
                Ok(())
            }
            Form::Points(points) => self.paint_points(points, series.colour),
            Form::Bars { ends, thickness } => {
                for (x, y, text) in ends {
                    let corners = [
                        (self.x(self.chart.x.from), self.y(y + thickness / 2.0)),
                        (self.x(*x), self.y(y - thickness / 2.0)),
                    ];
                    self.area.draw(&Rectangle::new(corners, series.colour.filled()))?;
                    self.text_px(
                        (self.x(*x) + 5 * SCALE, self.y(*y)),
                        text,
                        12,
                        INK,
                        Pos::new(HPos::Left, VPos::Center),
                    )?;
                }
                Ok(())
            }
        }
    }

    fn paint_points(&self, points: &[Dot], colour: RGBColor) -> Painted<B> {
        let place = |dot: &Dot| (self.x(dot.x), self.y(dot.y));
        self.line(&points.iter().map(place).collect::<Vec<_>>(), colour, 1)?;
        for point in points {
            let (x, y) = place(point);
            let arm = 4 * SCALE;
            if point.passed {
                self.area.draw(&Circle::new((x, y), arm, colour.filled()))?;
            } else {
                self.line(&[(x - arm, y - arm), (x + arm, y + arm)], colour, 2)?;
                self.line(&[(x - arm, y + arm), (x + arm, y - arm)], colour, 2)?;
            }
        }
        Ok(())
    }

    fn line(&self, points: &[(i32, i32)], colour: RGBColor, width: i32) -> Painted<B> {
        self.area.draw(&PathElement::new(points.to_vec(), colour.stroke_width((width * SCALE) as u32)))
    }

    /// Text with its upper edge at a place in points.
    fn text(&self, at: (i32, i32), text: &str, size: i32, colour: RGBColor, side: HPos) -> Painted<B> {
        self.text_px((at.0 * SCALE, at.1 * SCALE), text, size, colour, Pos::new(side, VPos::Top))
    }

    fn text_px(&self, at: (i32, i32), text: &str, size: i32, colour: RGBColor, anchor: Pos) -> Painted<B> {
        let style = TextStyle::from(("sans-serif", size * SCALE)).color(&colour).pos(anchor);
        self.area.draw_text(text, &style, at)
    }

    /// Width of a text in points.
    fn width(&self, text: &str, size: i32) -> Result<i32, DrawingAreaErrorKind<B::ErrorType>> {
        let style = TextStyle::from(("sans-serif", size * SCALE));
        Ok(self.area.estimate_text_size(text, &style)?.0 as i32 / SCALE)
    }

    fn x(&self, position: f64) -> i32 {
        let width = f64::from((WIDTH - LEFT - RIGHT) * SCALE);
        LEFT * SCALE + (self.chart.x.share(position) * width).round() as i32
    }

    fn y(&self, position: f64) -> i32 {
        let bottom = self.chart.height - BOTTOM;
        let height = f64::from((bottom - self.top) * SCALE);
        bottom * SCALE - (self.chart.y.share(position) * height).round() as i32
    }
}
