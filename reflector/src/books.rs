//! What the reflector saw: counters of each thread, merged into a [`Ledger`] when somebody asks.
//!
//! A thread is the only writer of its [`Books`]; relaxed loads and stores make them readable by
//! others without a locked instruction per request. Only opening and closing a connection touch
//! something shared, the [`Gate`]. Once nothing is open the books are exact:
//! `opened = closed_by_peer + closed_by_reflector + reset_by_peer + reset_by_reflector`.
//! A connection enters `opened` when it is known to be neither silent nor a check's, so that no
//! number ever shrinks.

mod history;

use std::sync::Arc;
use std::sync::atomic::{
    AtomicU64,
    Ordering::{Acquire, Relaxed, Release},
};

use wire::ledger::{Ledger, LedgerSecond};

use history::History;

/// A counter with one writing thread.
#[derive(Debug, Default)]
pub(crate) struct Count(AtomicU64);

impl Count {
    pub(crate) fn add(&self, more: u64) {
        // Not fetch_add: with a single writer a plain load and store are right, and need no lock prefix.
        self.0.store(self.0.load(Relaxed).wrapping_add(more), Relaxed);
    }

    pub(crate) fn value(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// Who is let in, over all threads: numbers of connections, the cap and the peak.
#[derive(Debug)]
pub(crate) struct Gate {
    last: AtomicU64,
    open: AtomicU64,
    peak: AtomicU64,
    cap: u64,
}

impl Gate {
    pub(crate) fn new(cap: Option<u64>) -> Self {
        let zero = || AtomicU64::new(0);
        Self { last: zero(), open: zero(), peak: zero(), cap: cap.unwrap_or(u64::MAX) }
    }

    /// The number of the connection that comes in, from 1; `None` when as many as allowed are open.
    fn enter(&self) -> Option<u64> {
        // Not added and taken back: what is refused would for a moment take the place of another.
        let below_cap = |open| (open < self.cap).then_some(open + 1);
        let before = self.open.fetch_update(Relaxed, Relaxed, below_cap).ok()?;
        self.peak.fetch_max(before + 1, Relaxed);
        Some(self.last.fetch_add(1, Relaxed) + 1)
    }

    /// What its thread has booked until now is seen by whoever sees in `open` that it has left.
    fn leave(&self) {
        self.open.fetch_sub(1, Release);
    }

    /// How many are open and were at most; `reset` starts the peak again.
    fn look(&self, reset: bool) -> (u64, u64) {
        let open = self.open.load(Acquire);
        if !reset {
            return (open, self.peak.load(Relaxed).max(open));
        }
        let peak = self.peak.swap(open, Relaxed).max(open);
        // Who came in between may have raised the peak that was taken away.
        self.peak.fetch_max(self.open.load(Relaxed), Relaxed);
        (open, peak)
    }
}

/// How a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    ClosedByPeer,
    ClosedByReflector,
    ResetByPeer,
    ResetByReflector,
}

/// The counters of one thread. Aligned so that no two threads write to one cache line.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(crate) struct Books {
    accepted: Count,
    ended: Count,
    opened: Count,
    ends: [Count; 4],
    silent: Count,
    check_connections: Count,
    refused_by_cap: Count,
    requests: Count,
    responses: Count,
    responses_by_class: [Count; 5],
    check_requests: Count,
    bad_requests: Count,
    bytes_in: Count,
    bytes_out: Count,
    history: History,
}

impl Books {
    /// Connections of this thread that are open now.
    pub(crate) fn open(&self) -> u64 {
        self.accepted.value().wrapping_sub(self.ended.value())
    }

    /// Books an accepted connection; `None`, and a refusal in the books, above the connection cap.
    pub(crate) fn enter(self: &Arc<Self>, gate: &Arc<Gate>, now_ns: u64) -> Option<ConnectionBooks> {
        let Some(number) = gate.enter() else {
            self.refused_by_cap.add(1);
            return None;
        };
        self.history.turn(self, now_ns);
        self.accepted.add(1);
        Some(ConnectionBooks {
            books: Arc::clone(self),
            gate: Arc::clone(gate),
            number,
            heard: false,
            counted: false,
            checks: 0,
            end: None,
        })
    }
}

/// The page of one connection; books its end when dropped, whatever the way out was.
#[derive(Debug)]
pub(crate) struct ConnectionBooks {
    books: Arc<Books>,
    gate: Arc<Gate>,
    number: u64,
    heard: bool,
    counted: bool,
    checks: u64,
    end: Option<End>,
}

impl ConnectionBooks {
    /// Number of the connection at this reflector, from 1.
    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    pub(crate) fn bytes_in(&mut self, bytes: usize) {
        self.heard |= bytes > 0;
        self.books.bytes_in.add(bytes as u64);
    }

    pub(crate) fn bytes_out(&self, bytes: usize) {
        self.books.bytes_out.add(bytes as u64);
    }

