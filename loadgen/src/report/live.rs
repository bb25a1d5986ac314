//! One line on the terminal while a run goes.
//!
//! It is drawn on stderr when a trial begins and once per second, by the caller's thread: no thread
//! of its own takes time from what is measured. Without a terminal, or with `--quiet`, nothing is drawn.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::rows::load_text;
use super::text::{amount, count, maybe_span, share};
use super::usage;
use crate::measure::record::Purpose;
use crate::measure::{Latency, Outcome, Phase, Role, Sample, Second, TrialRecord};
use crate::scenario::plan::Unit;

/// The line. Clones draw the same one.
#[derive(Clone, Debug)]
pub struct Live {
    bar: ProgressBar,
    /// What stands before each trial, if it is one of many: `pair 3, candidate`.
    context: String,
    /// Whether trials leave no line behind.
    is_brief: bool,
}

impl Live {
    /// A line that is not drawn yet; never drawn if `quiet`, or if stderr is no terminal.
    pub fn new(quiet: bool) -> Self {
        // One frame per second is all there is to show; a trial's first frame may come in between.
        let target = if quiet { ProgressDrawTarget::hidden() } else { ProgressDrawTarget::stderr_with_hz(2) };
        let bar = ProgressBar::with_draw_target(None, target);
        bar.set_style(
            ProgressStyle::with_template("{prefix:.bold} {wide_msg}").expect("the template is constant and valid"),
        );
        Self { bar, context: String::new(), is_brief: false }
    }

    /// The same line for trials of which only the whole is worth a line that stays.
    pub fn within(&self, context: String) -> Self {
        Self { bar: self.bar.clone(), context, is_brief: true }
    }

    /// The same line with a title before each trial; each of them leaves its own line.
    pub fn titled(&self, title: String) -> Self {
        Self { bar: self.bar.clone(), context: title, is_brief: false }
    }

    /// A line that stays above.
    pub fn note(&self, text: &str) {
        self.bar.println(text);
    }

    /// A trial begins.
    pub fn trial(&self, number: u32, purpose: Purpose, load: f64, unit: Unit) {
        // Without the DUT so many operations are under way at once, whatever the unit of the load.
        let unit = if purpose == Purpose::Ceiling { "at once" } else { unit.name() };
        let trial = format!("trial {number} {} at {} {unit}", purpose.name(), amount(load));
        self.bar.set_prefix(if self.context.is_empty() { trial } else { format!("{}: {trial}", self.context) });
        self.bar.set_message("begins");
    }

    /// A second of it has passed; `intended` is the load of that second in the unit of the trial,
    /// `samples` are the testbed before and after it.
    pub fn second(&self, phase: Phase, second: &Second, intended: f64, samples: Option<(&Sample, &Sample)>) {
        self.bar.set_message(second_line(phase, second, intended, samples));
    }

    /// A trial has ended: one line about it stays above.
    pub fn done(&self, record: &TrialRecord, passed: Option<bool>, reasons: &[String]) {
        if self.is_brief {
            return;
        }
        let line = trial_line(record, passed, reasons);
        self.bar.println(if self.context.is_empty() { line } else { format!("{}: {line}", self.context) });
    }

    /// The run has ended: the line goes.
    pub fn clear(&self) {
        self.bar.finish_and_clear();
    }
}

fn second_line(phase: Phase, second: &Second, intended: f64, samples: Option<(&Sample, &Sample)>) -> String {
    let mut line = format!(
        "{} {} s: intended {}, done {}, failed {}, open {}, p99 {}",
        phase.name(),
        second.index + 1,
        amount(intended),
        count(second.ended.of(Outcome::Ok)),
        count(second.ended.failed()),
        count(second.open),
        maybe_span(second.latencies.percentile(Latency::Response, 99.0)),
    );
    if let Some((before, after)) = samples {
        for (name, role) in [("CPU generator", Role::Generator), ("DUT", Role::Dut)] {
            if let Some(usage) = usage::role(before, after, role) {
                line.push_str(&format!(", {name} {}", share(usage.busy)));
            }
        }
    }
    line
}

fn trial_line(record: &TrialRecord, passed: Option<bool>, reasons: &[String]) -> String {
    let mark = match passed {
        Some(true) => "✓",
        Some(false) => "✗",
        None => "·",
    };
    let mut line = format!(
        "{mark} trial {} {} at {}: achieved {}/s, failed {}, p99 {}",
        record.number,
        record.purpose.name(),
        load_text(record.load),
        amount(record.achieved_rate()),
        count(record.outcomes.failed()),
        maybe_span(record.latencies.percentile(Latency::Response, 99.0)),
    );
    if passed == Some(false) && !reasons.is_empty() {
        line.push_str(&format!(" ({})", reasons.join("; ")));
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixture;

    #[test]
    fn the_lines_say_what_happened() {
        let run = fixture::run();
        let trial = &run.trials[4];
        let samples = Some((&trial.samples[1], &trial.samples[2]));
        assert_eq!(
            second_line(Phase::Sustain, &trial.seconds[1], 1_216.0, samples),
            "sustain 2 s: intended 1,216, done 1,000, failed 0, open 217, p99 225 ms, CPU generator 9.5 %, DUT 99 %"
        );
        assert_eq!(
            trial_line(trial, Some(false), &run.reasons[4]),
            "✗ trial 5 bisect at 1,216/s: achieved 1,000/s, failed 0, p99 655 ms (82.2 % of the operations due completed in sustain, at least 99 % needed)"
        );
    }

    #[test]
    fn nothing_is_drawn_without_a_terminal() {
        assert!(Live::new(true).bar.is_hidden());
    }
}
