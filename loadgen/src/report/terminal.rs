//! What stands on the terminal after a run, and the only doors to stdout and stderr.

use std::io::{self, Write};
use std::path::Path;

use super::folder::trial_of;
use super::frames::{names, words};
use super::rows::{ended_early, lag_shows, load_kind};
use super::text::{NOTHING, amount, count, maybe_span, share};
use crate::measure::record::TrialLoad;
use crate::measure::{Latency, Outcome, TrialRecord};
use crate::scenario::Plan;
use crate::scenario::plan::DutKind;
use crate::verdict::answer::{Answer, Bound, Exit, Figure};
use crate::verdict::frames::FramesAnswer;
use crate::verdict::{Evidence, LimitedBy, Verdict};

/// Width of the labels on the left.
const LABEL: usize = 12;

/// Writes text and a line end to stdout. A reader that has gone (`| head`) changes nothing: what is
/// left to say is not wanted any more, but the exit code still says what became of it.
pub fn say(text: &str) {
    let _ = print(&mut io::stdout().lock(), text);
}

/// Writes text and a line end to stderr; a reader that has gone changes nothing.
pub fn complain(text: &str) {
    // There is nobody left to tell that telling failed.
    let _ = print(&mut io::stderr().lock(), text);
}

/// Writes text as it is to stdout; a reader that has gone changes nothing.
pub fn write_raw(text: &str) {
    let mut out = io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

fn print(out: &mut impl Write, text: &str) -> io::Result<()> {
    out.write_all(text.as_bytes())?;
    if !text.ends_with('\n') {
        out.write_all(b"\n")?;
    }
    out.flush()
}

/// The answer of a run, readable in ten seconds.
pub fn summary(plan: &Plan, trials: &[TrialRecord], answer: &Answer, folder: &Path) -> String {
    let mut lines = Lines(format!("{}: {}\n", plan.name, plan.question));
    if answer.exit == Exit::Interrupted {
        lines.0.push_str("INTERRUPTED: what follows was measured until then\n");
    }
    lines.0.push('\n');
    match &answer.frames {
        Some(frames) => suite(&mut lines, frames),
        None => figures(&mut lines, plan, trials, answer),
    }
    limits(&mut lines, plan, answer);
    lines.line("verdict", &format!("{} (exit code {}): {}", exit_word(answer), answer.exit.code(), answer.reason));
    for judged in &answer.judged {
        lines.line("", &format!("{:<9} {}, measured {}", judged.verdict.name(), judged.text, judged.measured));
    }
    validity(&mut lines, answer);
    if answer.frames.is_none() {
        costs(&mut lines, plan, answer);
        if let Some(record) = shown_trial(trials, answer) {
            failures(&mut lines, record);
            frames(&mut lines, record);
            latencies(&mut lines, record);
        }
    }
    for mismatch in answer.books.iter().filter(|mismatch| mismatch.serious) {
        lines.line("books", &format!("trial {}: {}", mismatch.trial, mismatch.text));
    }
    for warning in &answer.warnings {
        lines.line("warning", warning);
    }
    lines.line("report", &folder.join("report.html").display().to_string());
    lines.0
}

fn figures(lines: &mut Lines, plan: &Plan, trials: &[TrialRecord], answer: &Answer) {
    for figure in &answer.figures {
        lines.line("answer", &figure_text(plan, figure));
        lines.line("", &figure_context(plan, trials, figure));
        let bits = trial_of(trials, figure).and_then(|record| names::rates(plan, record, figure.value));
        bits.into_iter().for_each(|bits| lines.line("", &names::layers(bits)));
        spread_text(figure).into_iter().chain(goal_texts(figure)).for_each(|text| lines.line("", &text));
    }
    if answer.figures.is_empty() {
        lines.line("answer", "none: nothing could be measured that answers the question");
    }
}

/// What a suite of frame tests found: a line for each size, then the sweeps.
fn suite(lines: &mut Lines, frames: &FramesAnswer) {
    lines.line("suite", &format!("{}, {}", words::suite_name(frames.suite), names::protocol(frames.ip_version)));
    lines.line("answer", &words::suite(frames));
    for result in &frames.results {
        result.frames.letters_text.iter().for_each(|text| lines.line("", text));
    }
    let mut label = "loss";
    for text in frames.results.iter().filter_map(words::sweep) {
        lines.line(label, &text);
        label = "";
    }
}

/// What became of the frames of a trial, in both directions.
fn frames(lines: &mut Lines, record: &TrialRecord) {
    words::counts(record).into_iter().for_each(|text| lines.line("frames", &text));
    for (at, text) in words::directions(record).iter().enumerate() {
        lines.line(if at == 0 { "directions" } else { "" }, text);
    }
    words::departures(record).into_iter().for_each(|text| lines.line("departures", &text));
}

/// Text under construction: labels on the left, text beside them.
pub(super) struct Lines(pub(super) String);

impl Lines {
    pub(super) fn line(&mut self, label: &str, text: &str) {
        // A text of several lines stays in its column.
        let text = text.replace('\n', &format!("\n{:width$}", "", width = LABEL + 1));
        let line = format!("{label:<LABEL$} {text}");
        self.0.push_str(line.trim_end());
        self.0.push('\n');
    }
}

/// The figure with its bound and unit: `≥ 10,234 connections/s`.
pub(super) fn figure_text(plan: &Plan, figure: &Figure) -> String {
    let bound = match figure.bound {
        Bound::Exact => "",
        Bound::Lower => "≥ ",
    };
    if !figure.value.is_finite() {
        return format!("{NOTHING} {}", figure_unit(plan, figure));
    }
    // With one digit behind the point, so that 999.6 does not read as the 1,000 that was expected.
    let tenths = (figure.value * 10.0).round() as u64;
    let tenth =
        if figure.value < 10_000.0 && !tenths.is_multiple_of(10) { format!(".{}", tenths % 10) } else { String::new() };
    let whole = if tenth.is_empty() { figure.value.round() as u64 } else { tenths / 10 };
    format!("{bound}{}{tenth} {}", count(whole), figure_unit(plan, figure))
}

/// The unit of a figure.
pub(super) fn figure_unit(plan: &Plan, figure: &Figure) -> &'static str {
    match figure.name.as_str() {
        "cps" => "connections/s",
        "tps" => "transactions/s",
        "cc" => "connections",
        "fps" => "frames/s",
        _ => plan.load.unit.name(),
    }
}

