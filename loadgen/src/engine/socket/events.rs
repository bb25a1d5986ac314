//! What a worker does with events and with what its workload says.

use super::Worker;
use crate::engine::connection;
use crate::engine::slot::Place;
use crate::engine::transport::Transport;
use crate::measure::Outcome;
use crate::scenario::plan::CloseMode;
use crate::workload::{Noticed, Operation, Step, Workload};

impl<W: Workload, T: Transport> Worker<W, T> {
    /// The handshake is complete.
    pub(in crate::engine) fn established(&mut self, number: u32, now: u64) {
        let slot = &mut self.slots[number as usize];
        slot.place = Place::Awaiting;
        slot.opened = now;
        let measured = slot.measured && self.book.measures(slot.due);
        self.book.opened(now, now - slot.from, measured);
        self.timers.set(number, super::NEVER);
    }

    /// Does what the workload said, until something has to be awaited.
    pub(in crate::engine) fn drive(&mut self, number: u32, step: Step, now: u64) {
        match step {
            Step::Need => {}
            Step::Send => T::send(self, number, now),
            Step::Keep => self.keep(number, now),
            Step::Hold => self.hold(number, now),
            Step::Close(mode) => self.close(number, mode, now),
            Step::Fail(outcome) => {
                let detail =
                    (!self.book.knows(outcome)).then(|| self.workload.detail(&self.slots[number as usize].user));
                self.fail(number, outcome, now, || detail.unwrap_or_default());
            }
        }
    }

    /// The request of an established connection begins to be sent.
    pub(in crate::engine) fn begin_sending(&mut self, number: u32, now: u64) {
        let slot = &mut self.slots[number as usize];
        (slot.sending, slot.sent) = (true, 0);
        if slot.place != Place::Connecting && slot.last_byte != 0 {
            // A later request on the connection: measured from its own sending.
            slot.from = now;
        }
    }

    /// Bytes arrived: those that [`Transport::data`] gives.
    pub(in crate::engine) fn bytes(&mut self, number: u32, now: u64) {
        match self.slots[number as usize].place {
            Place::Awaiting => {
                let mut noticed = Noticed::default();
                let slot = &mut self.slots[number as usize];
                let step = self.workload.received(&mut slot.user, self.transport.data(), &mut noticed);
                self.book_noticed(number, noticed, now);
                self.drive(number, step, now);
            }
            Place::Idle => self.drop_idle(number, now),
            Place::Held | Place::Closing => {
                let received = self.transport.data().len();
                let detail = || format!("{received} bytes that nobody asked for");
                self.fail(number, Outcome::BadResponse, now, detail);
            }
            Place::Free | Place::Connecting => {}
        }
    }

    fn book_noticed(&mut self, number: u32, noticed: Noticed, now: u64) {
        let slot = &mut self.slots[number as usize];
        let held = self.context.config.operation == Operation::Held;
        let measured = slot.measured && (!held || self.book.measures(slot.due));
        self.book.noticed(noticed, slot.from, now, measured);
        if noticed.transaction {
            slot.last_byte = now;
            // Asked or answered in sustain: an answer that is read late still proves the connection.
            slot.proven |= self.book.measures(slot.due) || self.book.measures(now);
            if held {
                self.book.latency(now - slot.due, now - slot.started, measured);
            }
        }
    }

    /// The peer's FIN arrived.
    pub(in crate::engine) fn peer_ended(&mut self, number: u32, now: u64) {
        let slot = &mut self.slots[number as usize];
        slot.peer_ended = true;
        match slot.place {
            Place::Awaiting => {
                let mut noticed = Noticed::default();
                let step = self.workload.ended(&mut slot.user, &mut noticed);
                self.book_noticed(number, noticed, now);
                self.drive(number, step, now);
            }
            Place::Held => {
                let detail = || "the peer closed a connection that was being held".to_owned();
                self.fail(number, Outcome::HoldLost, now, detail);
            }
            Place::Closing => {
                self.release(number, now);
                self.end(number, Outcome::Ok, now);
            }
            Place::Idle => self.drop_idle(number, now),
            Place::Free | Place::Connecting => {}
        }
    }

    /// The connection broke.
    pub(in crate::engine) fn broken(&mut self, number: u32, error: rustix::io::Errno, now: u64) {
        let outcome = connection::later_outcome(error);
        let place = self.slots[number as usize].place;
        if outcome == Outcome::ResetLater && matches!(place, Place::Idle | Place::Held | Place::Closing) {
            // Elsewhere the outcome says it, and is counted by it.
            self.book.reset(now);
        }
        let outcome = match place {
            Place::Idle => return self.drop_idle(number, now),
            Place::Held => Outcome::HoldLost,
            Place::Closing => Outcome::UncleanClose,
            Place::Free | Place::Connecting | Place::Awaiting => outcome,
        };
        self.fail(number, outcome, now, || format!("receive: {error}"));
    }

