//! What changed over the run: rates, connections, processor time.

use plotters::style::RGBColor as RGB;

use super::axis::Axis;
use super::canvas::{BLUE, Chart, Form, GREEN, GREY, Head, INK, ORANGE, PURPLE, SKY, Series, VERMILION};
use super::{Material, Omitted};
use crate::measure::{Outcome, Role, Sample, TrialRecord};
use crate::report::usage;
use crate::scenario::plan::Unit;

/// Steps of a line over the whole run; a longer run is drawn as means over several seconds.
const STEPS_MAX: usize = 700;

/// Operations per second: due, completed, failed.
pub(super) fn rate(material: &Material<'_>) -> Result<Chart, Omitted> {
    let operations = match material.plan.load.unit {
        Unit::ConnectionsPerSecond => "connections",
        Unit::TransactionsPerSecond | Unit::Transactions => "transactions",
        Unit::Connections => "operations",
    };
    let name = format!("{operations} per second over the run");
    let caption = format!("{operations} due, completed and failed in every second of every trial");
    let over_time = OverTime::new(material).ok_or_else(|| Omitted::new(&caption, "no second was measured"))?;
    let series = vec![
        over_time.series("due", GREY, |_, at| Some(at.second.due as f64)),
        over_time.series("completed", BLUE, |_, at| Some(at.second.ended.of(Outcome::Ok) as f64)),
        over_time.series("failed", VERMILION, |_, at| Some(at.second.ended.failed() as f64)),
    ];
    Ok(over_time.chart(name, caption, format!("{operations}/s"), series, 0.0))
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
    series.retain(|series| !matches!(&series.form, Form::Lines(lines, _) if lines.is_empty()));
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
    second: &'a crate::measure::Second,
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

    /// A line of steps for each trial; seconds without a value leave a gap.
    fn series(&self, name: &str, colour: RGB, value: impl Fn(usize, &At<'_>) -> Option<f64>) -> Series {
        let mut lines = Vec::new();
        for record in self.material.trials {
            let mut line = Vec::new();
            for (number, seconds) in record.seconds.chunks(self.step).enumerate() {
                let values: Vec<f64> = seconds
                    .iter()
                    .enumerate()
                    .filter_map(|(at, second)| value(number * self.step + at, &At { record, second }))
                    .collect();
                if values.is_empty() {
                    lines.extend((!line.is_empty()).then(|| std::mem::take(&mut line)));
                    continue;
                }
                let mean = values.iter().sum::<f64>() / values.len() as f64;
                let from = self.start(record) + f64::from(seconds[0].index);
                line.extend([(from, mean), (from + seconds.len() as f64, mean)]);
            }
            lines.extend((!line.is_empty()).then_some(line));
        }
        Series { name: name.to_owned(), colour, form: Form::Lines(lines, 2) }
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
        let points = series.iter().flat_map(|series| match &series.form {
            Form::Lines(lines, _) => lines.iter().flatten().map(|point| point.1).collect::<Vec<_>>(),
            Form::Points(_) | Form::Bars { .. } => Vec::new(),
        });
        let highest = points.fold(least, f64::max);
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
            marks: Vec::new(),
            series,
        }
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
