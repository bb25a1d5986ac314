//! The state of a run as Prometheus text (exposition format 0.0.4). Pure.
//!
//! Rates are those of the last second. `nadare_operations_total` counts over the whole run; the
//! histograms are of the trial under way and begin anew with each, as a counter that was reset. What is
//! not known yet is left out: a gauge that reads 0 would say something.

use std::fmt::Write as _;

use super::{Event, Head, Kind};
use crate::measure::record::Purpose;
use crate::measure::{Latency, Outcome, Outcomes, Phase, Role, Sample, Second};
use crate::report::frames::names;
use crate::report::usage;
use crate::verdict::answer::{Answer, Bound};

/// Upper ends of the buckets in nanoseconds: 1-2.5-5 from 100 µs to 10 s.
const BUCKETS_NS: [u64; 16] = [
    100_000,
    250_000,
    500_000,
    1_000_000,
    2_500_000,
    5_000_000,
    10_000_000,
    25_000_000,
    50_000_000,
    100_000_000,
    250_000_000,
    500_000_000,
    1_000_000_000,
    2_500_000_000,
    5_000_000_000,
    10_000_000_000,
];

/// What is known of a run so far.
#[derive(Clone, Debug)]
pub struct State {
    head: Head,
    trials_done: u64,
    trial: Option<(u32, Purpose, f64)>,
    second: Option<Last>,
    operations: Outcomes,
    response: Buckets,
    lag: Buckets,
    answer: Option<Answer>,
}

/// The last second.
#[derive(Clone, Debug)]
struct Last {
    phase: Phase,
    due: u64,
    started: u64,
    completed: u64,
    open: u64,
    busy: Vec<(String, f64)>,
}

/// A latency of the trial so far.
#[derive(Clone, Debug, Default)]
struct Buckets {
    counts: [u64; BUCKETS_NS.len()],
    total: u64,
    sum_ns: f64,
}

impl Buckets {
    fn add(&mut self, second: &Second, latency: Latency) {
        let histogram = second.latencies.of(latency);
        for value in histogram.iter_recorded() {
            let (ns, count) = (value.value_iterated_to(), value.count_since_last_iteration());
            if let Some(at) = BUCKETS_NS.iter().position(|&end| ns <= end) {
                self.counts[at] += count;
            }
            self.total += count;
        }
        if !histogram.is_empty() {
            self.sum_ns += histogram.mean() * histogram.len() as f64;
        }
    }
}

impl State {
    /// Nothing has happened yet.
    pub fn new(head: Head) -> Self {
        Self {
            head,
            trials_done: 0,
            trial: None,
            second: None,
            operations: Outcomes::default(),
            response: Buckets::default(),
            lag: Buckets::default(),
            answer: None,
        }
    }

    /// Takes note of an event.
    pub fn note(&mut self, event: &Event<'_>) {
        match event.kind {
            Kind::Begin => {}
            Kind::Trial { number, purpose, load } => {
                self.trial = Some((number, purpose, load));
                self.second = None;
                (self.response, self.lag) = (Buckets::default(), Buckets::default());
            }
            Kind::Second { phase, second, samples, .. } => {
                self.operations.merge(&second.ended);
                self.response.add(second, Latency::Response);
                self.lag.add(second, Latency::Lag);
                self.second = Some(Last {
                    phase,
                    due: second.due,
                    started: second.started,
                    completed: second.ended.of(Outcome::Ok),
                    open: second.open,
                    busy: samples.map(busy).unwrap_or_default(),
                });
            }
            Kind::Done { .. } => self.trials_done += 1,
            Kind::Answer(answer) => {
                self.second = None;
                self.answer = Some(answer.clone());
            }
        }
    }

    /// The text of a scrape.
    pub fn text(&self) -> String {
        let mut page = Page(String::new());
        let head = &self.head;
        page.family("nadare_run_info", "gauge", "The run; always 1.");
        let labels =
            [("run", head.run.as_str()), ("scenario", &head.scenario), ("dut", &head.dut), ("unit", head.unit.name())];
        page.sample("nadare_run_info", &labels, 1.0);
        page.family("nadare_trials_done_total", "counter", "Trials that have ended.");
        page.sample("nadare_trials_done_total", &[], self.trials_done as f64);
        page.family(
            "nadare_operations_total",
            "counter",
            "Operations of the whole run by how they ended, ramps included.",
        );
        for (outcome, operations) in self.operations.iter() {
            page.sample("nadare_operations_total", &[("outcome", outcome.name())], operations as f64);
        }
        self.trial_text(&mut page);
        if let Some(last) = &self.second {
            last.text(&mut page);
        }
        page.histogram("nadare_response_time_seconds", "Due to last byte, of the trial under way.", &self.response);
        page.histogram(
            "nadare_schedule_lag_seconds",
            "Due to started with a free slot, the generator's own lateness, of the trial under way.",
            &self.lag,
        );
        if let Some(answer) = &self.answer {
            answer_text(&mut page, answer);
        }
        page.0
    }

