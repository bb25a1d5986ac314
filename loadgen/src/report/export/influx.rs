//! Influx line protocol (InfluxDB v2 reference, "Line protocol"). Pure.
//!
//! Measurements `nadare_second`, `nadare_trial` and `nadare_figure`, tagged with run, scenario, DUT,
//! trial, purpose and phase; times in nanoseconds. A value that is not known is left out, and so is a
//! line without any value. In names and tags, commas, equals signs and blanks are escaped; a line end
//! in one would end the line and becomes a blank; a tag without text is left out, because it may not be.

use std::fmt::Write as _;

use super::{Event, Head, Kind};
use crate::measure::record::FrameRecord;
use crate::measure::{Latencies, Latency, Role, Sample, Second, TrialRecord};
use crate::report::frames::names;
use crate::report::usage;
use crate::verdict::answer::{Answer, Bound};

/// The lines of an event, each with its line end; none for one without a number.
pub(super) fn lines(head: &Head, event: &Event<'_>) -> String {
    match event.kind {
        Kind::Begin | Kind::Trial { .. } => String::new(),
        Kind::Second { trial, purpose, phase, load, second, samples } => {
            let mut line = Line::new("nadare_second", head);
            line.tags(&[("trial", &trial.to_string()), ("purpose", purpose.name()), ("phase", phase.name())]);
            line.float("load", Some(load));
            second_fields(&mut line, second, samples);
            line.end(event.unix_ns)
        }
        Kind::Done { record, passed, .. } => {
            let mut line = Line::new("nadare_trial", head);
            line.tags(&[("trial", &record.number.to_string()), ("purpose", record.purpose.name())]);
            trial_fields(&mut line, record, passed);
            line.end(event.unix_ns)
        }
        Kind::Answer(answer) => figures(head, answer, event.unix_ns),
    }
}

fn second_fields(line: &mut Line, second: &Second, samples: Option<(&Sample, &Sample)>) {
    line.count("due", second.due);
    line.count("started", second.started);
    for (outcome, operations) in second.ended.iter() {
        line.count(&format!("ended_{}", outcome.name()), operations);
    }
    line.count("transactions", second.transactions);
    line.count("opened", second.opened);
    line.count("open", second.open);
    line.count("body_bytes", second.body_bytes);
    latencies(line, &second.latencies);
    if let Some((before, after)) = samples {
        for (name, role) in [("busy_ratio_generator", Role::Generator), ("busy_ratio_dut", Role::Dut)] {
            line.float(name, usage::role(before, after, role).map(|usage| usage.busy));
        }
        line.float("busy_ratio_reflectors", usage::reflectors(before, after).map(|usage| usage.busy));
    }
}

fn trial_fields(line: &mut Line, record: &TrialRecord, passed: Option<bool>) {
    line.float("load", Some(record.load.amount()));
    line.float("sustain_s", Some(record.sustain.as_secs_f64()));
    if let Some(passed) = passed {
        line.field("passed", if passed { "true" } else { "false" });
    }
    line.count("due", record.due);
    line.count("failed", record.outcomes.failed());
    line.float("achieved_per_s_mean", Some(record.achieved_rate()));
    line.float("tps_mean", Some(record.transaction_rate()));
    line.float("cc_mean", Some(record.open_mean_in_sustain));
    latencies(line, &record.latencies);
    if let Some(frames) = &record.frames {
        frame_fields(line, frames);
    }
}

/// What became of the frames due in sustain.
fn frame_fields(line: &mut Line, frames: &FrameRecord) {
    let sustain = &frames.sustain;
    for (name, frames) in [
        ("frames_sent", sustain.sent),
        ("frames_answered", sustain.answered),
        ("frames_reordered", sustain.reordered),
        ("frames_duplicates", sustain.duplicates),
        ("frames_late", sustain.late),
        ("frames_corrupted", sustain.corrupted),
        ("frames_foreign", sustain.foreign),
        ("own_drops", frames.own_drops),
    ] {
        line.count(name, frames);
    }
}

fn latencies(line: &mut Line, latencies: &Latencies) {
    for latency in [Latency::Response, Latency::Service, Latency::Lag, Latency::Departure] {
        if latencies.of(latency).is_empty() {
            continue;
        }
        for percentile in [50.0, 90.0, 99.0] {
            let value = latencies.percentile(latency, percentile).map(|value| value.as_nanos() as f64 / 1e3);
            line.float(&format!("{}_us_p{percentile:.0}", latency.name()), value);
        }
    }
}

