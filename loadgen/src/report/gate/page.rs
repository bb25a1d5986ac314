//! `report.html` of a gate: the answer, the table, every pair as a picture, how the answer came about.
//!
//! Words are in `assets/gate.html`, the frame in [`crate::report::page`]; the picture is drawn here.

use serde_json::{Value, json};

use super::GateReport;
use super::table::{self, FINDINGS, NOISE};
use crate::archive::RESULT;
use crate::archive::gate::{GATE, KeptPair, PAIRS, SIDES};
use crate::gate::{Limit, Order};
use crate::report::page;
use crate::report::tables::Grid;
use crate::report::text::{NOTHING, share};
use crate::verdict::answer::Exit;

/// Size of the picture of one metric, in pixels of its own.
const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 140.0;
/// What is asked where the scenario asks nothing.
const QUESTION: &str = "Is the candidate worse than the baseline by more than is tolerated?";
/// Stands above a gate that was interrupted.
const INTERRUPTED: &str = "INTERRUPTED: this report holds the pairs that were measured until then.";

/// The whole page.
///
/// # Errors
/// What the template engine says; only a fault in the template can cause it.
pub(super) fn render(report: &GateReport<'_>) -> Result<String, minijinja::Error> {
    page::render("gate.html", include_str!("../../../assets/gate.html"), values(report), &[])
}

fn values(report: &GateReport<'_>) -> Value {
    let (begun, answer) = (report.begun, report.answer);
    let [baseline, candidate] = SIDES;
    json!({
        "kind": "gate",
        "name": begun.name,
        "subject": format!("scenario {} · {}", begun.name, table::sides(report)),
        "question": if begun.question.is_empty() { QUESTION } else { &begun.question },
        "written": host::clock::wall_clock_at(begun.began_unix_ns),
        "banner": (answer.exit == Exit::Interrupted).then_some(INTERRUPTED),
        "status": {
            "word": answer.word,
            "colour": colour(report),
            "code": answer.exit.code(),
            "reason": answer.reason,
        },
        "sides": table::sides(report),
        "cards": cards(report),
        "warnings": answer.warnings,
        "heading": if answer.noise.is_some() { "Noise of this machine" } else { "Findings" },
        "table": figures(report).value(),
        "facts": table::facts(report),
        "drawings": begun.settings.limits.iter().map(|limit| drawing(report, limit)).collect::<Vec<_>>(),
        "pairs": pairs(report).value(),
        "explanation": answer.judgement.explanation,
        "method": method(report).value(),
        "environment": environment(report).value(),
        "command": begun.command.join(" "),
        "seed": begun.seed.to_string(),
        "files": format!(
            "{RESULT}, {GATE}, {PAIRS}, junit.xml, summary.md, and the trials of both sides in {baseline} and {candidate}"
        ),
    })
}

fn colour(report: &GateReport<'_>) -> &'static str {
    match report.answer.exit {
        Exit::Met if matches!(report.answer.word.as_str(), "pass" | "quiet") => "good",
        Exit::Met | Exit::Undecided | Exit::Interrupted => "open",
        Exit::Missed | Exit::Usage | Exit::Host => "bad",
    }
}

/// The colour of what a row of the findings says.
fn mark(says: &str) -> &'static str {
    match says {
        "pass" => "good",
        "fail" => "bad",
        NOTHING => "",
        _ => "open",
    }
}

/// One box for each metric: its change and the bounds, or how much a pair of the same build differs.
fn cards(report: &GateReport<'_>) -> Vec<Value> {
    if let Some(noise) = &report.answer.noise {
        let card = |[title, noise, bias, p, in_use, proposed]: [String; 6]| {
            json!({
                "title": title,
                "value": noise,
                "lines": [format!("bias {bias}, p {p}")],
                "muted": [format!("δ in use {in_use}, proposed {proposed}")],
            })
        };
        return table::noise(&noise.metrics).into_iter().map(card).collect();
    }
    let card = |[title, baseline, candidate, change, worst, best, tolerated, _, says]: [String; 9]| {
        let is_change = tolerated != NOTHING;
        let sides = format!("baseline {baseline}, candidate {candidate}");
        let bounds = is_change.then(|| format!("at worst {worst}, at best {best}"));
        let says_text = format!("says {says}");
        json!({
            "title": title,
            "value": is_change.then_some(change),
            "lines": bounds.into_iter().chain([sides]).collect::<Vec<_>>(),
            "muted": [if is_change { format!("tolerated {tolerated}; {says_text}") } else { says_text }],
            "colour": mark(&says),
        })
    };
    table::findings(report).into_iter().map(card).collect()
}

