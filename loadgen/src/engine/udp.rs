//! The worker's loop over datagrams.
//!
//! A turn: book the second that ended, give up frames whose answers are overdue, claim frames that are due
//! (at most `FRAMES_PER_TURN`), send them stream by stream in batches (`sendmmsg`), then wait for answers or
//! the next due time, for which up to `TOGETHER` of frames gather, and take what has come (`recvmmsg`).
//! Frames are never segmented or merged by the kernel. A frame counts as sent when the kernel took it. What
//! the kernel refuses for want of room is tried again until `max_lag` is over; what it refuses for good is a
//! local error.
//!
//! An answer may take as long as `response_timeout`, but no longer than the drain, so that every frame has
//! the same time; without load to keep up (a closed loop) a lost frame is given up after `bounds::CLOSED_TIMEOUT`, so
//! that it does not hold a place for long. All times are those of `CLOCK_MONOTONIC`: setting the clock of the
//! host moves nothing.
//!
//! - `bounds`: how long an answer may take, and how many frames may be under way.
//! - `links`: the sockets of the streams.
//! - `send`, `receive`: batches out and in.

pub(super) mod bounds;
mod links;
mod receive;
mod send;

use std::io;
use std::ops::Range;
use std::os::fd::OwnedFd;
use std::sync::atomic::Ordering;
use std::time::Duration;

use host::clock::monotonic_ns;
use host::datagram::{Receiver, Sender};
use rustix::event::epoll;
use wire::frame::IpVersion;

use self::bounds::{busy_workers, timeout, window};
use self::links::Links;
use super::Config;
use super::book::{Book, Totals};
use super::socket::{Context, Times};
use crate::measure::Outcome;
use crate::measure::record::{FrameRecord, TrialLoad};
use crate::scenario::plan::UdpPlan;
use crate::schedule::Schedule;
use crate::workload::udp::sizes::Sizes;
use crate::workload::udp::{Ended, Frames, FramesConfig};

/// Frames claimed per turn at most, so that answers are not kept waiting in their buffers.
const FRAMES_PER_TURN: u64 = 256;
/// Datagrams sent with one system call: all of them say the moment before it. More save nothing measurable
/// (Linux 6.18: 8 as much as 64) and make delays less exact.
const SEND_BATCH: usize = 8;
/// Datagrams received with one system call.
const RECEIVE_BATCH: usize = 64;
/// No due time wakes the loop sooner than this after the turn before, in nanoseconds: waking up for a frame costs
/// more than sending it. Nothing leaves later than that by choice, and below 20,000 frames/s of a worker nearly
/// every frame leaves alone.
const TOGETHER: u64 = 50_000;
/// How long the loop still listens after the last answer: duplicates come behind.
const LINGER: u64 = 50_000_000;
/// How long the loop tries to see the sockets empty once its time is over.
const OVER: u64 = 1_000_000_000;
/// Longest sleep of the loop, so that an early end is noticed soon.
const SLEEP_MAX: u64 = 50_000_000;
/// How long the loop leaves the kernel alone that had no room for a frame, or refused one of a closed loop.
const REFUSED: u64 = 200_000;

/// One worker.
pub(super) struct Worker {
    context: Context,
    links: Links,
    epoll: OwnedFd,
    frames: Frames,
    sender: Sender,
    receiver: Receiver,
    book: Book,
    /// Due times of an open loop.
    schedule: Option<Schedule>,
    /// Closed loop: this worker's share of the frames under way.
    closed: u32,
    /// Frames that are claimed and not all sent.
    sending: Range<u64>,
    times: Times,
    next_second: u64,
    /// The kernel is not asked before then.
    patient_until: u64,
    /// Frames due until then found too many under way.
    full_at: u64,
    /// When the last frame left; 0 before.
    departed: u64,
    /// The last moment at which no answer lay unread. Only what was not there then is overdue: a worker that the
    /// kernel kept waiting must not take its own absence for a loss.
    looked_at: u64,
    /// When the last datagram came or the last frame was decided.
    active_at: u64,
    /// What the sockets say beside the books of the frames; of wrong checksums, those before the trial.
    record: FrameRecord,
}

