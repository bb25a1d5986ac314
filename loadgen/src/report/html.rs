//! `report.html`: one page that holds everything and needs nothing, not even a network.
//!
//! The page's words and looks are in `assets/report.html`; here its values are put together as text.
//! The template escapes every value but the pictures, which this program drew itself.

use minijinja::value::Serde;
use minijinja::{Environment, UndefinedBehavior};
use serde_json::{Value, json};

use super::plot::{Material, Picture};
use super::rows::{ended_early, servers as server_rows};
use super::tables::{Grid, environment, evidence, latency, method, outcomes, servers, trials};
use super::terminal::{
    cost_text, decisive, exit_word, figure_context, figure_text, figure_unit, latency_mark, limit_text, shown_trial,
};
use crate::verdict::answer::{Bound, Exit};

/// What the page needs beside the run itself.
pub(super) struct Page<'a> {
    /// The run.
    pub(super) material: &'a Material<'a>,
    /// Its pictures.
    pub(super) pictures: &'a [Picture],
    /// The machine.
    pub(super) environment: &'a Value,
    /// The resolved plan.
    pub(super) plan_text: &'a str,
    /// The command that runs it again from the run folder, where that is possible.
    pub(super) again: Option<String>,
}

impl Page<'_> {
    /// The whole page.
    ///
    /// # Errors
    /// What the template engine says; only a fault in the template can cause it.
    pub(super) fn render(&self) -> Result<String, minijinja::Error> {
        let mut templates = Environment::new();
        templates.set_undefined_behavior(UndefinedBehavior::Strict);
        templates.add_template("report.html", include_str!("../../assets/report.html"))?;
        templates.get_template("report.html")?.render(Serde(self.values()))
    }

    fn values(&self) -> Value {
        let Material { plan, trials: all, answer, .. } = self.material;
        let mut values = self.answer_values();
        let shown = shown_trial(all, answer);
        let extra = json!({
            "pictures": self.pictures.iter().map(picture_value).collect::<Vec<_>>(),
            "trials": trials(self.material).value(),
            "shown": shown.map(|record| json!({ "number": record.number })),
            "outcomes": shown.map(|record| outcomes(all, record).value()),
            "first_failures": shown.map(|record| {
                let early = record.ended_early.iter().map(|early| format!("the trial ended early: {}", ended_early(early)));
                let first = record.first_failures.iter().map(|(kind, text)| format!("{}: {text}", kind.name()));
                early.chain(first).collect::<Vec<_>>()
            }),
            "latency": shown.map(|record| latency(record).value()),
            "latency_mark": shown.and_then(latency_mark),
            "servers": shown.map(|record| servers(&server_rows(record)).value()),
            "method": method(plan).value(),
            "environment": environment(self.environment).value(),
            "command": self.environment.get("command").and_then(command_text),
            "again": self.again,
            "seed": plan.seed.to_string(),
            "plan_text": self.plan_text,
        });
        if let (Value::Object(values), Value::Object(extra)) = (&mut values, extra) {
            values.extend(extra);
        }
        values
    }

    fn answer_values(&self) -> Value {
        let Material { plan, trials, answer, .. } = self.material;
        let figures = answer.figures.iter().map(|figure| {
            let text = figure_text(plan, figure);
            let unit = figure_unit(plan, figure);
            json!({
                "value": text.strip_suffix(unit).unwrap_or(&text).trim_end(),
                "unit": unit,
                "lower": figure.bound == Bound::Lower,
                "context": figure_context(plan, trials, figure),
                "cost": cost_text(plan, figure),
            })
        });
        let colour = match answer.exit {
            Exit::Met => "good",
            Exit::Missed | Exit::Host | Exit::Usage => "bad",
            Exit::Interrupted | Exit::Undecided => "open",
        };
        let limit = answer.limited_by.map_or("–", |limit| limit.name());
        let has_ledgers = trials.iter().any(|record| !record.ledgers.is_empty());
        json!({
            "name": plan.name,
            "question": plan.question,
            "dut": plan.testbed.dut.name,
            "written": host::clock::wall_clock(),
            "interrupted": answer.exit == Exit::Interrupted,
            "status": { "word": exit_word(answer), "colour": colour, "code": answer.exit.code(), "reason": answer.reason },
            "figures": figures.collect::<Vec<_>>(),
            "limit": {
                "name": limit,
                "none": limit_text(plan, answer),
                "decisive": decisive(answer).iter().map(|e| format!("{}: {}", e.rule, e.text)).collect::<Vec<_>>(),
            },
            "warnings": answer.warnings,
            "expectations": judged(self.material).value(),
            "evidence": evidence(answer).value(),
            "books": books(self.material).value(),
            "books_none": if has_ledgers {
                "Yes: in every trial the client's books and the reflectors' say the same."
            } else {
                "There is nothing to compare: no reflector of this program kept books."
            },
            "label": answer.label,
            "deviations": answer.deviations,
        })
    }
}

