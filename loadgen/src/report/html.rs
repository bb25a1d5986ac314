//! `report.html`: one page that holds everything and needs nothing, not even a network.
//!
//! The page's words are in `assets/report.html`, its frame in [`super::page`]; here its values are put
//! together as text. Nothing in it depends on when or where it is written, so that the page can be
//! rebuilt from the files byte by byte.

use serde_json::{Value, json};

use super::folder::trial_of;
use super::frames::results::at_throughput;
use super::frames::words::delay_word;
use super::frames::{self, names, words};
use super::merged;
use super::page;
use super::plot::{Material, Picture};
use super::rows::{ended_early, servers as server_rows};
use super::tables::{Grid, environment, evidence, frame_servers, latency, method, outcomes, servers, trials};
use super::terminal::{
    cost_text, decisive, exit_word, figure_context, figure_text, figure_unit, goal_texts, latency_mark,
    latency_meaning, limit_text, shown_trial, spread_text,
};
use super::text::{amount, count, share, span};
use crate::measure::{Latency, TrialRecord};
use crate::scenario::Plan;
use crate::verdict::answer::{Answer, Bound, Exit, Figure};
use crate::verdict::frames::{FrameResult, FrameSuite};

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
    /// The command that runs it again within the run folder, where that is possible.
    pub(super) again: Option<String>,
    /// When the run began, as text.
    pub(super) began: &'a str,
    /// What stands above everything else, where the answer does not say it.
    pub(super) banner: Option<&'a str>,
}

impl Page<'_> {
    /// The whole page.
    ///
    /// # Errors
    /// What the template engine says; only a fault in the template can cause it.
    pub(super) fn render(&self) -> Result<String, minijinja::Error> {
        page::render("report.html", include_str!("../../assets/report.html"), self.values(), self.pictures)
    }

    fn values(&self) -> Value {
        let Material { plan, trials: all, answer, .. } = self.material;
        let mut values = self.answer_values();
        let shown = shown_trial(all, answer);
        let is_frames = frames::udp_of(plan).is_some();
        let extra = json!({
            "trials": trials(self.material).value(),
            "shown": shown.map(|record| json!({ "number": record.number })),
            "outcomes": shown.map(|record| outcomes(all, record).value()),
            "first_failures": shown.map(|record| {
                let early = record.ended_early.iter().map(|early| format!("the trial ended early: {}", ended_early(early)));
                let first = record.first_failures.iter().map(|(kind, text)| format!("{}: {text}", kind.name()));
                early.chain(first).collect::<Vec<_>>()
            }),
            "times": delay_word(plan),
            "operations": if is_frames { "frames" } else { "operations" },
            "frames_first": frames::tables::first(plan, answer.frames.as_ref()),
            "frames_more": frames::tables::more(plan, all, answer.frames.as_ref()),
            "latency": shown.map(|record| latency(record).value()),
            "latency_mark": shown.and_then(latency_mark),
            "servers": shown.map(|record| {
                let rows = server_rows(record);
                if is_frames { frame_servers(&rows).value() } else { servers(&rows).value() }
            }),
            "method": method(plan).value(),
            "environment": environment(&merged::without(self.environment)).value(),
            "command": self.environment.get("command").and_then(command_text),
            "again": self.again,
            "seed": plan.seed.to_string(),
            "files": files(plan, answer),
            "plan_text": self.plan_text,
        });
        if let (Value::Object(values), Value::Object(extra)) = (&mut values, extra) {
            values.extend(extra);
        }
        values
    }

    fn answer_values(&self) -> Value {
        let Material { plan, trials, answer, .. } = self.material;
        let colour = match answer.exit {
            Exit::Met => "good",
            Exit::Missed | Exit::Host | Exit::Usage => "bad",
            Exit::Interrupted | Exit::Undecided => "open",
        };
        let interrupted = (answer.exit == Exit::Interrupted)
            .then_some("INTERRUPTED: this report holds what was measured until then.");
        let is_merged = merged::is_merged(self.environment);
        let has_ledgers = trials.iter().any(|record| !record.ledgers.is_empty());
        json!({
            "kind": if is_merged { "merge" } else { "run" },
            "name": plan.name,
            "subject": format!("scenario {} · DUT {}", plan.name, plan.testbed.dut.name),
            "question": plan.question,
            "written": self.began,
            "banner": self.banner.or(interrupted),
            "joined": merged::values(self.environment),
            "status": { "word": exit_word(answer), "colour": colour, "code": answer.exit.code(), "reason": answer.reason },
            "cards": cards(self.material, is_merged),
            "limit_none": if is_merged { ELSEWHERE } else { limit_text(plan, answer) },
            "expectations_none": if is_merged { ELSEWHERE } else { "The scenario states none." },
            "servers_none": if is_merged { ELSEWHERE } else { NO_SERVERS },
            "warnings": answer.warnings,
            "expectations": judged(self.material).value(),
            "evidence": evidence(answer).value(),
            "books": books(self.material).value(),
            "books_none": if is_merged {
                ELSEWHERE
            } else if has_ledgers {
                "Yes: in every trial the client's books and the reflectors' say the same."
            } else {
                "There is nothing to compare: no reflector of this program kept books."
            },
            "label": answer.label,
            "deviations": answer.deviations,
        })
    }
}

