//! Batches in: what came on the sockets of the streams.

use std::io;
use std::mem::MaybeUninit;
use std::net::SocketAddr;
use std::time::Duration;

use host::clock::monotonic_ns;
use host::datagram::{Reported, take_report};
use rustix::event::Timespec;
use rustix::event::epoll::{self, EventFlags};

use super::links::Token;
use super::{RECEIVE_BATCH, Worker};
use crate::engine::socket::EVENTS_PER_TURN;
use crate::measure::Outcome;
use crate::workload::udp::Arrived;

/// Batches taken from one socket per turn at most.
const BATCHES_PER_TURN: u32 = 16;
/// Reports taken from one error queue per turn at most.
const REPORTS_PER_TURN: u32 = 1_024;

impl Worker {
    /// Waits for answers, and takes those that are there.
    pub(super) fn receive(&mut self, timeout: Duration) {
        let timeout = Timespec { tv_sec: timeout.as_secs() as i64, tv_nsec: i64::from(timeout.subsec_nanos()) };
        let mut events = [MaybeUninit::<epoll::Event>::uninit(); EVENTS_PER_TURN];
        // An interrupted wait is an empty one.
        let Ok((ready, _)) = epoll::wait(&self.epoll, &mut events, Some(&timeout)) else { return };
        let looked_at = monotonic_ns();
        let mut is_all = ready.len() < EVENTS_PER_TURN;
        for event in ready.iter() {
            let (token, flags) = (Token::of(event.data.u64()), event.flags);
            if flags.contains(EventFlags::ERR) {
                self.take_reports(token.stream);
            }
            is_all &= self.take(token);
        }
        if is_all {
            self.looked_at = looked_at;
        }
    }

    /// What ICMP said of earlier frames of a stream.
    fn take_reports(&mut self, stream: usize) {
        let Ok(sockets) = &self.links.all[stream].sockets else { return };
        for _ in 0..REPORTS_PER_TURN {
            match take_report(&sockets.own) {
                Ok(Some(Reported::Unreachable)) => self.record.unreachable += 1,
                // What this host refuses, `send` says as well.
                Ok(Some(Reported::Local(_))) => {}
                Ok(None) | Err(_) => return,
            }
        }
    }

    /// Takes what has come on a socket; whether that was all.
    fn take(&mut self, token: Token) -> bool {
        for _ in 0..BATCHES_PER_TURN {
            let Ok(sockets) = &self.links.all[token.stream].sockets else { return true };
            let socket = if token.is_strangers { &sockets.strangers } else { &sockets.own };
            match self.receiver.receive(socket) {
                Ok(came) => {
                    self.judge(token);
                    if came < RECEIVE_BATCH {
                        return true;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return true,
                // What ICMP said of a frame: the error queue has it, too, and answers may lie behind it.
                Err(_) => {}
            }
        }
        false
    }

    /// Judges the batch that was received last.
    fn judge(&mut self, Token { stream, is_strangers }: Token) {
        let now = monotonic_ns();
        self.active_at = now;
        let service = self.links.all[stream].service;
        for datagram in self.receiver.datagrams() {
            // A stranger's may have come between `bind` and `connect`.
            let from_service = !is_strangers && is_same(datagram.from, service);
            let (payload, truncated) = (datagram.payload, datagram.truncated);
            let ended = self.frames.received(Arrived { stream, from_service, payload, truncated }, now, self.looked_at);
            let Some(ended) = ended else { continue };
            let measured = self.book.measures(ended.times.due);
            if ended.outcome == Outcome::Ok {
                self.book.answered(payload.len() as u64, now);
            } else if !self.book.knows(ended.outcome) {
                let what =
                    if ended.outcome == Outcome::Lost { "came too late" } else { "had other bytes or another length" };
                let local = self.links.all[stream].local;
                let text = format!("stream {} ({local} to {service}): an answer {what}", self.frames.id(stream));
                self.book.describe(ended.outcome, text);
            }
            self.book.latency(now.saturating_sub(ended.times.due), now.saturating_sub(ended.times.sent), measured);
            self.book.ended(ended.outcome, measured, now);
        }
    }
}

/// Address and port alone: IPv6 adds what belongs to the packet.
fn is_same(a: SocketAddr, b: SocketAddr) -> bool {
    a.port() == b.port() && a.ip() == b.ip()
}
