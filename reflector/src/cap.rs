//! Connections and requests that wait for their turn at a rate cap, or are refused above it.
//!
//! One cap is shared by all threads; only capped reflectors lock. Who waits holds a ticket; dropping
//! it gives the place up without using a slot, so clients that leave cost the cap nothing.
//! Invariants: first come first served over all threads; at most [`WAITING_MAX`] wait.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, oneshot};

use crate::config::{CapUnit, Over, RateCap};
use crate::pace::Gcra;

/// Most connections or requests that wait; more are refused.
pub(crate) const WAITING_MAX: usize = 65_536;

/// A place in the queue: ready when it is the holder's turn.
pub(crate) type Ticket = oneshot::Receiver<()>;

/// What a cap says to a newcomer.
#[derive(Debug)]
pub(crate) enum Admission {
    Now,
    Wait(Ticket),
    Refused,
}

/// One rate cap of one reflector.
#[derive(Debug)]
pub(crate) struct Cap {
    over: Over,
    unit: CapUnit,
    line: Mutex<Line>,
    /// Wakes the dispatcher when the first one starts to wait.
    begun: Notify,
}

#[derive(Debug)]
struct Line {
    gcra: Gcra,
    waiting: VecDeque<oneshot::Sender<()>>,
}

impl Cap {
    pub(crate) fn new(cap: RateCap) -> Self {
        let line = Line { gcra: Gcra::new(cap.rate.as_f64(), cap.burst), waiting: VecDeque::new() };
        Self { over: cap.over, unit: cap.unit, line: Mutex::new(line), begun: Notify::new() }
    }

    pub(crate) fn counts(&self, unit: CapUnit) -> bool {
        self.unit == unit
    }

    pub(crate) fn queues(&self) -> bool {
        self.over == Over::Queue
    }

    /// Asks to be served at `now_ns`.
    pub(crate) fn admit(&self, now_ns: u64) -> Admission {
        let mut line = self.line();
        if line.waiting.is_empty() && line.gcra.grant(now_ns) {
            return Admission::Now;
        }
        if self.over == Over::Refuse || line.waiting.len() >= WAITING_MAX {
            return Admission::Refused;
        }
        let (turn, ticket) = oneshot::channel();
        line.waiting.push_back(turn);
        if line.waiting.len() == 1 {
            self.begun.notify_one();
        }
        Admission::Wait(ticket)
    }

    /// Grants a datagram at `now_ns` unless it comes too early. Datagrams wait with their thread; `queued`
    /// says that this one has waited for the cap.
    pub(crate) fn grant(&self, now_ns: u64, queued: bool) -> bool {
        let gcra = &mut self.line().gcra;
        if queued { gcra.grant_queued(now_ns) } else { gcra.grant(now_ns) }
    }

    /// From when on the next datagram will be granted.
    pub(crate) fn opens_ns(&self) -> u64 {
        self.line().gcra.opens_ns()
    }

    /// Calls those who wait when it is their turn; runs for ever, on one thread.
    pub(crate) async fn dispatch(&self) {
        loop {
            let next = self.line().call(host::clock::monotonic_ns());
            match next {
                // The wheel rounds up to a millisecond; slots are counted from each other, so that
                // shifts single turns but not the rate.
                Some(wait) => tokio::time::sleep(wait).await,
                None => self.begun.notified().await,
            }
        }
    }

    fn line(&self) -> MutexGuard<'_, Line> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Line {
    /// Calls all whose turn has come; how long until the next one's, if anybody is left.
    fn call(&mut self, now_ns: u64) -> Option<Duration> {
        while let Some(first) = self.waiting.front() {
            if !first.is_closed() && !self.gcra.grant_queued(now_ns) {
                return Some(Duration::from_nanos(self.gcra.opens_ns().saturating_sub(now_ns)));
            }
            if let Some(turn) = self.waiting.pop_front() {
                // Who left in this very moment has used its slot; that is one in a great many.
                let _ = turn.send(());
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    fn cap(rate: f64, over: Over) -> Cap {
        let rate = wire::units::Rate::per_second(rate).unwrap();
        Cap::new(RateCap { rate, over, unit: CapUnit::Connections, burst: crate::pace::BURST })
    }

    fn fill(cap: &Cap, now_ns: u64) -> Ticket {
        loop {
            if let Admission::Wait(ticket) = cap.admit(now_ns) {
                return ticket;
            }
        }
    }

    #[test]
    fn those_who_wait_are_called_in_order_and_at_the_rate() {
        let cap = cap(100.0, Over::Queue);
        let start = 1_000 * MS;
        let mut tickets = vec![fill(&cap, start)];
        tickets.extend((0..9).map(|_| fill(&cap, start)));
        for (n, ticket) in tickets.iter_mut().enumerate() {
            let due = cap.line().gcra.opens_ns();
            assert!(cap.line().call(due - 1).is_some());
            assert!(ticket.try_recv().is_err(), "ticket {n} was called early");
            cap.line().call(due);
            assert!(ticket.try_recv().is_ok(), "ticket {n} was not called");
        }
    }

    #[test]
    fn those_who_left_use_no_slot() {
        let cap = cap(100.0, Over::Queue);
        drop((0..1000).map(|_| fill(&cap, 1_000 * MS)).collect::<Vec<_>>());
        let mut stayed = fill(&cap, 1_000 * MS);
        let due = cap.line().gcra.opens_ns();
        assert_eq!(cap.line().call(due), None);
        assert!(stayed.try_recv().is_ok());
    }

    #[test]
    fn the_queue_is_bounded_and_a_refusing_cap_has_none() {
        let queueing = cap(1.0, Over::Queue);
        let waiting: Vec<_> = (0..WAITING_MAX).map(|_| fill(&queueing, MS)).collect();
        assert!(matches!(queueing.admit(MS), Admission::Refused));
        assert_eq!(waiting.len(), WAITING_MAX);
        let refusing = cap(1.0, Over::Refuse);
        while matches!(refusing.admit(MS), Admission::Now) {}
        assert!(matches!(refusing.admit(MS), Admission::Refused));
    }
}