fn figures(head: &Head, answer: &Answer, unix_ns: u64) -> String {
    let of = |figure: &crate::verdict::answer::Figure| {
        let mut line = Line::new("nadare_figure", head);
        line.tags(&[("figure", &figure.name), ("trial", &figure.trial.to_string())]);
        // A tag without text is left out.
        line.tags(&[("frames", &names::figure(answer, figure).unwrap_or_default())]);
        line.float("value", Some(figure.value));
        line.field("at_least", if figure.bound == Bound::Lower { "true" } else { "false" });
        line.float("failed_at", figure.failed_at);
        line.float("dut_cpu_us_per_operation", figure.dut_cpu_us_per_operation);
        if let Some(limit) = answer.limited_by {
            line.field("limited_by", &text(limit.name()));
        }
        line.count("exit_code", u64::from(answer.exit.code()));
        line.end(unix_ns)
    };
    answer.figures.iter().map(of).collect()
}

/// One line under construction.
struct Line {
    series: String,
    fields: String,
}

impl Line {
    fn new(measurement: &str, head: &Head) -> Self {
        let mut line = Self { series: key(measurement), fields: String::new() };
        line.tags(&[("run", &head.run), ("scenario", &head.scenario), ("dut", &head.dut)]);
        line
    }

    fn tags(&mut self, tags: &[(&str, &str)]) {
        for (name, value) in tags.iter().filter(|(_, value)| !value.is_empty()) {
            let _ = write!(self.series, ",{}={}", key(name), key(value));
        }
    }

    fn field(&mut self, name: &str, value: &str) {
        let comma = if self.fields.is_empty() { "" } else { "," };
        let _ = write!(self.fields, "{comma}{}={value}", key(name));
    }

    fn count(&mut self, name: &str, value: u64) {
        // Integers are signed there; nothing here comes near the end of them.
        self.field(name, &format!("{}i", value.min(i64::MAX as u64)));
    }

    fn float(&mut self, name: &str, value: Option<f64>) {
        if let Some(value) = value.filter(|value| value.is_finite()) {
            self.field(name, &value.to_string());
        }
    }

    fn end(self, unix_ns: u64) -> String {
        if self.fields.is_empty() { String::new() } else { format!("{} {} {unix_ns}\n", self.series, self.fields) }
    }
}

/// A name or a tag.
fn key(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            ',' | '=' | ' ' => escaped.extend(['\\', letter]),
            '\n' | '\r' | '\t' => escaped.push_str("\\ "),
            other => escaped.push(other),
        }
    }
    // A backslash at the end would escape what follows.
    if escaped.ends_with('\\') {
        escaped.push_str("\\ ");
    }
    escaped
}

/// A text field.
fn text(value: &str) -> String {
    format!("\"{}\"", value.replace('\\', "\\\\").replace('"', "\\\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_separates_is_escaped_in_names_and_tags() {
        let cases = [
            ("plain", "plain"),
            ("a b,c=d", "a\\ b\\,c\\=d"),
            ("two\nlines", "two\\ lines"),
            ("C:\\dut", "C:\\dut"),
            ("end\\", "end\\\\ "),
            ("größer", "größer"),
        ];
        for (text, escaped) in cases {
            assert_eq!(key(text), escaped);
        }
        assert_eq!(text("says \"no\" \\ goes"), "\"says \\\"no\\\" \\\\ goes\"");
    }

    #[test]
    fn a_line_without_a_value_is_no_line() {
        let head = Head {
            run: "r 1".to_owned(),
            scenario: String::new(),
            question: String::new(),
            dut: "10.0.0.5:80".to_owned(),
            unit: crate::scenario::plan::Unit::Transactions,
        };
        let mut line = Line::new("m", &head);
        line.float("x", Some(f64::NAN));
        line.float("y", None);
        assert_eq!(line.end(1), "");
        let mut line = Line::new("m", &head);
        line.float("x", Some(0.5));
        line.count("n", 3);
        assert_eq!(line.end(7), "m,run=r\\ 1,dut=10.0.0.5:80 x=0.5,n=3i 7\n");
    }
}
