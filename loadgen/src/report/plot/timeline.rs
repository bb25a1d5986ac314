//! What changed over the run: rates, latencies, connections, processor time.

use plotters::style::RGBColor as RGB;

use super::axis::Axis;
use super::canvas::{BLUE, Chart, Form, GREEN, GREY, Head, INK, Mark, ORANGE, PURPLE, Region, SKY, Series, VERMILION};
use super::charts::response_of;
use super::{Material, Omitted};
use crate::measure::record::EndedEarly;
use crate::measure::{Latencies, Outcome, Phase, Role, Sample, Second, TrialRecord};
use crate::report::rows::{ended_early, load_text};
use crate::report::usage;
use crate::scenario::plan::Unit;

/// Steps of a line over the whole run; a longer run is drawn as means over several seconds.
const STEPS_MAX: usize = 700;

/// Letters of an event in a chart; all of it stands in the table of trials.
const EVENT_MAX: usize = 70;

/// Operations per second: intended, offered, achieved, failed.
pub(super) fn rate(material: &Material<'_>) -> Result<Chart, Omitted> {
    let operations = match material.plan.load.unit {
        Unit::ConnectionsPerSecond => "connections",
        Unit::TransactionsPerSecond | Unit::Transactions => "transactions",
        Unit::FramesPerSecond => "frames",
        Unit::Connections => "operations",
    };
    let name = format!("{operations} per second over the run");
    let caption = format!("{operations} due, started, completed and failed in every second of every trial");
    let over_time = OverTime::new(material).ok_or_else(|| Omitted::new(&caption, "no second was measured"))?;
    let series = vec![
        over_time.series("due (intended)", GREY, |_, at| Some(at.second.due as f64)),
        over_time.series("started (offered)", GREEN, |_, at| Some(at.second.started as f64)),
        over_time.series("completed (achieved)", BLUE, |_, at| Some(at.second.ended.of(Outcome::Ok) as f64)),
        over_time.series("failed", VERMILION, |_, at| Some(at.second.ended.failed() as f64)),
    ];
    Ok(over_time.chart(name, caption, format!("{operations}/s"), series, 0.0))
}

/// Percentiles of the response time in every second.
pub(super) fn latency(material: &Material<'_>) -> Result<Chart, Omitted> {
    let caption = "response time of what ended in every second (closed loop: service time); a percentile is left out where too few samples stand behind it".to_owned();
    let none = |why| Omitted::new(&caption, why);
    let over_time = OverTime::new(material).ok_or_else(|| none("no second was measured"))?;
    let of = |name: &str, colour, percentile: f64| {
        over_time.parts(name, colour, |record, _, seconds| {
            let value = match seconds {
                [second] => second.latencies.percentile(response_of(record), percentile)?,
                // Percentiles cannot be averaged: those of several seconds come from merged histograms.
                _ => {
                    let mut whole = Latencies::coarse();
                    seconds.iter().for_each(|second| whole.merge(&second.latencies));
                    whole.percentile(response_of(record), percentile)?
                }
            };
            Some((value.as_nanos() as f64).max(1.0).log10())
        })
    };
    let mut series = vec![of("p99", VERMILION, 99.0), of("p90", PURPLE, 90.0), of("p50", BLUE, 50.0)];
    series.retain(|series| !matches!(&series.form, Form::Steps(lines) if lines.is_empty()));
    let (lowest, highest) = range(&series).ok_or_else(|| none("no response time was measured"))?;
    let mut chart = over_time.chart("response time over the run".to_owned(), caption, String::new(), series, 0.0);
    let step = over_time.step;
    let label = if step > 1 {
        format!("response time over {step} s, logarithmic")
    } else {
        "response time, logarithmic".to_owned()
    };
    chart.y = Axis::log_duration(&label, 10_f64.powf(lowest), 10_f64.powf(highest));
    Ok(chart)
}

/// Connections open at the end of every second.
pub(super) fn connections(material: &Material<'_>) -> Result<Chart, Omitted> {
    let caption = "connections open at the end of every second, as the client sees them".to_owned();
    let over_time = OverTime::new(material).ok_or_else(|| Omitted::new(&caption, "no second was measured"))?;
    let series = vec![over_time.series("open", BLUE, |_, at| Some(at.second.open as f64))];
    Ok(over_time.chart(
        "concurrent connections over the run".to_owned(),
        caption,
        "connections".to_owned(),
        series,
        0.0,
    ))
}

