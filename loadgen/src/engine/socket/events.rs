//! What a worker does with events and with what its workload says.

use host::clock::monotonic_ns;
use rustix::event::epoll::EventFlags;

use super::Worker;
use crate::engine::connection;
use crate::engine::slot::Place;
use crate::measure::Outcome;
use crate::scenario::plan::CloseMode;
use crate::workload::{Noticed, Operation, Step, Workload};

/// Flags after which the socket is read until it says "nothing now".
const LAST_WORDS: EventFlags = EventFlags::RDHUP.union(EventFlags::HUP).union(EventFlags::ERR);

impl<W: Workload> Worker<W> {
    /// An event of a connection.
    pub(super) fn handle(&mut self, token: u64, flags: EventFlags) {
        let number = token as u32;
        let slot = &self.slots[number as usize];
        if slot.socket.is_none() || slot.generation != (token >> 32) as u32 {
            // The connection it was about is gone.
            return;
        }
        if slot.place == Place::Connecting {
            self.connecting(number);
        } else if slot.sending && flags.contains(EventFlags::OUT) {
            self.drive(number, Step::Send, monotonic_ns());
        }
        let readable = flags.intersects(EventFlags::IN | LAST_WORDS);
        if readable && !matches!(self.slots[number as usize].place, Place::Free | Place::Connecting) {
            self.read(number, flags);
        }
    }

    fn connecting(&mut self, number: u32) {
        let now = monotonic_ns();
        let slot = &self.slots[number as usize];
        if slot.sending {
            return self.drive(number, Step::Send, now);
        }
        let Some(socket) = &slot.socket else { return };
        match connection::established(socket) {
            Ok(true) => {
                self.established(number, now);
                let step = self.workload.start(&mut self.slots[number as usize].user);
                self.drive(number, step, now);
            }
            Ok(false) => {}
            Err(error) => {
                self.fail(number, connection::handshake_outcome(error), now, || format!("handshake: {error}"));
            }
        }
    }

    fn established(&mut self, number: u32, now: u64) {
        let slot = &mut self.slots[number as usize];
        slot.place = Place::Awaiting;
        let measured = slot.measured && self.book.measures(slot.due);
        self.book.opened(now - slot.from, measured);
        self.timers.set(number, super::NEVER);
    }

    /// Does what the workload said, until something has to be awaited.
    pub(super) fn drive(&mut self, number: u32, step: Step, now: u64) {
        match step {
            Step::Need => {}
            Step::Send => self.send(number, now),
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

    fn send(&mut self, number: u32, now: u64) {
        let slot = &mut self.slots[number as usize];
        if !slot.sending {
            (slot.sending, slot.sent) = (true, 0);
            if slot.place != Place::Connecting && slot.last_byte != 0 {
                // A later request on the connection: measured from its own sending.
                slot.from = now;
            }
        }
        let request = self.workload.request(&slot.user);
        let Some(socket) = &slot.socket else { return };
        match connection::send_some(socket, &request[slot.sent..]) {
            Ok(None) => {}
            Ok(Some(sent)) => {
                slot.sent += sent;
                let complete = slot.sent == request.len();
                if complete {
                    slot.sending = false;
                }
                if slot.place == Place::Connecting {
                    self.established(number, now);
                }
                self.slots[number as usize].place = Place::Awaiting;
                self.set_deadline(number, now, Some(self.context.config.response_timeout));
            }
            Err(error) if slot.place == Place::Connecting => {
                self.fail(number, connection::handshake_outcome(error), now, || format!("handshake: {error}"));
            }
            Err(error) => self.fail(number, connection::later_outcome(error), now, || format!("send: {error}")),
        }
    }

    fn read(&mut self, number: u32, flags: EventFlags) {
        loop {
            let now = monotonic_ns();
            let slot = &self.slots[number as usize];
            let Some(socket) = &slot.socket else { return };
            match connection::receive(socket, &mut self.buffer) {
                Ok(None) => return,
                Ok(Some(0)) => return self.peer_ended(number, now),
                Ok(Some(received)) => {
                    self.bytes(number, received, now);
                    // With edge triggering a short read means empty, unless a FIN or RST came along.
                    if received < self.buffer.len() && !flags.intersects(LAST_WORDS) {
                        return;
                    }
                }
                Err(error) => return self.broken(number, error, now),
            }
        }
    }

    fn bytes(&mut self, number: u32, received: usize, now: u64) {
        match self.slots[number as usize].place {
            Place::Awaiting => {
                let mut noticed = Noticed::default();
                let slot = &mut self.slots[number as usize];
                let step = self.workload.received(&mut slot.user, &self.buffer[..received], &mut noticed);
                self.book_noticed(number, noticed, now);
                self.drive(number, step, now);
            }
            Place::Idle => self.drop_idle(number),
            Place::Held | Place::Closing => {
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

    fn peer_ended(&mut self, number: u32, now: u64) {
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
                self.release(number);
                self.end(number, Outcome::Ok, now);
            }
            Place::Idle => self.drop_idle(number),
            Place::Free | Place::Connecting => {}
        }
    }

    fn broken(&mut self, number: u32, error: rustix::io::Errno, now: u64) {
        let outcome = match self.slots[number as usize].place {
            Place::Idle => return self.drop_idle(number),
            Place::Held => Outcome::HoldLost,
            Place::Closing => Outcome::UncleanClose,
            Place::Free | Place::Connecting | Place::Awaiting => connection::later_outcome(error),
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
            return self.release(number);
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
        if mode == CloseMode::ClientRst {
            // If the option cannot be set, the close is a FIN; the label then says more than was done.
            let _ = host::socket::reset_on_close(socket);
        }
        if slot.peer_ended || mode == CloseMode::ClientRst {
            self.release(number);
            return self.end(number, Outcome::Ok, now);
        }
        let sent = if mode == CloseMode::ClientFin { connection::send_fin(socket) } else { Ok(()) };
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
    pub(super) fn fail(&mut self, number: u32, outcome: Outcome, now: u64, detail: impl FnOnce() -> String) {
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
        self.release(number);
        self.end(number, outcome, now);
    }

    fn end(&mut self, number: u32, outcome: Outcome, now: u64) {
        let slot = &mut self.slots[number as usize];
        debug_assert!(slot.active, "an operation ends once");
        slot.active = false;
        self.active -= 1;
        self.book.ended(outcome, slot.measured, now);
    }

    fn drop_idle(&mut self, number: u32) {
        self.idle.retain(|&idle| idle != number);
        self.release(number);
    }

    /// Closes the connection and frees the slot.
    fn release(&mut self, number: u32) {
        let slot = &mut self.slots[number as usize];
        let established = !matches!(slot.place, Place::Free | Place::Connecting);
        slot.place = Place::Free;
        slot.sending = false;
        slot.wake = 0;
        // Closing the descriptor also takes it out of epoll.
        slot.socket = None;
        self.timers.set(number, super::NEVER);
        if established {
            self.book.closed();
        }
        self.free.push(number);
    }
}