    // === ends ===

    fn keep(&mut self, number: u32, now: u64) {
        self.timers.set(number, super::NEVER);
        self.book_latency(number, now);
        self.end(number, Outcome::Ok, now);
        let slot = &mut self.slots[number as usize];
        if slot.peer_ended {
            return self.release(number, now);
        }
        slot.place = Place::Idle;
        self.idle.push_back(number);
    }

    fn hold(&mut self, number: u32, now: u64) {
        self.slots[number as usize].place = Place::Held;
        if now >= self.times.sustain_end {
            // The second that ends with sustain still counts the connection as open.
            self.turn_pages(now);
            return self.close_one_held(number, now);
        }
        let interval = self.context.config.hold_interval.as_nanos() as u64;
        let slot = &self.slots[number as usize];
        let wake = if slot.wake == 0 { self.first_wake(now) } else { slot.wake + interval };
        self.slots[number as usize].wake = wake;
        self.timers.set(number, if wake < self.times.sustain_end { wake } else { super::NEVER });
    }

    fn close(&mut self, number: u32, mode: CloseMode, now: u64) {
        if self.context.config.operation != Operation::Held {
            self.book_latency(number, now);
        }
        let slot = &mut self.slots[number as usize];
        let Some(socket) = &slot.socket else { return };
        if slot.peer_ended || mode == CloseMode::ClientRst {
            self.release_with(number, mode == CloseMode::ClientRst, now);
            return self.end(number, Outcome::Ok, now);
        }
        let sent = if mode == CloseMode::ClientFin { self.transport.send_fin(socket) } else { Ok(()) };
        slot.place = Place::Closing;
        if let Err(error) = sent {
            let outcome = connection::later_outcome(error);
            return self.fail(number, outcome, now, || format!("close: {error}"));
        }
        self.set_deadline(number, now, Some(self.context.config.response_timeout));
    }

    fn book_latency(&mut self, number: u32, now: u64) {
        let slot = &mut self.slots[number as usize];
        slot.last_byte = now;
        self.book.latency(now - slot.due, now - slot.started, slot.measured);
    }

    /// Ends the operation with a failure and gives the connection up.
    pub(in crate::engine) fn fail(&mut self, number: u32, outcome: Outcome, now: u64, detail: impl FnOnce() -> String) {
        if !self.book.knows(outcome) {
            self.book.describe(outcome, detail());
        }
        let slot = &self.slots[number as usize];
        let held = self.context.config.operation == Operation::Held;
        let measured = slot.measured && (!held || self.book.measures(slot.due));
        // Dropping failures would flatter a broken DUT: they count with the time they took to fail. An
        // operation that only lacks its clean close has been booked with its last byte, and a held
        // connection that is lost between two transactions waits for nothing.
        if !matches!(slot.place, Place::Closing | Place::Held) {
            self.book.latency(now - slot.due, now - slot.started, measured);
        }
        if matches!(outcome, Outcome::ConnectRefused | Outcome::ResetLater) {
            self.book.reset(now);
        }
        self.release(number, now);
        self.end(number, outcome, now);
    }

    fn end(&mut self, number: u32, outcome: Outcome, now: u64) {
        let slot = &mut self.slots[number as usize];
        debug_assert!(slot.active, "an operation ends once");
        slot.active = false;
        self.active -= 1;
        self.book.ended(outcome, slot.measured, now);
    }

    fn drop_idle(&mut self, number: u32, now: u64) {
        self.idle.retain(|&idle| idle != number);
        self.release(number, now);
    }

    fn release(&mut self, number: u32, now: u64) {
        self.release_with(number, false, now);
    }

    /// Closes the connection, with a RST if `reset`, and frees the slot.
    fn release_with(&mut self, number: u32, reset: bool, now: u64) {
        let slot = &mut self.slots[number as usize];
        let established = !matches!(slot.place, Place::Free | Place::Connecting);
        slot.place = Place::Free;
        slot.sending = false;
        slot.wake = 0;
        let opened = slot.opened;
        if let Some(socket) = slot.socket.take() {
            self.transport.close(socket, reset);
        }
        self.timers.set(number, super::NEVER);
        if established {
            self.book.closed(opened, now);
        }
        self.free.push(number);
    }
}