/// What lies beside the page.
const FILES: &str = "summary.csv, trials.csv, timeline.csv, latency.csv, outcomes.csv, servers.csv, latency.hlog, \
                     result.json, trials.jsonl, the pictures as SVG and PNG";

/// The same of a run of frames.
fn files(plan: &Plan, answer: &Answer) -> String {
    let suite = match answer.frames.as_ref().map(|frames| frames.suite) {
        Some(FrameSuite::Rfc2544) => "throughput.csv, loss.csv, ",
        Some(FrameSuite::Imix) => "imix.csv, loss.csv, ",
        None => "",
    };
    let frames = if frames::udp_of(plan).is_some() { "directions.csv, sizes.csv, " } else { "" };
    format!("{suite}{frames}{FILES}")
}

/// What joined runs have each for itself.
const ELSEWHERE: &str = "Not judged over joined runs: see each run's own report.";
/// Why nothing is known of the real servers.
const NO_SERVERS: &str = "No reflector of this program took part: shares and books of the real servers are not known.";

/// The figures with their intervals, who set the limit, what it cost.
fn cards(material: &Material<'_>, is_merged: bool) -> Vec<Value> {
    let Material { plan, trials, answer, .. } = material;
    let mut cards: Vec<Value> = match &answer.frames {
        Some(frames) => frames.results.iter().map(result_card).collect(),
        None => answer.figures.iter().map(|figure| figure_card(material, figure)).collect(),
    };
    if cards.is_empty() {
        cards.push(json!({ "title": "Answer", "value": "none", "muted": ["nothing could be measured that answers the question"] }));
    }
    let decisive = decisive(answer).iter().map(|e| format!("{}: {}", e.rule, e.text)).collect::<Vec<_>>();
    let none = if is_merged { ELSEWHERE } else { limit_text(plan, answer) };
    let none = answer.limited_by.is_none().then_some(none);
    let limit = answer.limited_by.map_or("–", |limit| limit.name());
    cards.push(json!({ "title": "Limited by", "value": limit, "lines": decisive, "muted": Vec::from_iter(none) }));
    if is_merged || answer.frames.is_none() {
        cards.extend(shown_trial(trials, answer).map(failures_card));
    }
    if is_merged || answer.frames.is_some() {
        return cards;
    }
    cards.extend(
        answer.figures.iter().map(|figure| json!({ "title": "Cost to the DUT", "lines": [cost_text(plan, figure)] })),
    );
    cards
}