/// The spread of several searches: `5 searches: lowest 9,800, median 10,100, highest 10,400`.
pub(super) fn spread_text(figure: &Figure) -> Option<String> {
    let repeats = figure.repeats.as_ref()?;
    let [min, median, max] = [repeats.min, repeats.median, repeats.max].map(amount);
    Some(format!("{} of {} searches: lowest {min}, median {median}, highest {max}", repeats.n, repeats.asked))
}

/// One line per goal, where there is more to say than the figure does.
pub(super) fn goal_texts(figure: &Figure) -> Vec<String> {
    let several = figure.goals.len() > 1;
    let told = figure.goals.iter().filter(|goal| several || goal.exceed > 0.0);
    let bound = |bound: Option<f64>| bound.map_or_else(|| NOTHING.to_owned(), amount);
    told.map(|goal| {
        let [loss, exceed] = [goal.loss, goal.exceed].map(share);
        let throughput = goal.conditional_throughput.filter(|_| goal.exceed > 0.0);
        let throughput =
            throughput.map(|rate| format!(", conditional throughput {}", amount(rate))).unwrap_or_default();
        let irregular = if goal.regular { "" } else { " (irregular)" };
        let (lower, upper) = (bound(goal.lower), bound(goal.upper));
        format!("loss up to {loss}, exceeded {exceed} of the time: {lower} to {upper}{throughput}{irregular}")
    })
    .collect()
}

