//! How busy devices are, as bars: for each limit one with all devices up and one while some are down.
//!
//! The colours are those of the other pictures, so the page's style turns them dark.

use std::fmt::Write as _;

use crate::report::text::share;
use crate::sizing::model::{Constraint, Nodes};

/// Width of the picture and of a full bar.
const WIDTH: f64 = 440.0;
const BAR: f64 = 400.0;
const COLOURS: [&str; 4] = ["#0072B2", "#D55E00", "#009E73", "#CC79A7"];

/// The picture of one answer, as SVG text.
pub(super) fn picture(nodes: &Nodes) -> String {
    let mut body = String::new();
    let mut y = 4.0;
    for constraint in &nodes.constraints {
        y = group(&mut body, nodes, constraint, y);
    }
    let label = minijinja::HtmlEscape(&caption(nodes)).to_string();
    format!(
        "<svg viewBox=\"0 0 {WIDTH} {y}\" role=\"img\" aria-label=\"{label}\" font-size=\"12\" style=\"display:block;width:100%;max-width:620px;height:auto\">{body}</svg>"
    )
}

/// The picture in words.
pub(super) fn caption(nodes: &Nodes) -> String {
    let text = |constraint: &Constraint| {
        let failed = share(nodes.failed_use(constraint));
        format!(
            "{}: {} with all up, {failed} while failures last",
            constraint.limit.name(),
            share(nodes.normal_use(constraint))
        )
    };
    nodes.constraints.iter().map(text).collect::<Vec<_>>().join("; ")
}

fn group(body: &mut String, nodes: &Nodes, constraint: &Constraint, top: f64) -> f64 {
    let mut y = top + 14.0;
    text(body, 0.0, y, "#222222", &format!("Use of each device's {}", constraint.limit.name()));
    y += legend(body, constraint, y + 4.0) + 8.0;
    let failures = nodes.tolerated_failures;
    let down = if failures == 1 { "1 is down".to_owned() } else { format!("{failures} are down") };
    let up = format!("{} carrying load", nodes.active);
    let mut bars = vec![(up, nodes.normal_use(constraint), constraint.limits.normal, nodes.active as f64)];
    if failures > 0 && nodes.active == nodes.nodes {
        let left = (nodes.nodes - failures) as f64;
        bars.push((format!("while {down}"), nodes.failed_use(constraint), constraint.limits.failed, left));
    }
    for (what, busy, limit, devices) in bars {
        let words = format!("{what}: {} (limit {})", share(busy), share(limit));
        y += 14.0;
        text(body, 0.0, y, "#5F6B76", &words);
        y += 8.0;
        bar(body, constraint, y, limit, devices);
        y += 21.0;
    }
    y + 10.0
}

/// What the colours of a stacked bar mean; the height it took.
fn legend(body: &mut String, constraint: &Constraint, y: f64) -> f64 {
    if constraint.shares.len() < 2 {
        return 0.0;
    }
    let mut x = 0.0;
    for (part, colour) in constraint.shares.iter().zip(COLOURS) {
        let _ = write!(body, "<rect x=\"{x}\" y=\"{}\" width=\"10\" height=\"10\" fill=\"{colour}\"/>", y + 3.0);
        text(body, x + 14.0, y + 12.0, "#5F6B76", part.resource.words());
        x += 26.0 + 6.1 * part.resource.words().len() as f64;
    }
    18.0
}

fn bar(body: &mut String, constraint: &Constraint, y: f64, limit: f64, devices: f64) {
    let _ = write!(body, "<rect x=\"0\" y=\"{y}\" width=\"{BAR}\" height=\"14\" fill=\"#E6EEF5\"/>");
    let mut x = 0.0;
    for (part, colour) in constraint.shares.iter().zip(COLOURS) {
        // A bar of more than all would leave the picture; the words above it say how much it is.
        let width = (part.devices / devices * BAR).min(BAR - x).max(0.0);
        let _ = write!(body, "<rect x=\"{x:.1}\" y=\"{y}\" width=\"{width:.1}\" height=\"14\" fill=\"{colour}\"/>");
        x += width;
    }
    let at = limit * BAR;
    let _ = write!(
        body,
        "<line x1=\"{at:.1}\" x2=\"{at:.1}\" y1=\"{}\" y2=\"{}\" stroke=\"#5F6B76\" stroke-width=\"2\"/>",
        y - 3.0,
        y + 17.0
    );
}

fn text(body: &mut String, x: f64, y: f64, colour: &str, words: &str) {
    let words = minijinja::HtmlEscape(words);
    let _ = write!(body, "<text x=\"{x:.1}\" y=\"{y:.1}\" fill=\"{colour}\">{words}</text>");
}
