//! One socket: take a batch, do to each datagram what the configuration says, answer what is due.
//!
//! What came is either counted only (a sink), dropped, or answered so many times; so in the books of
//! an echo `received + duplicated = sent + dropped + overflowed + send_errors + held`, and nothing is
//! held when the reflector has stopped in time. Answers leave in the order in which they are due,
//! which is the order in which they came: a delay is the same for all.
//!
//! A sink that has been emptied is left alone for [`REST_NS`]. Nobody waits for what it counts, and a socket
//! that nobody waits at costs its senders a sixth less per datagram: the kernel has nobody to wake.

use std::io;
use std::net::UdpSocket;
use std::sync::Arc;

use host::datagram::{Datagram, Receiver};

use super::faults::{self, Fate};
use super::held::{Held, Stream, Swaps};
use super::outbox::{Outbox, Way};
use super::tally::Tally;
use super::{BATCH, PAYLOAD_MAX};
use crate::cap::Cap;
use crate::config::{CapUnit, Kind, Stalled};
use crate::server::Shared;

/// How long a sink that has been emptied is left alone. Its buffer holds what comes meanwhile: 10,000 small
/// datagrams, which even 10 million a second do not send in that time.
const REST_NS: u64 = 200_000;

/// A socket and all that is on its way through it.
#[derive(Debug)]
pub(super) struct Port {
    shared: Arc<Shared>,
    socket: UdpSocket,
    answers: bool,
    /// Whether anything depends on the time.
    timed: bool,
    delay_ns: u64,
    /// Datagrams without a signature that came.
    unsigned: u64,
    outbox: Outbox,
    held: Held,
    swaps: Swaps,
    /// When the rate cap opens for the first of the held; 0 when it does not wait for the cap.
    opens_ns: u64,
    /// Until when a sink is left alone; 0 when it is not.
    rests_until_ns: u64,
}

impl Port {
    pub(super) fn new(shared: Arc<Shared>, socket: UdpSocket, kind: Kind) -> Self {
        let delay_ns = shared.config.datagrams.delay.as_nanos() as u64;
        let capped = cap(&shared).is_some();
        let swaps = shared.config.datagrams.faults.swap.is_some();
        Self {
            socket,
            answers: kind != Kind::UdpSink,
            timed: delay_ns > 0 || capped || swaps || shared.config.stall.is_some(),
            delay_ns,
            unsigned: 0,
            outbox: Outbox::new(BATCH, PAYLOAD_MAX),
            held: Held::default(),
            swaps: Swaps::default(),
            opens_ns: 0,
            rests_until_ns: 0,
            shared,
        }
    }

    pub(super) fn socket(&self) -> &UdpSocket {
        &self.socket
    }

    /// Whether the socket's buffer is full of answers; nothing is read until it has room again.
    pub(super) fn is_blocked(&self) -> bool {
        !self.outbox.is_empty()
    }

    /// Whether this is a sink that has been emptied a moment ago.
    pub(super) fn is_resting(&self) -> bool {
        self.rests_until_ns > 0
    }

    /// Whether nothing is on its way.
    pub(super) fn is_idle(&self) -> bool {
        self.outbox.is_empty() && self.held.is_empty() && self.swaps.deadline_ns().is_none()
    }

    /// When something is to be done even if nothing comes.
    pub(super) fn wake_ns(&self) -> Option<u64> {
        let due_ns = self.held.first().map(|(due_ns, _)| due_ns.max(self.opens_ns));
        let rested_ns = self.is_resting().then_some(self.rests_until_ns);
        due_ns.into_iter().chain(self.swaps.deadline_ns()).chain(rested_ns).min()
    }

    /// Takes a batch if the socket is `readable`, and answers what is due; how many came.
    pub(super) fn turn(&mut self, readable: bool, receiver: &mut Receiver, tally: &mut Tally) -> io::Result<usize> {
        self.outbox.flush(&self.socket, tally);
        let came = if readable && !self.is_blocked() { receive(receiver, &self.socket)? } else { 0 };
        let is_emptied = !self.answers && (1..BATCH).contains(&came);
        let asks_time = self.timed || is_emptied || self.is_resting();
        let now_ns = if asks_time { host::clock::monotonic_ns() } else { 0 };
        if is_emptied {
            self.rests_until_ns = now_ns + REST_NS;
        } else if now_ns >= self.rests_until_ns {
            self.rests_until_ns = 0;
        }
        // What was due before this batch came goes before it.
        self.expire(now_ns, tally);
        for datagram in receiver.datagrams().take(came) {
            tally.received(datagram.payload.len());
            if self.answers {
                self.treat(&datagram, now_ns, tally);
            }
        }
        self.release(now_ns, tally);
        self.outbox.flush(&self.socket, tally);
        Ok(came)
    }

