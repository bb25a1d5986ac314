//! What a worker counts: for each second, and for the trial.

use crate::measure::record::{ConnectionsInSustain, FrameRecord};
use crate::measure::{Latencies, Latency, Outcome, Outcomes};
use crate::workload::Noticed;

/// What one worker counted in one second.
#[derive(Clone, Debug)]
pub struct Interval {
    /// Which worker.
    pub worker: u32,
    /// Which second since the trial began, from 0.
    pub second: u32,
    /// Operations that fell due.
    pub due: u64,
    /// Operations begun.
    pub started: u64,
    /// Operations ended, by kind.
    pub ended: Outcomes,
    /// Of those, measured ones that failed by somebody else's fault than the tester's.
    pub failed_measured: u64,
    /// Transactions completed.
    pub transactions: u64,
    /// Connections established.
    pub opened: u64,
    /// Connections established now.
    pub open: u64,
    /// Connection-time of the second in nanoseconds: the integral of `open` over it. A worker that turns
    /// its page late books a little of it in the next second; a sum over seconds is exact.
    pub open_ns: i64,
    /// Established connections that ended.
    pub closed: u64,
    /// How long those had been established, in nanoseconds, all together.
    pub lifetime_ns: u64,
    /// Body bytes received.
    pub body_bytes: u64,
    /// Response time and schedule lag of what ended or began.
    pub latencies: Latencies,
}

/// What one worker counted in a trial.
#[derive(Clone, Debug, Default)]
pub struct Totals {
    /// Operations due in sustain.
    pub due: u64,
    /// How they ended.
    pub outcomes: Outcomes,
    /// How all operations ended.
    pub outcomes_all: Outcomes,
    /// Operations completed well inside sustain.
    pub completed_in_sustain: u64,
    /// Transactions completed inside sustain.
    pub transactions_in_sustain: u64,
    /// All transactions.
    pub transactions_all: u64,
    /// Connections established.
    pub opened_all: u64,
    /// Connections begun.
    pub attempted_connections_all: u64,
    /// Connections begun and reset inside sustain.
    pub connections_in_sustain: ConnectionsInSustain,
    /// Body bytes received inside sustain.
    pub body_bytes_in_sustain: u64,
    /// Most connections established at once.
    pub open_peak: u64,
    /// Operations that found no free slot when they were due.
    pub waited_for_slot: u64,
    /// Latencies of operations due in sustain.
    pub latencies: Latencies,
    /// Responses by instance.
    pub instances: Vec<(String, u64)>,
    /// The first failure of each kind.
    pub first_failures: Vec<(Outcome, String)>,
    /// What the user should know.
    pub warnings: Vec<String>,
    /// What a workload of datagrams counted.
    pub frames: Option<FrameRecord>,
}

/// The book of one worker.
#[derive(Debug)]
pub(super) struct Book {
    pub(super) totals: Totals,
    interval: Interval,
    open: u64,
    /// Begin of the second on the monotonic clock.
    page_ns: u64,
    /// Begin and end of sustain on the monotonic clock.
    sustain: (u64, u64),
}

impl Book {
    pub(super) fn new(worker: u32, began: u64, sustain: (u64, u64)) -> Self {
        Self { totals: Totals::default(), interval: Interval::empty(worker, 0), open: 0, page_ns: began, sustain }
    }

    /// Whether a moment lies in sustain.
    pub(super) fn measures(&self, now: u64) -> bool {
        (self.sustain.0..self.sustain.1).contains(&now)
    }

    /// The second that ends at `end`, and a fresh one in its place.
    pub(super) fn turn_page(&mut self, end: u64) -> Interval {
        let next = Interval::empty(self.interval.worker, self.interval.second + 1);
        let mut done = std::mem::replace(&mut self.interval, next);
        done.open = self.open;
        // Each opening has taken its moment off and each end has added its own: what is still open has
        // been so until now, and begins the next second anew.
        done.open_ns += self.open as i64 * (end - self.page_ns) as i64;
        self.page_ns = end;
        done
    }

    pub(super) fn due(&mut self, measured: bool) {
        self.interval.due += 1;
        self.totals.due += u64::from(measured);
    }

    /// An operation begins; `lag` is told only if it found a free slot when it was due.
    pub(super) fn started(&mut self, lag: Option<u64>, measured: bool) {
        self.interval.started += 1;
        match lag {
            Some(lag) => self.lag(lag, measured),
            None => self.totals.waited_for_slot += 1,
        }
    }

    /// How late something was begun that could have begun in time.
    pub(super) fn lag(&mut self, lag: u64, measured: bool) {
        self.interval.latencies.record(Latency::Lag, lag);
        if measured {
            self.totals.latencies.record(Latency::Lag, lag);
        }
    }

    /// An operation that was due and is never begun has waited so long.
    pub(super) fn never_begun(&mut self, waited: u64, measured: bool) {
        self.interval.latencies.record(Latency::Response, waited);
        if measured {
            self.totals.latencies.record(Latency::Response, waited);
        }
    }

    pub(super) fn attempted(&mut self, now: u64) {
        self.totals.attempted_connections_all += 1;
        self.totals.connections_in_sustain.begun += u64::from(self.measures(now));
    }

    /// The peer reset a connection, or its handshake.
    pub(super) fn reset(&mut self, now: u64) {
        self.totals.connections_in_sustain.reset += u64::from(self.measures(now));
    }

    /// A handshake that took so long is complete `now`.
    pub(super) fn opened(&mut self, now: u64, handshake: u64, measured: bool) {
        self.interval.opened += 1;
        self.interval.open_ns -= now.wrapping_sub(self.page_ns) as i64;
        self.totals.opened_all += 1;
        self.open += 1;
        self.totals.open_peak = self.totals.open_peak.max(self.open);
        if measured {
            self.totals.latencies.record(Latency::Connect, handshake);
        }
    }