/// What a worker waits with.
///
/// # Errors
/// The kernel's reason when there is no descriptor to be had.
pub(super) fn events() -> io::Result<OwnedFd> {
    Ok(epoll::create(epoll::CreateFlags::CLOEXEC)?)
}

/// The sizes of a plan's frames towards the services of a trial.
///
/// # Errors
/// The size that does not fit.
pub(super) fn sizes(config: &Config, plan: &UdpPlan) -> Result<Sizes, String> {
    let version = if config.services[0].is_ipv4() { IpVersion::V4 } else { IpVersion::V6 };
    Sizes::new(&plan.mix, version, config.seed)
}

/// Datagrams with a wrong checksum that the namespace of this run has received; counted by one worker.
fn checksum_errors(context: &Context) -> Option<u64> {
    let is_own = context.config.namespace.is_some() && context.worker == 0;
    is_own.then(host::kernel::udp_checksum_errors).flatten()
}

/// A worker's share of the frames that a closed loop has under way.
fn closed(config: &Config, worker: u32, workers: u32) -> u32 {
    match config.load {
        TrialLoad::Closed(frames) if worker < workers => frames / workers + u32::from(worker < frames % workers),
        _ => 0,
    }
}

/// A sender each of whose buffers is ready for frames of any length.
fn sender(frames: &Frames) -> Sender {
    let longest = frames.payload_max();
    let mut sender = Sender::new(SEND_BATCH, longest);
    while let Some(buffer) = sender.queue(longest, None, None) {
        frames.prepare(buffer);
    }
    sender.clear();
    sender
}

impl Worker {
    /// A worker in the calling thread, which is in the right namespace: sockets belong to the one in which they
    /// are made.
    pub(super) fn new(context: Context, plan: &UdpPlan, sizes: Sizes, epoll: OwnedFd) -> Self {
        let config = &context.config;
        let times = Times::new(context.began_ns, config);
        let workers = busy_workers(context.workers, plan);
        let worker = context.worker;
        let links = Links::open(&context, plan, workers, &epoll);
        let shape = config.shape().filter(|_| worker < workers);
        let due = |shape| Schedule::new(shape, config.arrivals, config.seed, worker, workers).in_bursts(plan.burst);
        let frames = Frames::new(FramesConfig {
            streams: u16::try_from(links.all.len()).unwrap_or(u16::MAX),
            first: worker as u16,
            stride: workers as u16,
            began: times.began,
            sustain: times.sustain..times.sustain_end,
            room: window(config, plan),
            timeout: timeout(config).as_nanos() as u64,
            sizes,
        });
        Self {
            links,
            epoll,
            sender: sender(&frames),
            receiver: Receiver::new(RECEIVE_BATCH, frames.payload_max()),
            frames,
            book: Book::new(worker, times.began, (times.sustain, times.sustain_end)),
            schedule: shape.map(due),
            closed: closed(config, worker, workers),
            sending: 0..0,
            next_second: times.began + 1_000_000_000,
            times,
            patient_until: 0,
            full_at: 0,
            departed: 0,
            looked_at: times.began,
            active_at: times.began,
            record: FrameRecord { checksum_errors: checksum_errors(&context), ..FrameRecord::default() },
            context,
        }
    }

    /// Runs the trial.
    pub(super) fn run(mut self) -> Totals {
        self.book.totals.warnings.extend(self.context.settle_in());
        // Whatever is sent until the end of the drain still has its full time.
        let hard_end = self.times.drain_end + timeout(&self.context.config).as_nanos() as u64;
        loop {
            let now = monotonic_ns();
            self.turn_pages(now);
            let is_over = self.looked_at > hard_end || now > hard_end + OVER;
            if self.context.end_early.load(Ordering::Relaxed) || is_over {
                break;
            }
            self.give_up(now);
            if now >= self.times.began && now < self.times.drain_end {
                self.claim_due(now);
                self.send_claimed(now);
            }
            if self.is_done(now) {
                break;
            }
            self.receive(self.sleep(now));
        }
        self.finish()
    }

