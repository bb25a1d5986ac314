//! What a run measures, for other tools: JSON lines, Influx line protocol, Prometheus.
//!
//! A run is told as [`Event`]s, live or from its folder, and each format is a pure function of them, so
//! that an export of a finished run says what the live one said. [`Exports`] are the files and the
//! endpoint of a run under way: threads of their own behind bounded queues, so that a reader that is
//! slow or a disk that is full ends its export with a warning, and never the run.

mod influx;
mod jsonl;
mod prometheus;
mod server;
mod sink;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use super::ReportError;
use super::folder::TrialNote;
use crate::archive::Archive;
use crate::measure::record::Purpose;
use crate::measure::{Phase, Sample, Second, TrialRecord};
use crate::scenario::Plan;
use crate::scenario::plan::Unit;
use crate::verdict::answer::Answer;
pub use prometheus::State;
use server::{Server, Shown};
use sink::FileSink;

/// Which run it is.
#[derive(Clone, Debug)]
pub struct Head {
    /// Name of the run: that of its folder.
    pub run: String,
    /// Name of the scenario.
    pub scenario: String,
    /// The question.
    pub question: String,
    /// Name of the DUT.
    pub dut: String,
    /// What loads are counted in.
    pub unit: Unit,
}

impl Head {
    /// The head of a plan's run.
    pub fn of(plan: &Plan, run: &str) -> Self {
        Self {
            run: run.to_owned(),
            scenario: plan.name.clone(),
            question: plan.question.clone(),
            dut: plan.testbed.dut.name.clone(),
            unit: plan.load.unit,
        }
    }
}

/// Something that happened in a run.
#[derive(Clone, Copy, Debug)]
pub struct Event<'a> {
    /// When, in nanoseconds since 1970 (UTC).
    pub unix_ns: u64,
    /// What.
    pub kind: Kind<'a>,
}

/// What happened.
#[derive(Clone, Copy, Debug)]
pub enum Kind<'a> {
    /// The run began.
    Begin,
    /// A trial began.
    Trial {
        /// Its number.
        number: u32,
        /// What it is for.
        purpose: Purpose,
        /// Its load in the unit of the run; of a ceiling, operations at once.
        load: f64,
    },
    /// A second of a trial has passed.
    Second {
        /// The trial.
        trial: u32,
        /// What it is for.
        purpose: Purpose,
        /// The part of the trial.
        phase: Phase,
        /// Its load.
        load: f64,
        /// What was measured.
        second: &'a Second,
        /// The testbed before and after it.
        samples: Option<(&'a Sample, &'a Sample)>,
    },
    /// A trial has ended and was judged.
    Done {
        /// All it measured.
        record: &'a TrialRecord,
        /// Whether it passed; `None` where that was not asked or could not be said.
        passed: Option<bool>,
        /// Why not.
        reasons: &'a [String],
    },
    /// The run has its answer.
    Answer(&'a Answer),
}

/// The events of a finished run, in order.
pub fn story(archive: &Archive) -> (Head, Vec<Event<'_>>) {
    let begun = &archive.begun;
    let unix_ns = |monotonic_ns: u64| {
        let since = i128::from(monotonic_ns) - i128::from(begun.began_monotonic_ns);
        u64::try_from(i128::from(begun.began_unix_ns) + since).unwrap_or(0)
    };
    let mut events = vec![Event { unix_ns: begun.began_unix_ns, kind: Kind::Begin }];
    for kept in &archive.trials {
        let record = &kept.record;
        let (number, purpose, load) = (record.number, record.purpose, record.load.amount());
        events.push(Event { unix_ns: unix_ns(record.began_ns), kind: Kind::Trial { number, purpose, load } });
        for (at, second) in record.seconds.iter().enumerate() {
            let samples = record.samples.get(at).zip(record.samples.get(at + 1));
            let phase = record.phase_of(second.index);
            let end_ns = record.began_ns + (u64::from(second.index) + 1) * 1_000_000_000;
            let kind = Kind::Second { trial: number, purpose, phase, load, second, samples };
            events.push(Event { unix_ns: unix_ns(end_ns), kind });
        }
        let last = events.last().map_or(0, |event| event.unix_ns);
        let kind = Kind::Done { record, passed: kept.passed, reasons: &kept.reasons };
        events.push(Event { unix_ns: last, kind });
    }
    let last = events.last().map_or(0, |event| event.unix_ns);
    events.extend(archive.answer.iter().map(|answer| Event { unix_ns: last, kind: Kind::Answer(answer) }));
    (Head::of(&begun.plan, &begun.run), events)
}