    /// A connection that was established at `opened` ends `now`.
    pub(super) fn closed(&mut self, opened: u64, now: u64) {
        self.open -= 1;
        self.interval.open_ns += now.wrapping_sub(self.page_ns) as i64;
        self.interval.closed += 1;
        self.interval.lifetime_ns += now.saturating_sub(opened);
    }

    /// What a workload noticed in bytes that arrived `now` for a request begun at `from`.
    pub(super) fn noticed(&mut self, noticed: Noticed, from: u64, now: u64, measured: bool) {
        self.interval.body_bytes += noticed.body_bytes;
        if self.measures(now) {
            self.totals.body_bytes_in_sustain += noticed.body_bytes;
        }
        if noticed.first_byte && measured {
            self.totals.latencies.record(Latency::Ttfb, now - from);
        }
        if noticed.transaction {
            self.interval.transactions += 1;
            self.totals.transactions_all += 1;
            self.totals.transactions_in_sustain += u64::from(self.measures(now));
            if measured {
                self.totals.latencies.record(Latency::Ttlb, now - from);
            }
        }
    }

    /// Response and service time of an operation, or of one transaction on a held connection.
    pub(super) fn latency(&mut self, response: u64, service: u64, measured: bool) {
        self.interval.latencies.record(Latency::Response, response);
        if measured {
            self.totals.latencies.record(Latency::Response, response);
            self.totals.latencies.record(Latency::Service, service);
        }
    }

    /// A datagram's answer of so many bytes was right and in time.
    pub(super) fn answered(&mut self, body_bytes: u64, now: u64) {
        let measured = u64::from(self.measures(now));
        self.interval.body_bytes += body_bytes;
        self.totals.body_bytes_in_sustain += body_bytes * measured;
        self.interval.transactions += 1;
        self.totals.transactions_all += 1;
        self.totals.transactions_in_sustain += measured;
    }

    /// So many datagrams left with this gap before each, the last of them `now`.
    pub(super) fn departed(&mut self, gap: u64, datagrams: u64, now: u64) {
        if self.measures(now) && datagrams > 0 {
            self.totals.latencies.record_many(Latency::Departure, gap, datagrams);
        }
    }

    /// An operation ended `now`.
    pub(super) fn ended(&mut self, outcome: Outcome, measured: bool, now: u64) {
        self.interval.ended.count(outcome);
        self.totals.outcomes_all.count(outcome);
        if measured {
            self.totals.outcomes.count(outcome);
            let failed = outcome != Outcome::Ok && !outcome.is_testers_fault();
            self.interval.failed_measured += u64::from(failed);
        }
        if outcome == Outcome::Ok && self.measures(now) {
            self.totals.completed_in_sustain += 1;
        }
    }

    /// Whether a failure of this kind has been described already.
    pub(super) fn knows(&self, outcome: Outcome) -> bool {
        self.totals.first_failures.iter().any(|(known, _)| *known == outcome)
    }

    pub(super) fn describe(&mut self, outcome: Outcome, detail: String) {
        self.totals.first_failures.push((outcome, detail));
    }
}

impl Interval {
    fn empty(worker: u32, second: u32) -> Self {
        Self {
            worker,
            second,
            due: 0,
            started: 0,
            ended: Outcomes::default(),
            failed_measured: 0,
            transactions: 0,
            opened: 0,
            open: 0,
            open_ns: 0,
            closed: 0,
            lifetime_ns: 0,
            body_bytes: 0,
            latencies: Latencies::coarse(),
        }
    }

    /// Adds another worker's same second.
    pub fn merge(&mut self, other: &Self) {
        self.due += other.due;
        self.started += other.started;
        self.ended.merge(&other.ended);
        self.failed_measured += other.failed_measured;
        self.transactions += other.transactions;
        self.opened += other.opened;
        self.open += other.open;
        self.open_ns += other.open_ns;
        self.closed += other.closed;
        self.lifetime_ns += other.lifetime_ns;
        self.body_bytes += other.body_bytes;
        self.latencies.merge(&other.latencies);
    }
}

impl Totals {
    /// Adds another worker's part of the same trial.
    pub fn merge(&mut self, other: Self) {
        self.due += other.due;
        self.outcomes.merge(&other.outcomes);
        self.outcomes_all.merge(&other.outcomes_all);
        self.completed_in_sustain += other.completed_in_sustain;
        self.transactions_in_sustain += other.transactions_in_sustain;
        self.transactions_all += other.transactions_all;
        self.opened_all += other.opened_all;
        self.attempted_connections_all += other.attempted_connections_all;
        self.connections_in_sustain.merge(other.connections_in_sustain);
        self.body_bytes_in_sustain += other.body_bytes_in_sustain;
        self.open_peak += other.open_peak;
        self.waited_for_slot += other.waited_for_slot;
        self.latencies.merge(&other.latencies);
        for (name, responses) in other.instances {
            match self.instances.iter_mut().find(|(known, _)| *known == name) {
                Some((_, total)) => *total += responses,
                None => self.instances.push((name, responses)),
            }
        }
        for (outcome, detail) in other.first_failures {
            if !self.first_failures.iter().any(|(known, _)| *known == outcome) {
                self.first_failures.push((outcome, detail));
            }
        }
        self.warnings.extend(other.warnings);
        match (&mut self.frames, other.frames) {
            (Some(mine), Some(theirs)) => mine.merge(&theirs),
            (mine, theirs) => *mine = mine.take().or(theirs),
        }
    }
}
