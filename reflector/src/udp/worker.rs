//! One thread that answers datagrams: wait for a socket or for a time, and give each socket its turn.
//!
//! While a socket's buffer is full nothing more is read from it: what then comes too much is dropped
//! by the kernel in front of this socket, and the books say so.

use std::io;
use std::net::UdpSocket;
use std::os::fd::AsFd;
use std::sync::{Arc, Mutex, PoisonError};

use host::datagram::Receiver;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::port::Port;
use super::tally::Tally;
use super::{BATCH, PAYLOAD_MAX};
use crate::config::Kind;
use crate::server::Shared;

/// Batches that a socket can have waiting when the reflector stops; more come from peers that go on.
const LAST_BATCHES: usize = 1024;
/// Pause after a socket could not be read for a reason that will not pass at once.
const BROKEN_PAUSE_NS: u64 = 10_000_000;

/// The sockets of one thread and all they need.
#[derive(Debug)]
pub(super) struct Worker {
    shared: Arc<Shared>,
    ports: Vec<Port>,
    receiver: Receiver,
    tally: Arc<Mutex<Tally>>,
    stopped: io::PipeReader,
}

/// What a thread waits for beside the time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum For {
    /// Sockets and the stop order.
    Work,
    /// The stop order: the sockets are left alone for a while.
    Recovery,
    /// Sockets that have room again: nothing more is read.
    Room,
}

impl Worker {
    pub(super) fn new(
        shared: Arc<Shared>,
        sockets: Vec<(UdpSocket, Kind)>,
        tally: Arc<Mutex<Tally>>,
        stopped: io::PipeReader,
    ) -> Self {
        let ports = sockets.into_iter().map(|(socket, kind)| Port::new(Arc::clone(&shared), socket, kind)).collect();
        Self { shared, ports, receiver: Receiver::new(BATCH, PAYLOAD_MAX), tally, stopped }
    }

    /// Answers until the reflector stops, and then what has come until then.
    pub(super) fn run(&mut self) {
        // What may wait 50 µs longer is then less exact than a delay promises; nothing else is wrong.
        let _ = host::process::exact_timers();
        let mut ready = vec![true; self.ports.len()];
        let mut reason = For::Work;
        while self.wait(reason, None, &mut ready) {
            reason = For::Work;
            for (at, ready) in ready.iter().enumerate() {
                if let Err(error) = self.turn(at, *ready) {
                    tracing::debug!("cannot read datagrams: {error}; it is tried again");
                    reason = For::Recovery;
                }
            }
        }
        self.finish(&mut ready);
    }

    /// Answers what has come already, at most until the drain time is over.
    fn finish(&mut self, ready: &mut [bool]) {
        let drain_ns = self.shared.config.drain.as_nanos() as u64;
        let until_ns = host::clock::monotonic_ns().saturating_add(drain_ns);
        for at in 0..self.ports.len() {
            let mut batches = 0;
            while batches < LAST_BATCHES && matches!(self.turn(at, true), Ok(1..)) {
                batches += 1;
            }
        }
        while !self.ports.iter().all(Port::is_idle) && host::clock::monotonic_ns() < until_ns {
            self.wait(For::Room, Some(until_ns), ready);
            for at in 0..self.ports.len() {
                // Nothing is read, so nothing can fail.
                let _ = self.turn(at, false);
            }
        }
    }

    /// Waits until there is something to do, at most `until_ns`. Says in `ready` which sockets can be read,
    /// and returns whether the reflector goes on.
    fn wait(&self, reason: For, until_ns: Option<u64>, ready: &mut [bool]) -> bool {
        let mut polled = Vec::with_capacity(self.ports.len() + 1);
        for port in &self.ports {
            let interest = match reason {
                For::Recovery => PollFlags::empty(),
                _ if port.is_blocked() => PollFlags::OUT,
                _ if port.is_resting() => PollFlags::empty(),
                For::Work => PollFlags::IN,
                For::Room => PollFlags::empty(),
            };
            polled.push(PollFd::from_borrowed_fd(port.socket().as_fd(), interest));
        }
        // At the end the order is known, and would end every wait at once.
        if reason != For::Room {
            polled.push(PollFd::new(&self.stopped, PollFlags::IN));
        }
        // An interrupted wait is a turn for nothing.
        let _ = poll(&mut polled, self.timeout(reason, until_ns).as_ref());
        for (ready, polled) in ready.iter_mut().zip(&polled) {
            *ready = polled.revents().intersects(PollFlags::IN | PollFlags::ERR);
        }
        polled.get(self.ports.len()).is_some_and(|stopped| stopped.revents().is_empty())
    }

    /// How long to wait at most; `None` for as long as nothing comes.
    fn timeout(&self, reason: For, until_ns: Option<u64>) -> Option<Timespec> {
        // A full socket is not to be asked before it has room.
        let open = self.ports.iter().filter(|port| !port.is_blocked());
        let wake_ns = open.filter_map(Port::wake_ns).chain(until_ns).min();
        let now_ns = if wake_ns.is_some() { host::clock::monotonic_ns() } else { 0 };
        let left_ns = wake_ns.map(|wake_ns| wake_ns.saturating_sub(now_ns));
        let left_ns = if reason == For::Recovery { left_ns.max(Some(BROKEN_PAUSE_NS)) } else { left_ns };
        left_ns.map(|ns| Timespec { tv_sec: (ns / 1_000_000_000) as i64, tv_nsec: (ns % 1_000_000_000) as i64 })
    }

    fn turn(&mut self, at: usize, readable: bool) -> io::Result<usize> {
        let mut tally = self.tally.lock().unwrap_or_else(PoisonError::into_inner);
        self.ports[at].turn(readable, &mut self.receiver, &mut tally)
    }
}