    fn turn_pages(&mut self, now: u64) {
        while now >= self.next_second {
            // Nobody listens any more when the run is being torn down.
            let _ = self.context.intervals.send(self.book.turn_page(self.next_second));
            self.next_second += 1_000_000_000;
        }
    }

    /// Whether nothing is left to be sent, decided, or listened for.
    fn is_done(&self, now: u64) -> bool {
        let due = self.next_due().is_some() && now < self.times.drain_end;
        let nothing_left =
            now >= self.times.load_end && !due && self.sending.is_empty() && self.frames.under_way() == 0;
        nothing_left && now >= self.active_at + LINGER
    }

    fn next_due(&self) -> Option<u64> {
        self.schedule.as_ref().and_then(Schedule::peek).map(|due| self.times.began + due)
    }

    fn sleep(&self, now: u64) -> Duration {
        let together = now + TOGETHER;
        let mut until = self.next_second.min(now + SLEEP_MAX);
        if let Some(deadline) = self.frames.deadline() {
            until = until.min(together.max(deadline + 1));
        }
        if now < self.times.drain_end {
            if !self.sending.is_empty() {
                until = until.min(self.patient_until.max(now));
            } else if let Some(due) = self.next_due().filter(|_| self.frames.has_room()) {
                until = until.min(together.max(due));
            }
        }
        if self.frames.under_way() < self.closed && now < self.times.load_end {
            let wanting = self.frames.under_way() < self.closed_allowed(now);
            until = until.min(if wanting { self.patient_until.max(now) } else { now + 1_000_000 });
        }
        if now >= self.times.load_end {
            until = until.min(self.active_at.max(now) + LINGER);
        }
        // Sending has taken its time, which is not slept over again.
        Duration::from_nanos(until.saturating_sub(monotonic_ns()))
    }

    // === what is due ===

    fn claim_due(&mut self, now: u64) {
        if self.sending.is_empty() {
            self.sending = self.frames.next()..self.frames.next();
        }
        if self.schedule.is_some() {
            self.claim_scheduled(now);
        } else if now >= self.patient_until && now < self.times.load_end {
            let wanting = self.closed_allowed(now).saturating_sub(self.frames.under_way());
            // Frames that the kernel still refuses stand first in line.
            let wanting = u64::from(wanting).saturating_sub(self.sending.end - self.sending.start);
            for _ in 0..wanting.min(FRAMES_PER_TURN) {
                self.claim(now, now);
            }
        }
    }

    fn claim_scheduled(&mut self, now: u64) {
        let max_lag = self.context.config.max_lag.as_nanos() as u64;
        while let Some(due) = self.next_due().filter(|due| *due <= now) {
            if now - due > max_lag {
                self.skip(due, now);
            } else if self.sending.end - self.sending.start >= FRAMES_PER_TURN || !self.claim(due, now) {
                return;
            }
            if let Some(schedule) = &mut self.schedule {
                schedule.pop();
            }
        }
    }

    /// A frame that is due gets its number; `false` if too many are under way.
    fn claim(&mut self, due: u64, now: u64) -> bool {
        let Some(frame) = self.frames.claim(due) else {
            self.full_at = now;
            return false;
        };
        self.sending.end = frame + 1;
        self.active_at = now;
        self.book.due(self.book.measures(due));
        true
    }

    /// A frame that was due is never sent: this worker came too late to it, or too many were under way.
    fn skip(&mut self, due: u64, now: u64) {
        let measured = self.book.measures(due);
        self.frames.skip(due);
        self.book.due(measured);
        let is_full = due <= self.full_at;
        self.never_sent(due, if is_full { Outcome::UnsentWindow } else { Outcome::UnsentLate }, now);
    }

    fn never_sent(&mut self, due: u64, outcome: Outcome, now: u64) {
        let measured = self.book.measures(due);
        self.book.never_begun(now.saturating_sub(due), measured);
        self.book.ended(outcome, measured, now);
    }