/// Where a figure comes from: trial, length, object, what failed above it, the ceiling.
pub(super) fn figure_context(plan: &Plan, trials: &[TrialRecord], figure: &Figure) -> String {
    let mut parts = Vec::new();
    if let Some(record) = trial_of(trials, figure) {
        let seconds = amount(record.sustain.as_secs_f64());
        parts.push(format!("trial {} ({}), sustained {seconds} s", record.number, record.purpose.name()));
    }
    parts.extend(trial_of(trials, figure).and_then(|record| Some(format!("{} frames", names::trial(plan, record)?))));
    if let Some(bytes) = figure.object_bytes {
        parts.push(format!("{} B objects", count(bytes)));
    }
    if let Some(load) = figure.failed_at {
        parts.push(format!("failed at {}", amount(load)));
    }
    if let Some(ceiling) = figure.ceiling {
        parts.push(format!("{}/s without the DUT", amount(ceiling)));
    }
    parts.push(format!("DUT {}", plan.testbed.dut.name));
    parts.join(", ")
}

fn limits(lines: &mut Lines, plan: &Plan, answer: &Answer) {
    lines.line("limited by", limit_text(plan, answer));
    for evidence in decisive(answer) {
        lines.line("", &format!("{}: {}", evidence.rule, evidence.text));
    }
}

/// Who set the limit, or why nobody is named.
pub(super) fn limit_text(plan: &Plan, answer: &Answer) -> &'static str {
    let sizes = answer.frames.as_ref().map_or(0, |frames| frames.results.len());
    match (answer.limited_by, plan.search.maximum()) {
        (Some(limit), _) => limit.name(),
        (None, Some(_)) if sizes > 1 => "not the same for all sizes: see each of them",
        (None, Some(_)) => "not known: the search did not come to an end",
        (None, None) => "not asked: the load was fixed",
    }
}

/// The evidence that decided `limited_by`: for the DUT what points at it (G8), otherwise what is out
/// of order.
pub(super) fn decisive(answer: &Answer) -> Vec<&Evidence> {
    let points_at_dut = |evidence: &&Evidence| evidence.rule == "G8" && evidence.holds;
    let out_of_order = |evidence: &&Evidence| evidence.rule != "G8" && !evidence.holds;
    match answer.limited_by {
        Some(LimitedBy::Dut) => answer.evidence.iter().filter(points_at_dut).collect(),
        Some(_) => answer.evidence.iter().filter(out_of_order).collect(),
        None => Vec::new(),
    }
}

/// How the run ended, in a word.
pub(super) fn exit_word(answer: &Answer) -> &'static str {
    match answer.exit {
        Exit::Met if answer.judged.is_empty() => "answered",
        Exit::Met => Verdict::Pass.name(),
        Exit::Missed => Verdict::Fail.name(),
        Exit::Usage => "refused",
        Exit::Host => "not possible on this host",
        Exit::Undecided => Verdict::Undecided.name(),
        Exit::Interrupted => "interrupted",
    }
}

/// The criteria of RFC 9411, or for frames of RFC 2285, one line for each way they can turn out.
fn validity(lines: &mut Lines, answer: &Answer) {
    let rules = &answer.validation.rules;
    let names = |holds: Option<bool>| {
        let names: Vec<&str> = rules.iter().filter(|rule| rule.holds == holds).map(|rule| rule.rule.as_str()).collect();
        Some(names.join(", ")).filter(|names| !names.is_empty())
    };
    let mut label = "validity";
    if let Some(names) = names(Some(true)) {
        // V-a to V-e are those of RFC 9411; the rules of frames say themselves where they come from.
        let source =
            if answer.validation.rules.iter().any(|rule| rule.rule.starts_with("V-")) { " of RFC 9411" } else { "" };
        lines.line(label, &format!("{names}{source} hold"));
        label = "";
    }
    for rule in rules.iter().filter(|rule| rule.holds != Some(true)) {
        let state = if rule.is_broken() { " is broken" } else { "" };
        lines.line(label, &format!("{}{state}: {}", rule.rule, rule.text));
        label = "";
    }
}