    /// From now on this is neither a silent connection nor one of health checks only.
    pub(crate) fn count(&mut self) {
        if !self.counted {
            self.counted = true;
            self.books.opened.add(1);
        }
    }

    /// Books a complete request.
    pub(crate) fn request(&mut self, check: bool, now_ns: u64) {
        if check {
            self.checks += 1;
            self.books.check_requests.add(1);
        } else {
            self.count();
            self.books.history.turn(&self.books, now_ns);
            self.books.requests.add(1);
        }
    }

    /// Books a request that was malformed or outside a limit.
    pub(crate) fn bad_request(&mut self) {
        self.count();
        self.books.bad_requests.add(1);
    }

    /// Books a response that was sent whole.
    pub(crate) fn response(&self, status: u16, check: bool) {
        if !check {
            self.books.responses.add(1);
            self.class(status);
        }
    }

    /// Books an interim response (100), which is not counted among the responses.
    pub(crate) fn interim(&self) {
        self.class(100);
    }

    fn class(&self, status: u16) {
        if let Some(class) = self.books.responses_by_class.get(usize::from(status / 100).wrapping_sub(1)) {
            class.add(1);
        }
    }

    /// Notes how the connection ends. The first note stands, but a reset on purpose is one even if the
    /// peer had half-closed before.
    pub(crate) fn end(&mut self, end: End) {
        if end == End::ResetByReflector {
            self.end = Some(end);
        } else {
            self.end.get_or_insert(end);
        }
    }
}

impl Drop for ConnectionBooks {
    fn drop(&mut self) {
        let end = self.end.unwrap_or(End::ClosedByReflector);
        // A connection that we reset on purpose is no port scan, even if it had not said a word yet.
        if !self.heard && end != End::ResetByReflector {
            self.books.silent.add(1);
        } else if self.checks > 0 && !self.counted {
            self.books.check_connections.add(1);
        } else {
            self.count();
            self.books.ends[end as usize].add(1);
        }
        self.books.history.turn(&self.books, host::clock::monotonic_ns());
        self.books.ended.add(1);
        self.gate.leave();
    }
}

/// The books of all threads.
#[derive(Debug)]
pub(crate) struct Library {
    pub(crate) instance: String,
    pub(crate) gate: Arc<Gate>,
    pub(crate) threads: Vec<Arc<Books>>,
    pub(crate) started_ns: u64,
}

impl Library {
    /// Everything until now. Seconds are listed once they are over, so that the difference of two
    /// ledgers loses none; `closing` lists the current one too. The accept queue's drops and
    /// the datagrams are added by the caller.
    pub(crate) fn merge(&self, now_ns: u64, reset_peak: bool, closing: bool) -> Ledger {
        let sum = |count: &dyn Fn(&Books) -> u64| self.threads.iter().map(|books| count(books)).sum::<u64>();
        let end = |end: End| sum(&|b| b.ends[end as usize].value());
        // Before the counters: with nothing open they are exact.
        let (open_now, open_peak) = self.gate.look(reset_peak);
        Ledger {
            instance: self.instance.clone(),
            opened: sum(&|b| b.opened.value()),
            closed_by_peer: end(End::ClosedByPeer),
            closed_by_reflector: end(End::ClosedByReflector),
            reset_by_peer: end(End::ResetByPeer),
            reset_by_reflector: end(End::ResetByReflector),
            silent: sum(&|b| b.silent.value()),
            check_connections: sum(&|b| b.check_connections.value()),
            refused_by_cap: sum(&|b| b.refused_by_cap.value()),
            open_now,
            open_peak,
            requests: sum(&|b| b.requests.value()),
            responses: sum(&|b| b.responses.value()),
            responses_by_class: std::array::from_fn(|class| sum(&|b| b.responses_by_class[class].value())),
            check_requests: sum(&|b| b.check_requests.value()),
            bad_requests: sum(&|b| b.bad_requests.value()),
            bytes_in: sum(&|b| b.bytes_in.value()),
            bytes_out: sum(&|b| b.bytes_out.value()),
            accept_queue_drops: 0,
            udp: wire::ledger::UdpLedger::default(),
            per_second: self.per_second(now_ns, closing),
        }
    }

    fn per_second(&self, now_ns: u64, closing: bool) -> Vec<LedgerSecond> {
        let now_s = now_ns / 1_000_000_000;
        let until = if closing { now_s + 1 } else { now_s };
        let from = (self.started_ns / 1_000_000_000).max(until.saturating_sub(history::SECONDS_KEPT as u64));
        let mut seconds: Vec<LedgerSecond> =
            (from..until).map(|monotonic_s| LedgerSecond { monotonic_s, ..LedgerSecond::default() }).collect();
        for books in &self.threads {
            books.history.add_to(books, &mut seconds);
        }
        seconds
    }
}

#[cfg(test)]
mod tests;