/// A finished run as JSON lines.
pub fn json_lines(archive: &Archive) -> String {
    let (head, events) = story(archive);
    events.iter().map(|event| jsonl::line(&head, event)).collect()
}

/// A finished run in Influx line protocol.
pub fn influx_lines(archive: &Archive) -> String {
    let (head, events) = story(archive);
    events.iter().map(|event| influx::lines(&head, event)).collect()
}

/// The state at the end of a finished run as Prometheus text.
pub fn prometheus_text(archive: &Archive) -> String {
    let (head, events) = story(archive);
    let mut state = State::new(head);
    events.iter().for_each(|event| state.note(event));
    state.text()
}

fn note_of(record: &TrialRecord, passed: Option<bool>, reasons: &[String]) -> TrialNote {
    TrialNote { trial: record.number, passed, reasons: reasons.to_vec() }
}

/// What a run is asked to write while it goes.
#[derive(Clone, Debug, Default)]
pub struct ExportOptions {
    /// Where to serve Prometheus metrics.
    pub prometheus: Option<SocketAddr>,
    /// File of JSON lines; `-` is stdout.
    pub json_lines: Option<PathBuf>,
    /// File of Influx line protocol; `-` is stdout.
    pub influx: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug)]
enum Format {
    JsonLines,
    Influx,
}

/// The exports of a run under way; [`Exports::default`] has none.
#[derive(Debug, Default)]
pub struct Exports {
    head: Option<Head>,
    files: Vec<(Format, FileSink)>,
    server: Option<(Server, State, Shown)>,
    problems: Vec<String>,
}

impl Exports {
    /// Opens the files and the endpoint, so that a wrong name is refused before anything is started.
    /// Their threads keep to `cores`, as far as that is allowed; empty means anywhere.
    ///
    /// # Errors
    /// [`ReportError`] naming the file or the address.
    pub fn open(options: &ExportOptions, head: Head, cores: &[usize]) -> Result<Self, ReportError> {
        let mut exports = Self::default();
        for (format, path) in [(Format::JsonLines, &options.json_lines), (Format::Influx, &options.influx)] {
            if let Some(path) = path {
                exports.files.push((format, FileSink::open(path, cores)?));
            }
        }
        if let Some(address) = options.prometheus {
            let state = State::new(head.clone());
            let shared = Arc::new(Mutex::new(Arc::new(state.clone())));
            exports.server = Some((Server::start(address, Arc::clone(&shared), cores)?, state, shared));
        }
        exports.head = Some(head);
        Ok(exports)
    }

    /// Where metrics are served.
    pub fn address(&self) -> Option<SocketAddr> {
        self.server.as_ref().map(|(server, ..)| server.address())
    }

    /// Tells everybody; never waits.
    pub fn tell(&mut self, kind: Kind<'_>) {
        let Some(head) = &self.head else { return };
        let event = Event { unix_ns: host::clock::unix_ns(), kind };
        for (format, sink) in &mut self.files {
            let text = match format {
                Format::JsonLines => jsonl::line(head, &event),
                Format::Influx => influx::lines(head, &event),
            };
            sink.push(text);
        }
        if let Some((_, state, shared)) = &mut self.server {
            state.note(&event);
            *shared.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(state.clone());
        }
    }

    /// Ends all exports after a bounded wait for what is still to be written; says which are not whole.
    pub fn close(&mut self) -> Vec<String> {
        self.head = None;
        self.server = None;
        self.problems.extend(self.files.drain(..).filter_map(|(_, sink)| sink.close()));
        std::mem::take(&mut self.problems)
    }
}

#[cfg(test)]
mod tests;