fn costs(lines: &mut Lines, plan: &Plan, answer: &Answer) {
    for figure in &answer.figures {
        lines.line("DUT cost", &cost_text(plan, figure));
    }
}

/// What an operation costs the DUT, and what a core of it could carry.
pub(super) fn cost_text(plan: &Plan, figure: &Figure) -> String {
    let Some(cost) = figure.dut_cpu_us_per_operation else {
        let why = match plan.testbed.dut.kind {
            DutKind::None => "none: there is no DUT",
            DutKind::Kernel { .. } => {
                "not visible: interrupts are counted in hundredths of a second, on cores that no other role shares"
            }
            _ => "not visible from here: the DUT runs where its CPU time cannot be read",
        };
        return why.to_owned();
    };
    let cost = format!("{} µs CPU per operation", amount(cost));
    let per_second = match figure.name.as_str() {
        "cc" => "operations/s",
        _ => figure_unit(plan, figure),
    };
    match figure.estimated_capacity_per_core {
        Some(capacity) => format!("{cost}; estimate: {} {per_second} per fully used core", amount(capacity)),
        None => cost,
    }
}

/// The trial whose details are shown: the figure's, else the last one that met the DUT.
pub(super) fn shown_trial<'a>(trials: &'a [TrialRecord], answer: &Answer) -> Option<&'a TrialRecord> {
    let of_figure = answer.figures.first().and_then(|figure| trial_of(trials, figure));
    of_figure.or_else(|| trials.iter().rev().find(|record| record.purpose.is_searching()))
}

fn failures(lines: &mut Lines, record: &TrialRecord) {
    let total = count(record.outcomes.total());
    let kinds: Vec<String> = record
        .outcomes
        .iter()
        .filter(|&(outcome, operations)| outcome != Outcome::Ok && operations > 0)
        .map(|(outcome, operations)| format!("{} {}", count(operations), outcome.name()))
        .collect();
    let kinds = if kinds.is_empty() { "0 of any kind".to_owned() } else { kinds.join(", ") + ", 0 other" };
    let text = format!(
        "{} of {total} operations due ({}): {kinds}",
        count(record.outcomes.failed()),
        share(record.failed_ratio())
    );
    lines.line("failures", &text);
    for (outcome, text) in record.first_failures.iter().filter(|(outcome, _)| record.outcomes.of(*outcome) > 0) {
        lines.line("", &format!("first {}: {text}", outcome.name()));
    }
    if let Some(early) = &record.ended_early {
        lines.line("", &format!("the trial ended early: {}", ended_early(early)));
    }
}

fn latencies(lines: &mut Lines, record: &TrialRecord) {
    let rows: Vec<Latency> = match record.load {
        TrialLoad::Closed(_) => vec![Latency::Service, Latency::Ttfb],
        TrialLoad::Rate(_) if record.frames.is_some() => vec![Latency::Service, Latency::Response],
        TrialLoad::Rate(_) | TrialLoad::Held(_) => vec![Latency::Response, Latency::Service],
    };
    let mut label = if record.frames.is_some() { "delay" } else { "latency" };
    for latency in rows.into_iter().filter(|&latency| !record.latencies.of(latency).is_empty()) {
        let value = |percentile| maybe_span(record.latencies.percentile(latency, percentile));
        let text = format!("p50 {}, p90 {}, p99 {}", value(50.0), value(90.0), value(99.0));
        lines.line(label, &format!("{text} {}", latency_meaning(record, latency)));
        label = "";
    }
    if let Some(mark) = latency_mark(record) {
        lines.line(label, &mark);
    }
}

