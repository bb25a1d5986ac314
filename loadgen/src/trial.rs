//! One trial: ramp-up, sustain, ramp-down, drain, collect.
//!
//! It starts the workers, puts their seconds together as they come in, lets an [`Observer`] watch
//! (samples, progress, reasons to stop), and hands over everything that was measured. What it means
//! is decided in [`crate::verdict`]; which trial comes next in [`crate::search`].

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::Duration;

use host::clock::monotonic_ns;

use crate::engine::book::{Interval, Totals};
use crate::engine::{self, Config, WorkloadConfig};
use crate::measure::record::{EndedEarly, Purpose, TrialLoad};
use crate::measure::{Phase, Sample, Second, TrialRecord};
use crate::schedule::Shape;

/// Time between the start of the workers and the first due operation: they pin themselves in it.
const LEAD: Duration = Duration::from_millis(30);
/// The same for each stream of datagrams: two sockets are made for it.
const LEAD_PER_STREAM: Duration = Duration::from_micros(40);
/// How long a second may come late before the trial goes on without looking at it in order.
const PATIENCE: Duration = Duration::from_millis(200);

/// Somebody who watches a trial.
pub trait Observer {
    /// The testbed now; asked before, each second of, and after the trial.
    fn sample(&mut self) -> Sample;
    /// A second of the trial is over. `failed` measured operations have failed so far.
    fn second(&mut self, phase: Phase, second: &Second, failed: u64);
    /// Asked about ten times a second: whether the trial has to end now.
    fn end_early(&mut self, failed: u64) -> Option<EndedEarly>;
}

/// What a trial is, beside what the engine needs to know.
#[derive(Clone, Debug)]
pub struct Trial {
    /// Number within the run, from 1.
    pub number: u32,
    /// What it is for.
    pub purpose: Purpose,
    /// What the engine needs to know.
    pub engine: Config,
    /// Why slots were cut, if they were.
    pub slots_cut: Option<String>,
}

/// Runs one trial. Ledgers are added by the caller, who knows the reflectors.
///
/// # Errors
/// The kernel's reason when the workers cannot be started.
pub fn run(trial: Trial, observer: &mut dyn Observer) -> io::Result<TrialRecord> {
    let config = &trial.engine;
    let (sender, intervals) = mpsc::channel();
    let end_early = Arc::new(AtomicBool::new(false));
    let mut samples = vec![observer.sample()];
    let began_ns = monotonic_ns() + lead(config).as_nanos() as u64;
    let workers = engine::spawn(config, began_ns, &end_early, &sender)?;
    drop(sender);
    let mut seconds = Seconds::new(workers.len(), config.shape());
    let load_end_ns =
        began_ns + (config.phases.ramp_up + config.phases.sustain + config.phases.ramp_down).as_nanos() as u64;
    let ended_early = watch(config, load_end_ns, (&intervals, &end_early), &mut seconds, &mut samples, observer);
    let mut totals = Totals::default();
    for worker in workers {
        // A panic in a worker is a bug; it must not be reported as a result.
        totals.merge(worker.join().expect("a generator worker does not panic"));
    }
    samples.push(observer.sample());
    Ok(record(trial, began_ns, totals, seconds, samples, ended_early))
}

fn lead(config: &Config) -> Duration {
    let streams = if let WorkloadConfig::Udp(plan) = &config.workload { plan.streams.get() } else { 0 };
    LEAD + LEAD_PER_STREAM * u32::from(streams)
}