fn judged(material: &Material<'_>) -> Grid {
    let mut grid = Grid::new(&["expectation", "verdict", "measured"]).text(&[0, 1, 2]);
    for judged in &material.answer.judged {
        grid.row([judged.text.clone(), judged.verdict.name().to_owned(), judged.measured.clone()].into());
    }
    grid
}

fn books(material: &Material<'_>) -> Grid {
    let mut grid = Grid::new(&["trial", "weight", "what differs"]).text(&[1]).words(&[2]);
    for mismatch in &material.answer.books {
        let weight = if mismatch.serious { "serious" } else { "information" };
        grid.row([mismatch.trial.to_string(), weight.to_owned(), mismatch.text.clone()].into());
    }
    grid
}

fn picture_value(picture: &Picture) -> Value {
    match &picture.drawn {
        Ok(drawn) => json!({ "svg": inline(&drawn.svg, &picture.caption), "caption": picture.caption }),
        Err(why) => json!({ "svg": null, "caption": picture.caption, "why": why }),
    }
}

/// SVG text for use inside a page: as wide as the page allows, with its caption for screen readers.
fn inline(svg: &str, caption: &str) -> String {
    let Some((head, rest)) = svg.split_once('>') else { return String::new() };
    let view = head.split_once("viewBox=\"").and_then(|(_, rest)| rest.split_once('"')).map_or("", |(view, _)| view);
    let caption = minijinja::HtmlEscape(caption);
    format!("<svg viewBox=\"{view}\" role=\"img\" aria-label=\"{caption}\">{rest}")
}

fn command_text(command: &Value) -> Option<String> {
    match command {
        Value::String(text) => Some(text.clone()),
        Value::Array(words) => Some(words.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(" ")),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixture::{self, Run};
    use crate::report::plot;

    fn page_of(run: &Run) -> String {
        let notes = fixture::notes(run);
        let material = Material { plan: &run.plan, trials: &run.trials, notes: &notes, answer: &run.answer };
        let pictures = plot::pictures(&material);
        let again = Some("loadgen reports/cps/x/scenario.toml".to_owned());
        Page { material: &material, pictures: &pictures, environment: &run.environment, plan_text: "seed = 7", again }
            .render()
            .unwrap()
    }

    /// Every element is closed in order; void elements need no end.
    fn assert_well_formed(page: &str) {
        let mut open = Vec::new();
        let body = page.split_once("<main>").unwrap().1.split_once("</main>").unwrap().0;
        for tag in body.split('<').skip(1) {
            let (tag, _) = tag.split_once('>').expect("a tag without an end");
            let name = tag.trim_start_matches('/').split([' ', '/', '\n']).next().unwrap();
            if tag.starts_with('/') {
                assert_eq!(open.pop(), Some(name), "</{name}>");
            } else if !tag.ends_with('/') {
                open.push(name);
            }
        }
        assert!(open.is_empty(), "{open:?}");
    }

    #[test]
    fn the_page_answers_first_and_holds_everything() {
        let page = page_of(fixture::run());
        assert_well_formed(&page);
        assert!(page.len() < 1 << 20, "{} bytes", page.len());
        let order = [
            "undecided",
            "How many new HTTP",
            "980",
            "Limited by",
            "Warnings",
            "Expectations",
            "What set the limit",
            "Pictures",
            "<svg ",
            "Trials",
            "How operations ended",
            "hold_lost",
            "Latency",
            "Real servers",
            "Do the books agree?",
            "Method",
            "Environment",
            "Run it again",
        ];
        let mut rest = page.as_str();
        for text in order {
            rest = rest.split_once(text).unwrap_or_else(|| panic!("{text:?} is missing or out of order")).1;
        }
        assert!(page.contains("AMD EPYC &lt;7B13&gt;"));
        assert!(!page.contains("INTERRUPTED"));
    }

    #[test]
    fn the_page_needs_no_network() {
        let page = page_of(fixture::run());
        for reference in [" src=", " href=", "url(", "@import", "<script", "<link", "<iframe", "<img"] {
            assert!(!page.contains(reference), "{reference} refers to something outside the page");
        }
    }

    #[test]
    fn an_interrupted_run_is_marked_and_its_texts_are_escaped() {
        let page = page_of(&fixture::interrupted());
        assert_well_formed(&page);
        assert!(page.contains("INTERRUPTED"));
        assert!(!page.contains("<script") && page.contains("&lt;script&gt;"));
        assert!(!page.contains("<b>dut"));
    }

    #[test]
    fn a_run_that_failed_before_its_first_trial_has_a_page() {
        let page = page_of(&Run { trials: Vec::new(), ..fixture::interrupted() });
        assert_well_formed(&page);
        assert!(page.contains("No trial came to its end."));
    }

    #[test]
    fn a_run_without_reflectors_says_what_is_missing() {
        let page = page_of(&fixture::external());
        assert_well_formed(&page);
        assert!(page.contains("no reflector of this program kept books"));
        assert!(page.contains("Left out:"));
        assert!(page.contains("where its CPU time cannot be read"));
    }
}
