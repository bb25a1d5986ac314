//! `compare.html`: the comparison for a person.

use serde_json::{Value, json};

use super::{bases, cell_text, is_ranked, ratio_text, spread_text, standing_text, warnings};
use crate::compare::measured::{Better, figure_trial};
use crate::compare::relation::Relation;
use crate::compare::{Comparison, Entrant, Row};
use crate::report::page;
use crate::report::plot::Picture;
use crate::report::plot::overlay::{self, Overlaid};
use crate::report::tables::{Grid, environment, method};
use crate::report::text::NOTHING;

/// The whole page.
///
/// # Errors
/// What the template engine says; only a fault in the template can cause it.
pub(super) fn render(
    comparison: &Comparison,
    entrants: &[Entrant<'_>],
    command: &str,
) -> Result<String, minijinja::Error> {
    let pictures = pictures(comparison, entrants);
    let template = include_str!("../../../assets/compare.html");
    page::render("compare.html", template, values(comparison, entrants, command), &pictures)
}

fn values(comparison: &Comparison, entrants: &[Entrant<'_>], command: &str) -> Value {
    let first = entrants[0].runs[0];
    let names: Vec<_> = comparison.contenders.iter().map(|contender| contender.name.as_str()).collect();
    let compliance = crate::scenario::compliance(&first.begun.plan);
    let began = entrants.iter().flat_map(|entrant| &entrant.runs).map(|run| run.begun.began_unix_ns).min();
    json!({
        "kind": "compare",
        "name": comparison.scenario,
        "subject": format!("scenario {} · {}", comparison.scenario, names.join(", ")),
        "question": comparison.question,
        "written": began.map(host::clock::wall_clock_at),
        "status": status(comparison),
        "cards": cards(comparison),
        "warnings": warnings(comparison),
        "notes": comparison.notes,
        "bases": bases(comparison),
        "table": table(comparison).value(),
        "runs": runs(comparison, entrants).value(),
        "label": compliance.label,
        "deviations": compliance.deviations,
        "method": method(&first.begun.plan).value(),
        "environment": environment(&first.environment).value(),
        "command": command,
        "seed": first.begun.plan.seed.to_string(),
        "files": "compare.csv, compare.json",
    })
}

/// Under which conditions, and how much was decided.
fn status(comparison: &Comparison) -> Value {
    let ratios = comparison.rows.iter().flat_map(|row| &row.ratios).flatten().filter(|ratio| is_ranked(ratio));
    let (decided, open): (Vec<_>, Vec<_>) = ratios.partition(|ratio| ratio.relation != Relation::NotDecided);
    let (word, colour) = match comparison.allowed.len() {
        0 => ("equal conditions", "good"),
        _ => ("unequal conditions", "open"),
    };
    let reason = format!("{} ratios are decided, {} are not", decided.len(), open.len());
    json!({ "word": word, "colour": colour, "reason": reason })
}

/// One box for each contender: its figure, its ratio, who limited it.
fn cards(comparison: &Comparison) -> Vec<Value> {
    let Some(row) = comparison.rows.first() else { return Vec::new() };
    let card = |at: usize| {
        let contender = &comparison.contenders[at];
        let mut lines = vec![row.quantity.label.clone()];
        if let Some(ratio) = &row.ratios[at] {
            lines.push(format!("ratio to {}: {}", comparison.contenders[0].name, ratio_text(Some(ratio))));
        }
        lines.extend(costs(comparison, at));
        let limit = if contender.limited_by.is_empty() { NOTHING } else { &contender.limited_by };
        json!({
            "title": contender.name,
            "value": cell_text(row, at),
            "lines": lines,
            "muted": [format!("limited by {limit}"), standing_text(comparison, at)],
        })
    };
    (0..comparison.contenders.len()).map(card).collect()
}

/// What stands beside the figure: CPU time, and p99 at the first common load.
fn costs(comparison: &Comparison, at: usize) -> Vec<String> {
    let wanted = ["dut_cpu_us_per_operation", "response_time_us_p99@"];
    let rows =
        wanted.iter().filter_map(|wanted| comparison.rows.iter().find(|row| row.quantity.key.starts_with(wanted)));
    let text = |row: &Row| {
        let ratio = row.ratios[at].as_ref().map(|ratio| format!(", ratio {}", ratio_text(Some(ratio))));
        format!("{}: {}{}", row.quantity.label, cell_text(row, at), ratio.unwrap_or_default())
    };
    rows.map(text).collect()
}

fn table(comparison: &Comparison) -> Grid {
    let mut head = vec![""];
    head.extend(comparison.contenders.iter().map(|contender| contender.name.as_str()));
    let mut grid = Grid::new(&head).text(&[0]);
    let mut line = |label: &str, of: &dyn Fn(usize) -> String| {
        let mut cells = vec![label.to_owned()];
        cells.extend((0..comparison.contenders.len()).map(of));
        grid.row(cells);
    };
    line("run", &|at| standing_text(comparison, at));
    line("limited by", &|at| comparison.contenders[at].limited_by.clone());
    for row in &comparison.rows {
        line(&label(row), &|at| cell_text(row, at));
        if row.cells.iter().flatten().any(|cell| cell.spread().is_some()) {
            line("– min / median / max", &|at| spread_text(row, at));
        }
        if row.ratios.iter().any(Option::is_some) {
            line("– ratio to the first", &|at| ratio_text(row.ratios[at].as_ref()));
        }
    }
    grid
}

fn label(row: &Row) -> String {
    match row.quantity.better {
        Better::Larger => format!("{} (more is better)", row.quantity.label),
        Better::Smaller => format!("{} (less is better)", row.quantity.label),
        Better::Neither => row.quantity.label.clone(),
    }
}

fn runs(comparison: &Comparison, entrants: &[Entrant<'_>]) -> Grid {
    let mut grid = Grid::new(&["contender", "run", "began", "trials", "how it ended"]).text(&[0, 1, 2]).words(&[4]);
    for (contender, entrant) in comparison.contenders.iter().zip(entrants) {
        for run in &entrant.runs {
            let reason = run.answer.as_ref().map_or("without an answer", |answer| answer.reason.as_str());
            grid.row(vec![
                contender.name.clone(),
                run.path.display().to_string(),
                host::clock::wall_clock_at(run.begun.began_unix_ns),
                run.trials.len().to_string(),
                reason.to_owned(),
            ]);
        }
    }
    grid
}

fn pictures(comparison: &Comparison, entrants: &[Entrant<'_>]) -> Vec<Picture> {
    let overlaid = comparison.contenders.iter().zip(entrants).map(|(contender, entrant)| Overlaid {
        name: contender.name.clone(),
        runs: entrant
            .runs
            .iter()
            .map(|run| run.trials.iter().map(|kept| (&kept.record, kept.passed)).collect())
            .collect(),
        shown: entrant.runs.iter().filter_map(|run| figure_trial(run)).collect(),
    });
    let overlaid: Vec<_> = overlaid.collect();
    overlay::pictures(&overlaid, entrants[0].runs[0].begun.plan.load.unit.name())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::archive::Archive;
    use crate::compare::{self, Pairing};
    use crate::report::fixture::{self, Scratch};
    use crate::report::page::tests::assert_sound;

    #[test]
    fn the_page_is_sound_and_shows_each_contender() {
        let scratch = Scratch::new("compare-page");
        let archives = ["one", "other"]
            .map(|name| Archive::read(&fixture::write(fixture::run(), &scratch.path().join(name))).unwrap());
        let entrants = archives.each_ref().map(|archive| Entrant { runs: vec![archive] });
        let comparison = compare::compare(&entrants, Pairing::Runs, &[]).unwrap();
        let page = render(&comparison, &entrants, "loadgen compare one other").unwrap();
        assert_sound(&page);
        assert!(
            page.contains("equal conditions") && page.contains("<pre tabindex=\"0\">loadgen compare one other</pre>")
        );
        let cards = page.matches("<div class=\"card").count();
        assert_eq!(cards, comparison.contenders.len());
    }
}
