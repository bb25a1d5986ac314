//! Everything one trial measured.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use wire::frame::FrameSize;
use wire::ledger::Ledger;

use super::{Latencies, Outcome, Outcomes, Sample};

/// A part of a trial. Only [`Phase::Sustain`] is measured.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// The load rises from nothing to the intended one.
    RampUp,
    /// The intended load; the only phase that enters a figure.
    Sustain,
    /// The load falls back to nothing.
    RampDown,
    /// No new operations; those under way may finish.
    Drain,
}

impl Phase {
    /// The name in CSV and JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::RampUp => "ramp-up",
            Self::Sustain => "sustain",
            Self::RampDown => "ramp-down",
            Self::Drain => "drain",
        }
    }

    /// The phase in the middle of second `index` of a trial with such lengths of ramp-up, sustain and
    /// ramp-down.
    pub fn of_second(index: u32, [ramp_up, sustain, ramp_down]: [Duration; 3]) -> Self {
        let middle = Duration::from_millis(u64::from(index) * 1_000 + 500);
        if middle < ramp_up {
            Self::RampUp
        } else if middle < ramp_up + sustain {
            Self::Sustain
        } else if middle < ramp_up + sustain + ramp_down {
            Self::RampDown
        } else {
            Self::Drain
        }
    }
}

/// What a trial was for.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Purpose {
    /// Straight to the reflectors, as fast as tester and reflectors can.
    Ceiling,
    /// A light load that any device must carry.
    Qualify,
    /// The search goes up.
    Climb,
    /// The search closes in between a pass and a fail.
    Bisect,
    /// The figure, at its full length.
    Confirm,
    /// The lowest load that failed once more, to its end, to compare with [`Self::MoreWorkers`].
    Control,
    /// The same load with one generator worker more.
    MoreWorkers,
    /// One step of a stair, or the only load of a scenario.
    Fixed,
    /// A very light load after a failed trial: whether the DUT has got up again.
    Probe,
    /// One step of the curve around what a search found.
    Curve,
    /// One load of the frame loss sweep.
    Sweep,
}

impl Purpose {
    /// The name in CSV and JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ceiling => "ceiling",
            Self::Qualify => "qualify",
            Self::Climb => "climb",
            Self::Bisect => "bisect",
            Self::Confirm => "confirm",
            Self::Control => "control",
            Self::MoreWorkers => "more-workers",
            Self::Fixed => "fixed",
            Self::Probe => "probe",
            Self::Curve => "curve",
            Self::Sweep => "sweep",
        }
    }

    /// Whether the testbed was another one than the plan's: without the DUT, or kept for comparison.
    pub fn is_beside(self) -> bool {
        matches!(self, Self::Ceiling | Self::Control | Self::MoreWorkers)
    }

    /// Whether the trial helped to choose the answer; a probe or a step of the curve did not.
    pub fn is_searching(self) -> bool {
        !(self.is_beside() || matches!(self, Self::Probe | Self::Curve | Self::Sweep))
    }
}

/// The load a trial is asked to offer.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum TrialLoad {
    /// Open loop: so many operations due per second of sustain.
    Rate(f64),
    /// Closed loop: so many operations always under way.
    Closed(u32),
    /// So many connections held open at once.
    Held(u32),
}

impl TrialLoad {
    /// The number itself: operations per second, or operations or connections at once.
    pub fn amount(self) -> f64 {
        match self {
            Self::Rate(rate) => rate,
            Self::Closed(count) | Self::Held(count) => f64::from(count),
        }
    }
}

/// One second of a trial, all workers merged.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub struct Second {
    /// Seconds since the trial began (its ramp-up), from 0.
    pub index: u32,
    /// Operations due in this second.
    pub due: u64,
    /// Operations started in it.
    pub started: u64,
    /// Operations that ended in it, by kind, however they were due.
    pub ended: Outcomes,
    /// Transactions (request plus complete, correct response) completed in it.
    pub transactions: u64,
    /// Connections opened in it (handshake complete).
    pub opened: u64,
    /// Connections open at its end.
    pub open: u64,
    /// Connection-time of the second in nanoseconds: the integral of the open connections over it. What
    /// a worker booked late stands in the next second, so a sum over seconds is exact.
    pub open_ns: i64,
    /// Established connections that ended in it.
    pub closed: u64,
    /// How long those had been established, in nanoseconds, all together.
    pub lifetime_ns: u64,
    /// Response bodies received in it, in bytes.
    pub body_bytes: u64,
    /// Latencies of what ended in it.
    pub latencies: Latencies,
}