/// One size of a suite, or its mix.
fn result_card(result: &FrameResult) -> Value {
    let times = at_throughput(result).map(|of| {
        let (p50, p99) = (words::delay(of.p50_us), words::delay(of.p99_us));
        format!("delay p50 {p50}, p99 {p99}, {} lost at this load", share(of.loss_pct / 100.0))
    });
    let failed = result.upper_fps.map(|load| format!("failed at {}", amount(load)));
    json!({
        "title": names::sent(&result.frames),
        "value": words::throughput(result),
        "unit": "frames/s",
        "lines": result.bits_per_s.map(names::layers).into_iter().collect::<Vec<_>>(),
        "muted": failed.into_iter().chain(times).collect::<Vec<_>>(),
    })
}

fn figure_card(material: &Material<'_>, figure: &Figure) -> Value {
    let Material { plan, trials, .. } = material;
    let text = figure_text(plan, figure);
    let unit = figure_unit(plan, figure);
    let value = amount(figure.value);
    let bits = trial_of(trials, figure).and_then(|record| names::rates(plan, record, figure.value)).map(names::layers);
    let between = match (figure.bound, figure.failed_at) {
        (Bound::Lower, _) => "A lower bound: the DUT can do this, how much more was not shown.".to_owned(),
        (Bound::Exact, Some(failed)) => {
            format!("Passed at {value}, failed at {}: the limit lies between.", amount(failed))
        }
        (Bound::Exact, None) => "The load that was asked for; no limit was searched.".to_owned(),
    };
    json!({
        "title": "Answer",
        "value": text.strip_suffix(unit).unwrap_or(&text).trim_end(),
        "unit": unit,
        "lines": std::iter::once(between).chain(bits).collect::<Vec<_>>(),
        "muted": std::iter::once(figure_context(plan, trials, figure))
            .chain(spread_text(figure))
            .chain(goal_texts(figure))
            .collect::<Vec<_>>(),
    })
}

