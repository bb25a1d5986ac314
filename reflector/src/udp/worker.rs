//! One thread that answers datagrams: wait for a socket, take a batch, answer it.
//!
//! While a socket's buffer is full nothing more is read from it: what then comes too much is dropped
//! by the kernel in front of this socket, and the books say so.

use std::io;
use std::net::UdpSocket;
use std::os::fd::AsFd;
use std::sync::{Arc, Mutex, PoisonError};

use host::datagram::Receiver;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::outbox::{Outbox, Way};
use super::tally::Tally;
use crate::config::Kind;

/// Datagrams of one batch.
const BATCH: usize = 64;
/// Longest payload: 65,507 bytes over IPv4 and 65,527 over IPv6.
const PAYLOAD_MAX: usize = 65_535;
/// Batches that a socket can have waiting when the reflector stops; more come from peers that go on.
const LAST_BATCHES: usize = 1024;
/// Pause after a socket could not be read for a reason that will not pass at once.
const BROKEN_PAUSE_NS: u64 = 10_000_000;

/// The sockets of one thread and all they need.
#[derive(Debug)]
pub(super) struct Worker {
    ports: Vec<Port>,
    receiver: Receiver,
    tally: Arc<Mutex<Tally>>,
    stopped: io::PipeReader,
}

/// One socket.
#[derive(Debug)]
struct Port {
    socket: UdpSocket,
    answers: bool,
    outbox: Outbox,
}

/// What a thread was woken for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wake {
    Work,
    Stop,
}

impl Worker {
    pub(super) fn new(sockets: Vec<(UdpSocket, Kind)>, tally: Arc<Mutex<Tally>>, stopped: io::PipeReader) -> Self {
        let port =
            |(socket, kind)| Port { socket, answers: kind != Kind::UdpSink, outbox: Outbox::new(BATCH, PAYLOAD_MAX) };
        let ports = sockets.into_iter().map(port).collect();
        Self { ports, receiver: Receiver::new(BATCH, PAYLOAD_MAX), tally, stopped }
    }

    /// Answers until the reflector stops, and then what has come until then.
    pub(super) fn run(&mut self) {
        let mut broken = false;
        while self.wait(broken.then_some(BROKEN_PAUSE_NS)) == Wake::Work {
            broken = false;
            for at in 0..self.ports.len() {
                if let Err(error) = self.turn(at) {
                    tracing::debug!("cannot read datagrams: {error}; it is tried again");
                    broken = true;
                }
            }
        }
        for at in 0..self.ports.len() {
            let mut batches = 0;
            while batches < LAST_BATCHES && matches!(self.turn(at), Ok(1..)) {
                batches += 1;
            }
        }
    }

    /// Waits for a socket to be ready, a pause to be over, or the stop order.
    fn wait(&self, pause_ns: Option<u64>) -> Wake {
        let mut polled = Vec::with_capacity(self.ports.len() + 1);
        polled.push(PollFd::new(&self.stopped, PollFlags::IN));
        for port in &self.ports {
            let interest = match (pause_ns, port.outbox.is_empty()) {
                (Some(_), _) => PollFlags::empty(),
                (None, true) => PollFlags::IN,
                (None, false) => PollFlags::OUT,
            };
            polled.push(PollFd::from_borrowed_fd(port.socket.as_fd(), interest));
        }
        let timeout = pause_ns.map(|ns| Timespec { tv_sec: 0, tv_nsec: ns as i64 });
        // An interrupted wait is a turn for nothing.
        let _ = poll(&mut polled, timeout.as_ref());
        if polled[0].revents().is_empty() { Wake::Work } else { Wake::Stop }
    }

    /// Takes one batch from a socket and answers it; how many came.
    fn turn(&mut self, at: usize) -> io::Result<usize> {
        let port = &mut self.ports[at];
        let mut tally = self.tally.lock().unwrap_or_else(PoisonError::into_inner);
        port.outbox.flush(&port.socket, &mut tally);
        if !port.outbox.is_empty() {
            return Ok(0);
        }
        let came = match self.receiver.receive(&port.socket) {
            Ok(came) => came,
            Err(error) if is_retry(&error) => return Ok(0),
            Err(error) => return Err(error),
        };
        for datagram in self.receiver.datagrams() {
            tally.received(datagram.payload.len());
            if !port.answers {
                continue;
            }
            let way = Way { to: datagram.from, from: datagram.to };
            if let Some(place) = port.outbox.queue(way, datagram.payload.len()) {
                place.copy_from_slice(datagram.payload);
            }
        }
        port.outbox.flush(&port.socket, &mut tally);
        Ok(came)
    }
}

fn is_retry(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}