/// Connections begun and reset inside sustain.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct ConnectionsInSustain {
    /// Connections begun (connect called).
    pub begun: u64,
    /// Connections, or handshakes, that the peer ended with a RST.
    pub reset: u64,
}

impl ConnectionsInSustain {
    /// Adds the counters of another part of the same trial.
    pub fn merge(&mut self, other: Self) {
        self.begun += other.begun;
        self.reset += other.reset;
    }
}

/// What a trial of datagrams measured beside how its frames ended.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub struct FrameRecord {
    /// Frames due in sustain by size, ascending. Random lengths are put together in at most 16 ranges, each
    /// under its largest size.
    pub sizes: Vec<SizeCount>,
    /// Frames due in sustain, and what came back for them.
    pub sustain: FrameCounts,
    /// The whole trial, ramps included: what the ledgers must agree with.
    pub all: FrameCounts,
    /// Streams with a socket of their own.
    pub streams: u32,
    /// System calls that sent, and the most frames that one of them took.
    pub send_calls: u64,
    /// See `send_calls`.
    pub batch_max: u32,
    /// Answers that the kernel dropped because the generator's own buffers were full: the tester's loss.
    pub own_drops: u64,
    /// ICMP messages that said a destination cannot be reached.
    pub unreachable: u64,
    /// Datagrams with a wrong UDP checksum that reached the clients' namespace; `None` where that is not
    /// the run's own.
    pub checksum_errors: Option<u64>,
}

impl FrameRecord {
    /// Adds what another worker of the same trial counted.
    pub fn merge(&mut self, other: &Self) {
        for theirs in &other.sizes {
            match self.sizes.binary_search_by_key(&theirs.size, |count| count.size) {
                Ok(at) => self.sizes[at].add(theirs),
                Err(at) => self.sizes.insert(at, *theirs),
            }
        }
        self.sustain.merge(&other.sustain);
        self.all.merge(&other.all);
        self.streams += other.streams;
        self.send_calls += other.send_calls;
        self.batch_max = self.batch_max.max(other.batch_max);
        self.own_drops += other.own_drops;
        self.unreachable += other.unreachable;
        self.checksum_errors = self.checksum_errors.or(other.checksum_errors);
    }
}

/// Frames of one size.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct SizeCount {
    /// The size.
    pub size: FrameSize,
    /// Due, sent or not.
    pub due: u64,
    /// Sent.
    pub sent: u64,
    /// Answered, each counted once.
    pub answered: u64,
}

/// Frames and their answers.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct FrameCounts {
    /// Frames that the kernel took.
    pub sent: u64,
    /// Frames of which an answer came in time, each counted once.
    pub answered: u64,
    /// Answers that came after one to a later frame of their stream (RFC 4737).
    pub reordered: u64,
    /// Answers to frames that had been answered before.
    pub duplicates: u64,
    /// First answers that came after `response_timeout`; their frames count as lost.
    pub late: u64,
    /// Answers of another length or with other bytes than what was sent.
    pub corrupted: u64,
    /// Datagrams from another address than the service's, or of no stream of this socket.
    pub foreign: u64,
}

impl SizeCount {
    /// Adds frames of the same size.
    fn add(&mut self, other: &Self) {
        self.due += other.due;
        self.sent += other.sent;
        self.answered += other.answered;
    }
}

impl FrameCounts {
    /// Adds the counters of another part of the same trial.
    pub fn merge(&mut self, other: &Self) {
        self.sent += other.sent;
        self.answered += other.answered;
        self.reordered += other.reordered;
        self.duplicates += other.duplicates;
        self.late += other.late;
        self.corrupted += other.corrupted;
        self.foreign += other.foreign;
    }
}