    /// Closed loop: how many frames may be under way now; rises in a straight line in ramp-up.
    fn closed_allowed(&self, now: u64) -> u32 {
        if now >= self.times.sustain || self.closed == 0 {
            return self.closed;
        }
        let share = now.saturating_sub(self.times.began) as f64 / (self.times.sustain - self.times.began) as f64;
        ((f64::from(self.closed) * share).ceil() as u32).clamp(1, self.closed)
    }

    // === how frames end ===

    fn give_up(&mut self, now: u64) {
        while let Some((frame, ended)) = self.frames.give_up(self.looked_at) {
            if !self.book.knows(Outcome::Lost) {
                let waited = timeout(&self.context.config).as_secs_f64();
                let unreachable =
                    if self.record.unreachable > 0 { "; ICMP says that it cannot be reached" } else { "" };
                let detail = format!("no right answer within {waited} s{unreachable}");
                self.describe(Outcome::Lost, frame, &detail);
            }
            self.ended(ended, now);
        }
    }

    /// A frame that was sent has ended now.
    fn ended(&mut self, ended: Ended, now: u64) {
        let Ended { times, outcome } = ended;
        let measured = self.book.measures(times.due);
        self.active_at = now;
        self.book.latency(now.saturating_sub(times.due), now.saturating_sub(times.sent), measured);
        self.book.ended(outcome, measured, now);
    }

    fn describe(&mut self, outcome: Outcome, frame: u64, detail: &str) {
        if !self.book.knows(outcome) {
            let stream = self.frames.stream(frame);
            let link = &self.links.all[stream];
            let (id, sequence) = (self.frames.id(stream), self.frames.sequence(frame));
            let text = format!("stream {id} ({} to {}), frame {sequence}: {detail}", link.local, link.service);
            self.book.describe(outcome, text);
        }
    }

    fn finish(mut self) -> Totals {
        let now = monotonic_ns();
        let early = self.context.end_early.load(Ordering::Relaxed);
        for frame in self.sending.clone() {
            if let Some(due) = self.frames.claimed(frame) {
                self.frames.unsent(frame);
                self.book.ended(Outcome::UnsentLate, self.book.measures(due) && !early, now);
            }
        }
        // What was due and never sent. After an early end it no longer matters to anybody.
        while let Some(due) = self.next_due().filter(|_| !early) {
            self.skip(due, now);
            if let Some(schedule) = &mut self.schedule {
                schedule.pop();
            }
        }
        while let Some((_, ended)) = self.frames.give_up(u64::MAX) {
            // What an early end cuts off is nobody's failure; otherwise each has had its time.
            let measured = self.book.measures(ended.times.due) && !early;
            self.book.ended(if early { Outcome::Unfinished } else { ended.outcome }, measured, now);
        }
        let _ = self.context.intervals.send(self.book.turn_page(now.max(self.next_second - 1_000_000_000)));
        let before = self.record.checksum_errors;
        let wrong = before.zip(checksum_errors(&self.context)).map(|(before, now)| now.saturating_sub(before));
        self.book.totals.frames = Some(FrameRecord {
            streams: self.links.all.iter().filter(|link| link.sockets.is_ok()).count() as u32,
            // The kernel counts a wrong checksum that it finds at a socket among the socket's drops; that is
            // nobody's full buffer.
            own_drops: self.links.drops().saturating_sub(wrong.unwrap_or(0)),
            checksum_errors: wrong,
            send_calls: self.record.send_calls,
            batch_max: self.record.batch_max,
            unreachable: self.record.unreachable,
            ..self.frames.record()
        });
        if self.links.replaced > 0 {
            self.book.totals.warnings.push(format!(
                "generator worker {}: {} source ports of the streams were taken and replaced by the next ones of the seed",
                self.context.worker, self.links.replaced
            ));
        }
        if let Some((asked, found)) = self.links.smaller_buffers() {
            self.book.totals.warnings.push(format!(
                "generator worker {}: receive buffers of {found} bytes instead of {asked}: more is not to be had without \
                 privileges; raise net.core.rmem_max if the generator drops answers",
                self.context.worker
            ));
        }
        self.book.totals
    }
}
