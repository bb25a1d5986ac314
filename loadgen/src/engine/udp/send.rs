//! Batches out: the claimed frames of each stream, in their order.

use std::ops::Range;

use host::clock::monotonic_ns;
use rustix::io::Errno;

use super::{REFUSED, Worker};
use crate::measure::Outcome;

/// What the kernel said to a batch.
enum Refusal {
    /// No room now: the frames wait.
    Busy,
    /// Never for the first frame that is left.
    Never(Errno),
}

/// How often a frame is tried whose sending ends with an error that an earlier one may have caused: the kernel
/// tells what ICMP said of a datagram to the next caller.
const TRIES: u32 = 3;

impl Worker {
    /// Sends what is claimed, stream by stream, until the kernel has no room.
    pub(super) fn send_claimed(&mut self, now: u64) {
        if self.sending.is_empty() || now < self.patient_until {
            return;
        }
        let streams = self.frames.streams() as u64;
        let range = self.sending.clone();
        let mut has_room = true;
        for first in range.start..range.end.min(range.start + streams) {
            has_room = self.send_stream(first, range.end);
            if !has_room {
                break;
            }
        }
        if !has_room {
            self.patient_until = monotonic_ns() + REFUSED;
            self.give_up_stale(now);
        }
        while self.sending.start < self.sending.end && self.frames.claimed(self.sending.start).is_none() {
            self.sending.start += 1;
        }
    }

    /// Frames that have waited too long for the kernel to have room.
    fn give_up_stale(&mut self, now: u64) {
        let max_lag = self.context.config.max_lag.as_nanos() as u64;
        for frame in self.sending.clone() {
            if let Some(due) = self.frames.claimed(frame).filter(|due| now.saturating_sub(*due) > max_lag) {
                self.describe(Outcome::UnsentLate, frame, "the kernel had no room for it within max_lag");
                self.frames.unsent(frame);
                self.never_sent(due, Outcome::UnsentLate, now);
            }
        }
    }

    /// Sends the claimed frames of the stream of `first`; `false` when the kernel has no room.
    fn send_stream(&mut self, first: u64, end: u64) -> bool {
        let streams = self.frames.streams();
        let stream = self.frames.stream(first);
        let mut next = first;
        while next < end {
            let began = monotonic_ns();
            let (from, mut queued) = (next, [0_u64; super::SEND_BATCH]);
            let mut count = 0;
            for frame in (from..end).step_by(streams) {
                if count == queued.len() {
                    break;
                }
                next = frame + streams as u64;
                if self.frames.claimed(frame).is_none() {
                    continue;
                }
                let Some(payload) = self.sender.queue(self.frames.length(frame), None, None) else { break };
                self.frames.write(frame, began, payload);
                queued[count] = frame;
                count += 1;
            }
            let has_room = self.send_batch(stream, &queued[..count], began);
            self.sender.clear();
            if !has_room {
                return false;
            }
        }
        true
    }

    /// Sends the frames that are queued, whose signatures say `stamp`; `false` when the kernel has no room for
    /// all of them.
    fn send_batch(&mut self, stream: usize, frames: &[u64], stamp: u64) -> bool {
        let (mut rest, mut began) = (frames, stamp);
        while !rest.is_empty() {
            match self.send_some(stream) {
                Ok(sent) => {
                    let (done, left) = rest.split_at(sent.min(rest.len()));
                    let now = monotonic_ns();
                    self.book_sent(done, stamp, began..now);
                    (rest, began) = (left, now);
                }
                Err(Refusal::Busy) => return false,
                Err(Refusal::Never(error)) => {
                    self.sender.drop_first();
                    let text = self.reason(stream, rest[0], error);
                    self.refused(rest[0], &text);
                    rest = &rest[1..];
                }
            }
        }
        true
    }

    fn send_some(&mut self, stream: usize) -> Result<usize, Refusal> {
        let Ok(sockets) = &self.links.all[stream].sockets else { return Err(Refusal::Never(Errno::BADF)) };
        let mut tries = 0;
        loop {
            let error = match self.sender.send(&sockets.own) {
                Ok(sent) => return Ok(sent),
                Err(error) => Errno::from_io_error(&error).unwrap_or(Errno::IO),
            };
            match error {
                Errno::INTR => {}
                Errno::AGAIN | Errno::NOBUFS | Errno::NOMEM => return Err(Refusal::Busy),
                error if tries + 1 >= TRIES => return Err(Refusal::Never(error)),
                _ => tries += 1,
            }
        }
    }

    /// Frames that one call took; those of a later call of the same batch still say when the first began.
    fn book_sent(&mut self, frames: &[u64], stamp: u64, call: Range<u64>) {
        let Range { start: began, end: now } = call;
        self.record.send_calls += 1;
        self.record.batch_max = self.record.batch_max.max(frames.len() as u32);
        for &frame in frames {
            let due = self.frames.sent(frame, stamp);
            let measured = self.book.measures(due);
            let lag = (due > self.full_at).then(|| began.saturating_sub(due));
            self.book.started(lag, measured);
        }
        // Within a call nobody sees the moments: the frames share its time evenly.
        let Some(others) = (frames.len() as u64).checked_sub(1) else { return };
        let step = now.saturating_sub(began) / (others + 1);
        if self.departed > 0 {
            self.book.departed(began.saturating_sub(self.departed), 1, began);
        }
        self.book.departed(step, others, now);
        self.departed = began + step * others;
    }

    /// A frame that this host refuses to send.
    fn refused(&mut self, frame: u64, reason: &str) {
        let Some(due) = self.frames.claimed(frame) else { return };
        let now = monotonic_ns();
        self.describe(Outcome::LocalError, frame, reason);
        self.frames.unsent(frame);
        self.never_sent(due, Outcome::LocalError, now);
        if self.closed > 0 {
            // Otherwise the loop would claim and refuse frames as fast as it can.
            self.patient_until = now + REFUSED;
        }
    }

    fn reason(&self, stream: usize, frame: u64, error: Errno) -> String {
        if let Err(why) = &self.links.all[stream].sockets {
            return why.clone();
        }
        let length = self.frames.length(frame);
        match error {
            Errno::MSGSIZE => format!(
                "send of {length} B: {error}: the packet is longer than the interface's MTU; raise the MTU of the link or \
                 take smaller frames"
            ),
            Errno::NETUNREACH
            | Errno::HOSTUNREACH
            | Errno::NETDOWN
            | Errno::NODEV
            | Errno::NXIO
            | Errno::ADDRNOTAVAIL
            | Errno::INVAL => format!(
                "send of {length} B: {error}: the interface is down or gone, or no route leads to the service from that \
                 address"
            ),
            error => format!("send of {length} B: {error}"),
        }
    }
}