fn failures_card(record: &TrialRecord) -> Value {
    let percentile = |of| record.latencies.percentile(of, 99.0).map(|p99| (of, p99));
    let latency = percentile(Latency::Response).or_else(|| percentile(Latency::Service));
    let latency = latency.map(|(of, p99)| format!("p99 {} {}", span(p99), latency_meaning(record, of)));
    let failed = format!(
        "{} of {} {} due in sustain failed",
        count(record.outcomes.failed()),
        count(record.outcomes.total()),
        if record.frames.is_some() { "frames" } else { "operations" }
    );
    json!({
        "title": "Failed",
        "value": share(record.failed_ratio()),
        "lines": [failed],
        "muted": Vec::from_iter(latency),
    })
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
    use crate::report::page::tests::assert_sound;
    use crate::report::plot;

    fn page_of(run: &Run) -> String {
        let notes = fixture::notes(run);
        let material = Material { plan: &run.plan, trials: &run.trials, notes: &notes, answer: &run.answer };
        let pictures = plot::pictures(&material);
        let again = Some("loadgen reports/cps/x/scenario.toml".to_owned());
        let environment = &run.environment;
        let began = "2026-11-23T04:05:06.000Z";
        let material = &material;
        Page { material, pictures: &pictures, environment, plan_text: "seed = 7", again, began, banner: None }
            .render()
            .unwrap()
    }

    #[test]
    fn the_page_answers_first_and_holds_everything() {
        let page = page_of(fixture::run());
        assert_sound(&page);
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
    fn the_page_of_a_suite_has_its_table_before_everything_else() {
        let page = page_of(fixture::frames::rfc2544());
        assert_sound(&page);
        let page = page.replace("&#x2f;", "/");
        let order = [
            "pass",
            "Which throughput",
            "64 B",
            "frames/s",
            "L1 2.02 Mbit/s, L2 1.54 Mbit/s, L3 1.1 Mbit/s",
            "1518 B",
            "Limited by",
            "Throughput",
            "of MOL",
            "Other goals",
            "Warnings",
            "Pictures",
            "chart-throughput",
            "declared 100 Mbit/s",
            "chart-loss",
            "Loss against load",
            "two successive loads without loss",
            "Delay",
            "50 % of it",
            "Both directions",
            "Trials",
            "How frames ended",
            "round-trip delay",
            "inter-departure",
            "Method",
            "what a frame is",
            "user space to user space",
        ];
        let mut rest = page.as_str();
        for text in order {
            rest = rest.split_once(text).unwrap_or_else(|| panic!("{text:?} is missing or out of order")).1;
        }
        assert!(page.contains("throughput.csv, loss.csv, directions.csv, sizes.csv, summary.csv"));
        assert!(!page.contains("chart-connections"));
    }

    #[test]
    fn no_time_of_a_frame_is_called_latency() {
        for run in [fixture::frames::rfc2544(), fixture::frames::imix(), &fixture::frames::faulty_frames()] {
            let page = page_of(run);
            assert_sound(&page);
            // What a reader sees: no names of files, no data, no styles, no comments.
            let body = page.split_once("<main").unwrap().1.split_once("</main>").unwrap().0;
            let shown = body.replace("latency.csv", "").replace("latency.hlog", "").replace("latency_", "");
            let shown = ["id=\"latency\"", "data-chart=\"latency\"", "id=\"chart-latency\"", "never latency"]
                .into_iter()
                .fold(shown, |text, name| text.replace(name, ""));
            let at = shown.to_lowercase().find("latenc");
            assert_eq!(at.map(|at| &shown[at.saturating_sub(80)..at + 40]), None);
        }
    }

    #[test]
    fn the_page_of_a_mix_is_named_by_its_genome() {
        let page = page_of(fixture::frames::imix());
        assert_sound(&page);
        for text in
            ["CUSTOM IMIX - ABAABACABAAB", "A = 40 B, B = 576 B, C = 1500 B of IP", "chart-sizes", "Loss by size"]
        {
            assert!(page.contains(text), "{text} is missing");
        }
        assert!(!page.contains("chart-throughput"));
    }

    #[test]
    fn a_run_of_hundreds_of_trials_still_fits_a_page() {
        let whole = fixture::run();
        let length_ns = whole.trials[8].began_ns + 20_000_000_000 - whole.trials[0].began_ns;
        let mut run = fixture::external();
        (run.trials, run.passed, run.reasons) = (Vec::new(), Vec::new(), Vec::new());
        for (at, record) in (0..).zip(whole.trials.iter().cycle().take(216)) {
            let mut record = record.clone();
            record.number = at as u32 + 1;
            record.began_ns += at / 9 * length_ns;
            run.trials.push(record);
            run.passed.push(whole.passed[at as usize % 9]);
            run.reasons.push(whole.reasons[at as usize % 9].clone());
        }
        let page = page_of(&run);
        assert_sound(&page);
        assert!(page.contains("trial 216, confirm at 980/s, passed"));
    }

    #[test]
    fn an_interrupted_run_is_marked_and_its_texts_are_escaped() {
        let page = page_of(&fixture::interrupted());
        assert_sound(&page);
        assert!(page.contains("INTERRUPTED"));
        assert!(!page.contains("<script>alert") && page.contains("&lt;script&gt;"));
        assert!(!page.contains("<b>dut"));
    }

    #[test]
    fn a_run_that_failed_before_its_first_trial_has_a_page() {
        let page = page_of(&Run { trials: Vec::new(), ..fixture::interrupted() });
        assert_sound(&page);
        assert!(page.contains("No trial came to its end."));
    }

    #[test]
    fn a_run_without_reflectors_says_what_is_missing() {
        let page = page_of(&fixture::external());
        assert_sound(&page);
        assert!(page.contains("no reflector of this program kept books"));
        assert!(page.contains("Left out:"));
        assert!(page.contains("where its CPU time cannot be read"));
    }
}