/// Processor time of every role.
pub(super) fn cpu(material: &Material<'_>) -> Result<Chart, Omitted> {
    let caption = "processor time of every role in percent of its quota or cores, and the busiest core".to_owned();
    let over_time = OverTime::new(material).ok_or_else(|| Omitted::new(&caption, "no second was measured"))?;
    let busy = |role| move |(before, after): (&Sample, &Sample)| Some(usage::role(before, after, role)?.busy * 100.0);
    let mut series = vec![
        over_time.sampled("generator", BLUE, busy(Role::Generator)),
        over_time.sampled("DUT", VERMILION, busy(Role::Dut)),
    ];
    let reflectors = over_time.reflectors();
    if reflectors > 3 {
        let together = |(before, after): (&Sample, &Sample)| Some(usage::reflectors(before, after)?.busy * 100.0);
        series.push(over_time.sampled(&format!("{reflectors} reflectors"), GREEN, together));
    } else {
        for (number, colour) in (0..reflectors).zip([GREEN, ORANGE, SKY]) {
            let role = Role::Reflector(number);
            series.push(over_time.sampled(&role.name(), colour, busy(role)));
        }
    }
    let busiest = |(before, after): (&Sample, &Sample)| {
        Some(usage::cores(before, after).into_iter().flatten().reduce(f64::max)? * 100.0)
    };
    series.insert(0, over_time.sampled("busiest core", PURPLE, busiest));
    series.retain(|series| !matches!(&series.form, Form::Steps(lines) if lines.is_empty()));
    if series.is_empty() {
        return Err(Omitted::new(&caption, "no role could be sampled"));
    }
    Ok(over_time.chart(
        "processor time over the run".to_owned(),
        caption,
        "% of its quota or cores".to_owned(),
        series,
        100.0,
    ))
}

/// A second on the time axis.
struct At<'a> {
    /// Its trial.
    record: &'a TrialRecord,
    /// The second.
    second: &'a Second,
}

/// The trials on one time axis.
struct OverTime<'a> {
    material: &'a Material<'a>,
    began_ns: u64,
    /// Seconds that one step stands for.
    step: usize,
}

impl<'a> OverTime<'a> {
    /// `None` when no second was measured.
    fn new(material: &'a Material<'a>) -> Option<Self> {
        let began_ns = material.trials.iter().map(|record| record.began_ns).min()?;
        let seconds: usize = material.trials.iter().map(|record| record.seconds.len()).sum();
        (seconds > 0).then(|| Self { material, began_ns, step: seconds.div_ceil(STEPS_MAX) })
    }

    fn start(&self, record: &TrialRecord) -> f64 {
        (record.began_ns - self.began_ns) as f64 / 1e9
    }