/// The table of the answer: what was found, or the noise of the machine.
fn figures(report: &GateReport<'_>) -> Grid {
    if let Some(noise) = &report.answer.noise {
        let mut grid = Grid::new(&NOISE);
        table::noise(&noise.metrics).into_iter().for_each(|row| grid.row(row.into()));
        return grid;
    }
    let mut grid = Grid::new(&FINDINGS).text(&[0, 8]);
    for row in table::findings(report) {
        let mark = mark(&row[8]);
        grid.marked(row.into(), mark);
    }
    grid
}

/// Every pair in time; those that do not count are pale.
fn pairs(report: &GateReport<'_>) -> Grid {
    let limits = &report.begun.settings.limits;
    let mut head = vec!["pair", "first"];
    head.extend(limits.iter().map(|limit| limit.metric.title()));
    head.push("discarded");
    let reason = head.len() - 1;
    let mut grid = Grid::new(&head).text(&[0, 1]).words(&[reason]);
    for kept in report.pairs {
        let first = if kept.pair.order == Order::BaselineFirst { "baseline" } else { "candidate" };
        let mut cells = vec![number(kept), first.to_owned()];
        cells.extend(limits.iter().map(|limit| {
            kept.pair
                .effect(limit.metric)
                .map_or_else(|_| NOTHING.to_owned(), |effect| table::change(limit.metric, effect))
        }));
        cells.push(kept.pair.discarded.clone().unwrap_or_default());
        let counts = !kept.warm_up && kept.pair.discarded.is_none();
        grid.marked(cells, if counts { "" } else { "zero" });
    }
    grid
}

fn number(kept: &KeptPair) -> String {
    if kept.warm_up { "warm-up".to_owned() } else { kept.pair.number.to_string() }
}

/// How pairs are made; the rule itself opens the explanation.
fn method(report: &GateReport<'_>) -> Grid {
    let settings = &report.begun.settings;
    let looks: Vec<String> = settings.looks.iter().map(u32::to_string).collect();
    let alpha: Vec<String> = settings.alpha.iter().map(|&alpha| share(alpha)).collect();
    let mut grid = Grid::new(&["", ""]).text(&[0]).words(&[1]);
    let mut line = |name: &str, text: String| grid.row([name.to_owned(), text].into());
    line(
        "pair",
        "baseline and candidate under the same fixed load, one right after the other, in random order".to_owned(),
    );
    line("warm-up", "the first pair; it is not judged".to_owned());
    line("discarded", "a pair of which a run is invalid, whatever its values are; another one is measured".to_owned());
    line("looks", format!("at {} valid pairs, with α {}", looks.join(", "), alpha.join(", ")));
    line("worse is shown by", "exact signed-rank test of ln(candidate / baseline), corrected by Holm".to_owned());
    line("change", "Hodges-Lehmann estimate over the pairs that count".to_owned());
    for limit in &settings.limits {
        line(&format!("δ of {}", limit.metric.title()), share(limit.delta));
    }
    grid
}

fn environment(report: &GateReport<'_>) -> Grid {
    let begun = report.begun;
    let commit = begun.commit.as_ref().map_or_else(String::new, |commit| format!(" ({commit})"));
    let mut grid = Grid::new(&["", ""]).text(&[0]).words(&[1]);
    let mut line = |name: &str, text: String| grid.row([name.to_owned(), text].into());
    line("host", begun.host.clone());
    line("loadgen", format!("{}{commit}", begun.version));
    line("scenario", format!("{} ({})", begun.name, begun.scenario));
    for (name, side) in SIDES.iter().zip(&begun.sides) {
        line(name, format!("{} (DUT {})", side.spec, side.dut));
    }
    grid
}

