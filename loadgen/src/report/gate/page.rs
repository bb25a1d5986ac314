//! `report.html` of a gate: the answer, the table, every pair as a picture, how the answer came about.
//!
//! Words and looks are in `assets/gate.html`; the picture is drawn here.

use minijinja::value::Serde;
use minijinja::{Environment, UndefinedBehavior};
use serde_json::{Value, json};

use super::GateReport;
use super::table::{self, FINDINGS, NOISE};
use crate::gate::{Limit, Order};
use crate::verdict::answer::Exit;

/// Size of the picture of one metric, in pixels of its own.
const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 140.0;

/// The whole page.
///
/// # Errors
/// What the template engine says; only a fault in the template can cause it.
pub(super) fn render(report: &GateReport<'_>) -> Result<String, minijinja::Error> {
    let mut templates = Environment::new();
    templates.set_undefined_behavior(UndefinedBehavior::Strict);
    templates.add_template("gate.html", include_str!("../../../assets/gate.html"))?;
    templates.get_template("gate.html")?.render(Serde(values(report)))
}

fn values(report: &GateReport<'_>) -> Value {
    let (begun, answer) = (report.begun, report.answer);
    let colour = match answer.exit {
        Exit::Met if matches!(answer.word.as_str(), "pass" | "quiet") => "good",
        Exit::Met | Exit::Undecided | Exit::Interrupted => "open",
        Exit::Missed | Exit::Usage | Exit::Host => "bad",
    };
    let (header, rows): (Vec<&str>, Vec<Vec<String>>) = match &answer.noise {
        Some(noise) => (NOISE.into(), table::noise(&noise.metrics).into_iter().map(Vec::from).collect()),
        None => (FINDINGS.into(), table::findings(report).into_iter().map(Vec::from).collect()),
    };
    json!({
        "name": begun.name,
        "question": begun.question,
        "word": answer.word,
        "colour": colour,
        "reason": answer.reason,
        "sides": table::sides(report),
        "facts": table::facts(report),
        "warnings": answer.warnings,
        "header": header,
        "rows": rows,
        "pictures": begun.settings.limits.iter().map(|limit| json!({
            "title": limit.metric.title(),
            "tolerated": table::change(limit.metric, limit.tolerated()),
            "svg": picture(report, limit),
        })).collect::<Vec<_>>(),
        "pairs": report.pairs.iter().map(|kept| pair(report, kept)).collect::<Vec<_>>(),
        "explanation": answer.judgement.explanation,
        "host": begun.host,
        "version": begun.version,
        "commit": begun.commit,
        "command": begun.command.join(" "),
        "metrics": begun.settings.limits.iter().map(|limit| limit.metric.title()).collect::<Vec<_>>(),
    })
}

fn pair(report: &GateReport<'_>, kept: &crate::archive::gate::KeptPair) -> Value {
    let limits = &report.begun.settings.limits;
    let change = |limit: &Limit| {
        kept.pair.effect(limit.metric).map_or_else(|_| "–".to_owned(), |effect| table::change(limit.metric, effect))
    };
    json!({
        "number": if kept.warm_up { "warm-up".to_owned() } else { kept.pair.number.to_string() },
        "first": if kept.pair.order == Order::BaselineFirst { "baseline" } else { "candidate" },
        "changes": limits.iter().map(change).collect::<Vec<_>>(),
        "discarded": kept.pair.discarded,
    })
}

/// Every pair as a dot over time, with the line of no change and that of the tolerance. Up is better.
fn picture(report: &GateReport<'_>, limit: &Limit) -> String {
    let judged: Vec<_> = report.pairs.iter().filter(|kept| !kept.warm_up).collect();
    let dots: Vec<(usize, f64, bool)> = judged
        .iter()
        .enumerate()
        .filter_map(|(at, kept)| Some((at, kept.pair.effect(limit.metric).ok()?, kept.pair.discarded.is_none())))
        .collect();
    let widest = dots.iter().map(|(_, effect, _)| effect.abs()).fold(limit.tolerated().abs() * 1.5, f64::max);
    let x = |at: usize| 20.0 + (WIDTH - 40.0) * (at as f64 + 0.5) / judged.len().max(1) as f64;
    let y = |effect: f64| HEIGHT / 2.0 - (HEIGHT / 2.0 - 12.0) * (effect / widest).clamp(-1.0, 1.0);
    let line = |effect: f64, class: &str| {
        let y = y(effect);
        format!("<line class=\"{class}\" x1=\"0\" x2=\"{WIDTH}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>")
    };
    let mut svg = format!(
        "<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{} of every pair\">",
        limit.metric.title()
    );
    svg.push_str(&line(0.0, "none"));
    svg.push_str(&line(limit.tolerated(), "edge"));
    for (at, effect, counts) in dots {
        let class = if counts { "pair" } else { "pair gone" };
        let (x, y) = (x(at), y(effect));
        let title = format!("pair {}: {}", judged[at].pair.number, table::change(limit.metric, effect));
        svg.push_str(&format!(
            "<circle class=\"{class}\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"4\"><title>{title}</title></circle>"
        ));
    }
    svg.push_str("</svg>");
    svg
}