    /// Means of a value of every second.
    fn series(&self, name: &str, colour: RGB, value: impl Fn(usize, &At<'_>) -> Option<f64>) -> Series {
        self.parts(name, colour, |record, first, seconds| {
            let values = seconds.iter().enumerate();
            let values: Vec<f64> =
                values.filter_map(|(at, second)| value(first + at, &At { record, second })).collect();
            (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
        })
    }

    /// A line of steps for each trial; `value` is given the trial, the number of the first second in
    /// it and the seconds of one step. Steps without a value leave a gap.
    fn parts(&self, name: &str, colour: RGB, value: impl Fn(&TrialRecord, usize, &[Second]) -> Option<f64>) -> Series {
        let mut lines = Vec::new();
        for record in self.material.trials {
            let mut line = Vec::new();
            for (number, seconds) in record.seconds.chunks(self.step).enumerate() {
                let Some(value) = value(record, number * self.step, seconds) else {
                    lines.extend((!line.is_empty()).then(|| std::mem::take(&mut line)));
                    continue;
                };
                let from = self.start(record) + f64::from(seconds[0].index);
                line.push((from, from + seconds.len() as f64, value));
            }
            lines.extend((!line.is_empty()).then_some(line));
        }
        Series { name: name.to_owned(), colour, form: Form::Steps(lines) }
    }

    /// A series from the samples before and after each second.
    fn sampled(&self, name: &str, colour: RGB, value: impl Fn((&Sample, &Sample)) -> Option<f64>) -> Series {
        self.series(name, colour, |number, at| {
            let samples = &at.record.samples;
            value((samples.get(number)?, samples.get(number + 1)?))
        })
    }

    fn reflectors(&self) -> usize {
        let roles =
            self.material.trials.iter().flat_map(|record| record.samples.iter().flat_map(|sample| &sample.roles));
        let numbers =
            roles.filter_map(|sample| if let Role::Reflector(number) = sample.role { Some(number + 1) } else { None });
        numbers.max().unwrap_or(0)
    }

    fn chart(&self, title: String, caption: String, y_label: String, series: Vec<Series>, least: f64) -> Chart {
        let highest = range(&series).map_or(least, |(_, highest)| highest.max(least));
        let end = self.material.trials.iter().map(|record| self.start(record) + record.seconds.len() as f64);
        let last = end.fold(1.0, f64::max);
        let mean = if self.step > 1 { format!(" (means over {} s)", self.step) } else { String::new() };
        let mut x = Axis::from_zero("seconds since the first trial began", last, 8);
        x.to = last;
        x.ticks.retain(|(at, _)| *at <= last);
        Chart {
            title,
            caption,
            height: 400,
            x,
            y: Axis::from_zero(y_label + &mean, highest, 5),
            bands: self.material.trials.iter().map(|record| self.sustain(record)).collect(),
            band_name: "sustain (measured)",
            heads: self.material.trials.iter().map(|record| self.head(record)).collect(),
            marks: self.material.trials.iter().filter_map(|record| self.event(record)).collect(),
            regions: self.material.trials.iter().map(|record| self.phases(record)).collect(),
            series,
        }
    }

    /// Who died or interrupted the run, where it shows in the samples: at the first one without that
    /// role; else at the trial's end.
    fn event(&self, record: &TrialRecord) -> Option<Mark> {
        let ended = record.ended_early.as_ref().filter(|early| **early != EndedEarly::CannotPass).map(ended_early);
        let deaths = record.reflector_deaths.iter().cloned().chain(ended).collect::<Vec<_>>();
        if deaths.is_empty() {
            return None;
        }
        let roles = |sample: &Sample| sample.roles.len();
        let gone = record.samples.windows(2).find(|pair| roles(&pair[1]) < roles(&pair[0])).map(|pair| pair[1].at_ns);
        let measured = self.start(record) + record.seconds.len() as f64;
        let x = gone.map_or(measured, |at_ns| at_ns.saturating_sub(self.began_ns) as f64 / 1e9).min(measured);
        let mut text = format!("trial {}: {}", record.number, deaths.join("; "));
        if text.chars().count() > EVENT_MAX {
            text = text.chars().take(EVENT_MAX).chain(['…']).collect();
        }
        Some(Mark { x, text, colour: VERMILION })
    }

    /// The phases of a trial, as far as they were measured.
    fn phases(&self, record: &TrialRecord) -> Region {
        let from = self.start(record);
        let measured = from + record.seconds.len() as f64;
        let passed = match self.material.passed(record.number) {
            Some(true) => ", passed",
            Some(false) => ", did not pass",
            None => "",
        };
        let mut end = from;
        let mut parts = Vec::new();
        for (phase, length) in [
            (Phase::RampUp, record.ramp_up.as_secs_f64()),
            (Phase::Sustain, record.sustain.as_secs_f64()),
            (Phase::RampDown, record.ramp_down.as_secs_f64()),
            (Phase::Drain, f64::INFINITY),
        ] {
            let begin = end;
            end = (begin + length).min(measured);
            parts.extend((begin < end).then(|| (end, phase.name())));
        }
        let text = format!("trial {}, {} at {}{passed}", record.number, record.purpose.name(), load_text(record.load));
        Region { from, parts, text }
    }

    /// From where to where sustain went.
    fn sustain(&self, record: &TrialRecord) -> (f64, f64) {
        let from = record.ramp_up.as_secs_f64();
        let measured = record.seconds.len() as f64;
        let to = (from + record.sustain.as_secs_f64()).min(measured);
        (self.start(record) + from.min(measured), self.start(record) + to)
    }

    fn head(&self, record: &TrialRecord) -> Head {
        let (mark, colour) = match self.material.passed(record.number) {
            Some(true) => (" ✓", GREEN),
            Some(false) => (" ✗", VERMILION),
            None => ("", INK),
        };
        let from = self.start(record);
        Head {
            range: (from, from + record.seconds.len() as f64),
            texts: [format!("{} {}{mark}", record.number, record.purpose.name()), format!("{}{mark}", record.number)],
            colour,
        }
    }
}

/// The lowest and the highest value of all series.
fn range(series: &[Series]) -> Option<(f64, f64)> {
    let values = series.iter().flat_map(|series| match &series.form {
        Form::Steps(lines) => lines.iter().flatten().map(|step| step.2).collect::<Vec<_>>(),
        Form::Lines(..) | Form::Points(_) | Form::Bars { .. } => Vec::new(),
    });
    values.fold(None, |range, value| {
        let (lowest, highest): (f64, f64) = range.unwrap_or((value, value));
        Some((lowest.min(value), highest.max(value)))
    })
}
