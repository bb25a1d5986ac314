//! The worker's loop over kernel sockets, whatever carries them.
//!
//! A turn: book the second that ended, wake what is due, begin operations that are due (at most
//! `STARTS_PER_TURN`), then wait for events or the next due time with nanosecond resolution.
//! Nothing here is shared with another worker; results leave once a second, by copy.

mod events;

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Sender;
use std::time::Duration;

use host::clock::monotonic_ns;
use rand::rngs::Xoshiro256PlusPlus;
use rand::{RngExt, SeedableRng};

use super::book::{Book, Interval, Totals};
use super::slot::{Place, Slot};
use super::sources::Sources;
use super::timers::{NEVER, Timers};
use super::transport::Transport;
use super::{Config, connection};
use crate::measure::Outcome;
use crate::measure::record::TrialLoad;
use crate::schedule::Schedule;
use crate::workload::{Operation, Step, Workload};

/// Operations begun per turn, so that answers waiting in the sockets are not kept waiting for a
/// burst of new operations.
const STARTS_PER_TURN: u32 = 64;
/// Events taken per turn.
pub(super) const EVENTS_PER_TURN: usize = 256;
/// Longest sleep of the loop, so that an early end is noticed soon.
const SLEEP_MAX: u64 = 50_000_000;

/// What a worker is started with.
#[derive(Clone, Debug)]
pub struct Context {
    /// The trial.
    pub config: Config,
    /// Which worker this is, from 0.
    pub worker: u32,
    /// How many there are.
    pub workers: u32,
    /// When the trial begins on the monotonic clock.
    pub began_ns: u64,
    /// Set by somebody else to end the trial before its time.
    pub end_early: Arc<AtomicBool>,
    /// Where finished seconds go.
    pub intervals: Sender<Interval>,
}

impl Context {
    /// Where this worker's connections come from.
    pub(super) fn sources(&self) -> Sources {
        self.config.sources.clone().stripe(self.worker, self.workers, host::kernel::local_port_range())
    }

    /// Pins the worker's thread and makes its timers exact; a warning if that fails.
    pub(super) fn settle_in(&self) -> Option<String> {
        // The default of 50 µs would make every paced start late by as much.
        let _ = host::process::exact_timers();
        let core = self.config.cores[self.worker as usize];
        let error = host::cpu::pin_current_thread(&[core]).err()?;
        Some(format!(
            "generator worker {} could not be pinned to core {core} ({error}); other work on its core will show as \
             schedule lag",
            self.worker
        ))
    }
}

/// One worker.
pub(super) struct Worker<W: Workload, T: Transport> {
    pub(super) context: Context,
    pub(super) workload: W,
    pub(super) transport: T,
    pub(super) slots: Vec<Slot<W::User, T::Socket>>,
    /// Free slots, most recently used last.
    free: Vec<u32>,
    /// Established connections without an operation, longest idle first, so that none goes stale.
    idle: VecDeque<u32>,
    pub(super) timers: Timers,
    pub(super) book: Book,
    pub(super) sources: Sources,
    /// Due times of an open loop, or of opening held connections.
    schedule: Option<Schedule>,
    /// Operations under way.
    active: u32,
    /// Closed loop: this worker's share of the operations at once.
    closed: u32,
    connections: usize,
    /// Operations due until then found no free slot.
    blocked_at: u64,
    /// Held connections: which slot is closed next when the load ends, and how many were.
    closing: u32,
    random: Xoshiro256PlusPlus,
    times: Times,
    next_second: u64,
}

/// The phases on the monotonic clock.
#[derive(Clone, Copy, Debug)]
pub(super) struct Times {
    pub(super) began: u64,
    pub(super) sustain: u64,
    pub(super) sustain_end: u64,
    pub(super) load_end: u64,
    pub(super) drain_end: u64,
}

impl Times {
    pub(super) fn new(began: u64, config: &Config) -> Self {
        let ns = |duration: Duration| duration.as_nanos() as u64;
        let sustain = began + ns(config.phases.ramp_up);
        let sustain_end = sustain + ns(config.phases.sustain);
        let load_end = sustain_end + ns(config.phases.ramp_down);
        Self { began, sustain, sustain_end, load_end, drain_end: load_end + ns(config.drain) }
    }
}