/// From where to where a latency counts.
pub(super) fn latency_meaning(record: &TrialRecord, latency: Latency) -> &'static str {
    if record.frames.is_some() {
        return words::meaning(latency);
    }
    match latency {
        Latency::Connect => "connect (SYN sent to handshake complete)",
        Latency::Ttfb => "TTFB (SYN or request sent to first body byte)",
        Latency::Ttlb => "TTLB (SYN or request sent to last body byte)",
        Latency::Response => "response time (due to last byte)",
        Latency::Service => "service time (started to last byte)",
        Latency::Lag => "schedule lag (due to started, with a free slot)",
        Latency::Departure => "inter-departure (between two datagrams of a worker)",
    }
}

/// What a reader of the latencies must know, if anything.
pub(super) fn latency_mark(record: &TrialRecord) -> Option<String> {
    if load_kind(record.load) == "closed" {
        let times = if record.frames.is_some() { "delays" } else { "latencies" };
        return Some(format!("closed loop: a slow DUT was asked less often, so these {times} flatter it"));
    }
    (lag_shows(&record.latencies) == Some(true)).then(|| {
        let lag = record.latencies.percentile(Latency::Lag, 99.0);
        let lag = lag.map_or_else(|| NOTHING.to_owned(), super::text::span);
        format!("marked: the generator's own lag (p99 {lag}) is more than a tenth of the response time")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixture;

    /// Compares with a file under `tests/golden/`; with `NADARE_BLESS` set, writes it instead.
    fn assert_golden(name: &str, text: &str) {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name);
        if std::env::var_os("NADARE_BLESS").is_some() {
            std::fs::write(&path, text).unwrap();
        }
        let golden = std::fs::read_to_string(&path).unwrap_or_default();
        assert_eq!(text, golden, "{name} has changed; set NADARE_BLESS=1 to accept it");
    }

    #[test]
    fn the_summary_of_a_run_is_the_golden_one() {
        let run = fixture::run();
        let text = summary(&run.plan, &run.trials, &run.answer, Path::new("reports/cps/20261123-040506"));
        assert_golden("summary-dut.txt", &text);
    }

    #[test]
    fn the_summary_of_an_interrupted_run_says_so_first() {
        let run = fixture::interrupted();
        let text = summary(&run.plan, &run.trials, &run.answer, Path::new("reports/cps/20261123-040506"));
        assert_golden("summary-interrupted.txt", &text);
    }

    #[test]
    fn the_summary_names_evidence_that_is_not_there() {
        let run = fixture::external();
        let text = summary(&run.plan, &run.trials, &run.answer, Path::new("reports/cps/20261123-040506"));
        assert_golden("summary-external.txt", &text);
    }

    #[test]
    fn the_summary_of_a_suite_has_a_line_for_each_size() {
        let folder = Path::new("reports/rfc2544/20261123-040506");
        let run = fixture::frames::rfc2544();
        assert_golden("summary-rfc2544.txt", &summary(&run.plan, &run.trials, &run.answer, folder));
        let run = fixture::frames::imix();
        assert_golden("summary-imix.txt", &summary(&run.plan, &run.trials, &run.answer, folder));
    }

    #[test]
    fn the_summary_of_frames_says_what_went_wrong_and_where() {
        let run = fixture::frames::faulty_frames();
        let text = summary(&run.plan, &run.trials, &run.answer, Path::new("reports/udp/20261123-040506"));
        assert_golden("summary-udp.txt", &text);
    }

    #[test]
    fn a_closed_pipe_is_an_error_of_its_kind_and_text_ends_with_one_line_end() {
        let (reader, mut writer) = io::pipe().unwrap();
        drop(reader);
        assert_eq!(print(&mut writer, "x").unwrap_err().kind(), io::ErrorKind::BrokenPipe);
        let mut out = Vec::new();
        print(&mut out, "one").unwrap();
        print(&mut out, "two\n").unwrap();
        assert_eq!(out, b"one\ntwo\n");
    }
}