/// The picture of one metric as the templates want it.
fn drawing(report: &GateReport<'_>, limit: &Limit) -> Value {
    let title = format!("{} of every pair", limit.metric.title());
    let svg = picture(report, limit, &title);
    let caption = format!(
        "{}: each dot is a pair, in time, hollow where it is discarded; up is better; the line is no change, the broken \
         line is the tolerance ({})",
        limit.metric.title(),
        table::change(limit.metric, limit.tolerated())
    );
    let what = if svg.is_some() { caption } else { title.clone() };
    json!({
        "stem": limit.metric.name(),
        "title": title,
        "caption": what,
        "svg": svg,
        "live": false,
        "why": "no pair has a change of it",
    })
}

/// Every pair as a dot over time, with the line of no change and that of the tolerance. Up is better.
/// `None` without a dot. The colours are those that the style sheet makes follow the page.
fn picture(report: &GateReport<'_>, limit: &Limit, title: &str) -> Option<String> {
    let judged: Vec<_> = report.pairs.iter().filter(|kept| !kept.warm_up).collect();
    let dots: Vec<(usize, f64, bool)> = judged
        .iter()
        .enumerate()
        .filter_map(|(at, kept)| Some((at, kept.pair.effect(limit.metric).ok()?, kept.pair.discarded.is_none())))
        .collect();
    if dots.is_empty() {
        return None;
    }
    let widest = dots.iter().map(|(_, effect, _)| effect.abs()).fold(limit.tolerated().abs() * 1.5, f64::max);
    let x = |at: usize| 20.0 + (WIDTH - 40.0) * (at as f64 + 0.5) / judged.len().max(1) as f64;
    let y = |effect: f64| HEIGHT / 2.0 - (HEIGHT / 2.0 - 12.0) * (effect / widest).clamp(-1.0, 1.0);
    let line = |effect: f64, look: &str| {
        let y = y(effect);
        format!("<line {look} x1=\"0\" x2=\"{WIDTH}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>")
    };
    let mut svg = format!(
        "<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{title}\">\
         <rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"#E6EEF5\"/>"
    );
    svg.push_str(&line(0.0, "stroke=\"#5F6B76\""));
    svg.push_str(&line(limit.tolerated(), "stroke=\"#D55E00\" stroke-width=\"1.5\" stroke-dasharray=\"6 4\""));
    for (at, effect, counts) in dots {
        let look = if counts { "fill=\"#0072B2\"" } else { "fill=\"none\" stroke=\"#5F6B76\"" };
        let (x, y) = (x(at), y(effect));
        let title = format!("pair {}: {}", judged[at].pair.number, table::change(limit.metric, effect));
        svg.push_str(&format!("<circle {look} cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"5\"><title>{title}</title></circle>"));
    }
    svg.push_str("</svg>");
    Some(svg)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::archive::gate::{GATE_SCHEMA, GateBegun, Side};
    use crate::gate::failures::Failures;
    use crate::gate::{Metric, Pair, Settings};
    use crate::report::page::tests::assert_sound;
    use crate::suite::gating::{self, Stop};

    const METRICS: [Metric; 2] = [Metric::PRIMARY, Metric::ResponseTimeP99];

    fn begun(same: bool) -> GateBegun {
        let side = |spec: &str| Side { spec: spec.to_owned(), dut: format!("dut of {spec}") };
        GateBegun {
            schema: GATE_SCHEMA,
            run: "20261123-104203".to_owned(),
            version: "1.2.3".to_owned(),
            commit: Some("0123abc".to_owned()),
            command: ["loadgen", "gate", "cps.toml", "--baseline-dut", "old.toml"].map(str::to_owned).into(),
            began_unix_ns: 1_795_406_706_000_000_000,
            name: "ci-cps".to_owned(),
            question: "Does a <b>connection</b> cost more?".to_owned(),
            scenario: "5ce4a210".to_owned(),
            host: "4 × a CPU".to_owned(),
            seed: 7,
            settings: Settings::new(METRICS.map(Limit::of).into()).unwrap(),
            same,
            sides: [side("old.toml"), side("new.toml")],
        }
    }

    /// A warm-up and so many pairs; the third is discarded.
    fn measured(count: u32, ratio: f64) -> Vec<KeptPair> {
        let pair = |number: u32| {
            let spread = 1.0 + 0.01 * f64::from(number % 5);
            KeptPair {
                warm_up: number == 0,
                pair: Pair {
                    number,
                    order: if number.is_multiple_of(2) { Order::BaselineFirst } else { Order::CandidateFirst },
                    baseline: METRICS.map(|metric| (metric, 1_000.0)).into(),
                    candidate: vec![(METRICS[0], 1_000.0 * ratio * spread), (METRICS[1], 1_010.0 * spread)],
                    discarded: (number == 3).then(|| "candidate: G3: <i>lag</i>".to_owned()),
                },
                trials: [vec![number], vec![number]],
                failures: [Failures { failed: 0, attempted: 500, broken: false }; 2],
                died: None,
            }
        };
        (0..=count).map(pair).collect()
    }

    fn page(begun: &GateBegun, pairs: &[KeptPair], stop: Stop) -> String {
        let warnings = vec!["baseline: the clock source is <hpet>".to_owned()];
        let answer = gating::answer(begun, pairs, stop, false, warnings);
        let report = GateReport { begun, pairs, answer: &answer, folder: std::path::Path::new(".") };
        let page = render(&report).unwrap();
        assert_sound(&page);
        // For a look at it in a browser.
        if let Some(folder) = std::env::var_os("NADARE_KEEP_PAGES") {
            std::fs::write(std::path::Path::new(&folder).join(format!("gate-{}.html", answer.word)), &page).unwrap();
        }
        page
    }

    fn assert_has(page: &str, parts: &[&str]) {
        for part in parts {
            assert!(page.contains(part), "{part} is missing");
        }
    }

    #[test]
    fn the_page_of_a_regression_says_what_how_and_on_which_pairs() {
        let page = page(&begun(false), &measured(13, 0.7), Stop::Finished);
        let parts = [
            "<span class=\"badge bad\">regression</span>",
            "(exit code 1)",
            "<h1>Does a &lt;b&gt;connection&lt;&#x2f;b&gt; cost more?</h1>",
            "candidate new.toml against baseline old.toml",
            "<div class=\"card tint bad\"><h2>transactions per DUT CPU-second</h2>",
            "<tr class=\"bad\"><td class=\"text\">transactions per DUT CPU-second</td>",
            "0 of 6000 (too many in 0 pairs)",
            "12 valid pairs, 1 discarded, order from seed 7",
            "baseline: the clock source is &lt;hpet&gt;",
            "<td class=\"text\">warm-up</td>",
            "candidate: G3: &lt;i&gt;lag&lt;&#x2f;i&gt;",
            "at 12, 18, 24 valid pairs",
            "1.2.3 (0123abc)",
            "4 × a CPU",
            "loadgen gate cps.toml --baseline-dut old.toml",
            "Seed 7.",
            "loadgen gate --rejudge .",
        ];
        assert_has(&page, &parts);
        // Thirteen pairs in each of two pictures, one of them hollow.
        assert_eq!((page.matches("<circle ").count(), page.matches("<circle fill=\"none\"").count()), (26, 2));
    }

    #[test]
    fn the_page_of_the_same_build_shows_the_noise() {
        let page = page(&begun(true), &measured(13, 1.0), Stop::Finished);
        assert_has(&page, &["Noise of this machine", "δ in use 5", "old.toml against itself", "noise of a pair"]);
    }

    #[test]
    fn an_interrupted_gate_without_a_pair_has_a_page() {
        let page = page(&GateBegun { question: String::new(), ..begun(false) }, &[], Stop::Interrupted);
        assert_has(&page, &[INTERRUPTED, QUESTION, "Left out: response time p99 of every pair"]);
    }
}