impl<W: Workload, T: Transport> Worker<W, T> {
    pub(super) fn new(context: Context, transport: T, workload: W) -> Self {
        let config = &context.config;
        let times = Times::new(context.began_ns, config);
        let (worker, workers) = (context.worker, context.workers);
        let schedule = config.shape().map(|shape| Schedule::new(shape, config.arrivals, config.seed, worker, workers));
        let closed = match config.load {
            TrialLoad::Closed(count) => count / workers + u32::from(worker < count % workers),
            TrialLoad::Rate(_) | TrialLoad::Held(_) => 0,
        };
        let slots = config.slots as usize;
        Self {
            workload,
            transport,
            slots: std::iter::repeat_with(Slot::default).take(slots).collect(),
            free: (0..config.slots).rev().collect(),
            idle: VecDeque::new(),
            timers: Timers::new(slots),
            book: Book::new(worker, times.began, (times.sustain, times.sustain_end)),
            sources: context.sources(),
            schedule,
            active: 0,
            closed,
            connections: 0,
            blocked_at: 0,
            closing: 0,
            random: Xoshiro256PlusPlus::seed_from_u64(config.seed.wrapping_add(u64::from(worker))),
            next_second: times.began + 1_000_000_000,
            times,
            context,
        }
    }

    /// Runs the trial.
    pub(super) fn run(mut self) -> Totals {
        self.settle_in();
        loop {
            let now = monotonic_ns();
            self.turn_pages(now);
            if self.context.end_early.load(Ordering::Relaxed) || now >= self.times.drain_end {
                break;
            }
            self.wake_expired(now);
            if now >= self.times.began {
                self.begin_due(now);
            }
            if self.context.config.operation == Operation::Held && now >= self.times.sustain_end {
                self.close_held(now);
            }
            if now >= self.times.load_end && self.active == 0 && self.nothing_due() {
                break;
            }
            let timeout = self.sleep(now);
            let full = !self.has_slot();
            let taken_all = self.transport.wait(timeout);
            if full && taken_all {
                // Until now every slot waited for the DUT and no answer lay unread.
                self.blocked_at = monotonic_ns();
            }
            T::handle(&mut self);
        }
        self.finish()
    }

    fn settle_in(&mut self) {
        self.book.totals.warnings.extend(self.context.settle_in());
        if let Err(error) = self.transport.settle_in() {
            self.book.totals.warnings.push(error);
        }
    }

    fn sleep(&self, now: u64) -> Duration {
        let mut until = self.timers.next().min(self.next_second).min(now + SLEEP_MAX);
        let room = !self.free.is_empty() || !self.idle.is_empty();
        if let Some(due) = self.schedule.as_ref().and_then(Schedule::peek).filter(|_| room) {
            until = until.min(self.times.began + due);
        }
        if self.closed > self.active && now < self.times.load_end {
            until = until.min(self.next_closed_start(now));
        }
        if self.context.config.operation == Operation::Held && now < self.times.load_end {
            until = until.min(if now < self.times.sustain_end { self.times.sustain_end } else { now + 1_000_000 });
        }
        Duration::from_nanos(until.saturating_sub(now))
    }

    fn turn_pages(&mut self, now: u64) {
        while now >= self.next_second {
            // Nobody listens any more when the run is being torn down.
            let _ = self.context.intervals.send(self.book.turn_page(self.next_second));
            self.next_second += 1_000_000_000;
        }
    }

    fn nothing_due(&self) -> bool {
        self.schedule.as_ref().is_none_or(|schedule| schedule.peek().is_none())
    }

    // === beginning operations ===

    fn begin_due(&mut self, now: u64) {
        if self.schedule.is_some() {
            self.begin_scheduled(now);
        } else if now < self.times.load_end {
            let mut starts = 0;
            while starts < STARTS_PER_TURN && self.active < self.closed_allowed(now) && self.has_slot() {
                let measured = self.book.measures(now);
                self.book.due(measured);
                self.begin(now, now, measured, Some(0));
                starts += 1;
            }
        }
    }