    fn trial_text(&self, page: &mut Page) {
        let Some((number, purpose, load)) = self.trial else { return };
        page.family("nadare_trial_number", "gauge", "Number of the trial under way, or of the last one.");
        page.sample("nadare_trial_number", &[], f64::from(number));
        page.family("nadare_trial_info", "gauge", "What that trial is for; always 1.");
        let phase = self.second.as_ref().map_or("", |last| last.phase.name());
        page.sample("nadare_trial_info", &[("purpose", purpose.name()), ("phase", phase)], 1.0);
        page.family(
            "nadare_intended_load",
            "gauge",
            "Load of that trial in the unit of the run; of a ceiling, operations at once.",
        );
        page.sample("nadare_intended_load", &[], load);
    }
}

impl Last {
    fn text(&self, page: &mut Page) {
        let gauges = [
            ("nadare_due_per_second", "Operations due in the last second.", self.due),
            ("nadare_offered_per_second", "Operations started in the last second.", self.started),
            ("nadare_achieved_per_second", "Operations completed correctly in the last second.", self.completed),
            ("nadare_open_connections", "Connections open at its end.", self.open),
        ];
        for (name, help, value) in gauges {
            page.family(name, "gauge", help);
            page.sample(name, &[], value as f64);
        }
        if self.busy.is_empty() {
            return;
        }
        page.family("nadare_role_busy_ratio", "gauge", "CPU time of a role over its quota or cores, last second.");
        for (role, busy) in &self.busy {
            page.sample("nadare_role_busy_ratio", &[("role", role)], *busy);
        }
    }
}

fn answer_text(page: &mut Page, answer: &Answer) {
    page.family("nadare_exit_code", "gauge", "How the run ended: 0 met, 1 missed, 4 undecided, 130 interrupted.");
    page.sample("nadare_exit_code", &[], f64::from(answer.exit.code()));
    if let Some(limit) = answer.limited_by {
        page.family("nadare_limited_by", "gauge", "Who set the limit; always 1.");
        page.sample("nadare_limited_by", &[("limit", limit.name())], 1.0);
    }
    if answer.figures.is_empty() {
        return;
    }
    page.family("nadare_figure", "gauge", "The figures of the run; bound lower means at least.");
    for figure in &answer.figures {
        let bound = if figure.bound == Bound::Lower { "lower" } else { "exact" };
        let mut labels = vec![("figure", figure.name.as_str()), ("bound", bound)];
        // A suite has a figure for each size of its frames.
        let frames = names::figure(answer, figure);
        labels.extend(frames.as_deref().map(|frames| ("frames", frames)));
        page.sample("nadare_figure", &labels, figure.value);
    }
}

fn busy((before, after): (&Sample, &Sample)) -> Vec<(String, f64)> {
    let roles = after.roles.iter().map(|sample| sample.role);
    roles.filter_map(|role: Role| Some((role.name(), usage::role(before, after, role)?.busy))).collect()
}

/// A page under construction.
struct Page(String);

impl Page {
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        let help = help.replace('\\', "\\\\").replace('\n', "\\n");
        let _ = write!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
    }

    fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: f64) {
        self.0.push_str(name);
        for (at, (label, text)) in labels.iter().enumerate() {
            let text = text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
            let _ = write!(self.0, "{}{label}=\"{text}\"", if at == 0 { "{" } else { "," });
        }
        let _ = writeln!(self.0, "{} {}", if labels.is_empty() { "" } else { "}" }, number(value));
    }

    fn histogram(&mut self, name: &str, help: &str, buckets: &Buckets) {
        self.family(name, "histogram", help);
        let series = format!("{name}_bucket");
        let mut sum = 0;
        for (end, count) in BUCKETS_NS.iter().zip(buckets.counts) {
            sum += count;
            self.sample(&series, &[("le", &number(*end as f64 / 1e9))], sum as f64);
        }
        self.sample(&series, &[("le", "+Inf")], buckets.total as f64);
        self.sample(&format!("{name}_sum"), &[], buckets.sum_ns / 1e9);
        self.sample(&format!("{name}_count"), &[], buckets.total as f64);
    }
}

fn number(value: f64) -> String {
    match value {
        f64::INFINITY => "+Inf".to_owned(),
        f64::NEG_INFINITY => "-Inf".to_owned(),
        value => value.to_string(),
    }
}