    /// Decides about one datagram.
    fn treat(&mut self, datagram: &Datagram<'_>, now_ns: u64, tally: &mut Tally) {
        let way = Way { to: datagram.from, from: datagram.to };
        let fate = self.fate(datagram.payload);
        if self.is_refused(&fate, now_ns) {
            tally.sums.dropped += 1;
            return;
        }
        let corrupted = fate.corrupted && !datagram.payload.is_empty();
        tally.sums.corrupted += u64::from(corrupted);
        tally.sums.duplicated += u64::from(fate.duplicated);
        let copies = 1 + usize::from(fate.duplicated);
        let due_ns = self.due_ns(now_ns);
        if self.is_direct(now_ns, due_ns) && self.send_at_once(way, datagram.payload, copies, corrupted, tally) {
            return;
        }
        let mut answer = self.held.answer(way, datagram.payload, copies);
        if corrupted {
            faults::corrupt(&mut answer.payload);
        }
        let stream: Stream = (datagram.from, wire::signature::Signature::stream_of(datagram.payload));
        let partner = self.swaps.partner(&stream);
        if partner.is_none() && fate.swapped && self.swaps.has_room() {
            let wait_ns = self.shared.config.datagrams.swap_wait.as_nanos() as u64;
            self.swaps.wait(now_ns.saturating_add(wait_ns), stream, answer);
            return;
        }
        tally.sums.swapped += u64::from(partner.is_some());
        for answer in std::iter::once(answer).chain(partner) {
            self.hold(due_ns, answer, tally);
        }
    }

    fn fate(&mut self, payload: &[u8]) -> Fate {
        let faults = &self.shared.config.datagrams.faults;
        if !faults.any() {
            return Fate::default();
        }
        let number = faults::number(payload).unwrap_or_else(|| {
            self.unsigned += 1;
            self.unsigned - 1
        });
        faults.fate(number)
    }

    /// Whether a datagram is dropped: by a fault, in a stall, or above the rate cap.
    fn is_refused(&self, fate: &Fate, now_ns: u64) -> bool {
        // First, because the first datagram starts the clock of the stalls whatever becomes of it.
        let stalled = !self.shared.stall_remaining(now_ns, true).is_zero();
        fate.dropped
            || (stalled && self.shared.config.datagrams.stall == Stalled::Drop)
            || cap(&self.shared).is_some_and(|cap| !cap.queues() && !cap.grant(now_ns, false))
    }

    /// When the answer to what came at `now_ns` is due.
    fn due_ns(&self, now_ns: u64) -> u64 {
        let due_ns = now_ns.saturating_add(self.delay_ns);
        if self.shared.config.datagrams.stall == Stalled::Drop {
            return due_ns;
        }
        due_ns.saturating_add(self.shared.stall_remaining(due_ns, true).as_nanos() as u64)
    }

    /// Whether an answer can go without being held: nothing is before it, and nothing is to be waited for.
    fn is_direct(&self, now_ns: u64, due_ns: u64) -> bool {
        self.held.is_empty()
            && due_ns <= now_ns
            && self.shared.config.datagrams.faults.swap.is_none()
            && !cap(&self.shared).is_some_and(Cap::queues)
    }

    /// Queues an answer for the kernel, if there is room.
    fn send_at_once(&mut self, way: Way, payload: &[u8], copies: usize, corrupted: bool, tally: &mut Tally) -> bool {
        if !self.has_room(copies, tally) {
            return false;
        }
        for _ in 0..copies {
            let Some(place) = self.outbox.queue(way, payload.len()) else { continue };
            place.copy_from_slice(payload);
            if corrupted {
                faults::corrupt(place);
            }
        }
        true
    }

    fn has_room(&mut self, copies: usize, tally: &mut Tally) -> bool {
        if self.outbox.room() < copies {
            self.outbox.flush(&self.socket, tally);
        }
        self.outbox.room() >= copies
    }

    fn hold(&mut self, due_ns: u64, answer: super::held::Answer, tally: &mut Tally) {
        let copies = answer.copies as u64;
        if !self.held.push(due_ns, answer) {
            tally.sums.overflowed += copies;
        }
    }

    /// Sends first ones of a swap alone whose neighbour did not come.
    fn expire(&mut self, now_ns: u64, tally: &mut Tally) {
        while let Some(answer) = self.swaps.expired(now_ns) {
            let due_ns = self.due_ns(now_ns);
            self.hold(due_ns, answer, tally);
        }
    }

    /// Sends what is due, as far as the rate cap and the socket allow.
    fn release(&mut self, now_ns: u64, tally: &mut Tally) {
        while let Some((due_ns, answer)) = self.held.first() {
            let copies = answer.copies;
            if due_ns > now_ns || !self.has_room(copies, tally) {
                break;
            }
            if let Some(cap) = cap(&self.shared).filter(|cap| cap.queues()) {
                // Who has waited for the cap gets its slot even if this thread wakes late.
                if !cap.grant(now_ns, self.opens_ns > 0) {
                    self.opens_ns = cap.opens_ns().max(1);
                    return;
                }
            }
            let Some(answer) = self.held.pop() else { break };
            for _ in 0..copies {
                if let Some(place) = self.outbox.queue(answer.way, answer.payload.len()) {
                    place.copy_from_slice(&answer.payload);
                }
            }
            self.held.reuse(answer);
        }
        // The cap is not what the next one waits for.
        if self.held.first().is_none_or(|(due_ns, _)| due_ns > now_ns) {
            self.opens_ns = 0;
        }
    }
}

/// The rate cap, if it counts datagrams.
fn cap(shared: &Shared) -> Option<&Cap> {
    shared.cap.as_ref().filter(|cap| cap.counts(CapUnit::Datagrams))
}

/// Takes a batch; 0 if nothing is there after all.
fn receive(receiver: &mut Receiver, socket: &UdpSocket) -> io::Result<usize> {
    match receiver.receive(socket) {
        Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => Ok(0),
        result => result,
    }
}