    fn begin_scheduled(&mut self, now: u64) {
        for _ in 0..STARTS_PER_TURN {
            let Some(due) = self.schedule.as_ref().and_then(Schedule::peek).map(|due| self.times.began + due) else {
                return;
            };
            // The clock is read for each start: one for all would book the time the first ones take as
            // service time of the last ones.
            let now = if due > now { return } else { monotonic_ns() };
            let has_slot = self.has_slot();
            let stale = now - due > self.context.config.max_lag.as_nanos() as u64;
            if !has_slot && !stale {
                // It stays first in line: the user who was due then has been waiting since then.
                return;
            }
            self.pop_due(due);
            let measured = self.is_measured(due);
            if stale {
                self.give_up(due, measured, now);
            } else {
                let lag = (due > self.blocked_at).then(|| now - due);
                self.begin(due, now, measured, lag);
            }
        }
    }

    fn pop_due(&mut self, due: u64) {
        if let Some(schedule) = &mut self.schedule {
            schedule.pop();
        }
        let measured = self.is_measured(due);
        self.book.due(measured);
    }

    /// Whether an operation due then counts: all held connections do, of the others those of sustain.
    fn is_measured(&self, due: u64) -> bool {
        self.context.config.operation == Operation::Held || self.book.measures(due)
    }

    /// An operation that is never begun counts with the time it has waited for that.
    fn give_up(&mut self, due: u64, measured: bool, now: u64) {
        self.book.never_begun(now.saturating_sub(due), measured);
        self.book.ended(self.unsent(due), measured, now);
    }

    /// Whose fault it is that an operation was never begun.
    fn unsent(&self, due: u64) -> Outcome {
        if due <= self.blocked_at { Outcome::UnsentWindow } else { Outcome::UnsentLate }
    }

    fn has_slot(&self) -> bool {
        !self.free.is_empty() || !self.idle.is_empty()
    }

    /// Closed loop: how many operations may be under way now; rises in a straight line in ramp-up.
    fn closed_allowed(&self, now: u64) -> u32 {
        if now >= self.times.sustain || self.closed == 0 {
            return self.closed;
        }
        let share = now.saturating_sub(self.times.began) as f64 / (self.times.sustain - self.times.began) as f64;
        ((f64::from(self.closed) * share).ceil() as u32).clamp(1, self.closed)
    }

    fn next_closed_start(&self, now: u64) -> u64 {
        if self.active < self.closed_allowed(now) && self.has_slot() {
            return now;
        }
        let step = (self.times.sustain - self.times.began) / u64::from(self.closed.max(1));
        now + step.max(100_000)
    }

    /// Begins an operation on an idle connection or a new one.
    fn begin(&mut self, due: u64, now: u64, measured: bool, lag: Option<u64>) {
        self.book.started(lag, measured);
        self.active += 1;
        let idle = self.idle.pop_front();
        let Some(number) = idle.or_else(|| self.free.pop()) else {
            debug_assert!(false, "begin is only called with a slot at hand");
            return;
        };
        let slot = &mut self.slots[number as usize];
        (slot.due, slot.started, slot.from) = (due, now, now);
        (slot.measured, slot.active, slot.last_byte) = (measured, true, 0);
        if idle.is_some() {
            let step = self.workload.start(&mut slot.user);
            self.drive(number, step, now);
        } else {
            self.connect(number, now);
        }
    }

    fn connect(&mut self, number: u32, now: u64) {
        self.book.attempted(now);
        let services = &self.context.config.services;
        // Offset by the worker, so that few workers do not all begin with the same service.
        let service = services[(self.connections + self.context.worker as usize) % services.len()];
        self.connections += 1;
        let slot = &mut self.slots[number as usize];
        slot.generation = slot.generation.wrapping_add(1);
        (slot.place, slot.sending, slot.peer_ended, slot.proven) = (Place::Connecting, false, false, false);
        slot.user = W::User::default();
        if let Err(error) = T::connect(self, number, service, now) {
            let outcome = connection::handshake_outcome(error);
            self.fail(number, outcome, now, || format!("connect to {service}: {error}"));
        }
    }