/// Puts seconds together until all workers have ended.
fn watch(
    config: &Config,
    load_end_ns: u64,
    (intervals, end_early): (&Receiver<Interval>, &AtomicBool),
    seconds: &mut Seconds,
    samples: &mut Vec<Sample>,
    observer: &mut dyn Observer,
) -> Option<EndedEarly> {
    let mut reason = None;
    loop {
        match intervals.recv_timeout(PATIENCE / 2) {
            Ok(interval) => {
                seconds.failed += interval.failed_measured;
                let failed = seconds.failed;
                if let Some(second) = seconds.add(&interval) {
                    samples.push(observer.sample());
                    observer.second(phase_of(config, second.index), second, failed);
                }
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return reason,
        }
        // A trial whose load has ended runs to its end: there is nothing left to save.
        if reason.is_none() && monotonic_ns() < load_end_ns {
            reason = observer.end_early(seconds.failed);
            if reason.is_some() {
                end_early.store(true, Ordering::Relaxed);
            }
        }
    }
}

/// The phase in the middle of a second.
fn phase_of(config: &Config, second: u32) -> Phase {
    let phases = &config.phases;
    Phase::of_second(second, [phases.ramp_up, phases.sustain, phases.ramp_down])
}

/// The seconds of all workers, put together.
struct Seconds {
    workers: usize,
    /// The open-loop load, if the loop is open: what is due in a second does not depend on whether the
    /// workers came round to it.
    shape: Option<Shape>,
    /// Seconds that are complete.
    done: Vec<Second>,
    /// Seconds of which some workers' parts are missing, oldest first, with how many have come.
    partial: Vec<(Interval, usize)>,
    failed: u64,
}

impl Seconds {
    fn new(workers: usize, shape: Option<Shape>) -> Self {
        Self { workers, shape, done: Vec::new(), partial: Vec::new(), failed: 0 }
    }

    /// Adds one worker's part; returns the second if it is complete now.
    fn add(&mut self, interval: &Interval) -> Option<&Second> {
        match self.partial.iter_mut().find(|(known, _)| known.second == interval.second) {
            Some((known, parts)) => {
                known.merge(interval);
                *parts += 1;
            }
            None => self.partial.push((interval.clone(), 1)),
        }
        let complete = self.partial.iter().position(|(_, parts)| *parts == self.workers)?;
        let (interval, _) = self.partial.remove(complete);
        let second = self.second(interval);
        self.done.push(second);
        self.done.last()
    }

    fn second(&self, interval: Interval) -> Second {
        let until = |seconds: u32| {
            self.shape.as_ref().map(|shape| shape.until(Duration::from_secs(seconds.into())).ceil() as u64)
        };
        let due = until(interval.second + 1).zip(until(interval.second)).map(|(end, begin)| end - begin);
        Second {
            index: interval.second,
            due: due.unwrap_or(interval.due),
            started: interval.started,
            ended: interval.ended,
            transactions: interval.transactions,
            opened: interval.opened,
            open: interval.open,
            open_ns: interval.open_ns,
            closed: interval.closed,
            lifetime_ns: interval.lifetime_ns,
            body_bytes: interval.body_bytes,
            latencies: interval.latencies,
        }
    }

    /// All seconds in order; those that some worker had ended before are taken as they are.
    fn finish(mut self) -> Vec<Second> {
        for (interval, _) in std::mem::take(&mut self.partial) {
            let second = self.second(interval);
            self.done.push(second);
        }
        self.done.sort_by_key(|second| second.index);
        self.done
    }
}

fn record(
    trial: Trial,
    began_ns: u64,
    totals: Totals,
    seconds: Seconds,
    samples: Vec<Sample>,
    ended_early: Option<EndedEarly>,
) -> TrialRecord {
    let config = &trial.engine;
    let sustain = measured_sustain(config, began_ns, ended_early.is_some());
    let seconds = seconds.finish();
    let held: Vec<u64> =
        seconds.iter().filter(|second| inside_sustain(config, second.index)).map(|second| second.open).collect();
    let mut responses_by_instance = totals.instances;
    responses_by_instance.sort();
    TrialRecord {
        number: trial.number,
        purpose: trial.purpose,
        load: config.load,
        began_ns,
        ramp_up: config.phases.ramp_up,
        sustain,
        ramp_down: config.phases.ramp_down,
        due: totals.due,
        outcomes: totals.outcomes,
        outcomes_all: totals.outcomes_all,
        completed_in_sustain: match config.load {
            TrialLoad::Held(_) => totals.outcomes.of(crate::measure::Outcome::Ok),
            TrialLoad::Rate(_) | TrialLoad::Closed(_) => totals.completed_in_sustain,
        },
        transactions_in_sustain: totals.transactions_in_sustain,
        transactions_all: totals.transactions_all,
        opened_all: totals.opened_all,
        attempted_connections_all: totals.attempted_connections_all,
        connections_in_sustain: totals.connections_in_sustain,
        body_bytes_in_sustain: totals.body_bytes_in_sustain,
        open_peak: totals.open_peak,
        open_min_in_sustain: held.iter().copied().min().unwrap_or(0),
        open_mean_in_sustain: held.iter().sum::<u64>() as f64 / held.len().max(1) as f64,
        waited_for_slot: totals.waited_for_slot,
        latencies: totals.latencies,
        seconds,
        samples,
        ledgers: Vec::new(),
        responses_by_instance,
        slots: config.at_once(),
        slots_cut: trial.slots_cut,
        ended_early,
        reflector_deaths: Vec::new(),
        first_failures: totals.first_failures,
        warnings: totals.warnings,
        frames: totals.frames,
    }
}

/// The length of sustain that was measured: all of it, unless the trial was ended early, now.
fn measured_sustain(config: &Config, began_ns: u64, ended_early: bool) -> Duration {
    if !ended_early {
        return config.phases.sustain;
    }
    let elapsed = Duration::from_nanos(monotonic_ns().saturating_sub(began_ns));
    // Never nothing: rates are divided by it.
    elapsed.saturating_sub(config.phases.ramp_up).clamp(Duration::from_millis(1), config.phases.sustain)
}

/// Whether the end of a second lies within sustain.
fn inside_sustain(config: &Config, second: u32) -> bool {
    let end = Duration::from_secs(u64::from(second) + 1);
    let from = config.phases.ramp_up;
    from < end && end <= from + config.phases.sustain
}

#[cfg(test)]
mod tests;