/// Everything one trial measured.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct TrialRecord {
    /// Number within the run, from 1.
    pub number: u32,
    /// What it was for.
    pub purpose: Purpose,
    /// The load it was asked to offer.
    pub load: TrialLoad,
    /// When its ramp-up began, on `CLOCK_MONOTONIC`, in nanoseconds.
    pub began_ns: u64,
    /// Length of ramp-up.
    pub ramp_up: Duration,
    /// Length of sustain.
    pub sustain: Duration,
    /// Length of ramp-down.
    pub ramp_down: Duration,
    /// Operations due in sustain (closed loop: begun in it).
    pub due: u64,
    /// How the operations due in sustain ended; those that never did are `unfinished`.
    pub outcomes: Outcomes,
    /// How all operations of the trial ended, ramps included: what the ledgers must agree with.
    pub outcomes_all: Outcomes,
    /// Operations that completed well inside sustain, whenever they were due.
    pub completed_in_sustain: u64,
    /// Transactions that completed inside sustain.
    pub transactions_in_sustain: u64,
    /// Transactions of the whole trial.
    pub transactions_all: u64,
    /// Connections opened in the whole trial (handshake complete at the client).
    pub opened_all: u64,
    /// Connections begun in the whole trial (connect called).
    pub attempted_connections_all: u64,
    /// Connections begun and reset inside sustain.
    pub connections_in_sustain: ConnectionsInSustain,
    /// Response bytes (bodies) received inside sustain.
    pub body_bytes_in_sustain: u64,
    /// Most connections open at once.
    pub open_peak: u64,
    /// Fewest connections open at the end of any second of sustain.
    pub open_min_in_sustain: u64,
    /// Mean of connections open at the end of each second of sustain.
    pub open_mean_in_sustain: f64,
    /// Operations that found no free slot when they were due.
    pub waited_for_slot: u64,
    /// Latencies of operations due in sustain; failures count with the time they took to fail.
    pub latencies: Latencies,
    /// The timeline.
    pub seconds: Vec<Second>,
    /// The testbed before, during (each second) and after; never empty after a complete trial.
    pub samples: Vec<Sample>,
    /// What each reflector saw during the trial; empty without reflectors of our own.
    pub ledgers: Vec<Ledger>,
    /// Responses by the reflector instance that sent them, as the client read it; sorted by name.
    pub responses_by_instance: Vec<(String, u64)>,
    /// Generator slots of all workers, after the cut by descriptors and ports.
    pub slots: u32,
    /// What of this host bounded the load, where the trial felt it: an operation waited for one of the
    /// slots that were left, or the load was the highest that descriptors or ports allow.
    pub slots_cut: Option<String>,
    /// Why the trial ended before its time, if it did.
    pub ended_early: Option<EndedEarly>,
    /// The reflectors that died during the trial, which went on without them: which and how.
    pub reflector_deaths: Vec<String>,
    /// Text of the first failure of each kind, for a person: `(outcome, what exactly)`.
    pub first_failures: Vec<(Outcome, String)>,
    /// What the generator's workers had to say, for example that one could not be pinned.
    pub warnings: Vec<String>,
    /// What a workload of datagrams measured; `None` for any other.
    #[serde(default)]
    pub frames: Option<FrameRecord>,
}

/// Why a trial ended before its time.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum EndedEarly {
    /// It could not pass any more.
    CannotPass,
    /// The user interrupted the run.
    Interrupted,
    /// The DUT died; how.
    DutDied(String),
    /// The network that the run has made was changed by somebody; how.
    NetworkBroke(String),
}

impl TrialRecord {
    /// Operations completed per second of sustain: the achieved rate.
    pub fn achieved_rate(&self) -> f64 {
        self.completed_in_sustain as f64 / self.sustain.as_secs_f64()
    }

    /// Transactions completed per second of sustain.
    pub fn transaction_rate(&self) -> f64 {
        self.transactions_in_sustain as f64 / self.sustain.as_secs_f64()
    }

    /// The phase in the middle of a second.
    pub fn phase_of(&self, index: u32) -> Phase {
        Phase::of_second(index, [self.ramp_up, self.sustain, self.ramp_down])
    }

    /// The seconds that lie in sustain as a whole, those of the ramps left out.
    pub fn whole_seconds(&self) -> impl Iterator<Item = &Second> {
        let inside = |second: &&Second| {
            let begin = Duration::from_secs(second.index.into());
            begin >= self.ramp_up && begin + Duration::from_secs(1) <= self.ramp_up + self.sustain
        };
        self.seconds.iter().filter(inside)
    }

    /// Connections opened per second, over the whole seconds of sustain; `None` if it has none.
    pub fn opened_rate(&self) -> Option<f64> {
        let (seconds, opened) =
            self.whole_seconds().fold((0_u32, 0), |(seconds, opened), second| (seconds + 1, opened + second.opened));
        (seconds > 0).then(|| opened as f64 / f64::from(seconds))
    }

    /// Failed share of the operations due in sustain, 0 to 1; 0 when none was due.
    pub fn failed_ratio(&self) -> f64 {
        self.outcomes.failed() as f64 / self.outcomes.total().max(1) as f64
    }
}