    // === ending the trial ===

    /// Closes held connections evenly over ramp-down.
    fn close_held(&mut self, now: u64) {
        let total = self.context.config.slots;
        let span = (self.times.load_end - self.times.sustain_end).max(1) as f64;
        let share = ((now - self.times.sustain_end) as f64 / span).min(1.0);
        let until = if now >= self.times.load_end { total } else { (f64::from(total) * share) as u32 };
        while self.closing < until {
            let number = self.closing;
            self.closing += 1;
            if self.slots[number as usize].place == Place::Held {
                self.close_one_held(number, now);
            }
        }
    }

    fn close_one_held(&mut self, number: u32, now: u64) {
        let slot = &self.slots[number as usize];
        if self.context.config.workload.proves_itself() && !slot.proven {
            let detail = || "no transaction on it succeeded during sustain".to_owned();
            self.fail(number, Outcome::HoldLost, now, detail);
        } else {
            let close = self.workload.close();
            self.drive(number, Step::Close(close), now);
        }
    }

    /// When a held connection is used for the first time: its own phase within the interval, drawn
    /// from the seed, so that the load neither repeats the ramp nor comes in bursts.
    fn first_wake(&mut self, now: u64) -> u64 {
        let interval = self.context.config.hold_interval.as_nanos() as u64;
        now + self.random.random_range(0..interval.max(1))
    }

    fn finish(mut self) -> Totals {
        let now = monotonic_ns();
        let early = self.context.end_early.load(Ordering::Relaxed);
        // What was due and never begun. After an early end it no longer matters to anybody.
        while let Some(due) = self.schedule.as_ref().and_then(Schedule::peek).filter(|_| !early) {
            let due = self.times.began + due;
            self.pop_due(due);
            self.give_up(due, self.is_measured(due), now);
        }
        for number in 0..self.slots.len() as u32 {
            let slot = &mut self.slots[number as usize];
            // What an early end cuts off is nobody's failure.
            slot.measured &= !early;
            if slot.active {
                self.fail(number, Outcome::Unfinished, now, || "still under way when the drain ended".to_owned());
            }
        }
        let _ = self.context.intervals.send(self.book.turn_page(now.max(self.next_second - 1_000_000_000)));
        self.book.totals.instances = self.workload.instances();
        self.book.totals
    }

    fn wake_expired(&mut self, now: u64) {
        while let Some((number, deadline)) = self.timers.expired(now) {
            let slot = &mut self.slots[number as usize];
            let seconds = |duration: Duration| format!("{} s", duration.as_secs_f64());
            match slot.place {
                Place::Free | Place::Idle => {}
                Place::Connecting => {
                    let limit = seconds(self.context.config.connect_timeout);
                    let detail = || format!("no handshake within connect_timeout = {limit}");
                    self.fail(number, Outcome::ConnectTimeout, now, detail);
                }
                Place::Awaiting => {
                    let limit = seconds(self.context.config.response_timeout);
                    let detail = || format!("no complete response within response_timeout = {limit}");
                    self.fail(number, Outcome::ResponseTimeout, now, detail);
                }
                Place::Closing => {
                    let limit = seconds(self.context.config.response_timeout);
                    let detail = || format!("the peer's FIN did not come within {limit}");
                    self.fail(number, Outcome::UncleanClose, now, detail);
                }
                Place::Held => {
                    self.book.lag(now - deadline, self.book.measures(deadline));
                    (slot.due, slot.started, slot.from) = (deadline, now, now);
                    let step = self.workload.woken(&mut slot.user);
                    self.drive(number, step, now);
                }
            }
        }
    }

    /// Deadline of a place that began now, or never.
    pub(super) fn set_deadline(&mut self, number: u32, now: u64, limit: Option<Duration>) {
        self.timers.set(number, limit.map_or(NEVER, |limit| now + limit.as_nanos() as u64));
    }
}
